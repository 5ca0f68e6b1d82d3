// The Merkle Patricia trie of the map: its hashes, its root, and the path that shows what a key leads to. spec/map.md#trie

import { bytesEqual } from '../encoding/text.ts'
import { assert, DirectoryError } from '../errors.ts'
import { portableSha256, type Sha256 } from './hash.ts'

/** One key of the map and its value, 32 bytes each. */
export interface MapEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** One inner node on the way from the root: the bit that decides there, and the hash of the side that is not taken. */
export interface PathStep {
  /** 0, the highest bit of a key's first byte, to 255. */
  readonly bit: number
  /** 32 bytes. */
  readonly sibling: Uint8Array
}

/** The way that a key takes from the root, and the leaf where it ends; null where the map is empty. */
export interface TriePath {
  /** From the root on, their bits ascending. */
  readonly steps: readonly PathStep[]
  readonly leaf: MapEntry | null
}

/** Length of every key, value and hash of the map, in bytes. */
export const MAP_HASH_BYTES = 32

/** Length of a packed entry in bytes: the key, then its value. */
export const MAP_ENTRY_BYTES = 2 * MAP_HASH_BYTES

/** Most steps of a path: one for each bit of a key. */
export const MAX_PATH_STEPS = 256

// Written anew for each hash: an array of more than 64 bytes costs as much as hashing it.
const LEAF_MESSAGE = new Uint8Array(1 + 2 * MAP_HASH_BYTES)
const INNER_MESSAGE = new Uint8Array(2 + 2 * MAP_HASH_BYTES).fill(0x01, 0, 1)

/** Root of the map without keys: SHA-256 of nothing, 32 bytes. Not to be written to. */
export const EMPTY_MAP_ROOT: Uint8Array = portableSha256(new Uint8Array(0))

/** Hash of a leaf, 32 bytes: SHA-256(0x00 || key || value). spec/map.md#trie */
export function mapLeafHash({ key, value }: MapEntry, sha256: Sha256 = portableSha256): Uint8Array {
  assert(key.length === MAP_HASH_BYTES && value.length === MAP_HASH_BYTES, 'key and value have 32 bytes')
  LEAF_MESSAGE.set(key, 1)
  LEAF_MESSAGE.set(value, 1 + MAP_HASH_BYTES)
  return sha256(LEAF_MESSAGE)
}

/** Hash of an inner node, 32 bytes: SHA-256(0x01 || bit || left || right). spec/map.md#trie */
export function innerHash(bit: number, left: Uint8Array, right: Uint8Array, sha256: Sha256 = portableSha256): Uint8Array {
  assert(left.length === MAP_HASH_BYTES && right.length === MAP_HASH_BYTES, 'a hash has 32 bytes')
  INNER_MESSAGE[1] = bit
  INNER_MESSAGE.set(left, 2)
  INNER_MESSAGE.set(right, 2 + MAP_HASH_BYTES)
  return sha256(INNER_MESSAGE)
}

/** Entries packed: one after the other, ordered by key, each key once. Where a key stands twice among those given, the later one counts. */
export function packEntries(entries: readonly MapEntry[]): Uint8Array {
  const packed = new Uint8Array(entries.length * MAP_ENTRY_BYTES)
  const one = new Uint8Array(MAP_ENTRY_BYTES)
  let length = 0
  for (const { key, value } of entries) {
    one.set(key)
    one.set(value, MAP_HASH_BYTES)
    length = putEntry(packed, length, one)
  }
  return packed.subarray(0, length)
}

/** Puts an entry, 64 bytes, where it belongs among the packed ones in the first `length` bytes, or in place of that with its key. Gives the new length. There is room for one more. */
export function putEntry(packed: Uint8Array, length: number, entry: Uint8Array): number {
  let at = 0
  let order = 1
  for (; at < length; at += MAP_ENTRY_BYTES) {
    order = compareKeysAt(packed, at, entry)
    if (order >= 0) break
  }
  if (order !== 0) packed.copyWithin(at + MAP_ENTRY_BYTES, at, length)
  packed.set(entry, at)
  return order === 0 ? length : length + MAP_ENTRY_BYTES
}

/** The root, 32 bytes, of the trie of packed entries. */
export function trieRoot(packed: Uint8Array, sha256: Sha256 = portableSha256): Uint8Array {
  return packed.length === 0 ? EMPTY_MAP_ROOT : rangeRoot(packed, 0, packed.length, sha256)
}

