// The hashes of RFC 6962: what a leaf and a node of the tree are. spec/log.md#hashing

import { sha256 } from '../encoding/sha256.ts'

/** Length of every hash, in bytes. */
export const HASH_BYTES = 32

const LEAF = 0x00
const NODE = 0x01

/** Root of the tree without entries: SHA-256 of nothing, 32 bytes. Not to be written to. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0))

/** Hash of a leaf, 32 bytes: SHA-256(0x00 || entry). spec/log.md#hashing */
export function leafHash(entry: Uint8Array): Uint8Array {
  const message = entry.length < scratch.length ? scratch.subarray(0, 1 + entry.length) : new Uint8Array(1 + entry.length)
  message[0] = LEAF
  message.set(entry, 1)
  return sha256(message)
}

/** Hash of a node from those of its children, 32 bytes each: SHA-256(0x01 || left || right). spec/log.md#hashing */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  pair[0] = NODE
  pair.set(left, 1)
  pair.set(right, 1 + HASH_BYTES)
  return sha256(pair)
}

// Where what is hashed is put together: every entry and every node of a tree comes by here.
const scratch = new Uint8Array(65_536)
const pair = new Uint8Array(1 + 2 * HASH_BYTES)
