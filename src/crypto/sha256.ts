// SHA-256 by the machine's own library. spec/log.md#hashing

import { hash } from 'node:crypto'
import type { Sha256 } from '../core/map/hash.ts'
import { MAP_HASH_BYTES } from '../core/map/trie.ts'

/** As `portableSha256`. */
export const nativeSha256: Sha256 = (bytes) => {
  // As text, because a small digest in a buffer costs three times as much as the hash of it.
  const text = hash('sha256', bytes, 'binary')
  const digest = new Uint8Array(MAP_HASH_BYTES)
  for (let i = 0; i < MAP_HASH_BYTES; i++) digest[i] = text.charCodeAt(i)
  return digest
}
