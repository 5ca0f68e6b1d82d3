// The tree of a checkpoint as its tiles and bundles tell it, each hash led back to the root before it is believed.
// spec/mirror.md#backfill

import type { TileReader } from '../src/client/tile-reader.ts'
import { bytesEqual, concatBytes } from '../src/core/encoding/text.ts'
import { verdictOf } from '../src/core/errors.ts'
import { decodeBundle } from '../src/core/tlog/bundle.ts'
import type { Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { EMPTY_ROOT, HASH_BYTES, leafHash } from '../src/core/tlog/hash.ts'
import { bundlePath, perfectRoot, planTiles, proofFromTileList, TILE_WIDTH, tilePath, type TileId } from '../src/core/tlog/tile.ts'
import { MismatchError } from './mismatch.ts'

/** Reads something from an upstream, of several the first whose answer `use` does not throw at. */
export type ReadFromAny = <T>(use: (reader: TileReader) => Promise<T>) => Promise<T>

/** A tree whose every entry is checked when it arrives. */
export interface ProvenTree {
  readonly size: number
  /** A tile of the tree. Throws as `bundle`. */
  tile(tile: TileId): Promise<Uint8Array>
  /** The leaves of a bundle, as many as the tree has. Throws what the reader throws, and MismatchError where no upstream has the right ones. */
  bundle(index: number): Promise<readonly Uint8Array[]>
}

/**
 * Opens the tree of a checkpoint whose note is verified: reads its right edge and checks it against the root. Tiles of
 * level 1 and above are kept: 32 bytes for 256 entries. Throws MismatchError where the edge has another root, and what
 * `read` throws.
 */
export async function openProvenTree(read: ReadFromAny, { size, root }: Checkpoint): Promise<ProvenTree> {
  const edge = await read((reader) => readEdge(reader, size, root))
  const tiles = new Map<string, Promise<Uint8Array>>()

  // A full tile's root stands in the tile above it; the last tiles of all levels are the edge.
  function tileAt(level: number, index: number): Promise<Uint8Array> {
    const key = tilePath({ level, index, width: TILE_WIDTH })
    const last = edge.get(key)
    if (last !== undefined) return Promise.resolve(last)
    const known = tiles.get(key)
    if (known !== undefined) return known
    const tile = readFull(level, index)
    tiles.set(key, tile)
    tile.catch(() => tiles.delete(key))
    return tile
  }

  async function readFull(level: number, index: number): Promise<Uint8Array> {
    const expected = await hashAt(level + 1, index)
    return read(async (reader) => {
      const bytes = await reader.tile({ level, index, width: TILE_WIDTH })
      if (bytes.length !== TILE_WIDTH * HASH_BYTES || !bytesEqual(perfectRoot(hashesIn(bytes)), expected)) {
        throw new MismatchError(`${tilePath({ level, index, width: TILE_WIDTH })} is not of the tree of ${size} entries`, { response: bytes })
      }
      return bytes
    })
  }

  async function hashAt(level: number, index: number): Promise<Uint8Array> {
    const tile = await tileAt(level, Math.floor(index / TILE_WIDTH))
    const at = (index % TILE_WIDTH) * HASH_BYTES
    return tile.subarray(at, at + HASH_BYTES)
  }

  return {
    size,
    tile: async ({ level, index, width }) => (await tileAt(level, index)).slice(0, width * HASH_BYTES),
    async bundle(index) {
      const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
      const full = width === TILE_WIDTH
      const expected = full ? await hashAt(1, index) : await tileAt(0, index)
      return read(async (reader) => {
        const bytes = await reader.bundle(index, width)
        const { value: leaves } = verdictOf(() => decodeBundle(bytes, width))
        const hashes = leaves?.map(leafHash) ?? []
        const found = full && leaves !== null ? perfectRoot(hashes) : concatBytes(...hashes)
        if (leaves === null || !bytesEqual(found, expected)) throw new MismatchError(`${bundlePath(index, width)} does not hold the entries of the tree of ${size}`, { response: bytes.slice(0, MAX_SHOWN) })
        return leaves
      })
    },
  }
}

/** Bytes of a wrong answer that an alarm keeps. */
const MAX_SHOWN = 524_288

async function readEdge(reader: TileReader, size: number, root: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  const whole = size === 0 ? [] : [{ start: 0, end: size }]
  const plan = planTiles(whole, size)
  const bytes = await Promise.all(plan.map((tile) => reader.tile(tile)))
  const { value } = verdictOf(() => proofFromTileList(whole, size, bytes)[0] ?? EMPTY_ROOT)
  if (value === null || !bytesEqual(value, root)) {
    throw new MismatchError(`the tiles lead to another root than the checkpoint of size ${size}`, Object.fromEntries(plan.map((tile, i) => [`tile-${tile.level}`, bytes[i] ?? new Uint8Array()])))
  }
  return new Map(plan.map((tile, i) => [fullPath(tile), (bytes[i] ?? new Uint8Array()).slice(0, tile.width * HASH_BYTES)]))
}

function fullPath(tile: TileId): string {
  return tilePath({ ...tile, width: TILE_WIDTH })
}

function hashesIn(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
}
