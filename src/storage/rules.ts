// What every store checks of a change before it looks at the database: a caller that breaks these has a bug.
// spec/log.md#storage

import { assert } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { MAX_MAP_LEAF_BYTES } from '../core/map/map-leaf.ts'
import { MAP_HASH_BYTES } from '../core/map/trie.ts'
import { BUCKET_BITS } from '../core/map/upper-tree.ts'
import { TILE_WIDTH } from '../core/tlog/tile.ts'
import type { Append, EntryRow, KeptCheckpoint, MapAppend, MapChange, Publication, UpstreamNotes } from './store.ts'

/** Asserts that a change is whole: no gap in its indices, sizes that fit, hashes of 32 bytes, rows that can be stored. */
export function checkAppend(append: Append): void {
  const { from, to, entries, nullified, tiles } = append
  assert(Number.isSafeInteger(from.size) && from.size >= 0, 'the size of a head is a natural number')
  assert(to.size === from.size + entries.length, 'a change leads to the size of its head and its entries')
  assert(to.edge.size === to.size, 'edge and size of a change differ')
  assert(from.root.length === HASH_BYTES && to.root.length === HASH_BYTES, 'a root has 32 bytes')
  for (const [position, row] of entries.entries()) checkRow(row, from.size + position)
  assert(nullified.every((index) => Number.isSafeInteger(index) && index >= 0 && index < from.size), 'only earlier entries become nullified')
  assert(new Set(nullified).size === nullified.length, 'an entry is nullified once')
  for (const { level, index, offset, hashes } of tiles) {
    assert(Number.isSafeInteger(level) && level >= 0 && Number.isSafeInteger(index) && index >= 0, 'a tile has a level and an index')
    assert(hashes.length > 0 && hashes.length % HASH_BYTES === 0, 'a tile grows by whole hashes')
    assert(offset >= 0 && offset + hashes.length / HASH_BYTES <= TILE_WIDTH, 'a tile grows within its width')
  }
}

/** Asserts that what is noted of an upstream can be stored. */
export function checkNotes({ position, runs, aside }: UpstreamNotes): void {
  const natural = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
  assert(position.source !== '' && natural(position.cursor) && natural(position.highest), 'a position has a name and whole numbers')
  for (const { index, number, count } of runs) assert(natural(index) && natural(number - 1) && natural(count - 1), 'a run has an index and a number, and is not empty')
  for (const { code, line, length, upstream } of aside) {
    assert(code !== '' && line.length <= length && (upstream === null || Number.isSafeInteger(upstream)), 'what is set aside has a verdict and a line')
  }
}

/** Asserts that a leaf of the map's log is one, and leads to the head that is named. */
export function checkMapAppend({ from, to, leaf, tiles }: MapAppend): void {
  assert(to.size === from.size + 1 && to.edge.size === to.size, 'one leaf makes the log of the map larger by one')
  assert(leaf.length > 0 && leaf.length <= MAX_MAP_LEAF_BYTES, 'a leaf of a map is three lines')
  assert(tiles.every(({ offset, hashes }) => hashes.length === HASH_BYTES && offset < TILE_WIDTH), 'a leaf gives a tile one hash')
}

/** Asserts that a change of buckets leads on, and that its rows can be stored. */
export function checkMapChange({ from, to, rows }: MapChange): void {
  assert(Number.isSafeInteger(to.size) && to.size >= from.size && from.size >= 0, 'a map never goes back')
  assert(from.root.length === MAP_HASH_BYTES && to.root.length === MAP_HASH_BYTES, 'a root has 32 bytes')
  assert(new Set(rows.map(({ bucket }) => bucket)).size === rows.length, 'a bucket changes once')
  for (const { bucket, hash, entries } of rows) {
    assert(Number.isInteger(bucket) && bucket >= 0 && bucket < 2 ** BUCKET_BITS && hash.length === MAP_HASH_BYTES, 'a bucket has a number and a hash')
    assert(entries.length > 0 && entries.length % (2 * MAP_HASH_BYTES) === 0, 'a bucket has keys and values')
  }
}

/** Asserts that a checkpoint can be stored. */
export function checkPublication(publication: Publication): void {
  checkKept(publication)
  assert(publication.root.length === HASH_BYTES, 'a root has 32 bytes')
}

/** Asserts that a checkpoint can be kept. */
export function checkKept({ size, note }: KeptCheckpoint): void {
  assert(Number.isSafeInteger(size) && size >= 0, 'the size of a checkpoint is a natural number')
  assert(note.length > 0, 'a checkpoint has a note')
}

// Entries that are no operation of any identity have neither DID nor CID; only rejected ones may.
function checkRow(row: EntryRow, index: number): void {
  assert(row.index === index, 'the indices of a change have no gap')
  assert(Number.isSafeInteger(row.createdAt), 'createdAt is in whole milliseconds')
  assert((row.signer === null) === (row.rejected !== null), 'an entry has a signer or was rejected')
  assert(row.rejected === null || !row.nullified, 'a rejected entry is never nullified')
  assert(isDid(row.did) || (row.did === '' && row.rejected !== null), 'only did:plc identities are stored')
  assert(row.cid !== '' || row.rejected !== null, 'an accepted entry has a CID')
}
