// An import as a whole: batch after batch, until the records end, one is invalid, or somebody interrupts. spec/log.md#entry

import type { VerifyAnswers } from '../client/check-tree.ts'
import { UsageError } from '../config.ts'
import { DirectoryError } from '../core/errors.ts'
import type { LedgerRecord } from '../core/plc/records.ts'
import { OpenLogError } from '../log/open-log.ts'
import { prepareBatch, writeBatch, type BatchOutcome, type WrittenBatch } from '../log/sourced-batch.ts'
import type { Store } from '../storage/store.ts'
import { noClaims } from './import-claims.ts'
import type { FoundRecord } from './import-sources.ts'

/** How records are imported. */
export interface ImportOptions {
  /** Name of where the records come from; it stands in every entry. */
  readonly source: string
  readonly verifyAnswers: VerifyAnswers
  /** Whether invalid records are left out, rather than ending the import. */
  readonly keepGoing: boolean
  /** Records in one transaction. Default 1,000. */
  readonly batchSize?: number
  /** Called after each batch with the number of records done. */
  readonly onProgress?: (done: number) => void
  /** Ends the import after the batch under way. */
  readonly signal?: AbortSignal
}

/** An invalid record. */
export interface InvalidRecord {
  readonly where: string
  /** Empty where what was read is no record. */
  readonly did: string
  readonly cid: string
  readonly verdict: DirectoryError
}

/** What an import did. */
export interface ImportReport {
  /** Operations that were appended. */
  readonly appended: number
  /** Operations that the log held before. */
  readonly known: number
  /** In order; at most one unless `keepGoing`. */
  readonly invalid: readonly InvalidRecord[]
  /** Indices in the log of the entries whose `nullified` in the input is not what the rules give. */
  readonly differing: readonly number[]
  readonly interrupted: boolean
}

interface Located {
  readonly where: string
  readonly record: LedgerRecord
}

/** Imports records in their order. Throws UsageError for a log that takes none, and else as `writeBatch` does; what was appended before stays, and running it again goes on. */
export async function importRecords(store: Store, found: AsyncIterable<FoundRecord>, options: ImportOptions): Promise<ImportReport> {
  const { batchSize = 1_000, onProgress, signal, keepGoing } = options
  const claims = noClaims()
  const invalid: InvalidRecord[] = []
  let appended = 0
  let known = 0
  let waiting: Located[] = []
  let ahead: readonly LedgerRecord[] = []
  let last: WrittenBatch | null = null
  let writing: Promise<void> = Promise.resolve()

  const note = (batch: readonly Located[], done: BatchOutcome): void => {
    for (const [position, { where, record }] of batch.entries()) {
      const index = done.placed[position] ?? null
      if (index !== null && record.nullified !== undefined) claims.claim(index, record.nullified)
      const verdict = done.invalid.get(position)
      if (verdict !== undefined) invalid.push({ where, did: record.did, cid: record.cid, verdict })
    }
    for (const index of done.nullified) claims.settle(index)
    appended += done.appended
    known += done.placed.filter((index) => index !== null).length - done.appended
    onProgress?.(appended + known + invalid.length)
  }
  const stopped = (): boolean => signal?.aborted === true || (!keepGoing && invalid.length > 0)

  // While one batch is written the next one's signatures are checked, and the one after that is read. Nothing is
  // written before it is known what became of all that came before.
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return
    const batch = waiting
    waiting = []
    const records = batch.map(({ record }) => record)
    const prepared = prepareBatch(store, records, options, ahead)
    prepared.catch(() => undefined)
    await writing
    if (stopped()) return
    ahead = records
    const write = async (): Promise<void> => {
      const done = await writeBatch(store, await prepared, options, last)
      last = done.written
      note(batch, done)
    }
    writing = write()
    writing.catch(() => undefined)
  }
  const settle = async (): Promise<void> => {
    await flush()
    await writing
  }

  try {
    for await (const { where, record } of found) {
      if (record instanceof DirectoryError) {
        await settle()
        if (stopped()) break
        invalid.push({ where, did: '', cid: '', verdict: record })
      } else {
        waiting.push({ where, record })
        if (waiting.length >= batchSize) await flush()
      }
      if (stopped()) break
    }
    if (!stopped()) await settle()
    await writing
  } catch (error) {
    // A source that waits for the network is ended by the same signal.
    if (error instanceof OpenLogError) throw new UsageError(error.message)
    if (signal?.aborted !== true) throw error
  } finally {
    await writing.catch(() => undefined)
  }
  return { appended, known, invalid, differing: claims.differing(), interrupted: signal?.aborted === true }
}
