// The map and the log of its roots, in memory. spec/map.md#storage

import { bytesEqual, concatBytes } from '../core/encoding/text.ts'
import { EMPTY_MAP_ROOT, MAP_HASH_BYTES } from '../core/map/trie.ts'
import { BLOCK_BUCKETS } from '../core/map/upper-tree.ts'
import { EMPTY_EDGE, edgeRoot } from '../core/tlog/edge.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import type { BucketRow, MapChange, MapHead, MapStore, MapVersion } from './map-store.ts'
import { checkMapAppend, checkMapChange, checkPublication } from './rules.ts'
import { LogExistsError, NoLogError, StaleHeadError, StalePublicationError, StaleSignerError, type Publication } from './store.ts'

/** The map's part of a store in memory. `fault` is called before and after each write; throwing plays the fault. */
export function mapMemory(fault: (point: MapFaultPoint) => void | Promise<void> = () => {}): MapStore {
  const leaves: Uint8Array[] = []
  const tiles = new Map<string, Uint8Array>()
  const buckets = new Map<number, BucketRow>()
  const blocks = new Map<number, Uint8Array>()
  let head: MapHead | null = null
  let publication: Publication | null = null
  let statement: string | null = null
  let version: MapVersion = EMPTY

  const isVersion = ({ size, root }: MapVersion): boolean => version.size === size && bytesEqual(version.root, root)
  const write = ({ to, rows }: MapChange): void => {
    for (const row of rows) {
      const hashes = blocks.get(Math.floor(row.bucket / BLOCK_BUCKETS)) ?? EMPTY_BLOCK.slice()
      hashes.set(row.hash, (row.bucket % BLOCK_BUCKETS) * MAP_HASH_BYTES)
      blocks.set(Math.floor(row.bucket / BLOCK_BUCKETS), hashes)
      buckets.set(row.bucket, row)
    }
    version = to
  }

  return {
    head: async () => head,
    async create({ origin, guardId, vkeys, statement: first = null }) {
      if (head !== null) throw new LogExistsError(`the store holds the log ${head.origin}`)
      statement = first
      head = { origin, guardId, vkeys: [...vkeys], size: 0, root: edgeRoot(EMPTY_EDGE), edge: EMPTY_EDGE }
    },
    async append(append) {
      checkMapAppend(append)
      await fault('before map append')
      const { from, to, leaf, tiles: grown } = append
      if (head === null || from.size !== head.size || !bytesEqual(from.root, head.root)) throw new StaleHeadError('another writer moved the head')
      const lengthOf = ({ level, index }: { level: number; index: number }): number => tiles.get(`${level}/${index}`)?.length ?? 0
      if (grown.some((tile) => lengthOf(tile) !== tile.offset * HASH_BYTES)) throw new StaleHeadError('a tile has another length')
      for (const { level, index, hashes } of grown) tiles.set(`${level}/${index}`, concatBytes(tiles.get(`${level}/${index}`) ?? new Uint8Array(), hashes))
      leaves.push(leaf)
      head = { ...head, ...to }
      await fault('after map append')
    },
    leaves: async (start, end) => leaves.slice(start, Math.max(start, end)),
    tiles: async (asked) => asked.map(({ level, index }) => tiles.get(`${level}/${index}`) ?? new Uint8Array()),
    publication: async () => publication,
    async publish(next, change) {
      checkPublication(next)
      if (change !== undefined) checkMapChange(change)
      await fault('before map publish')
      const isLater = publication === null || next.size > publication.size || (next.size === publication.size && bytesEqual(next.root, publication.root))
      if (!isLater) throw new StalePublicationError('a newer one is published')
      if (change !== undefined && !isVersion(change.from) && !isVersion(change.to)) throw new StaleHeadError('the buckets hold another version of the map')
      if (change !== undefined) write(change)
      publication = next
      await fault('after map publish')
    },
    version: async () => (head === null ? null : version),
    async change(change) {
      checkMapChange(change)
      await fault('before map change')
      if (!isVersion(change.from)) throw new StaleHeadError('the buckets hold another version of the map')
      write(change)
      await fault('after map change')
    },
    async clear() {
      buckets.clear()
      blocks.clear()
      version = EMPTY
    },
    buckets: async (asked) => asked.map((bucket) => buckets.get(bucket)?.entries ?? new Uint8Array()),
    blocks: async (asked) => new Map(asked.filter((block) => blocks.has(block)).map((block) => [block, (blocks.get(block) ?? EMPTY_BLOCK).slice()])),
    bucketHashes: async (bucket, count) =>
      [...buckets.values()].filter((row) => row.bucket >= bucket).sort((a, b) => a.bucket - b.bucket).slice(0, count).map(({ bucket, hash }) => ({ bucket, hash })),
    keptCheckpoints: async () => [],
    keepCheckpoint: async () => undefined,
    keyStatement: async () => statement,
    async setSigner(from, { guardId, vkeys, statement: next = statement }) {
      if (head === null) throw new NoLogError('no log of a map has been created')
      if (head.guardId !== from) throw new StaleSignerError(`the log's guard is ${head.guardId}`)
      head = { ...head, guardId, vkeys: [...vkeys] }
      statement = next
    },
  }
}

/** Where a fault may strike a write of the map: what is thrown before it leaves all as it was, after it the reply is lost. */
export type MapFaultPoint = `${'before' | 'after'} map ${'append' | 'publish' | 'change'}`

const EMPTY: MapVersion = { size: 0, root: EMPTY_MAP_ROOT }
const EMPTY_BLOCK = new Uint8Array(BLOCK_BUCKETS * MAP_HASH_BYTES)
