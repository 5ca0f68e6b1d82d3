// Entries and an edge give new tile hashes, the next edge and its root: the writer and every verifier call it.
// spec/log.md#growth

import { concatBytes } from './encoding/text.ts'
import { appendLeaf, edgeRoot, type Edge } from './tlog/edge.ts'
import { leafHash } from './tlog/hash.ts'
import { TILE_HEIGHT, TILE_WIDTH } from './tlog/tile.ts'

/** Hashes that one tile gains. */
export interface TileGrowth {
  readonly level: number
  readonly index: number
  /** How many hashes the tile had before, 0 to 255. */
  readonly offset: number
  /** The new ones, 32 bytes each. */
  readonly hashes: Uint8Array
}

/** What a tree became. */
export interface Growth {
  readonly edge: Edge
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Ordered by level, then index; every tile that gained hashes once. */
  readonly tiles: readonly TileGrowth[]
}

/** Appends entries (leaf bytes) to the tree of which only `edge` is known. */
export function grow(edge: Edge, entries: readonly Uint8Array[]): Growth {
  const grown = new Map<string, { level: number; index: number; offset: number; hashes: Uint8Array[] }>()
  let next = edge
  for (const entry of entries) {
    const appended = appendLeaf(next, leafHash(entry))
    next = appended.edge
    for (let level = 0; level * TILE_HEIGHT < appended.completed.length; level++) {
      const hash = appended.completed[level * TILE_HEIGHT]
      if (hash === undefined) break
      const position = next.size / TILE_WIDTH ** level - 1
      const index = Math.floor(position / TILE_WIDTH)
      const key = `${level}/${index}`
      const tile = grown.get(key) ?? { level, index, offset: position % TILE_WIDTH, hashes: [] }
      tile.hashes.push(hash)
      grown.set(key, tile)
    }
  }
  const tiles = [...grown.values()]
    .sort((a, b) => a.level - b.level || a.index - b.index)
    .map((tile) => ({ ...tile, hashes: concatBytes(...tile.hashes) }))
  return { edge: next, root: edgeRoot(next), tiles }
}
