// The map as a process holds it: the hashes above the buckets, the version that is published, and the proofs that are made of it.
// spec/map.md#storage

import { stateOfRows } from '../core/did-state.ts'
import { bytesEqual } from '../core/encoding/text.ts'
import { assert } from '../core/errors.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { decodeMapLeaf, type MapLeaf } from '../core/map/map-leaf.ts'
import { triePath, trieRoot, valueAt } from '../core/map/trie.ts'
import { UpperTree } from '../core/map/upper-tree.ts'
import { formatStateProof, type StateProof } from '../core/state-proof.ts'
import { inclusionPlan } from '../core/tlog/proof.ts'
import { planTiles, proofFromTileList } from '../core/tlog/tile.ts'
import { readConsistency } from '../log/consistency.ts'
import type { Clock } from '../log/ports.ts'
import type { MapVersion, Store } from '../storage/store.ts'
import { entriesOf } from './bucket.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from './native-sha256.ts'

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
  #common: { readonly shown: ShownVersion; readonly at: number; readonly parts: Promise<CommonParts | null> } | null = null

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
    const version = await map.version()
    assert(version !== null, 'there is a map')
    for (let next = 0; ; ) {
      const rows = await map.bucketHashes(next, MAP_LIMITS.readBuckets)
      this.#tree.apply(this.#tree.plan(new Map(rows.map(({ bucket, hash }) => [bucket, hash]))))
      const last = rows.at(-1)
      if (last === undefined) break
      next = last.bucket + 1
    }
    if (!bytesEqual(this.#tree.root, version.root)) throw new MapDamagedError('the rows of the map are not those that were written: run `stele map rebuild`, while no directory runs on this database')
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
      const key = didKey(did)
      const { steps, bucket } = this.#tree.walk(key)
      const hash = bucket === null ? null : this.#tree.bucket(bucket)
      const common = await this.#commonParts(shown)
      const [bytes = new Uint8Array()] = bucket === null ? [] : await this.#store.map.buckets([bucket])
      const entries = entriesOf(bytes)
      // The rows change a moment before the tree, and both while this waits.
      if (common === null || this.#shown !== shown || (hash !== null && !bytesEqual(trieRoot(entries, nativeSha256), hash))) {
        await this.#clock.sleep(attempt + 1)
        continue
      }
      const below = triePath(entries, key, nativeSha256)
      const value = valueAt(key, below)
      const path = { steps: [...steps, ...below.steps], leaf: value === null ? below.leaf : null }
      return formatStateProof({ did, path, ...(await this.#historyOf(did, shown, value)), size: shown.leaf.size, root: shown.leaf.root, ...common })
    }
    return null
  }

  async #historyOf(did: string, { leaf }: ShownVersion, value: Uint8Array | null): Promise<Pick<StateProof, 'state' | 'entries'>> {
    if (value === null) return { state: null, entries: [] }
    const rows = (await this.#store.history([did], 0)).filter((row) => row.index < leaf.size && row.rejected === null)
    const state = stateOfRows(rows, nativeSha256)
    assert(bytesEqual(stateValue(state), value), `the map does not hold what the log says of ${did}`)
    return { state, entries: rows.map(({ index, entry }) => ({ index, entry })) }
  }

  // The same for every DID: read once for all who ask within a moment.
  #commonParts(shown: ShownVersion): Promise<CommonParts | null> {
    const now = this.#clock.now()
    if (this.#common === null || this.#common.shown !== shown || now - this.#common.at > MAP_LIMITS.commonMs) {
      const parts = this.#readCommonParts(shown)
      parts.catch(() => (this.#common = null))
      this.#common = { shown, at: now, parts }
    }
    return this.#common.parts
  }

  async #readCommonParts({ leaves, leaf }: ShownVersion): Promise<CommonParts | null> {
    const store = this.#store
    const [map, log] = [await store.map.publication(), await store.publication()]
    if (map === null || log === null || map.size !== leaves || log.size < leaf.size) return null
    const plan = inclusionPlan(leaves - 1, leaves)
    const inclusion = proofFromTileList(plan, leaves, await store.map.tiles(planTiles(plan, leaves)))
    return { inclusion, consistency: await readConsistency(store, leaf.size, log.size), mapCheckpoint: map.note, logCheckpoint: log.note }
  }
}

type CommonParts = Pick<StateProof, 'inclusion' | 'consistency' | 'mapCheckpoint' | 'logCheckpoint'>

/** The leaf of the map's log at `index`; null where there is none. */
export async function readLeaf(store: Pick<Store, 'map'>, index: number): Promise<MapLeaf | null> {
  const [bytes] = index < 0 ? [] : await store.map.leaves(index, index + 1)
  return bytes === undefined ? null : decodeMapLeaf(bytes)
}
