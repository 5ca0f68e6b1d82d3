// A version of the map from an earlier one and the entries between: what every process that holds a map runs. spec/map.md#storage

import { setImmediate } from 'node:timers/promises'
import { isGenesis, stateOfRows } from '../core/did-state.ts'
import { assert } from '../core/errors.ts'
import { didKey, stateValue } from '../core/map/did-state.ts'
import { MAP_ENTRY_BYTES, MAP_HASH_BYTES, putEntry, trieRoot } from '../core/map/trie.ts'
import { BLOCK_BITS, BLOCK_BUCKETS, blockRoot, bucketOf, type UpperChange, type UpperTree } from '../core/map/upper-tree.ts'
import type { BucketRow, EntryRow, MapChange, MapVersion, Store } from '../storage/store.ts'
import { MAP_LIMITS } from './limits.ts'
import { nativeSha256 } from '../crypto/sha256.ts'

/** What leads from one version to another: of the rows, and of the tree above them. */
export interface Derived {
  readonly change: MapChange
  readonly upper: UpperChange
}

/** The root of a version whose rows are written and whose hashes above them are not made yet: of no map. 32 bytes. spec/map.md#storage */
export const UNMADE_ROOT: Uint8Array = new Uint8Array(MAP_HASH_BYTES)

/** The version of the first `size` entries of the log, which all are stored, from the version `from`, which rows and tree hold. Changes neither. Throws the signal's reason when it aborts. */
export async function deriveVersion(store: Store, tree: UpperTree, from: MapVersion, size: number, signal: AbortSignal): Promise<Derived> {
  const rows = await changedRows(store, from.size, size, signal)
  const upper = tree.plan(await blockRoots(store, blocksOf(rows), rows))
  return { change: { from, to: { size, root: upper.root }, rows }, upper }
}

/**
 * Derives what leads to the version of the first `size` entries and writes it: the rows in steps, each of which is durable before the next, then the hashes
 * above them, once. Rows and tree hold it then; where this was cut short, the rows alone hold more than before, and `HeldMap.load` makes the rest. Throws as `deriveVersion`.
 */
export async function deriveInSteps(store: Store, tree: UpperTree, from: MapVersion, size: number, signal: AbortSignal, progress: (size: number) => void = () => undefined): Promise<MapVersion> {
  if (from.size === size) return from
  const blocks = new Set<number>()
  let version = from
  while (version.size < size) {
    const to = { size: Math.min(size, version.size + MAP_LIMITS.stepEntries), root: UNMADE_ROOT }
    const rows = await changedRows(store, version.size, to.size, signal)
    await store.map.change({ from: version, to, rows })
    for (const block of blocksOf(rows)) blocks.add(block)
    version = to
    progress(version.size)
  }
  const upper = tree.plan(await blockRoots(store, [...blocks]))
  const made = { size, root: upper.root }
  await store.map.change({ from: version, to: made, rows: [] })
  tree.apply(upper)
  return made
}

/** The hashes of those of these blocks that have a key: as they are stored, or as they become with these rows, which are in the order of the blocks and of no other one. */
export async function blockRoots(store: Pick<Store, 'map'>, blocks: readonly number[], rows: readonly BucketRow[] = []): Promise<ReadonlyMap<number, Uint8Array>> {
  const roots = new Map<number, Uint8Array>()
  let next = 0
  for (let at = 0; at < blocks.length; at += MAP_LIMITS.readBlocks) {
    const some = blocks.slice(at, at + MAP_LIMITS.readBlocks)
    const stored = await store.map.blocks(some)
    for (const block of some) {
      let hashes = stored.get(block)
      for (let row = rows[next]; row !== undefined && blockOfBucket(row.bucket) === block; row = rows[++next]) {
        hashes ??= new Uint8Array(BLOCK_BUCKETS * MAP_HASH_BYTES)
        hashes.set(row.hash, (row.bucket % BLOCK_BUCKETS) * MAP_HASH_BYTES)
      }
      const root = hashes === undefined ? null : blockRoot(hashes, nativeSha256)
      if (root === null) continue
      roots.set(block, root)
      if (roots.size % MAP_LIMITS.turnIdentities === 0) await setImmediate()
    }
  }
  return roots
}

/** Every block, in order. */
export function everyBlock(): readonly number[] {
  return Array.from({ length: 2 ** BLOCK_BITS }, (_, block) => block)
}

/** What entries of the log make of their identities: packed entries of the map in the order of the log, so that the last of a key counts, and their places among these by bucket. */
interface Changed {
  readonly entries: Uint8Array
  /** Of each entry its bucket, times 2^32, and its place; in order. */
  readonly order: Float64Array
}

