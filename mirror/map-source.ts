// Where a mirror reads the log of the map: its leaves, its tiles and what is said of its keys. spec/mirror.md#map

import { request, ServerError, type RequestOptions } from '../src/client/request.ts'
import { httpTileReader, NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { concatBytes } from '../src/core/encoding/text.ts'
import type { Growth } from '../src/core/growth.ts'
import { MAX_MAP_LEAF_BYTES } from '../src/core/map/map-leaf.ts'
import { decodeBundle } from '../src/core/tlog/bundle.ts'
import { HASH_BYTES } from '../src/core/tlog/hash.ts'
import type { VerifierKey } from '../src/core/tlog/note.ts'
import { TILE_WIDTH } from '../src/core/tlog/tile.ts'
import type { Store } from '../src/storage/store.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readShownKeys, readStatement, type ReadStatement } from './log-keys.ts'

/** Where the map's log of an upstream is read. */
export interface MapSource {
  readonly url: string
  readonly reader: TileReader
  /** The keys that the upstream says are its map's. Throws NotServedError where it has no map. */
  readonly keys: () => Promise<readonly VerifierKey[]>
  /** What it says of the keys of the map, where one of these has signed it; null where it says nothing. Throws the verdicts of `openKeyStatement`. */
  readonly statement: (known: readonly VerifierKey[]) => Promise<ReadStatement | null>
  /** The leaf after the last one that is published. Throws NotServedError where there is none. */
  readonly next: () => Promise<Uint8Array>
}

/** The map's log of an upstream, over HTTP. */
export function mapSource(url: string, signal: AbortSignal, reach: Pick<RequestOptions, 'fetch'> = {}): MapSource {
  const options = { attempts: 1, timeoutMs: MIRROR_LIMITS.requestMs, signal, ...reach }
  const orNotServed = (error: unknown): never => {
    throw error instanceof ServerError && error.status === 404 ? new NotServedError(error.message) : error
  }
  return {
    url,
    reader: httpTileReader(`${url}/map`, options),
    keys: () => readShownKeys(url, signal, 'map/vkey', reach).catch(orNotServed),
    statement: (known) => readStatement(url, known, signal, reach, 'map/keys'),
    next: () => request({ url: `${url}/map/next`, maxBytes: MAX_MAP_LEAF_BYTES }, options).then(({ body }) => body, orNotServed),
  }
}

/** The leaves `[start, end)` of a log of a map, by its bundles. Throws as `reader` and `decodeBundle` do. */
export async function readLeaves(reader: TileReader, start: number, end: number): Promise<Uint8Array[]> {
  const leaves: Uint8Array[] = []
  for (let bundle = Math.floor(start / TILE_WIDTH); bundle * TILE_WIDTH < end; bundle++) {
    const width = Math.min(TILE_WIDTH, end - bundle * TILE_WIDTH)
    const bytes = decodeBundle(await reader.bundle(bundle, width), width)
    leaves.push(...bytes.slice(Math.max(0, start - bundle * TILE_WIDTH)))
  }
  return leaves
}

/** The tiles of the map's log as they would be, once it has grown. */
export function grownTiles({ map }: Store, { tiles }: Growth): Pick<TileReader, 'tile'> {
  return {
    async tile({ level, index, width }) {
      const [stored = new Uint8Array()] = await map.tiles([{ level, index, width }])
      const gained = tiles.find((tile) => tile.level === level && tile.index === index)
      return (gained === undefined ? stored : concatBytes(stored.subarray(0, gained.offset * HASH_BYTES), gained.hashes)).subarray(0, width * HASH_BYTES)
    },
  }
}
