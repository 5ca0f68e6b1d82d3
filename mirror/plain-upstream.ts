// Asking a plain did:plc directory, politely: so many requests in a minute and no more, and none while it asks to be left
// alone. spec/mirror.md#reading-a-plain-directory

import { MismatchError } from '../src/client/mismatch.ts'
import { exportStream } from '../src/client/stream-client.ts'
import { request, ServerError } from '../src/client/request.ts'
import { utf8Decode } from '../src/core/encoding/text.ts'
import { formatTimestamp } from '../src/core/encoding/timestamp.ts'
import type { Clock } from '../src/log/ports.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readLine, type ShownLine } from './plain-line.ts'

/** One page of an export. */
export interface Page {
  readonly lines: readonly ShownLine[]
  /** How many lines came, those that are passed over included. */
  readonly length: number
}

/** Where a page begins: after a number, or after a time in milliseconds since 1970. */
export interface After {
  readonly numbered: boolean
  readonly position: number
}

/** A directory: how it is asked, and when it answered last. */
export class PlainUpstream {
  readonly url: string
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #everyMs: number
  #freeAt: number
  /** When it answered last, by `Clock.now`. */
  heardAt: number

  /** `perMinute` is how many requests may be made in a minute, 0 for any number. */
  constructor(url: string, perMinute: number, clock: Clock, signal: AbortSignal) {
    this.url = url
    this.#clock = clock
    this.#signal = signal
    this.#everyMs = perMinute === 0 ? 0 : 60_000 / perMinute
    this.#freeAt = clock.now()
    this.heardAt = clock.now()
  }

  /** A page of the export. Throws as `request`, and MismatchError for a page of too many lines. */
  async page({ numbered, position }: After): Promise<Page> {
    const after = numbered ? String(position) : encodeURIComponent(formatTimestamp(Math.max(0, position)))
    const body = await this.#get(`/export?after=${after}&count=${MIRROR_LIMITS.pageLines}`, MIRROR_LIMITS.pageBytes)
    checkLines(body)
    const lines = linesOf(body)
    return { lines: lines.map(readLine).filter((line) => line !== null), length: lines.length }
  }

  /** The audit log of an identity; null where there is none. Throws as `request`, and MALFORMED_TEXT. */
  async auditLog(did: string): Promise<string | null> {
    try {
      return utf8Decode(await this.#get(`/${did}/log/audit`, MIRROR_LIMITS.auditBytes))
    } catch (error) {
      if (error instanceof ServerError && error.status === 404) return null
      throw error
    }
  }

  /** The lines of its stream, in runs of those that came meanwhile. Throws as `exportStream`. */
  async *stream(cursor: number, signal: AbortSignal): AsyncGenerator<readonly ShownLine[]> {
    const over = new AbortController()
    const held: { waiting: ShownLine[]; length: number; failure: { readonly reason: unknown } | null } = { waiting: [], length: 0, failure: null }
    let come: () => void = () => undefined
    let taken: () => void = () => undefined
    const read = async (): Promise<void> => {
      for await (const message of exportStream(this.url, cursor, { signal: AbortSignal.any([signal, over.signal]) })) {
        this.heardAt = this.#clock.now()
        const line = readLine(message)
        if (line !== null) held.waiting.push(line)
        held.length += message.length
        come()
        if (held.waiting.length >= MIRROR_LIMITS.streamAheadLines || held.length >= MIRROR_LIMITS.streamAheadLength) await new Promise<void>((resolve) => (taken = resolve))
      }
    }
    read().catch((reason: unknown) => {
      held.failure = { reason }
      come()
    })
    try {
      for (;;) {
        if (held.waiting.length === 0 && held.failure === null) await new Promise<void>((resolve) => (come = resolve))
        const { waiting, failure } = held
        held.waiting = []
        held.length = 0
        if (waiting.length > 0) yield waiting
        else if (failure !== null) throw failure.reason
        taken()
      }
    } finally {
      over.abort()
      taken()
    }
  }

  async #get(path: string, maxBytes: number): Promise<Uint8Array> {
    const now = this.#clock.now()
    const at = Math.max(now, this.#freeAt)
    this.#freeAt = at + this.#everyMs
    await this.#clock.sleep(at - now, this.#signal)
    this.#signal.throwIfAborted()
    try {
      const { body } = await request({ url: this.url + path, maxBytes }, { attempts: 1, timeoutMs: MIRROR_LIMITS.pageMs, signal: this.#signal })
      this.heardAt = this.#clock.now()
      return body
    } catch (error) {
      if (error instanceof ServerError && error.retryAfterMs !== null) this.#freeAt = Math.max(this.#freeAt, this.#clock.now() + error.retryAfterMs)
      throw error
    }
  }
}

// Counted before anything is made of them. The last one may lack its end.
function checkLines(body: Uint8Array): void {
  let count = 0
  for (let start = 0; start < body.length && count <= MIRROR_LIMITS.pageLinesRead; count++) {
    const end = body.indexOf(NEWLINE, start)
    start = end < 0 ? body.length : end + 1
  }
  if (count > MIRROR_LIMITS.pageLinesRead) throw new MismatchError(`its page has more than ${MIRROR_LIMITS.pageLinesRead} lines, and ${MIRROR_LIMITS.pageLines} were asked for`, {})
}

// A line that is no UTF-8 does not spoil the others.
function linesOf(body: Uint8Array): (string | Uint8Array)[] {
  const text = decoded(body)
  if (text !== null) return text.split('\n').filter((line) => line !== '')
  const lines: (string | Uint8Array)[] = []
  for (let start = 0; start < body.length; ) {
    const end = body.indexOf(NEWLINE, start)
    const line = body.subarray(start, end < 0 ? body.length : end)
    if (line.length > 0) lines.push(decoded(line) ?? line)
    start += line.length + 1
  }
  return lines
}

const NEWLINE = 10
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decoded(bytes: Uint8Array): string | null {
  try {
    return UTF8.decode(bytes)
  } catch {
    return null
  }
}
