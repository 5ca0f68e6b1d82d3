// The map in a process that does not write it: read from the rows of the one that does, and caught up with when a proof is asked for.
// spec/map.md#reading

import { bytesEqual } from '../core/encoding/text.ts'
import { didKey } from '../core/map/did-state.ts'
import type { MapLeaf } from '../core/map/map-leaf.ts'
import { blockOf } from '../core/map/upper-tree.ts'
import type { Clock } from '../log/ports.ts'
import type { Store } from '../storage/store.ts'
import { blockRoots, everyBlock } from './derive.ts'
import { HeldMap, readLeaf, type ShownVersion } from './held-map.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from '../crypto/sha256.ts'

/** A map whose rows another process changes. */
export class ReadMap {
  readonly #store: Store
  readonly #clock: Clock
  #held: HeldMap
  /** Entries of the log whose blocks the hashes in memory are not older than; null before they are read. */
  #size: number | null = null
  #reading: Promise<void> | null = null

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    this.#held = new HeldMap(store, clock)
  }

  /** The version that proofs were made of last; null before the first. */
  get shown(): ShownVersion | null {
    return this.#held.shown
  }

  /** The state proof of a DID by the newest version; null where there is none, or it changes faster than it can be read. Throws incidents. */
  async prove(did: string): Promise<string | null> {
    for (let attempt = 0; attempt < MAP_LIMITS.readAttempts; attempt++) {
      await this.catchUp()
      const proof = await this.#held.prove(did)
      if (proof !== null) return proof
      if ((await this.#store.map.publication()) === null) return null
      await this.#clock.sleep(MAP_LIMITS.readAgainMs)
    }
    return null
  }

  /** Comes up to the newest version, once for all who ask meanwhile; where the rows change under it, a later call does. Throws incidents. */
  catchUp(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = null))
    return this.#reading
  }

  async #read(): Promise<void> {
    const { map } = this.#store
    const [publication, version] = [await map.publication(), await map.version()]
    const leaf = publication === null ? null : await readLeaf(this.#store, publication.size - 1)
    if (publication === null || version === null || leaf === null || this.#held.shown?.leaves === publication.size) return
    if (this.#size === null || leaf.size - this.#size > MAP_LIMITS.stepEntries || leaf.size < this.#size) {
      // Rows that change while they are read are read once more, as those that changed since.
      this.#held = new HeldMap(this.#store, this.#clock)
      await this.#readBlocks(everyBlock(), null)
      this.#size = Math.min(version.size, leaf.size)
    }
    const changed = await this.#changedBlocks(this.#size, leaf.size)
    if (await this.#readBlocks(changed, leaf)) {
      this.#size = leaf.size
      this.#held.show({ leaves: publication.size, leaf })
    }
  }

  // Whether the hashes are those of the leaf with these blocks as they are; only then are they kept. Without a leaf they are kept in any case.
  async #readBlocks(blocks: readonly number[], leaf: MapLeaf | null): Promise<boolean> {
    const { tree } = this.#held
    const change = tree.plan(await blockRoots(this.#store, blocks))
    if (leaf !== null && !bytesEqual(change.root, leaf.mapRoot)) return false
    tree.apply(change)
    return true
  }

  // Those of the identities with an accepted entry in [start, size).
  async #changedBlocks(start: number, size: number): Promise<readonly number[]> {
    const blocks = new Set<number>()
    for (let at = start; at < size; at += MAP_LIMITS.readEntries) {
      for (const row of await this.#store.entries(at, Math.min(size, at + MAP_LIMITS.readEntries))) if (row.rejected === null) blocks.add(blockOf(didKey(row.did, nativeSha256)))
    }
    return [...blocks]
  }
}
