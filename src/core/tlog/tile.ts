// Tiles: the tree cut into immutable pieces of 256 hashes, their names, and proofs read from them. spec/log.md#tiles

import { parseDecimal } from '../encoding/text.ts'
import { assert, DirectoryError } from '../errors.ts'
import { HASH_BYTES, nodeHash } from './hash.ts'
import { foldNodes, type Node, type Range, rangeNodes } from './proof.ts'
import { readAs } from './strict.ts'

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256

/** Levels of the tree that one level of tiles covers. */
export const TILE_HEIGHT = 8

/** Highest level that a path may name. */
export const MAX_TILE_LEVEL = 63

/** Longest path that is read: level 63 with an index of 16 digits and a width. */
export const MAX_TILE_PATH_LENGTH = 64

/**
 * The first `width` hashes, 1 to 256, of a tile. Hash i of tile `index` at `level` is the root of the perfect
 * subtree of height 8 * level that begins with entry (index * 256 + i) * 256**level.
 */
export interface TileId {
  readonly level: number
  readonly index: number
  readonly width: number
}

/** What a path names: a tile of hashes or a bundle of entries. */
export type TilePath =
  | { readonly kind: 'hashes'; readonly tile: TileId }
  | { readonly kind: 'entries'; readonly index: number; readonly width: number }

/** The path of a tile below a log's prefix: `tile/0/x001/x234/067`, and `.p/5` where it is 5 hashes wide. spec/log.md#tiles */
export function tilePath(tile: TileId): string {
  assert(isIndex(tile.level) && tile.level <= MAX_TILE_LEVEL, 'a level is 0 to 63')
  return pathOf(String(tile.level), tile.index, tile.width)
}

/** The path of the entry bundle at `index` with `width` entries, 1 to 256: `tile/entries/005`. spec/log.md#bundles */
export function bundlePath(index: number, width: number): string {
  return pathOf('entries', index, width)
}

/** What a path names. Throws MALFORMED_TILE unless `tilePath` or `bundlePath` gives the same path back. */
export function parseTilePath(path: string): TilePath {
  const [, level, groups, width = String(TILE_WIDTH)] = PATH.exec(path.slice(0, MAX_TILE_PATH_LENGTH + 1)) ?? []
  if (level === undefined || groups === undefined || path.length > MAX_TILE_PATH_LENGTH) throw malformed(path)
  const read = readAs('MALFORMED_TILE', () => ({
    level: level === 'entries' ? 0 : parseDecimal(level),
    index: parseDecimal(groups.replaceAll(/[x/]/g, '').replace(/^0+(?=\d)/, '')),
    width: parseDecimal(width),
  }))
  if (read.level > MAX_TILE_LEVEL || read.width < 1 || read.width > TILE_WIDTH) throw malformed(path)
  if (pathOf(level, read.index, read.width) !== path) throw malformed(path)
  return level === 'entries' ? { kind: 'entries', index: read.index, width: read.width } : { kind: 'hashes', tile: read }
}

/** Every tile of a tree of `size`, level by level, left to right; the last one of a level may be partial. */
export function* tilesOf(size: number): Generator<TileId, void> {
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    for (let index = 0; index * TILE_WIDTH < hashesAt(level, size); index++) yield tileAt(level, index, size)
  }
}

/**
 * The tile of a tree of `size` that tells the hash of a node: the fold of the tile's hashes `[start, end)`. Throws
 * OUT_OF_RANGE where the tree does not have the whole node.
 */
export function tileForNode(node: Node, size: number): { readonly tile: TileId; readonly start: number; readonly end: number } {
  const level = Math.floor(node.level / TILE_HEIGHT)
  const count = 2 ** (node.level % TILE_HEIGHT)
  const first = node.index * count
  if (!isIndex(node.level) || !isIndex(node.index) || !isIndex(size) || first + count > hashesAt(level, size)) {
    throw new DirectoryError('OUT_OF_RANGE', `node ${node.level}/${node.index} of ${size}`)
  }
  const start = first % TILE_WIDTH
  return { tile: tileAt(level, Math.floor(first / TILE_WIDTH), size), start, end: start + count }
}