// What the accepted entries of [start, size) make of their identities.
async function changedEntries(store: Store, start: number, size: number, signal: AbortSignal): Promise<Changed> {
  const entries = new Uint8Array((size - start) * MAP_ENTRY_BYTES)
  const order = new Float64Array(size - start)
  let count = 0
  for await (const identities of changedIdentities(store, start, size)) {
    for (const [did, rows] of identities) {
      const key = didKey(did, nativeSha256)
      entries.set(key, count * MAP_ENTRY_BYTES)
      entries.set(stateValue(stateOfRows(rows, nativeSha256), nativeSha256), count * MAP_ENTRY_BYTES + MAP_HASH_BYTES)
      order[count] = bucketOf(key) * PLACES + count
      if (++count % MAP_LIMITS.turnIdentities === 0) await turn(signal)
    }
  }
  return { entries, order: order.subarray(0, count).sort() }
}

const PLACES = 2 ** 32

// Of identities with an accepted entry in [start, size): those of theirs below `size`, in order, as far as they are read. Where an identity comes again, it has more.
async function* changedIdentities(store: Store, start: number, size: number): AsyncGenerator<ReadonlyMap<string, readonly EntryRow[]>> {
  for (let at = start; at < size; at += MAP_LIMITS.readEntries) {
    const end = Math.min(size, at + MAP_LIMITS.readEntries)
    const rows = await store.entries(at, end)
    assert(rows.length === end - at, `entries of [${at}, ${end}) are missing`)
    const whole = new Map<string, EntryRow[]>()
    const older = new Set<string>()
    for (const row of rows) {
      if (row.rejected !== null || older.has(row.did)) continue
      const own = whole.get(row.did)
      if (own !== undefined) own.push(row)
      // What begins with a genesis that was accepted has nothing before it.
      else if (at === 0 || isGenesis(row.entry)) whole.set(row.did, [row])
      else older.add(row.did)
    }
    yield whole
    const dids = [...older]
    for (let at = 0; at < dids.length; at += MAP_LIMITS.historyDids) {
      const rows = await store.history(dids.slice(at, at + MAP_LIMITS.historyDids), 0)
      yield Map.groupBy(rows.filter((row) => row.index < size && row.rejected === null), (row) => row.did)
    }
  }
}

// The buckets as the entries [start, size) make them, in order.
async function changedRows(store: Store, start: number, size: number, signal: AbortSignal): Promise<readonly BucketRow[]> {
  const { entries, order } = await changedEntries(store, start, size, signal)
  const rows: BucketRow[] = []
  const room = new Room()
  const runs = runsOf(order)
  for (let at = 0; at < runs.length; at += MAP_LIMITS.readBuckets) {
    const some = runs.slice(at, at + MAP_LIMITS.readBuckets)
    const stored = await store.map.buckets(some.map(({ bucket }) => bucket))
    for (const [i, { bucket, start, end }] of some.entries()) {
      const known = stored[i] ?? new Uint8Array()
      const packed = room.take(known.length + (end - start) * MAP_ENTRY_BYTES)
      packed.set(known)
      let length = known.length
      for (let next = start; next < end; next++) {
        const place = ((order[next] ?? 0) % PLACES) * MAP_ENTRY_BYTES
        length = putEntry(packed, length, entries.subarray(place, place + MAP_ENTRY_BYTES))
      }
      const changed = packed.subarray(0, length)
      rows.push({ bucket, hash: trieRoot(changed, nativeSha256), entries: changed })
      if (i % MAP_LIMITS.turnIdentities === 0) await turn(signal)
    }
  }
  return rows
}

/** A bucket, and which of the changed entries in order are its own. */
interface BucketRun {
  readonly bucket: number
  readonly start: number
  readonly end: number
}

function runsOf(order: Float64Array): readonly BucketRun[] {
  const runs: BucketRun[] = []
  for (let start = 0, end = 0; start < order.length; start = end) {
    const bucket = Math.floor((order[start] ?? 0) / PLACES)
    const next = (bucket + 1) * PLACES
    while ((order[end] ?? next) < next) end++
    runs.push({ bucket, start, end })
  }
  return runs
}

// The blocks of rows that are in order.
function blocksOf(rows: readonly BucketRow[]): readonly number[] {
  return rows.map(({ bucket }) => blockOfBucket(bucket)).filter((block, i, all) => block !== all[i - 1])
}

function blockOfBucket(bucket: number): number {
  return Math.floor(bucket / BLOCK_BUCKETS)
}

/** Bytes from larger arrays: a small array of its own costs more than what is written to it. */
class Room {
  #bytes = new Uint8Array(0)

  take(length: number): Uint8Array {
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(Math.max(length, ROOM_BYTES))
    const taken = this.#bytes.subarray(0, length)
    this.#bytes = this.#bytes.subarray(length)
    return taken
  }
}

const ROOM_BYTES = 65_536

// Others get their turn.
async function turn(signal: AbortSignal): Promise<void> {
  await setImmediate()
  signal.throwIfAborted()
}
