// Versions of a map that are derived and not written: each from the one before it, while proofs are made of what is written. spec/map.md#storage

import { assert } from '../core/errors.ts'
import { MAP_HASH_BYTES } from '../core/map/trie.ts'
import { BLOCK_BUCKETS, joinChanges, type UpperTree } from '../core/map/upper-tree.ts'
import type { BucketRow, MapVersion, Store } from '../storage/store.ts'
import { deriveVersion, type Derived } from './derive.ts'

/** What goes ahead of a written version, which rows and tree hold all the while. */
export class Ahead {
  /** The version that is written. */
  readonly written: MapVersion
  readonly #store: Store
  readonly #tree: UpperTree
  readonly #rows = new Map<number, BucketRow>()
  readonly #taken: Derived[] = []
  /** The tree of the last version that was taken; null before a version is derived from one. */
  #treeAhead: UpperTree | null = null

  constructor(store: Store, tree: UpperTree, written: MapVersion) {
    this.#store = store
    this.#tree = tree
    this.written = written
  }

  /** The last version that was taken, or else the one that is written. */
  get version(): MapVersion {
    return this.#taken.at(-1)?.change.to ?? this.written
  }

  /** What leads from the last version to that of the first `size` entries. Changes nothing. Throws as `deriveVersion`. */
  derive(size: number, signal: AbortSignal): Promise<Derived> {
    const last = this.#taken.at(-1)
    if (last === undefined) return deriveVersion(this.#store, this.#tree, this.written, size, signal)
    if (this.#treeAhead === null) {
      this.#treeAhead = this.#tree.copy()
      for (const { upper } of this.#taken) this.#treeAhead.apply(upper)
    }
    return deriveVersion(this.#seenAhead(), this.#treeAhead, last.change.to, size, signal)
  }

  /** Goes on from what was derived from the last version. */
  take(derived: Derived): void {
    assert(derived.change.from === this.version, 'it was derived from the last version')
    this.#taken.push(derived)
    for (const row of derived.change.rows) this.#rows.set(row.bucket, row)
    this.#treeAhead?.apply(derived.upper)
  }

  /** What leads from the version that is written to the last one. */
  get derived(): Derived {
    const upper = joinChanges(this.#taken.map((derived) => derived.upper)) ?? { root: this.version.root, levels: [] }
    return { change: { from: this.written, to: this.version, rows: [...this.#rows.values()] }, upper }
  }

  // The store, as if all that was taken were written.
  #seenAhead(): Store {
    const store = this.#store
    const rows = this.#rows
    return {
      ...store,
      map: {
        ...store.map,
        async buckets(buckets) {
          const stored = await store.map.buckets(buckets)
          return buckets.map((bucket, i) => rows.get(bucket)?.entries ?? stored[i] ?? new Uint8Array())
        },
        async blocks(blocks) {
          const stored = await store.map.blocks(blocks)
          for (const block of blocks) {
            for (let at = 0; at < BLOCK_BUCKETS; at++) {
              const row = rows.get(block * BLOCK_BUCKETS + at)
              if (row === undefined) continue
              const hashes = stored.get(block) ?? new Uint8Array(BLOCK_BUCKETS * MAP_HASH_BYTES)
              hashes.set(row.hash, at * MAP_HASH_BYTES)
              stored.set(block, hashes)
            }
          }
          return stored
        },
      },
    }
  }
}
