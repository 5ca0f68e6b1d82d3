// A version of the map from an earlier one and the entries between: what every process that holds a map runs. spec/map.md#storage

import { setImmediate } from 'node:timers/promises'
import { isGenesis, stateOfRows } from '../core/did-state.ts'
import { assert } from '../core/errors.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { MAP_HASH_BYTES, trieRoot, type MapEntry } from '../core/map/trie.ts'
import { BLOCK_BUCKETS, blockRoot, bucketOf, type UpperChange, type UpperTree } from '../core/map/upper-tree.ts'
import type { BucketRow, EntryRow, MapChange, MapVersion, Store } from '../storage/store.ts'
import { bucketBytes, entriesOf, withEntries } from './bucket.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from '../crypto/sha256.ts'

/** What leads from one version to another: of the rows, and of the tree above them. */
export interface Derived {
  readonly change: MapChange
  readonly upper: UpperChange
}

/** The version of the first `size` entries of the log, which all are stored, from the version `from`, which rows and tree hold. Changes neither. Throws the signal's reason when it aborts. */
export async function deriveVersion(store: Store, tree: UpperTree, from: MapVersion, size: number, signal: AbortSignal): Promise<Derived> {
  const buckets = new Map<number, MapEntry[]>()
  let count = 0
  for await (const identities of changedIdentities(store, from.size, size)) {
    for (const [did, rows] of identities) {
      const key = didKey(did, nativeSha256)
      const bucket = buckets.get(bucketOf(key))
      const entry = { key, value: stateValue(stateOfRows(rows, nativeSha256), nativeSha256) }
      if (bucket === undefined) buckets.set(bucketOf(key), [entry])
      else bucket.push(entry)
      if (++count % MAP_LIMITS.turnIdentities === 0) await turn(signal)
    }
  }
  const { rows, blocks } = await changedBuckets(store, buckets, signal)
  const upper = tree.plan(blocks)
  return { change: { from, to: { size, root: upper.root }, rows }, upper }
}

/** Derives what leads to the version of the first `size` entries and writes it, in steps, each of which is durable before the next; rows and tree hold it then. Throws as `deriveVersion`. */
export async function deriveInSteps(store: Store, tree: UpperTree, from: MapVersion, size: number, signal: AbortSignal, progress: (size: number) => void = () => undefined): Promise<MapVersion> {
  let version = from
  while (version.size < size) {
    const { change, upper } = await deriveVersion(store, tree, version, Math.min(size, version.size + MAP_LIMITS.stepEntries), signal)
    await store.map.change(change)
    tree.apply(upper)
    version = change.to
    progress(version.size)
  }
  return version
}

// Of each identity with an accepted entry in [start, size): all of them below `size`, in order.
async function* changedIdentities(store: Store, start: number, size: number): AsyncGenerator<ReadonlyMap<string, readonly EntryRow[]>> {
  const changed = new Map<string, EntryRow[]>()
  const older = new Set<string>()
  for (let at = start; at < size; at += MAP_LIMITS.readEntries) {
    const end = Math.min(size, at + MAP_LIMITS.readEntries)
    const rows = await store.entries(at, end)
    assert(rows.length === end - at, `entries of [${at}, ${end}) are missing`)
    for (const row of rows) {
      if (row.rejected !== null || older.has(row.did)) continue
      const own = changed.get(row.did)
      if (own !== undefined) own.push(row)
      // What begins with a genesis that was accepted has nothing before it.
      else if (start === 0 || isGenesis(row.entry)) changed.set(row.did, [row])
      else older.add(row.did)
    }
  }
  yield changed
  const dids = [...older]
  for (let at = 0; at < dids.length; at += MAP_LIMITS.historyDids) {
    const rows = await store.history(dids.slice(at, at + MAP_LIMITS.historyDids), 0)
    yield Map.groupBy(rows.filter((row) => row.index < size && row.rejected === null), (row) => row.did)
  }
}

// The buckets as they become, and the hashes of their blocks.
async function changedBuckets(store: Store, changed: ReadonlyMap<number, readonly MapEntry[]>, signal: AbortSignal): Promise<{ readonly rows: readonly BucketRow[]; readonly blocks: ReadonlyMap<number, Uint8Array> }> {
  const rows: BucketRow[] = []
  const blocks = new Map<number, Uint8Array>()
  const byBlock = [...Map.groupBy(changed.keys(), (bucket) => Math.floor(bucket / BLOCK_BUCKETS))]
  for (let at = 0; at < byBlock.length; at += MAP_LIMITS.readBlocks) {
    const some = byBlock.slice(at, at + MAP_LIMITS.readBlocks)
    const [stored, hashes] = await Promise.all([store.map.buckets(some.flatMap(([, buckets]) => buckets)), store.map.blocks(some.map(([block]) => block))])
    const bytes = stored.values()
    for (const [i, [block, buckets]] of some.entries()) {
      const ofBlock = hashes.get(block) ?? new Uint8Array(BLOCK_BUCKETS * MAP_HASH_BYTES)
      for (const bucket of buckets) {
        const entries = withEntries(entriesOf(bytes.next().value ?? new Uint8Array()), changed.get(bucket) ?? [])
        const hash = trieRoot(entries, nativeSha256)
        ofBlock.set(hash, (bucket % BLOCK_BUCKETS) * MAP_HASH_BYTES)
        rows.push({ bucket, hash, entries: bucketBytes(entries) })
      }
      const root = blockRoot(ofBlock, nativeSha256)
      assert(root !== null, 'a block that changed has a key')
      blocks.set(block, root)
      if (i % MAP_LIMITS.turnIdentities === 0) await turn(signal)
    }
  }
  return { rows, blocks }
}

// Others get their turn.
async function turn(signal: AbortSignal): Promise<void> {
  await setImmediate()
  signal.throwIfAborted()
}
