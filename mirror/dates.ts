// What only clocks can tell: dates of entries and checkpoints that cannot be. Alarms with figures, never verdicts, because honest
// machines may disagree. spec/mirror.md#dates

import { alarmPart, type AlarmPart } from '../src/core/alarm.ts'
import { verdictOf } from '../src/core/errors.ts'
import type { EntryRow, LogClock } from '../src/core/replay.ts'
import { decodeTimestamp, TIMESTAMP_BYTES } from '../src/core/tlog/cosigned-message.ts'
import { parseNote, type NoteSignature } from '../src/core/tlog/note.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import type { EvidenceFolder } from './evidence-folder.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** What it stands on. */
export interface DatesPorts {
  readonly clock: Clock
  readonly folder: Pick<EvidenceFolder, 'keepAlarm'>
  /** Whether a signature is one of this mirror's own: that says nothing of the log. */
  readonly isOwn: (signature: NoteSignature) => boolean
  readonly log: LogLine
}

/** Entries that became durable, and what the rules of time remembered before and after them. */
export interface Appended {
  readonly rows: readonly EntryRow[]
  readonly before: LogClock
  readonly after: LogClock
}

type Dated = Pick<EntryRow, 'index' | 'createdAt'>

/** The dates of one log, as they come. */
export class Dates {
  readonly #ports: DatesPorts
  /** The published checkpoint, with the first and the last time that its cosignatures state; null where they state none. */
  #published: { readonly note: string; readonly times: readonly [number, number] | null } | null
  /** The first native entry after the published checkpoint. */
  #first: Dated | null = null
  /** The newest native entry. */
  #newest: Dated | null = null
  /** An entry that came too late for its date, and until when health says so, by `Clock.timeOfDay`. */
  #late: { readonly words: string; readonly until: number } | null = null
  /** Whether cosignatures were seen to come about every minute. */
  #regular = false
  #told: string | null = null

  /** `note` is the published checkpoint; null before the first. */
  constructor(ports: DatesPorts, note: string | null) {
    this.#ports = ports
    this.#published = note === null ? null : { note, times: this.#timesOf(note) }
  }

  /** Entries became durable. Native times never go back, so that the first of them speaks for all. */
  appended({ rows, before, after }: Appended): void {
    const accepted = (row: EntryRow): boolean => row.rejected === null
    // None is sourced after the first native one.
    if (before.lastNative !== null) this.#first ??= rows.find(accepted) ?? null
    const last = rows.findLast(accepted)
    if (after.lastNative !== null && last !== undefined) this.#newest = { index: last.index, createdAt: after.lastNative }
  }

  /** A checkpoint of all these entries is published, or the same once more with other cosignatures. */
  published(note: string): void {
    const { clock } = this.#ports
    const before = this.#published
    const times = this.#timesOf(note)
    const first = this.#first
    this.#published = { note, times }
    this.#first = null
    if (times !== null && before?.times && times[1] > before.times[1] && times[1] - before.times[1] <= 2 * MINUTE_MS) this.#regular = true
    if (first !== null && before?.times && before.times[0] - first.createdAt > TOLERANCE_MS) {
      const words = `entry ${first.index} is dated ${seconds(before.times[0] - first.createdAt)} before the cosignatures of a tree that did not hold it`
      this.#late = { words, until: clock.timeOfDay() + MIRROR_LIMITS.dateAlarmSeconds * 1000 }
      this.#keep(words, [alarmPart('checkpoint', before.note), alarmPart('checkpoint', note)])
    }
    const ahead = this.#ahead()
    if (ahead !== null && ahead.what !== this.#told) this.#keep(ahead.words, [alarmPart('checkpoint', note)])
    this.#told = ahead?.what ?? null
  }

  /** What cannot be, in words; null for nothing. */
  alarm(): string | null {
    const late = this.#late !== null && this.#ports.clock.timeOfDay() < this.#late.until ? this.#late.words : null
    return this.#ahead()?.words ?? late
  }

  /** What is wrong, in words. */
  faults(): readonly string[] {
    const times = this.#published?.times ?? null
    const age = times === null || !this.#regular ? 0 : this.#ports.clock.timeOfDay() - times[1]
    const old = age > MIRROR_LIMITS.cosignedSeconds * 1000 ? `the newest checkpoint that is shown was cosigned ${seconds(age)} ago, and its log is cosigned every minute: the log has stopped, or what it signs is withheld` : null
    return [this.alarm(), old].filter((words) => words !== null)
  }

  #ahead(): { readonly what: string; readonly words: string } | null {
    const latest = this.#ports.clock.timeOfDay() + TOLERANCE_MS
    const dated = (what: string, time: number): { what: string; words: string } => ({ what, words: `${what} is dated ${seconds(time - latest + TOLERANCE_MS)} after the clock of this machine: the log's clock is wrong, or this one` })
    if (this.#newest !== null && this.#newest.createdAt > latest) return dated(`entry ${this.#newest.index}`, this.#newest.createdAt)
    const times = this.#published?.times ?? null
    return times !== null && times[1] > latest ? dated('a cosignature of the newest checkpoint', times[1]) : null
  }

  // Whose the others are is not known here, so nothing is verified: an alarm says what was stated.
  #timesOf(note: string): readonly [number, number] | null {
    const timed = parseNote(note).signatures.filter((line) => TIMED_BYTES.includes(line.signature.length) && !this.#ports.isOwn(line))
    const times = timed.map(({ signature }) => (verdictOf(() => decodeTimestamp(signature)).value ?? 0) * 1000).filter((time) => time > 0)
    return times.length === 0 ? null : [Math.min(...times), Math.max(...times)]
  }

  #keep(words: string, parts: readonly AlarmPart[]): void {
    this.#ports.log('error', { alarm: this.#ports.folder.keepAlarm(words, parts) }, words)
  }
}

const MINUTE_MS = 60_000
const TOLERANCE_MS = MIRROR_LIMITS.dateToleranceSeconds * 1000

/** Lengths of signatures that begin with a time: Ed25519 and ML-DSA-44. */
const TIMED_BYTES = [TIMESTAMP_BYTES + 64, TIMESTAMP_BYTES + 2420]

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} seconds`
}
