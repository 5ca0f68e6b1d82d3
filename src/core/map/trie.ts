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

/** The root, 32 bytes, of the trie of these entries, which are ordered by key, each key once. */
export function trieRoot(entries: readonly MapEntry[], sha256: Sha256 = portableSha256): Uint8Array {
  return entries.length === 0 ? EMPTY_MAP_ROOT : rangeRoot(entries, 0, entries.length, sha256)
}

/** The path of a key in the trie of these entries, which are ordered by key, each key once. */
export function triePath(entries: readonly MapEntry[], key: Uint8Array, sha256: Sha256 = portableSha256): TriePath {
  const steps: PathStep[] = []
  let [start, end] = [0, entries.length]
  while (end - start > 1) {
    const { bit, middle } = divide(entries, start, end)
    const right = bitOf(key, bit) === 1
    steps.push({ bit, sibling: right ? rangeRoot(entries, start, middle, sha256) : rangeRoot(entries, middle, end, sha256) })
    if (right) start = middle
    else end = middle
  }
  return { steps, leaf: entries[start] ?? null }
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

/** Bit `bit` of a key, 0 the highest of its first byte: 0 or 1. */
export function bitOf(key: Uint8Array, bit: number): number {
  return ((key[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1
}

/** Keys in the order of the trie: as byte strings. */
export function compareMapKeys(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < MAP_HASH_BYTES; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function rangeRoot(entries: readonly MapEntry[], start: number, end: number, sha256: Sha256): Uint8Array {
  const first = entries[start]
  assert(first !== undefined, 'a subtree has a key')
  if (end - start === 1) return mapLeafHash(first, sha256)
  const { bit, middle } = divide(entries, start, end)
  return innerHash(bit, rangeRoot(entries, start, middle, sha256), rangeRoot(entries, middle, end, sha256), sha256)
}

// The first bit where keys in order differ is the first where the first and the last do.
function divide(entries: readonly MapEntry[], start: number, end: number): { bit: number; middle: number } {
  const keyAt = (at: number): Uint8Array => {
    const entry = entries[at]
    assert(entry !== undefined, 'a subtree lies within its map')
    return entry.key
  }
  const bit = firstDifference(keyAt(start), keyAt(end - 1))
  let [low, high] = [start, end]
  while (low < high) {
    const at = Math.floor((low + high) / 2)
    if (bitOf(keyAt(at), bit) === 0) low = at + 1
    else high = at
  }
  return { bit, middle: low }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let byte = 0
  while (byte < MAP_HASH_BYTES && a[byte] === b[byte]) byte++
  assert(byte < MAP_HASH_BYTES, 'each key stands once')
  return 8 * byte + Math.clz32((a[byte] ?? 0) ^ (b[byte] ?? 0)) - 24
}
