// The log of a map written leaf by leaf, as it should be or not: what a directory would sign that lies about its map.

import { DerivedMap } from '../../src/client/derive-map.ts'
import { grow } from '../../src/core/growth.ts'
import { encodeMapLeaf, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { signCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import type { Store } from '../../src/storage/store.ts'
import { MAP_KEY } from './map-writer.ts'

/** A checkpoint of the map's log, signed. */
export interface SignedMap {
  readonly checkpoint: Checkpoint
  readonly note: string
}

/** The root of the map of the first `size` entries of a log. */
export async function mapRootOf(store: Store, size: number): Promise<Uint8Array> {
  const map = new DerivedMap()
  map.add({ rows: await store.entries(0, size) })
  return map.root()
}

/** Appends a leaf, whatever it is, to the log of a store's map, which is begun where there is none. */
export async function appendMapLeaf({ map }: Store, leaf: MapLeaf | Uint8Array): Promise<SignedMap> {
  if ((await map.head()) === null) await map.create({ origin: MAP_KEY.name, guardId: 'guard of the map', vkeys: [formatVerifierKey(MAP_KEY)] })
  const head = await map.head()
  if (head === null) throw new Error('the map was begun')
  const bytes = leaf instanceof Uint8Array ? leaf : encodeMapLeaf(leaf)
  const grown = grow(head.edge, [bytes])
  await map.append({ from: head, to: { size: grown.edge.size, root: grown.root, edge: grown.edge }, leaf: bytes, tiles: grown.tiles })
  const checkpoint = { origin: MAP_KEY.name, size: grown.edge.size, root: grown.root }
  return { checkpoint, note: signCheckpoint(checkpoint, [MAP_KEY]) }
}

/** Appends the leaf of all entries of a log, as it leads to it but for `change`; durable and signed, and not published. */
export async function appendNextLeaf(store: Store, change: Partial<MapLeaf> | Uint8Array = {}): Promise<SignedMap> {
  const head = await store.head()
  if (head === null) throw new Error('there is a log')
  return appendMapLeaf(store, change instanceof Uint8Array ? change : { mapRoot: await mapRootOf(store, head.size), size: head.size, root: head.root, ...change })
}

/** Publishes what was signed of a map. */
export async function publishMap({ map }: Store, { checkpoint, note }: SignedMap): Promise<void> {
  await map.publish({ size: checkpoint.size, root: checkpoint.root, note, publishedAt: 0 })
}
