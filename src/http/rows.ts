// What the store's rows say, in the words of identities.

import { ByteWriter } from '../core/encoding/transcode.ts'
import { decodeEntry } from '../core/entry.ts'
import { writeAudited, writeOperation } from '../core/entry-json.ts'
import type { Operation } from '../core/plc/operation.ts'
import type { EntryRow } from '../storage/store.ts'

/** The operation in a row that was not rejected. */
export function operationOf(row: EntryRow): Operation {
  return decodeEntry(row.entry).operation
}

/** The operations in rows that were not rejected, as a JSON array. */
export function operationsJson(rows: readonly EntryRow[]): Uint8Array {
  return arrayOf(rows, (out, row) => writeOperation(out, row.entry))
}

/** Rows that were not rejected, as the JSON array that an audit log is. */
export function auditJson(rows: readonly EntryRow[]): Uint8Array {
  return arrayOf(rows, writeAudited)
}

function arrayOf(rows: readonly EntryRow[], write: (out: ByteWriter, row: EntryRow) => void): Uint8Array {
  const out = new ByteWriter(rows.length * ROW_BYTES)
  for (const [i, row] of rows.entries()) {
    out.ascii(i === 0 ? '[' : ',')
    write(out, row)
  }
  out.ascii(rows.length === 0 ? '[]' : ']')
  return out.take()
}

/** Room that is made for one row at first. */
const ROW_BYTES = 1_024
