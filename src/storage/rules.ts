// What every store checks of a change before it looks at the database: a caller that breaks these has a bug.
// spec/log.md#storage

import { assert } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { TILE_WIDTH } from '../core/tlog/tile.ts'
import type { Append, EntryRow, KeptCheckpoint, Publication } from './store.ts'

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
