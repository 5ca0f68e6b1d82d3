// Reading identities: their document, data and history. spec/http.md#identities

import { renderJson } from '../core/encoding/json.ts'
import { assert, DirectoryError } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import { renderData, renderDocument } from '../core/plc/document.ts'
import { dataOf, type IdentityData, type Operation } from '../core/plc/operation.ts'
import type { EntryRow } from '../storage/store.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import type { ReadyAnswer } from './answer-cache.ts'
import { auditJson, operationOf, operationsJson } from './rows.ts'
import { tagOf } from './send.ts'

/** GET /:did */
export function getDocument(call: Call): Promise<Answer> {
  return current(call, { route: '/:did', type: TYPES.document, render: (did, operation) => renderDocument(did, availableData(did, operation), call.ports.curveOf) })
}

/** GET /:did/data */
export function getData(call: Call): Promise<Answer> {
  return current(call, { route: '/:did/data', type: TYPES.json, render: (did, operation) => renderData(did, availableData(did, operation)) })
}

/** GET /:did/log/last */
export function getLastOperation(call: Call): Promise<Answer> {
  return current(call, { route: '/:did/log/last', type: TYPES.json, render: (_, operation) => renderJson(operation.value) })
}

/** GET /:did/log */
export async function getLog(call: Call): Promise<Answer> {
  const rows = await historyOf(call, param(call, 'did'))
  return { type: TYPES.json, body: operationsJson(rows.filter((row) => !row.nullified)), ...modified(rows) }
}

/** GET /:did/log/audit */
export async function getAuditLog(call: Call): Promise<Answer> {
  const rows = await historyOf(call, param(call, 'did'))
  return { type: TYPES.json, body: auditJson(rows), ...modified(rows) }
}

/** Every operation of an identity in the order of the log, nullified ones included. Throws DID_NOT_REGISTERED. */
export async function historyOf({ ports }: Call, did: string): Promise<readonly EntryRow[]> {
  const rows = isDid(did) ? await ports.store.history([did], 0) : []
  const kept = rows.filter((row) => row.rejected === null)
  if (kept.length === 0) throw new DirectoryError('DID_NOT_REGISTERED', did)
  return kept
}

interface View extends Pick<ReadyAnswer, 'route' | 'type'> {
  /** The body, from the operation in effect. */
  readonly render: (did: string, operation: Operation) => string
}

async function current(call: Call, view: View): Promise<Answer> {
  const did = param(call, 'did')
  if (!isDid(did)) throw new DirectoryError('DID_NOT_REGISTERED', did)
  const { store } = call.ports
  // Only who asks by date needs to know what else happened in that second: both from one reading.
  if (call.headers['if-modified-since'] !== undefined) {
    const rows = await historyOf(call, did)
    return { ...ready(did, rows.findLast((row) => !row.nullified), view), ...modified(rows) }
  }
  return call.answers.read(view.route.replace(':did', did), async () => ready(did, await store.newest(did), view))
}

function ready(did: string, row: EntryRow | null | undefined, { route, type, render }: View): ReadyAnswer {
  if (row === null || row === undefined) throw new DirectoryError('DID_NOT_REGISTERED', did)
  const body = render(did, operationOf(row))
  return { route, type, body, length: Buffer.byteLength(body), tag: tagOf(body), lastModified: row.createdAt }
}

function availableData(did: string, operation: Operation): IdentityData {
  const data = dataOf(operation)
  if (data === null) throw new DirectoryError('DID_NOT_AVAILABLE', did)
  return data
}

function modified(rows: readonly EntryRow[]): { lastModified: number; ambiguousDate: boolean } {
  const newest = Math.max(...rows.map((row) => row.createdAt))
  assert(rows.length > 0, 'an identity has operations')
  const sameSecond = rows.filter((row) => Math.floor(row.createdAt / 1000) === Math.floor(newest / 1000))
  return { lastModified: newest, ambiguousDate: sameSecond.length > 1 }
}
