// The ledger as JSON lines, by sequence number or by time. spec/http.md#export

import type { ParsedUrlQuery } from 'node:querystring'
import { ByteWriter } from '../core/encoding/transcode.ts'
import { writeLegacy, writeSequenced } from '../core/entry-json.ts'
import type { Store, StoredEntry } from '../storage/store.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { LIMITS } from './limits.ts'

/** GET /export */
export async function getExport({ ports: { store, tip }, query: parameters }: Call): Promise<Answer> {
  const query = parameters()
  const count = readCount(query)
  const after = readAfter(query)
  const size = tip.durable
  if (after.mode === 'seq') return { type: TYPES.jsonLines, body: await begun(sequenced(store, after.seq, size, count)) }
  const entries = await store.exportAfter(after.time, size, count)
  return { type: TYPES.jsonLines, body: entries.length === 0 ? '' : legacy(entries) }
}

/** Lines that are sent together: what is held for a client that is slow to take them. */
const LINES_PER_PIECE = 500

/** Room that is made for one line at first. */
const LINE_BYTES = 1_024

/** Years 0000 to 9999: what `createdAt` can say. */
const FIRST_MS = -62_167_219_200_000
const LAST_MS = 253_402_300_799_999

// Each piece is read once the client has taken the one before it.
async function* sequenced(store: Store, after: number, size: number, count: number): AsyncGenerator<Uint8Array> {
  let [from, left] = [after, count]
  for (;;) {
    const asked = Math.min(left, LINES_PER_PIECE)
    const out = new ByteWriter(asked * LINE_BYTES)
    let lines = 0
    await store.exportFrom(from, size, asked, (stored) => {
      if (from > after) out.ascii('\n')
      writeSequenced(out, stored)
      from = stored.index + 1
      lines++
    })
    if (lines > 0) yield out.take()
    left -= lines
    if (lines < asked || left === 0) return
  }
}

// The entries are in memory; their lines need not be all at once.
function* legacy(entries: readonly StoredEntry[]): Generator<Uint8Array> {
  for (let at = 0; at < entries.length; at += LINES_PER_PIECE) {
    const piece = entries.slice(at, at + LINES_PER_PIECE)
    const out = new ByteWriter(piece.length * LINE_BYTES)
    for (const stored of piece) {
      if (at > 0 || out.length > 0) out.ascii('\n')
      writeLegacy(out, stored)
    }
    yield out.take()
  }
}

// What fails before the first piece can still be told; after it, only the connection can be cut off.
async function begun(pieces: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array> | string> {
  const first = await pieces.next()
  if (first.done === true) return ''
  return (async function* () {
    yield first.value
    yield* pieces
  })()
}

/** How many lines are asked for. Whatever begins with digits counts, as deployed: `1.5` is 1, `5,6` (twice given) is 5, nothing is the default. Throws INVALID_COUNT. */
export function readCount(query: ParsedUrlQuery): number {
  const text = String(query['count'] ?? '')
  const count = text === '' ? LIMITS.exportCount : parseInt(text, 10)
  if (!(count >= 1)) throw new Refusal('INVALID_COUNT')
  return Math.min(count, LIMITS.exportCount)
}

type After = { readonly mode: 'seq'; readonly seq: number } | { readonly mode: 'time'; readonly time: number | null }

// Digits alone are a sequence number; anything else is a date; nothing, or given more than once, is the start.
function readAfter(query: ParsedUrlQuery): After {
  const text = query['after']
  if (typeof text !== 'string' || text === '') return { mode: 'time', time: null }
  if (/^\d+$/.test(text)) return { mode: 'seq', seq: Number(text) }
  const time = new Date(text).getTime()
  if (Number.isNaN(time)) throw new Refusal('INVALID_AFTER')
  return { mode: 'time', time: Math.min(Math.max(time, FIRST_MS - 1), LAST_MS) }
}
