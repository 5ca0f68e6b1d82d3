// Entry bundles: up to 256 entries, each after its length. spec/log.md#bundles

import { assert, DirectoryError } from '../errors.ts'
import { TILE_WIDTH } from './tile.ts'

/** Longest entry, in bytes: what its length field can say. */
export const MAX_ENTRY_BYTES = 65_535

const LENGTH_BYTES = 2

/** The bundle of 1 to 256 entries: of each its length, 16 bits big-endian, then its bytes. Throws ENTRY_TOO_LARGE. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  assert(entries.length >= 1 && entries.length <= TILE_WIDTH, 'a bundle has 1 to 256 entries')
  const bytes = new Uint8Array(entries.reduce((length, entry) => length + LENGTH_BYTES + entry.length, 0))
  let at = 0
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES) throw new DirectoryError('ENTRY_TOO_LARGE', String(entry.length))
    bytes[at] = Math.floor(entry.length / 256)
    bytes[at + 1] = entry.length % 256
    bytes.set(entry, at + LENGTH_BYTES)
    at += LENGTH_BYTES + entry.length
  }
  return bytes
}

/**
 * The `count` entries, 1 to 256, of a bundle, as views of its bytes. Throws MALFORMED_BUNDLE where it has more or
 * fewer, or is truncated; OUT_OF_RANGE for another count. Every sequence of bytes is the form of at most one bundle.
 */
export function decodeBundle(bytes: Uint8Array, count: number): Uint8Array[] {
  if (!Number.isInteger(count) || count < 1 || count > TILE_WIDTH) throw new DirectoryError('OUT_OF_RANGE', `${count} entries`)
  const entries: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    const [high, low] = [bytes[at], bytes[at + 1]]
    if (high === undefined || low === undefined) throw malformed('truncated')
    const end = at + LENGTH_BYTES + high * 256 + low
    if (end > bytes.length) throw malformed('truncated')
    if (entries.length === count) throw malformed(`more than ${count} entries`)
    entries.push(bytes.subarray(at + LENGTH_BYTES, end))
    at = end
  }
  if (entries.length !== count) throw malformed(`${entries.length} entries`)
  return entries
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_BUNDLE', reason)
}
