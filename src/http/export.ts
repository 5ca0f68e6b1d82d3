// The ledger as JSON lines, by sequence number or by time. spec/http.md#export

import type { ServerResponse } from 'node:http'
import type { ParsedUrlQuery } from 'node:querystring'
import { ByteWriter } from '../core/encoding/transcode.ts'
import { WriterPool } from '../core/encoding/writer-pool.ts'
import { writeLegacy, writeSequenced } from '../core/entry-json.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { LIMITS } from './limits.ts'

/** GET /export */
export async function getExport({ ports: { store, tip }, query: parameters, response }: Call): Promise<Answer> {
  const query = parameters()
  const count = readCount(query)
  const after = readAfter(query)
  let out = null as ByteWriter | null
  const nextLine = (): ByteWriter => {
    if (out === null) out = writerFor(response, count)
    else out.ascii('\n')
    return out
  }
  if (after.mode === 'seq') await store.exportFrom(after.seq, tip.durable, count, (stored) => writeSequenced(nextLine(), stored))
  else for (const stored of await store.exportAfter(after.time, tip.durable, count)) writeLegacy(nextLine(), stored)
  return { type: TYPES.jsonLines, body: out === null ? '' : [out.written()] }
}

/** Room that is made for one line at first. */
const LINE_BYTES = 1_024

/** Of a whole answer, which would be garbage of a megabyte. */
const writers = new WriterPool({ capacity: LIMITS.exportCount * LINE_BYTES, most: 8 })

// An answer's bytes are read until the last of them has gone out to the connection; where that never happens, they are nobody's.
function writerFor(response: ServerResponse, lines: number): ByteWriter {
  if (lines < LIMITS.exportCount / 4) return new ByteWriter(lines * LINE_BYTES)
  const writer = writers.take()
  response.once('finish', () => writers.give(writer))
  return writer
}

/** Years 0000 to 9999: what `createdAt` can say. */
const FIRST_MS = -62_167_219_200_000
const LAST_MS = 253_402_300_799_999

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
