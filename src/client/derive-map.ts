// The map of a log from a replay of it, in memory: what a stranger derives who holds nothing of a map. spec/map.md#values

import { stateOfRows } from '../core/did-state.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { portableSha256, type Sha256 } from '../core/map/hash.ts'
import { MAP_ENTRY_BYTES, packEntries, putEntry, trieRoot, type MapEntry } from '../core/map/trie.ts'
import { blockOf, UpperTree } from '../core/map/upper-tree.ts'
import type { EntryRow } from '../core/replay.ts'

/**
 * The map of the entries that a replay has come to: its rows are added run by run, from the log's first entry on, and the root is asked for wherever
 * there should be one. Holds every row of an accepted entry, as a replay in memory does itself, and of each identity 64 bytes of key and value;
 * above them 4 MiB of hashes. A root costs what has changed since the last one.
 */
export class DerivedMap {
  readonly #sha256: Sha256
  readonly #upper: UpperTree
  readonly #rows = new Map<string, EntryRow[]>()
  readonly #buckets = new Map<number, Uint8Array>()
  /** Identities whose values are not those of their rows yet. */
  readonly #changed = new Set<string>()

  constructor(sha256: Sha256 = portableSha256) {
    this.#sha256 = sha256
    this.#upper = new UpperTree(sha256)
  }

  /** Adds what a replay derived for the next entries, those that it rejected too. */
  add({ rows }: { readonly rows: readonly EntryRow[] }): void {
    for (const row of rows) {
      if (row.rejected !== null) continue
      const own = this.#rows.get(row.did)
      if (own === undefined) this.#rows.set(row.did, [row])
      else own.push(row)
      this.#changed.add(row.did)
    }
  }

  /** The root of the map of all entries that were added, 32 bytes. */
  root(): Uint8Array {
    const buckets = new Set<number>()
    for (const did of this.#changed) buckets.add(this.#put({ key: didKey(did, this.#sha256), value: stateValue(stateOfRows(this.#rows.get(did) ?? [], this.#sha256), this.#sha256) }))
    this.#changed.clear()
    this.#upper.apply(this.#upper.plan(new Map([...buckets].map((bucket) => [bucket, trieRoot(this.#buckets.get(bucket) ?? new Uint8Array(), this.#sha256)]))))
    return this.#upper.root
  }

  // Returns the bucket.
  #put(entry: MapEntry): number {
    const bucket = blockOf(entry.key)
    const known = this.#buckets.get(bucket) ?? new Uint8Array()
    const packed = new Uint8Array(known.length + MAP_ENTRY_BYTES)
    packed.set(known)
    this.#buckets.set(bucket, packed.subarray(0, putEntry(packed, known.length, packEntries([entry]))))
    return bucket
  }
}