/** The path of a key in the trie of packed entries. */
export function triePath(packed: Uint8Array, key: Uint8Array, sha256: Sha256 = portableSha256): TriePath {
  if (packed.length === 0) return { steps: [], leaf: null }
  const steps: PathStep[] = []
  let [start, end] = [0, packed.length]
  while (end - start > MAP_ENTRY_BYTES) {
    const bit = dividingBit(packed, start, end)
    const middle = firstWithBit(packed, start, end, bit)
    const right = bitOf(key, bit) === 1
    steps.push({ bit, sibling: right ? rangeRoot(packed, start, middle, sha256) : rangeRoot(packed, middle, end, sha256) })
    if (right) start = middle
    else end = middle
  }
  return { steps, leaf: { key: packed.slice(start, start + MAP_HASH_BYTES), value: packed.slice(start + MAP_HASH_BYTES, end) } }
}

/**
 * The root, 32 bytes, that the path of a key leads to. Where it is the root of a map, the map has the leaf of the path, and has `key` only
 * where that is the leaf's. Throws INVALID_PROOF for steps that cannot be a path's: bits that do not ascend, an empty map with a step.
 */
export function pathRoot(key: Uint8Array, { steps, leaf }: TriePath): Uint8Array {
  if (leaf === null && steps.length > 0) throw new DirectoryError('INVALID_PROOF', 'an empty map with a path')
  if (steps.some(({ bit }, i) => bit <= (steps[i - 1]?.bit ?? -1))) throw new DirectoryError('INVALID_PROOF', 'the bits of a path ascend')
  const end = leaf === null ? EMPTY_MAP_ROOT : mapLeafHash(leaf)
  return steps.reduceRight((hash, { bit, sibling }) => (bitOf(key, bit) === 1 ? innerHash(bit, sibling, hash) : innerHash(bit, hash, sibling)), end)
}

/** What the map says of a key: the value at the end of its path; null where another key, or nothing, stands there. */
export function valueAt(key: Uint8Array, { leaf }: TriePath): Uint8Array | null {
  return leaf !== null && bytesEqual(leaf.key, key) ? leaf.value : null
}

/** Bit `bit` of a key, or of packed entries, 0 the highest of the first byte: 0 or 1. */
export function bitOf(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1
}

// The root of the packed entries in bytes [start, end), of which there is one.
function rangeRoot(packed: Uint8Array, start: number, end: number, sha256: Sha256): Uint8Array {
  if (end - start === MAP_ENTRY_BYTES) {
    LEAF_MESSAGE.set(packed.subarray(start, end), 1)
    return sha256(LEAF_MESSAGE)
  }
  const bit = dividingBit(packed, start, end)
  const middle = firstWithBit(packed, start, end, bit)
  return innerHash(bit, rangeRoot(packed, start, middle, sha256), rangeRoot(packed, middle, end, sha256), sha256)
}

// The first bit where keys in order differ is the first where the first and the last do.
function dividingBit(packed: Uint8Array, start: number, end: number): number {
  const last = end - MAP_ENTRY_BYTES
  let byte = 0
  while (byte < MAP_HASH_BYTES && packed[start + byte] === packed[last + byte]) byte++
  assert(byte < MAP_HASH_BYTES, 'each key stands once')
  return 8 * byte + Math.clz32((packed[start + byte] ?? 0) ^ (packed[last + byte] ?? 0)) - 24
}

// Where the entries begin whose keys have this bit.
function firstWithBit(packed: Uint8Array, start: number, end: number, bit: number): number {
  let [low, high] = [start / MAP_ENTRY_BYTES, end / MAP_ENTRY_BYTES]
  while (low < high) {
    const at = Math.floor((low + high) / 2)
    if (bitOf(packed, 8 * at * MAP_ENTRY_BYTES + bit) === 0) low = at + 1
    else high = at
  }
  return low * MAP_ENTRY_BYTES
}

// The key of the packed entry at a byte, and another one's: below 0 where it comes before that.
function compareKeysAt(packed: Uint8Array, at: number, entry: Uint8Array): number {
  for (let i = 0; i < MAP_HASH_BYTES; i++) {
    const difference = (packed[at + i] ?? 0) - (entry[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
