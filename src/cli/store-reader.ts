// A database's log, read as if it had been published.

import { encodeBundle } from '../core/tlog/bundle.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { bundlePath, TILE_WIDTH, tilePath } from '../core/tlog/tile.ts'
import { NotServedError, type TileReader } from '../client/tile-reader.ts'
import type { Store } from '../storage/store.ts'

/** The tiles, bundles and checkpoint of a store. Throws NotServedError for what it does not hold whole. */
export function storeReader(store: Store): TileReader {
  return {
    async checkpoint() {
      const publication = await store.publication()
      if (publication === null) throw new NotServedError('no checkpoint has been published')
      return publication.note
    },
    async tile(tile) {
      const [stored = new Uint8Array()] = await store.tiles([tile])
      const bytes = stored.subarray(0, tile.width * HASH_BYTES)
      if (bytes.length !== tile.width * HASH_BYTES) throw new NotServedError(`${tilePath(tile)} is not stored whole`)
      return bytes
    },
    async bundle(index, width) {
      const rows = await store.entries(index * TILE_WIDTH, index * TILE_WIDTH + width)
      if (rows.length !== width) throw new NotServedError(`${bundlePath(index, width)} is not stored whole`)
      return encodeBundle(rows.map((row) => row.entry))
    },
  }
}
