// What the store's rows say, in the words of identities.

import { decodeEntry } from '../core/entry.ts'
import type { Operation } from '../core/plc/operation.ts'
import type { LedgerRecord } from '../core/plc/records.ts'
import type { EntryRow } from '../storage/store.ts'

/** The operation in a row that was not rejected. */
export function operationOf(row: EntryRow): Operation {
  return decodeEntry(row.entry).operation
}

/** A row that was not rejected, as operations travel between directories. `seq` is its index plus one. */
export function recordOf(row: EntryRow): Required<LedgerRecord> {
  const { did, cid, createdAt, nullified } = row
  return { did, cid, createdAt, nullified, operation: operationOf(row), seq: row.index + 1 }
}
