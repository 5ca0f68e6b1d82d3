// Reading identities: their document, data and history. spec/http.md#identities

import { decodeEntry } from '../core/entry.ts'
import { renderJson } from '../core/encoding/json.ts'
import { assert, DirectoryError } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import { renderData, renderDocument } from '../core/plc/document.ts'
import { dataOf, type IdentityData, type Operation } from '../core/plc/operation.ts'
import { renderAuditLog } from '../core/plc/records.ts'
import type { EntryRow } from '../storage/store.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import { operationOf, recordOf } from './rows.ts'

/** GET /:did */
export function getDocument(call: Call): Promise<Answer> {
  return current(call, TYPES.document, (did, operation) => renderDocument(did, availableData(did, operation)))
}

/** GET /:did/data */
export function getData(call: Call): Promise<Answer> {
  return current(call, TYPES.json, (did, operation) => renderData(did, availableData(did, operation)))
}

/** GET /:did/log/last */
export function getLastOperation(call: Call): Promise<Answer> {
  return current(call, TYPES.json, (_, operation) => renderJson(operation.value))
}

/** GET /:did/log */
export async function getLog(call: Call): Promise<Answer> {
  const rows = await historyOf(call, param(call, 'did'))
  const operations = rows.filter((row) => !row.nullified).map(operationOf)
  const body = `[${operations.map((operation) => renderJson(operation.value)).join(',')}]`
  return { type: TYPES.json, body, ...modified(rows) }
}

/** GET /:did/log/audit */
export async function getAuditLog(call: Call): Promise<Answer> {
  const rows = await historyOf(call, param(call, 'did'))
  return { type: TYPES.json, body: renderAuditLog(rows.map(recordOf)), ...modified(rows) }
}

/** Every operation of an identity in the order of the log, nullified ones included. Throws DID_NOT_REGISTERED. */
export async function historyOf({ ports }: Call, did: string): Promise<readonly EntryRow[]> {
  const rows = isDid(did) ? await ports.store.history([did], 0) : []
  const kept = rows.filter((row) => row.rejected === null)
  if (kept.length === 0) throw new DirectoryError('DID_NOT_REGISTERED', did)
  return kept
}

async function current(call: Call, type: string, render: (did: string, operation: Operation) => string): Promise<Answer> {
  const did = param(call, 'did')
  const row = isDid(did) ? await call.ports.store.newest(did) : null
  if (row === null) throw new DirectoryError('DID_NOT_REGISTERED', did)
  const body = render(did, decodeEntry(row.entry).operation)
  // Only who asks by date needs to know what else happened in that second.
  const history = call.headers['if-modified-since'] === undefined ? [row] : await historyOf(call, did)
  return { type, body, ...modified(history) }
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
