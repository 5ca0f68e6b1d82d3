// Many identities in one request, for who resolves in bulk. spec/http.md#post-dids

import { decodeEntry } from '../core/entry.ts'
import { renderDocument, type CurveOf } from '../core/plc/document.ts'
import { dataOf, type IdentityData } from '../core/plc/operation.ts'
import type { EntryRow } from '../storage/store.ts'
import { WithheldError } from '../storage/withheld.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { readJson } from './body.ts'
import { Refusal } from './error-response.ts'
import { LIMITS } from './limits.ts'

/** POST /dids */
export async function postLookup(call: Call): Promise<Answer> {
  const dids = readDids(await readJson(call.request))
  call.charge(Math.max(0, dids.length - 1))
  const rows = await call.ports.store.newestOf(dids)
  const rowOf = new Map(rows.map((row) => [row.did, row]))
  return { type: TYPES.jsonLines, body: linesOf(dids, rowOf, call.ports.curveOf) }
}

/** Lines that are rendered and sent together. */
const LINES_PER_CHUNK = 50

function readDids(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw new Refusal('INVALID_LOOKUP')
  const dids: readonly unknown[] = value
  if (dids.length > LIMITS.lookupDids) throw new Refusal('TOO_MANY_DIDS')
  return dids.map((did) => {
    if (typeof did !== 'string') throw new Refusal('INVALID_LOOKUP')
    return did
  })
}

// The rows are in memory; their documents need not be all at once.
function linesOf(dids: readonly string[], rowOf: ReadonlyMap<string, EntryRow>, curveOf: CurveOf | undefined): string | Iterable<string> {
  if (dids.length === 0) return ''
  return (function* () {
    for (let at = 0; at < dids.length; at += LINES_PER_CHUNK) {
      const chunk = dids.slice(at, at + LINES_PER_CHUNK).map((did) => renderLine(did, rowOf.get(did), curveOf)).join('\n')
      yield at === 0 ? chunk : `\n${chunk}`
    }
  })()
}

function renderLine(did: string, row: EntryRow | undefined, curveOf: CurveOf | undefined): string {
  const name = JSON.stringify(did)
  if (row === undefined) return `{"did":${name},"document":null,"notFound":true}`
  const data = shownData(row)
  if (data === 'withheld') return `{"did":${name},"document":null,"withheld":true}`
  if (data === null) return `{"did":${name},"document":null,"tombstoned":true}`
  return `{"did":${name},"document":${renderDocument(did, data, curveOf)}}`
}

function shownData(row: EntryRow): IdentityData | 'withheld' | null {
  try {
    return dataOf(decodeEntry(row.entry).operation)
  } catch (error) {
    if (error instanceof WithheldError) return 'withheld'
    throw error
  }
}
