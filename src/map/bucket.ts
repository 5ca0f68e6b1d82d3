// A bucket's bytes: each key with its value, in order. spec/map.md#storage

import { concatBytes } from '../core/encoding/text.ts'
import { compareMapKeys, MAP_HASH_BYTES, type MapEntry } from '../core/map/trie.ts'

/** The entries in a bucket's bytes, in order. */
export function entriesOf(bytes: Uint8Array): MapEntry[] {
  return Array.from({ length: bytes.length / (2 * MAP_HASH_BYTES) }, (_, i) => {
    const at = i * 2 * MAP_HASH_BYTES
    return { key: bytes.subarray(at, at + MAP_HASH_BYTES), value: bytes.subarray(at + MAP_HASH_BYTES, at + 2 * MAP_HASH_BYTES) }
  })
}

/** The bytes of entries that are in order. */
export function bucketBytes(entries: readonly MapEntry[]): Uint8Array {
  return concatBytes(...entries.flatMap(({ key, value }) => [key, value]))
}

/** Entries, in order, with others in place of those of the same key or beside them. */
export function withEntries(entries: readonly MapEntry[], changed: readonly MapEntry[]): MapEntry[] {
  const all = [...entries]
  for (const entry of changed) {
    const found = all.findIndex(({ key }) => compareMapKeys(key, entry.key) >= 0)
    const at = found < 0 ? all.length : found
    const known = all[at]
    all.splice(at, known !== undefined && compareMapKeys(known.key, entry.key) === 0 ? 1 : 0, entry)
  }
  return all
}
