// Records of operations as they travel between directories, in JSON. spec/did-plc.md#records

import { assert, DirectoryError } from '../errors.ts'
import { fromJson, renderJson } from '../encoding/json.ts'
import { formatTimestamp, parseTimestamp } from '../encoding/timestamp.ts'
import { isDid } from './did.ts'
import { parseOperation, type Operation } from './operation.ts'

/** What a directory says of one operation that it accepted. */
export interface LedgerRecord {
  readonly did: string
  readonly operation: Operation
  /** Of the operation, in base32. */
  readonly cid: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Absent where the form does not say it. */
  readonly nullified?: boolean
  /** The directory's number of it, from 1; absent where the form does not say it. */
  readonly seq?: number
}

/** An identity's audit log: a JSON array of `{did, operation, cid, nullified, createdAt}`. Every record must say whether it is nullified. spec/did-plc.md#records */
export function renderAuditLog(records: readonly LedgerRecord[]): string {
  const lines = records.map(
    (record) =>
      `{"did":${renderJson(record.did)},"operation":${renderJson(record.operation.value)},"cid":${renderJson(record.cid)},` +
      `"nullified":${nullifiedOf(record)},"createdAt":"${formatTimestamp(record.createdAt)}"}`,
  )
  return `[${lines.join(',')}]`
}

/** A line of the export by `seq`: `{did, cid, seq, createdAt, operation, type}`. The record must have a `seq`. spec/did-plc.md#records */
export function renderSequenced(record: LedgerRecord): string {
  assert(record.seq !== undefined, 'a sequenced record has a seq')
  return (
    `{"did":${renderJson(record.did)},"cid":${renderJson(record.cid)},"seq":${record.seq},` +
    `"createdAt":"${formatTimestamp(record.createdAt)}","operation":${renderJson(record.operation.value)},"type":"sequenced_op"}`
  )
}

/** A line of the export by time: `{did, cid, createdAt, operation, nullified}`. The record must say whether it is nullified. spec/did-plc.md#records */
export function renderLegacy(record: LedgerRecord): string {
  return (
    `{"did":${renderJson(record.did)},"cid":${renderJson(record.cid)},"createdAt":"${formatTimestamp(record.createdAt)}",` +
    `"operation":${renderJson(record.operation.value)},"nullified":${nullifiedOf(record)}}`
  )
}

/**
 * The record in parsed JSON: an element of an audit log, or an export's line in either form. Unknown members are
 * ignored. Throws MALFORMED_RECORD for another shape or a `cid` that is not the operation's, and MALFORMED_DID,
 * MALFORMED_TIMESTAMP, MALFORMED_JSON or INVALID_OPERATION for what a member holds. spec/did-plc.md#records
 */
export function parseRecord(json: unknown): LedgerRecord {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw malformed('not an object')
  const members = new Map<string, unknown>(Object.entries(json))
  const did = textMember(members, 'did')
  if (!isDid(did)) throw new DirectoryError('MALFORMED_DID', did.slice(0, 80))
  const createdAt = parseTimestamp(textMember(members, 'createdAt'))
  const operation = parseOperation(fromJson(members.get('operation') ?? null))
  const cid = textMember(members, 'cid')
  if (cid !== operation.cid) throw malformed('cid is not that of the operation')
  const [nullified, seq, type] = [members.get('nullified'), members.get('seq'), members.get('type')]
  if (nullified !== undefined && typeof nullified !== 'boolean') throw malformed('nullified')
  if (seq !== undefined && (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1)) throw malformed('seq')
  if (type !== undefined && type !== 'sequenced_op') throw malformed('type')
  return { did, operation, cid, createdAt, ...(nullified === undefined ? {} : { nullified }), ...(seq === undefined ? {} : { seq }) }
}

function nullifiedOf(record: LedgerRecord): boolean {
  assert(record.nullified !== undefined, 'a record of this form says whether it is nullified')
  return record.nullified
}

function textMember(members: ReadonlyMap<string, unknown>, name: string): string {
  const value = members.get(name)
  if (typeof value !== 'string') throw malformed(name)
  return value
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_RECORD', reason)
}
