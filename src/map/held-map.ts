// The map as a process holds it: the hashes above the buckets, the version that is published, and the proofs that are made of it.
// spec/map.md#storage

import { stateOfRows } from '../core/did-state.ts'
import { bytesEqual } from '../core/encoding/text.ts'
import { assert } from '../core/errors.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { decodeMapLeaf, type MapLeaf } from '../core/map/map-leaf.ts'
import { MAP_HASH_BYTES, triePath, trieRoot, valueAt, type TriePath } from '../core/map/trie.ts'
import { BLOCK_BUCKETS, blockRoot, UpperTree, walkBlock } from '../core/map/upper-tree.ts'
import { formatCommonPart, joinStateProof } from '../core/state-proof.ts'
import { inclusionPlan } from '../core/tlog/proof.ts'
import { planTiles, proofFromTileList } from '../core/tlog/tile.ts'
import { readConsistency } from '../log/consistency.ts'
import type { Clock } from '../log/ports.ts'
import type { MapVersion, Store } from '../storage/store.ts'
import { blockRoots, everyBlock, UNMADE_ROOT } from './derive.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from '../crypto/sha256.ts'

/** A version that is published: the last of this many leaves of the map's log. */
export interface ShownVersion {
  readonly leaves: number
  readonly leaf: MapLeaf
}

/** The stored buckets are not the map that they are said to be: words for the operator. */
export class MapDamagedError extends Error {
  override readonly name = 'MapDamagedError'
}

/** A map in a store, of which this process alone changes the rows. */
export class HeldMap {
  readonly #store: Store
  readonly #clock: Clock
  #tree = new UpperTree(nativeSha256)
  #shown: ShownVersion | null = null
  #common: { readonly shown: ShownVersion; readonly at: number; readonly text: Promise<string | null> } | null = null

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** The hashes above the buckets, as the rows are. */
  get tree(): UpperTree {
    return this.#tree
  }

  /** The version that proofs are made of; null while there is none. */
  get shown(): ShownVersion | null {
    return this.#shown
  }

  /** Makes proofs of this version, whose rows are stored and whose hashes the tree holds; of none, where it is null. */
  show(version: ShownVersion | null): void {
    this.#shown = version
  }

  /**
   * Reads the hashes of all buckets anew, and resolves with the version that they hold. Shows it, where it is that of the newest published leaf. Throws
   * MapDamagedError where the buckets are not what they are said to be.
   */
  async load(): Promise<MapVersion> {
    const { map } = this.#store
    this.#shown = null
    this.#tree = new UpperTree(nativeSha256)
    let version = await map.version()
    assert(version !== null, 'there is a map')
    this.#tree.apply(this.#tree.plan(await blockRoots(this.#store, everyBlock())))
    const { root } = this.#tree
    if (bytesEqual(version.root, UNMADE_ROOT)) {
      // Refused where the rows changed while they were read.
      const made = { size: version.size, root }
      await map.change({ from: version, to: made, rows: [] })
      version = made
    } else if (!bytesEqual(root, version.root)) {
      const now = await map.version()
      // What a process before this one has sent may arrive while the rows are read.
      if (now === null || !bytesEqual(now.root, version.root)) return this.load()
      throw new MapDamagedError('the rows of the map are not those that were written: run `stele map rebuild`, while no directory runs on this database')
    }
    const publication = await map.publication()
    const leaf = publication === null ? null : await readLeaf(this.#store, publication.size - 1)
    if (publication !== null && leaf !== null && leaf.size === version.size) {
      if (!bytesEqual(leaf.mapRoot, version.root)) throw new MapDamagedError('the rows of the map are not those of its published root: run `stele map rebuild`, while no directory runs on this database')
      this.#shown = { leaves: publication.size, leaf }
    }
    return version
  }

  /** The state proof of a DID by the version that is shown; null where none is. Throws incidents. */
  async prove(did: string): Promise<string | null> {
    for (let attempt = 0; attempt < MAP_LIMITS.proofAttempts; attempt++) {
      const shown = this.#shown
      if (shown === null) return null
      const key = didKey(did, nativeSha256)
      const [path, rows, common] = await Promise.all([this.#pathOf(key), this.#store.history([did], 0), this.#commonText(shown)])
      // The rows change a moment before the tree, and both while this waits.
      if (common === null || path === null || this.#shown !== shown) {
        await this.#clock.sleep(attempt + 1)
        continue
      }
      const value = valueAt(key, path)
      if (value === null) return joinStateProof({ did, path, state: null, entries: [] }, common)
      const accepted = rows.filter((row) => row.index < shown.leaf.size && row.rejected === null)
      const state = stateOfRows(accepted, nativeSha256)
      assert(bytesEqual(stateValue(state, nativeSha256), value), `the map does not hold what the log says of ${did}`)
      return joinStateProof({ did, path: { ...path, leaf: null }, state, entries: accepted.map(({ index, entry }) => ({ index, entry })) }, common)
    }
    return null
  }

  // Through the hashes in memory, the block and the bucket; null where these are of different versions.
  async #pathOf(key: Uint8Array): Promise<TriePath | null> {
    const { map } = this.#store
    const above = this.#tree.walk(key)
    if (above.block === null) return { steps: [], leaf: null }
    const hash = this.#tree.block(above.block)
    const hashes = (await map.blocks([above.block])).get(above.block) ?? new Uint8Array()
    const root = blockRoot(hashes, nativeSha256)
    if (hash === null || root === null || !bytesEqual(root, hash)) return null
    const within = walkBlock(hashes, key, nativeSha256)
    const [entries = new Uint8Array()] = await map.buckets([above.block * BLOCK_BUCKETS + within.bucket])
    if (!bytesEqual(trieRoot(entries, nativeSha256), hashes.subarray(within.bucket * MAP_HASH_BYTES, (within.bucket + 1) * MAP_HASH_BYTES))) return null
    const below = triePath(entries, key, nativeSha256)
    return { steps: [...above.steps, ...within.steps, ...below.steps], leaf: below.leaf }
  }

  // The same for every DID: made once for all who ask within a moment.
  #commonText(shown: ShownVersion): Promise<string | null> {
    const now = this.#clock.now()
    if (this.#common === null || this.#common.shown !== shown || now - this.#common.at > MAP_LIMITS.commonMs) {
      const text = this.#makeCommonText(shown)
      text.catch(() => (this.#common = null))
      this.#common = { shown, at: now, text }
    }
    return this.#common.text
  }

  async #makeCommonText({ leaves, leaf: { size, root } }: ShownVersion): Promise<string | null> {
    const store = this.#store
    const [map, log] = [await store.map.publication(), await store.publication()]
    if (map === null || log === null || map.size !== leaves || log.size < size) return null
    const plan = inclusionPlan(leaves - 1, leaves)
    const inclusion = proofFromTileList(plan, leaves, await store.map.tiles(planTiles(plan, leaves)))
    return formatCommonPart({ size, root, inclusion, consistency: await readConsistency(store, size, log.size), mapCheckpoint: map.note, logCheckpoint: log.note })
  }
}

/** The leaf of the map's log at `index`; null where there is none. */
export async function readLeaf(store: Pick<Store, 'map'>, index: number): Promise<MapLeaf | null> {
  const [bytes] = index < 0 ? [] : await store.map.leaves(index, index + 1)
  return bytes === undefined ? null : decodeMapLeaf(bytes)
}
