// Alarms: what somebody says was seen, kept for people to look at. Never proof, and the file says so. spec/evidence.md#alarms

import { base64, concatBytes, utf8Decode, utf8Encode } from './encoding/text.ts'
import { formatTimestamp, parseTimestamp } from './encoding/timestamp.ts'
import { DirectoryError, verdictOf } from './errors.ts'
import { MAX_ORIGIN_BYTES } from './tlog/checkpoint-text.ts'
import { readAs } from './tlog/strict.ts'

/** What was seen: nothing in it is signed by who says so, and a stranger need not believe it. */
export interface Alarm {
  /** The log that it is about. */
  readonly origin: string
  /** When it was seen, milliseconds since 1970. */
  readonly time: number
  /** What happened, in one line. */
  readonly words: string
  /** What was at hand, in order: for an exchange `request`, `response`, a `checkpoint` and so on. */
  readonly parts: readonly AlarmPart[]
}

/** Bytes that were at hand, as they were. */
export interface AlarmPart {
  /** 1 to 64 of `a` to `z`, `0` to `9` and `-`; a name may stand more than once. */
  readonly name: string
  readonly bytes: Uint8Array
}

/** First line of an alarm. */
export const ALARM_MAGIC = 'stele alarm v1'

/** Longest alarm that is read, in UTF-16 units. */
export const MAX_ALARM_LENGTH = 4_194_304

/** Most parts of an alarm. */
export const MAX_ALARM_PARTS = 64

/** Longest words of an alarm, in UTF-16 units. */
export const MAX_ALARM_WORDS = 4_096

/** The text of an alarm. Throws MALFORMED_ALARM where it would not be read back: `alarmWords` makes any text fit for `words`. */
export function formatAlarm(alarm: Alarm): string {
  checkFields(alarm)
  const { origin, time, words, parts } = alarm
  const lines = [ALARM_MAGIC, NOT_PROOF, `log ${origin}`, `time ${readAs('MALFORMED_ALARM', () => formatTimestamp(time))}`, `words ${words}`]
  const text = [...lines, ...parts.map(({ name, bytes }) => `part ${name} ${base64.encode(bytes)}`), ''].join('\n')
  if (text.length > MAX_ALARM_LENGTH) throw malformed('too long')
  return text
}

/** The alarm in a text. Throws MALFORMED_ALARM unless `formatAlarm` gives the same text back. */
export function parseAlarm(text: string): Alarm {
  if (text.length > MAX_ALARM_LENGTH) throw malformed('too long')
  const [, , log = '', time = '', words = '', ...rest] = text.slice(0, -1).split('\n')
  if (rest.length > MAX_ALARM_PARTS) throw malformed('too many parts')
  const alarm = readAs('MALFORMED_ALARM', () => ({
    origin: log.slice('log '.length),
    time: parseTimestamp(time.slice('time '.length)),
    words: words.slice('words '.length),
    parts: rest.map(parsePart),
  }))
  if (formatAlarm(alarm) !== text) throw malformed('not in its one form')
  return alarm
}

/** Whether a file begins like an alarm. */
export function isAlarm(bytes: Uint8Array): boolean {
  const first = utf8Encode(`${ALARM_MAGIC}\n`)
  return first.every((byte, i) => byte === bytes[i])
}

/** Any text as words of an alarm: control characters become spaces, and what is too long is cut. */
export function alarmWords(text: string): string {
  const line = Array.from(text.toWellFormed(), (character) => (isControl(character) ? ' ' : character)).join('').trim()
  return line === '' ? 'nothing is known' : line.slice(0, MAX_ALARM_WORDS).toWellFormed()
}

/** A part from its bytes, or from a text. */
export function alarmPart(name: string, content: string | Uint8Array): AlarmPart {
  return { name, bytes: typeof content === 'string' ? utf8Encode(content.toWellFormed()) : concatBytes(content) }
}

/** A part's bytes as a text; null where they are none. */
export function partText(part: AlarmPart): string | null {
  return verdictOf(() => utf8Decode(part.bytes)).value
}

const NOT_PROOF = 'this is not proof: it records what somebody says was seen, and whoever wrote it could have made it up'
const PART_NAME = /^[a-z0-9-]{1,64}$/

function parsePart(line: string): AlarmPart {
  const [, name = '', encoded = ''] = line.split(' ', 3)
  return { name, bytes: base64.decode(encoded) }
}

function checkFields({ origin, words, parts }: Alarm): void {
  const bytes = readAs('MALFORMED_ALARM', () => utf8Encode(origin))
  if (bytes.length < 1 || bytes.length > MAX_ORIGIN_BYTES || isControl(origin)) throw malformed('log')
  if (words.length < 1 || words.length > MAX_ALARM_WORDS || !words.isWellFormed() || isControl(words)) throw malformed('words')
  if (parts.length > MAX_ALARM_PARTS || parts.some(({ name }) => !PART_NAME.test(name))) throw malformed('parts')
}

function isControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20) return true
  return false
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_ALARM', reason)
}
