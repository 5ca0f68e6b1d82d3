// The hash of the map by the machine's own library. spec/map.md#storage

import { hash } from 'node:crypto'
import type { Sha256 } from '../core/map/hash.ts'

/** As `portableSha256`. */
export const nativeSha256: Sha256 = (bytes) => {
  const digest = hash('sha256', bytes, 'buffer')
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.length)
}
