// The tree of a checkpoint as its tiles and bundles tell it, each hash led back to the root before it is believed.
// spec/mirror.md#backfill

import { bytesEqual, concatBytes } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { decodeBundle } from '../core/tlog/bundle.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_ROOT, HASH_BYTES, leafHash } from '../core/tlog/hash.ts'
import { bundlePath, perfectRoot, planTiles, proofFromTileList, TILE_WIDTH, tilePath, type TileId } from '../core/tlog/tile.ts'
import { MismatchError } from './mismatch.ts'
import { WithheldError, type TileReader } from './tile-reader.ts'

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

/** How leaves are read. */
export interface RunLimits {
  /** Most leaves in a run, 256 or more. */
  readonly batchEntries: number
  /** Bytes of leaves after which a run takes no more. */
  readonly batchBytes: number
  /** Bundles that are asked for before they are needed. */
  readonly bundlesAhead: number
}

/** The leaves of a tree from index `from` on, in runs; bundles are asked for before they are needed. Throws as `ProvenTree.bundle`, and the signal's reason. */
export async function* leavesFrom(tree: ProvenTree, from: number, signal: AbortSignal, limits: RunLimits): AsyncGenerator<readonly Uint8Array[]> {
  let run: Uint8Array[] = []
  let bytes = 0
  let skip = from % TILE_WIDTH
  try {
    for await (const leaves of bundlesFrom(tree, Math.floor(from / TILE_WIDTH), limits.bundlesAhead)) {
      signal.throwIfAborted()
      for (const leaf of leaves.slice(skip)) {
        run.push(leaf)
        bytes += leaf.length
      }
      skip = 0
      if (run.length + TILE_WIDTH <= limits.batchEntries && bytes < limits.batchBytes) continue
      yield run
      run = []
      bytes = 0
    }
  } catch (error) {
    // It may last: what comes before it is not read again at each attempt.
    if (error instanceof WithheldError && run.length > 0) yield run
    throw error
  }
  if (run.length > 0) yield run
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

async function* bundlesFrom(tree: ProvenTree, first: number, atOnce: number): AsyncGenerator<readonly Uint8Array[]> {
  const end = Math.ceil(tree.size / TILE_WIDTH)
  const queue: Promise<readonly Uint8Array[]>[] = []
  let asked = first
  for (let due = first; due < end; due++) {
    for (; asked < end && queue.length < atOnce; asked++) {
      const bundle = tree.bundle(asked)
      bundle.catch(() => undefined) // it is thrown where it is awaited, if it ever is
      queue.push(bundle)
    }
    const next = queue.shift()
    if (next !== undefined) yield await next
  }
}
