// A version of the map from an earlier one and the entries between: what every process that holds a map runs. spec/map.md#storage

import { setImmediate } from 'node:timers/promises'
import { isGenesis, stateOfRows } from '../core/did-state.ts'
import { assert } from '../core/errors.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { trieRoot, type MapEntry } from '../core/map/trie.ts'
import { bucketOf, type UpperChange, type UpperTree } from '../core/map/upper-tree.ts'
import type { BucketRow, EntryRow, MapChange, MapVersion, Store } from '../storage/store.ts'
import { bucketBytes, entriesOf, withEntries } from './bucket.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from './native-sha256.ts'

/** What leads from one version to another: of the rows, and of the tree above them. */
export interface Derived {
  readonly change: MapChange
  readonly upper: UpperChange
}

/** The version of the first `size` entries of the log, which all are stored, from the version `from`, which rows and tree hold. Changes neither. Throws the signal's reason when it aborts. */
export async function deriveVersion(store: Store, tree: UpperTree, from: MapVersion, size: number, signal: AbortSignal): Promise<Derived> {
  const buckets = new Map<number, MapEntry[]>()
  let count = 0
  for await (const rows of changedIdentities(store, from.size, size)) {
    const key = didKey(rows[0]?.did ?? '', nativeSha256)
    const bucket = buckets.get(bucketOf(key))
    const entry = { key, value: stateValue(stateOfRows(rows, nativeSha256), nativeSha256) }
    if (bucket === undefined) buckets.set(bucketOf(key), [entry])
    else bucket.push(entry)
    if (++count % MAP_LIMITS.turnIdentities === 0) await turn(signal)
  }
  const rows = await changedBuckets(store, buckets, signal)
  const upper = tree.plan(new Map(rows.map(({ bucket, hash }) => [bucket, hash])))
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
async function* changedIdentities(store: Store, start: number, size: number): AsyncGenerator<readonly EntryRow[]> {
  const changed = new Map<string, EntryRow[]>()
  for (let at = start; at < size; at += MAP_LIMITS.readEntries) {
    const end = Math.min(size, at + MAP_LIMITS.readEntries)
    const rows = await store.entries(at, end)
    assert(rows.length === end - at, `entries of [${at}, ${end}) are missing`)
    for (const row of rows) {
      if (row.rejected !== null) continue
      const own = changed.get(row.did)
      if (own === undefined) changed.set(row.did, [row])
      else own.push(row)
    }
  }
  const older: string[] = []
  for (const [did, rows] of changed) {
    // What begins with a genesis that was accepted has nothing before it.
    const [first] = rows
    if (start > 0 && first !== undefined && !isGenesis(first.entry)) older.push(did)
    else yield rows
  }
  for (let at = 0; at < older.length; at += MAP_LIMITS.historyDids) {
    const rows = await store.history(older.slice(at, at + MAP_LIMITS.historyDids), 0)
    yield* Map.groupBy(rows.filter((row) => row.index < size && row.rejected === null), (row) => row.did).values()
  }
}

async function changedBuckets(store: Store, changed: ReadonlyMap<number, readonly MapEntry[]>, signal: AbortSignal): Promise<BucketRow[]> {
  const rows: BucketRow[] = []
  const numbers = [...changed.keys()].sort((a, b) => a - b)
  for (let at = 0; at < numbers.length; at += MAP_LIMITS.readBuckets) {
    const group = numbers.slice(at, at + MAP_LIMITS.readBuckets)
    for (const [i, bytes] of (await store.map.buckets(group)).entries()) {
      const bucket = group[i] ?? 0
      const entries = withEntries(entriesOf(bytes), changed.get(bucket) ?? [])
      rows.push({ bucket, hash: trieRoot(entries, nativeSha256), entries: bucketBytes(entries) })
      if (rows.length % MAP_LIMITS.turnIdentities === 0) await turn(signal)
    }
  }
  return rows
}

// Others get their turn.
async function turn(signal: AbortSignal): Promise<void> {
  await setImmediate()
  signal.throwIfAborted()
}
