// SHA-256, with which everything is hashed: in JavaScript, unless whoever starts a program has something faster.
// spec/log.md#hashing

import { sha256 as portable } from '@noble/hashes/sha2.js'
import { bytesEqual } from './text.ts'

/** SHA-256: 32 bytes, which are the caller's own. The input may be written to afterwards. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array

let chosen: Sha256 = portable

/** The SHA-256 of bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return chosen(bytes)
}

/** Leaves the work to another implementation from now on, where it answers a few questions as the portable one does; to that one where it does not. */
export function useSha256(faster: Sha256): void {
  const same = LENGTHS.every((length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => i)
    return bytesEqual(faster(bytes), portable(bytes))
  })
  chosen = same ? faster : portable
}

/** About the ends of the blocks of 64 bytes, of which the last has room for 55. */
const LENGTHS = [0, 1, 32, 55, 56, 63, 64, 65, 119, 120, 128, 1_000]
