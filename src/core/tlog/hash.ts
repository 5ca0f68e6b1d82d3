// The hashes of RFC 6962: what a leaf and a node of the tree are. spec/log.md#hashing

import { sha256 } from '@noble/hashes/sha2.js'

/** Length of every hash, in bytes. */
export const HASH_BYTES = 32

const LEAF = 0x00
const NODE = 0x01

/** Root of the tree without entries: SHA-256 of nothing, 32 bytes. Not to be written to. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0))

/** Hash of a leaf, 32 bytes: SHA-256(0x00 || entry). spec/log.md#hashing */
export function leafHash(entry: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + entry.length)
  message[0] = LEAF
  message.set(entry, 1)
  return sha256(message)
}

/** Hash of a node from those of its children, 32 bytes each: SHA-256(0x01 || left || right). spec/log.md#hashing */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + left.length + right.length)
  message[0] = NODE
  message.set(left, 1)
  message.set(right, 1 + left.length)
  return sha256(message)
}
