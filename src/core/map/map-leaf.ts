// The leaves of the map's log: the map's root, and the tree of the log that it was derived from. spec/map.md#map-log

import { base64, parseDecimal, utf8Decode, utf8Encode } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { MAP_HASH_BYTES } from './trie.ts'

/** One version of the map. */
export interface MapLeaf {
  /** Of the map, 32 bytes. */
  readonly mapRoot: Uint8Array
  /** Number of entries of the log that it was derived from. */
  readonly size: number
  /** Of the log's tree of that size, 32 bytes. */
  readonly root: Uint8Array
}

/** What stands after the origin of a log in that of its map. */
const MAP_SUFFIX = '/map'

/** The origin of the log of a log's map. */
export function mapOrigin(origin: string): string {
  return `${origin}${MAP_SUFFIX}`
}

/** The leaf's bytes: three lines. Throws MALFORMED_ENTRY where it would not be read back. spec/map.md#map-log */
export function encodeMapLeaf({ mapRoot, size, root }: MapLeaf): Uint8Array {
  if (mapRoot.length !== MAP_HASH_BYTES || root.length !== MAP_HASH_BYTES || !Number.isSafeInteger(size) || size < 0) throw malformed()
  return utf8Encode(`${base64.encode(mapRoot)}\n${size}\n${base64.encode(root)}\n`)
}

/** The version in a leaf's bytes. Throws MALFORMED_ENTRY unless `encodeMapLeaf` gives the same bytes back. */
export function decodeMapLeaf(bytes: Uint8Array): MapLeaf {
  if (bytes.length > MAX_MAP_LEAF_BYTES) throw malformed()
  try {
    const text = utf8Decode(bytes)
    const [mapRoot = '', size = '', root = ''] = text.split('\n')
    const leaf = { mapRoot: base64.decode(mapRoot), size: parseDecimal(size), root: base64.decode(root) }
    if (utf8Decode(encodeMapLeaf(leaf)) === text) return leaf
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
  }
  throw malformed()
}

/** Longest leaf, in bytes: two roots in base64, a size of 16 digits, three newlines. */
export const MAX_MAP_LEAF_BYTES = 44 + 16 + 44 + 3

function malformed(): DirectoryError {
  return new DirectoryError('MALFORMED_ENTRY', "not a leaf of a map's log")
}
