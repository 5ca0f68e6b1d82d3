// The ledger as JSON lines, by sequence number or by time. spec/http.md#export

import type { ParsedUrlQuery } from 'node:querystring'
import { renderLegacy, renderSequenced } from '../core/plc/records.ts'
import type { EntryRow } from '../storage/store.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { LIMITS } from './limits.ts'
import { recordOf } from './rows.ts'

/** GET /export */
export async function getExport({ ports: { store, tip }, query: parameters }: Call): Promise<Answer> {
  const query = parameters()
  const count = readCount(query)
  const after = readAfter(query)
  const size = tip.durable
  if (after.mode === 'seq') {
    const rows = after.seq < size ? await store.exportFrom(after.seq, size, count) : []
    return { type: TYPES.jsonLines, body: lines(rows, (row) => renderSequenced(recordOf(row))) }
  }
  const rows = await store.exportAfter(after.time, size, count)
  return { type: TYPES.jsonLines, body: lines(rows, (row) => renderLegacy(recordOf(row))) }
}

/** Lines that are rendered and sent together. */
const LINES_PER_CHUNK = 50

/** Years 0000 to 9999: what `createdAt` can say. */
const FIRST_MS = -62_167_219_200_000
const LAST_MS = 253_402_300_799_999

// The rows are in memory; their lines need not be all at once.
function lines(rows: readonly EntryRow[], render: (row: EntryRow) => string): string | Iterable<string> {
  if (rows.length === 0) return ''
  return (function* () {
    for (let at = 0; at < rows.length; at += LINES_PER_CHUNK) {
      const chunk = rows.slice(at, at + LINES_PER_CHUNK).map(render).join('\n')
      yield at === 0 ? chunk : `\n${chunk}`
    }
  })()
}

// Whatever begins with digits counts, as deployed: `1.5` is 1, `5,6` (twice given) is 5, nothing is the default.
function readCount(query: ParsedUrlQuery): number {
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
