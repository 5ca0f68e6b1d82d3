// Where records to import come from: files, standard input, URLs; audit logs (JSON arrays) and exports (JSON lines).

import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { UsageError } from '../config.ts'
import { parseJson } from '../client/json.ts'
import { directoryClient } from '../client/directory-client.ts'
import { type DirectoryError, verdictOf } from '../core/errors.ts'
import { parseRecord, type LedgerRecord } from '../core/plc/records.ts'

/** A record, or the verdict on what should be one, and where it stands, for words. */
export interface FoundRecord {
  readonly where: string
  readonly record: LedgerRecord | DirectoryError
}

/** Longest JSON text that is read: a line of an export, or a whole audit log, in UTF-16 units. */
export const MAX_JSON_LENGTH = 16_777_216

/**
 * The records of a source, in order: `-` is standard input, http(s) a URL, anything else a file, `.gz` unpacked. A URL that
 * ends in `/export` is read page by page by sequence number, from `?after=N` on. Throws UsageError for what is not
 * text, and what reading throws.
 */
export async function* readSource(source: string, signal: AbortSignal): AsyncGenerator<FoundRecord> {
  for await (const { text, where } of textsOf(source, signal)) {
    const place = `${source}, ${where}`
    const { value: json, verdict } = verdictOf(() => parseJson(text))
    if (verdict !== null) {
      yield { where: place, record: verdict }
      continue
    }
    const several = Array.isArray(json)
    for (const [i, element] of (several ? json : [json]).entries()) {
      const { value, verdict } = verdictOf(() => parseRecord(element))
      yield { where: several ? `${place}, element ${i + 1}` : place, record: verdict ?? value }
    }
  }
}

/** The name by which entries from a source are known where none was given: a URL's host, else `import`. */
export function sourceName(source: string): string {
  return isUrl(source) ? new URL(source).host : 'import'
}

/** The JSON texts in a stream of text: a line each, or over several lines where an array begins. Throws UsageError for one that is too long. */
export async function* jsonTexts(chunks: AsyncIterable<string>): AsyncGenerator<{ text: string; where: string }> {
  let pending: { lines: string[]; length: number; first: number; ends: (line: string) => boolean } | null = null
  let number = 0
  for await (const line of linesOf(chunks)) {
    number++
    if (pending === null && line.trim() === '') continue
    pending ??= { lines: [], length: 0, first: number, ends: line.trimStart().startsWith('[') ? arrayEnds() : () => true }
    pending.lines.push(line)
    pending.length += line.length + 1
    if (pending.length > MAX_JSON_LENGTH) throw tooLong(pending.first)
    if (!pending.ends(line)) continue
    yield { text: pending.lines.join('\n'), where: `line ${pending.first}` }
    pending = null
  }
  if (pending !== null) yield { text: pending.lines.join('\n'), where: `line ${pending.first}` }
}

// Told line after line, says whether the JSON array that began with the first one ends with this one.
function arrayEnds(): (line: string) => boolean {
  let [depth, inText, escaped] = [0, false, false]
  return (line) => {
    for (const character of line) {
      if (escaped) escaped = false
      else if (inText && character === '\\') escaped = true
      else if (character === '"') inText = !inText
      else if (!inText && (character === '[' || character === '{')) depth++
      else if (!inText && (character === ']' || character === '}')) depth--
    }
    return depth <= 0
  }
}

async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest: string[] = []
  let length = 0
  let number = 1
  for await (const chunk of chunks) {
    const [head = '', ...more] = chunk.split('\n')
    rest.push(head)
    length += head.length
    const last = more.pop()
    if (last !== undefined) {
      yield rest.join('')
      yield* more
      number += more.length + 1
      rest = [last]
      length = last.length
    }
    if (length > MAX_JSON_LENGTH) throw tooLong(number)
  }
  if (length > 0) yield rest.join('')
}

function tooLong(line: number): UsageError {
  return new UsageError(`what begins in line ${line} is longer than ${MAX_JSON_LENGTH} characters`)
}

async function* textsOf(source: string, signal: AbortSignal): AsyncGenerator<{ text: string; where: string }> {
  if (isUrl(source) && new URL(source).pathname.endsWith('/export')) yield* exported(new URL(source), signal)
  else yield* jsonTexts(decoded(source, await bytesOf(source, signal)))
}

async function* exported(url: URL, signal: AbortSignal): AsyncGenerator<{ text: string; where: string }> {
  const after = url.searchParams.get('after') ?? '0'
  if (!/^\d{1,15}$/.test(after)) throw new UsageError(`${url.href}: after has to be a sequence number`)
  const directory = directoryClient(url.origin + url.pathname.slice(0, -'/export'.length), { signal })
  let number = 0
  for await (const lines of directory.exportPages(Number(after))) {
    for (const text of lines) yield { text, where: `line ${++number}` }
  }
}

async function bytesOf(source: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (source === '-') return process.stdin
  if (isUrl(source)) {
    const response = await fetch(source, { signal })
    if (response.status !== 200 || response.body === null) throw new UsageError(`${source} answered ${response.status}`)
    return response.body
  }
  const file = createReadStream(source)
  if (!source.endsWith('.gz')) return file
  const unpacked = createGunzip()
  file.on('error', (error) => unpacked.destroy(error))
  return file.pipe(unpacked)
}

async function* decoded(source: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true })
    } catch {
      throw new UsageError(`${source}: not UTF-8`)
    }
  }
  for await (const chunk of chunks) yield decode(chunk)
  yield decode()
}

function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source)
}
