// What a did:plc directory shows of one operation, read with care: a line of its export, a message of its stream, an element
// of an audit log. spec/mirror.md#what-is-set-aside

import { createHash } from 'node:crypto'
import { parseJson } from '../src/client/json.ts'
import { fromJson } from '../src/core/encoding/json.ts'
import { utf8Decode } from '../src/core/encoding/text.ts'
import { parseTimestamp } from '../src/core/encoding/timestamp.ts'
import { DirectoryError, verdictOf } from '../src/core/errors.ts'
import { isDid } from '../src/core/plc/did.ts'
import { parseOperation } from '../src/core/plc/operation.ts'
import { parseRecord, type LedgerRecord } from '../src/core/plc/records.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** A line that was shown. */
export interface ShownLine {
  /** As it came: bytes where they are no UTF-8. */
  readonly line: string | Uint8Array
  /** What it is about: the same wherever the same is shown. */
  readonly key: string
  /** The operation and what is said of it; null where no such thing can be read. */
  readonly record: LedgerRecord | null
  /** What is wrong with the line: why there is no record, or that it names another CID than its operation's. */
  readonly verdict: DirectoryError | null
  /** The identity that it names, well-formed; empty for none. */
  readonly did: string
  /** The upstream's number of it; null where it gives none. */
  readonly number: number | null
  /** Its time, milliseconds since 1970; null where it gives none. */
  readonly time: number | null
}

/** Reads a line; null for one of a type that is no operation, which is passed over. Throws no verdict. */
export function readLine(line: string | Uint8Array): ShownLine | null {
  const { value: json, verdict } = verdictOf(() => parseJson(typeof line === 'string' ? line : utf8Decode(line)))
  if (verdict !== null) return { line, key: `line ${digestOf(line)}`, record: null, verdict, did: '', number: null, time: null }
  const { value: record, verdict: wrong } = verdictOf(() => parseRecord(json))
  if (record !== null) return { line, key: keyOf(record), record, verdict: null, did: record.did, number: record.seq ?? null, time: record.createdAt }
  return readWrongLine(line, new Map(typeof json === 'object' && json !== null ? Object.entries(json) : []), wrong)
}

/** Reads an audit log. Throws MALFORMED_JSON or MALFORMED_RECORD where it is no JSON array, or one that is too long or nested too deeply. */
export function readAuditLog(text: string): ShownLine[] {
  const json = parseJson(text)
  if (!Array.isArray(json)) throw new DirectoryError('MALFORMED_RECORD', 'not an array')
  if (json.length > MIRROR_LIMITS.auditLines) throw new DirectoryError('MALFORMED_RECORD', `${json.length} operations`)
  return json.map((element) => readLine(jsonOf(element) ?? fail())).filter((line) => line !== null)
}

/** What a line about this operation is about. */
export function keyOf({ did, cid }: Pick<LedgerRecord, 'did' | 'cid'>): string {
  return `${did} ${cid}`
}

// Some of it can be read all the same: an operation speaks for itself, whatever CID is named beside it.
function readWrongLine(line: string | Uint8Array, members: ReadonlyMap<string, unknown>, verdict: DirectoryError): ShownLine | null {
  const [type, did, seq, createdAt, operation] = ['type', 'did', 'seq', 'createdAt', 'operation'].map((name) => members.get(name))
  if (typeof type === 'string' && type !== 'sequenced_op') return null
  const { value: record } = verdictOf(() => parseRecord({ ...Object.fromEntries(members), cid: parseOperation(fromJson(operation ?? null)).cid }))
  const named = typeof did === 'string' && isDid(did) ? did : ''
  const operationText = operation === undefined ? null : jsonOf(operation)
  return {
    line,
    key: record !== null ? keyOf(record) : operationText === null ? `line ${digestOf(line)}` : `operation ${named} ${digestOf(operationText)}`,
    record,
    verdict,
    did: named,
    number: typeof seq === 'number' && Number.isSafeInteger(seq) && seq > 0 ? seq : null,
    time: typeof createdAt === 'string' ? verdictOf(() => parseTimestamp(createdAt)).value : null,
  }
}

// The same text for the same value, wherever it is shown; null where it is nested deeper than JSON can be written.
function jsonOf(value: unknown): string | null {
  try {
    return JSON.stringify(value)
  } catch {
    return null
  }
}

function fail(): never {
  throw new DirectoryError('MALFORMED_RECORD', 'nested too deeply')
}

function digestOf(line: string | Uint8Array): string {
  return createHash('sha256').update(line).digest('hex')
}
