// A ledger's entries in little memory: a million rows as objects would make the garbage collector part of what is measured.

import { encodeEntry } from '../src/core/entry.ts'
import type { EntryRow } from '../src/core/replay.ts'
import { ledger } from './ledger.ts'

/** The entries of a ledger, each native. */
export class PackedLedger {
  readonly #chunks: { readonly bytes: Buffer; readonly ends: readonly number[] }[] = []
  /** Of each entry, one after the other. */
  readonly #dids: Buffer
  readonly #cids: Buffer
  /** The entry before it of the same identity; -1 for none. */
  readonly #before: Int32Array
  readonly #last = new Map<string, number>()

  constructor(operations: number) {
    this.#before = new Int32Array(operations)
    this.#dids = Buffer.alloc(operations * DID_LENGTH)
    this.#cids = Buffer.alloc(operations * CID_LENGTH)
    let [entries, length]: [Uint8Array[], number] = [[], 0]
    let ends: number[] = []
    let index = 0
    for (const { did, operation, createdAt } of ledger(operations, 1)) {
      this.#before[index] = this.#last.get(did) ?? -1
      this.#dids.write(did, index * DID_LENGTH, 'latin1')
      this.#cids.write(operation.cid, index * CID_LENGTH, 'latin1')
      this.#last.set(did, index++)
      const entry = encodeEntry({ did, createdAt, operation, source: null })
      entries.push(entry)
      ends.push((length += entry.length))
      if (ends.length < CHUNK && index < operations) continue
      this.#chunks.push({ bytes: Buffer.concat(entries), ends })
      ;[entries, length, ends] = [[], 0, []]
    }
  }

  /** Identities among the first `size` entries. */
  identities(size: number): number {
    return this.#before.subarray(0, size).reduce((count, before) => count + (before < 0 ? 1 : 0), 0)
  }

  /** The rows of entries `[start, end)`, without the times, which stand in the entries too. */
  rows(start: number, end: number): EntryRow[] {
    return Array.from({ length: end - start }, (_, i) => this.#row(start + i))
  }

  /** The rows of an identity among the first `size` entries, in order. */
  history(did: string, size: number): EntryRow[] {
    const rows: EntryRow[] = []
    for (let at = this.#last.get(did) ?? -1; at >= 0; at = this.#before[at] ?? -1) if (at < size) rows.unshift(this.#row(at))
    return rows
  }

  /** Up to `count` identities, spread over the first `size` entries. */
  some(size: number, count: number): readonly string[] {
    return [...new Set(Array.from({ length: count }, (_, i) => this.#row(Math.floor((i * size) / count)).did))]
  }

  #row(index: number): EntryRow {
    const chunk = this.#chunks[Math.floor(index / CHUNK)]
    if (chunk === undefined) throw new Error(`the ledger has no entry ${index}`)
    const entry = new Uint8Array(chunk.bytes.subarray(chunk.ends[(index % CHUNK) - 1] ?? 0, chunk.ends[index % CHUNK]))
    const did = this.#dids.toString('latin1', index * DID_LENGTH, (index + 1) * DID_LENGTH)
    const cid = this.#cids.toString('latin1', index * CID_LENGTH, (index + 1) * CID_LENGTH)
    return { index, did, cid, createdAt: 0, signer: 0, nullified: false, rejected: null, entry }
  }
}

const CHUNK = 10_000
const DID_LENGTH = 32
const CID_LENGTH = 59
