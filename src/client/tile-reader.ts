// Where the tiles, bundles and checkpoints of a log come from. spec/log.md#tiles

import { verdictOf } from '../core/errors.ts'
import { decodeBundle, encodeBundle, MAX_ENTRY_BYTES } from '../core/tlog/bundle.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { MAX_NOTE_LENGTH } from '../core/tlog/note.ts'
import { bundlePath, TILE_WIDTH, tilePath, type TileId } from '../core/tlog/tile.ts'
import { request, ServerError, type RequestOptions } from './request.ts'

/** A source of what a log has published. What it returns is untrusted. */
export interface TileReader {
  /** The newest checkpoint: a signed note. */
  checkpoint(): Promise<string>
  /** The bytes of a tile of `tile.width` hashes. Throws NotServedError where there is none. */
  tile(tile: TileId): Promise<Uint8Array>
  /** The bytes of the bundle of `width` entries. Throws NotServedError where there is none. */
  bundle(index: number, width: number): Promise<Uint8Array>
}

/** A source does not have what its checkpoint says it has. */
export class NotServedError extends Error {
  override readonly name: string = 'NotServedError'
}

/** The operator of a source does not show what its checkpoint says it has, and says why: it is there, and may be had from another source. */
export class WithheldError extends NotServedError {
  override readonly name: string = 'WithheldError'
}

/** Longest bundle, bytes: 256 entries, each after its length. */
export const MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)

/**
 * A log over HTTP, below the prefix `baseUrl`. A partial tile or bundle that is gone is cut from the full one.
 * Throws as `request` does, NotServedError for what is not there (404), and WithheldError for what is not shown (451).
 */
export function httpTileReader(baseUrl: string, options: RequestOptions = {}): TileReader {
  const prefix = baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`

  async function read(path: string, maxBytes: number): Promise<Uint8Array> {
    try {
      return (await request({ url: prefix + path, maxBytes }, options)).body
    } catch (error) {
      if (error instanceof ServerError && error.status === 451) throw new WithheldError(`${prefix + path}: ${error.message}`, { cause: error })
      if (error instanceof ServerError && error.status === 404) throw new NotServedError(`${prefix + path} is not served`, { cause: error })
      throw error
    }
  }

  async function readOrCut(width: number, pathOf: (width: number) => string, maxBytes: number, cut: (full: Uint8Array) => Uint8Array): Promise<Uint8Array> {
    try {
      return await read(pathOf(width), maxBytes)
    } catch (error) {
      if (!(error instanceof NotServedError) || width === TILE_WIDTH) throw error
      return cut(await read(pathOf(TILE_WIDTH), maxBytes))
    }
  }

  return {
    checkpoint: async () => new TextDecoder('utf-8', { ignoreBOM: true }).decode(await read('checkpoint', MAX_NOTE_LENGTH)),
    tile: (tile) =>
      readOrCut(
        tile.width,
        (width) => tilePath({ ...tile, width }),
        TILE_WIDTH * HASH_BYTES,
        (full) => full.subarray(0, tile.width * HASH_BYTES),
      ),
    bundle: (index, width) => readOrCut(width, (width) => bundlePath(index, width), MAX_BUNDLE_BYTES, (full) => cutBundle(full, width)),
  }
}

/** As `reader`, and what it does not serve, missing or withheld, from the first of `others` that does. Throws what `reader` threw where none does. */
export function orElse(reader: TileReader, others: readonly TileReader[]): TileReader {
  async function read<T>(ask: (reader: TileReader) => Promise<T>): Promise<T> {
    try {
      return await ask(reader)
    } catch (error) {
      if (!(error instanceof NotServedError)) throw error
      for (const other of others) {
        const found = await ask(other).catch(() => null)
        if (found !== null) return found
      }
      throw error
    }
  }
  return { checkpoint: () => reader.checkpoint(), tile: (tile) => read((reader) => reader.tile(tile)), bundle: (index, width) => read((reader) => reader.bundle(index, width)) }
}

// A bundle that is none is returned as it is: whoever decodes it says so.
function cutBundle(full: Uint8Array, width: number): Uint8Array {
  const { value } = verdictOf(() => decodeBundle(full, TILE_WIDTH))
  return value === null ? full : encodeBundle(value.slice(0, width))
}