/** The distinct tiles of a tree of `size` that tell the hashes of these ranges, in the order in which they are first needed. */
export function planTiles(ranges: readonly Range[], size: number): readonly TileId[] {
  const tiles = new Map<string, TileId>()
  for (const range of ranges) {
    for (const node of rangeNodes(range)) {
      const { tile } = tileForNode(node, size)
      tiles.set(tilePath(tile), tile)
    }
  }
  return [...tiles.values()]
}

/**
 * The hashes, 32 bytes each, of these ranges of a tree of `size`: with a plan of `proof.ts`, the proof. `tileOf`
 * gives the bytes of each tile of `planTiles`; a wider form of the tile will do. Throws MALFORMED_TILE where it
 * gives fewer hashes than the tile is wide, or no whole number of them.
 */
export function proofFromTiles(ranges: readonly Range[], size: number, tileOf: (tile: TileId) => Uint8Array): Uint8Array[] {
  return ranges.map((range) => foldNodes(rangeNodes(range).map((node) => nodeFromTile(node, size, tileOf))))
}

/** As `proofFromTiles`, from the bytes of the tiles in the order of `planTiles(ranges, size)`. */
export function proofFromTileList(ranges: readonly Range[], size: number, bytes: readonly Uint8Array[]): Uint8Array[] {
  const byPath = new Map(planTiles(ranges, size).map((tile, i) => [tilePath(tile), bytes[i]]))
  return proofFromTiles(ranges, size, (tile) => byPath.get(tilePath(tile)) ?? new Uint8Array())
}

/** The root, 32 bytes, of a perfect tree over these hashes: 1, 2, 4 ... of them. */
export function perfectRoot(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes
  while (row.length > 1) row = pairs(row)
  const [root] = row
  assert(root !== undefined, 'a perfect tree has hashes')
  return root
}

const PATH = /^tile\/(\d{1,2}|entries)\/((?:x\d{3}\/)*\d{3})(?:\.p\/(\d{1,3}))?$/

function pathOf(level: string, index: number, width: number): string {
  assert(isIndex(index) && isIndex(width) && width >= 1 && width <= TILE_WIDTH, 'a tile has an index and 1 to 256 hashes')
  let name = String(index % 1000).padStart(3, '0')
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    name = `x${String(rest % 1000).padStart(3, '0')}/${name}`
  }
  return `tile/${level}/${name}${width === TILE_WIDTH ? '' : `.p/${width}`}`
}

function nodeFromTile(node: Node, size: number, tileOf: (tile: TileId) => Uint8Array): Uint8Array {
  const { tile, start, end } = tileForNode(node, size)
  const bytes = tileOf(tile)
  const count = bytes.length / HASH_BYTES
  if (!Number.isInteger(count) || count < tile.width || count > TILE_WIDTH) throw malformed(`${tilePath(tile)} of ${bytes.length} bytes`)
  return perfectRoot(Array.from({ length: end - start }, (_, i) => bytes.slice((start + i) * HASH_BYTES, (start + i + 1) * HASH_BYTES)))
}

function pairs(row: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = []
  for (const [i, right] of row.entries()) {
    const left = row[i - 1]
    if (i % 2 === 1 && left !== undefined) above.push(nodeHash(left, right))
  }
  return above
}

function tileAt(level: number, index: number, size: number): TileId {
  return { level, index, width: Math.min(TILE_WIDTH, hashesAt(level, size) - index * TILE_WIDTH) }
}

function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level)
}

function isIndex(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0
}

function malformed(detail: string): DirectoryError {
  return new DirectoryError('MALFORMED_TILE', detail.slice(0, MAX_TILE_PATH_LENGTH))
}
