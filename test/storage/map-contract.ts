// What every store must do with the map, as the comments of the port say it.

import { describe, expect, it } from 'vitest'
import { grow } from '../../src/core/growth.ts'
import { EMPTY_MAP_ROOT } from '../../src/core/map/trie.ts'
import { EMPTY_EDGE, type Edge } from '../../src/core/tlog/edge.ts'
import { LogExistsError, StaleHeadError, StalePublicationError, StaleSignerError, type BucketRow, type MapAppend, type MapChange, type MapVersion, type Store } from '../../src/storage/store.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'

const bytes = (value: number, length = 32): Uint8Array => new Uint8Array(length).fill(value)
const leaf = (n: number): Uint8Array => new Uint8Array(Buffer.from(`leaf ${n}`))
const EMPTY: MapVersion = { size: 0, root: EMPTY_MAP_ROOT }

/** Runs the suite. `open` gives an empty store, and further handles on what it holds (for a store in memory, itself). */
export function mapContract(open: () => Promise<{ readonly store: Store; readonly again: () => Promise<Store> }>): void {
  async function withMap(): Promise<Store> {
    const { store } = await open()
    await store.map.create({ origin: 'example.com/log/map', guardId: 'guard', vkeys: ['a'] })
    return store
  }

  describe('the log of the map', () => {
    it('is created once, apart from the log, empty', async () => {
      const { store, again } = await open()
      expect(await store.map.head()).toBeNull()
      expect(await store.map.version()).toBeNull()
      expect(await store.map.publication()).toBeNull()
      await store.map.create({ origin: 'example.com/log/map', guardId: 'guard', vkeys: ['a', 'b'], statement: 'said' })
      expect(await (await again()).map.head()).toEqual({ origin: 'example.com/log/map', guardId: 'guard', vkeys: ['a', 'b'], size: 0, root: naiveRoot([]), edge: EMPTY_EDGE })
      expect(await store.map.version()).toEqual(EMPTY)
      expect(await store.map.keyStatement()).toBe('said')
      expect(await store.head()).toBeNull()
      await expect(store.map.create({ origin: 'x', guardId: 'x', vkeys: [] })).rejects.toThrow(LogExistsError)
    })

    it('has its signer replaced by whoever knows the one before', async () => {
      const { map } = await withMap()
      await map.setSigner('guard', { guardId: 'other', vkeys: ['c'] })
      expect(await map.head()).toMatchObject({ guardId: 'other', vkeys: ['c'] })
      await expect(map.setSigner('guard', { guardId: 'third', vkeys: [] })).rejects.toThrow(StaleSignerError)
    })

    it('grows leaf by leaf, with tiles that are its tree', async () => {
      const { map } = await withMap()
      let edge: Edge = EMPTY_EDGE
      for (let n = 0; n < 260; n++) edge = await appendTo(map, edge, n)
      const hashes = Array.from({ length: 260 }, (_, n) => naiveLeafHash(leaf(n)))
      expect(await map.head()).toMatchObject({ size: 260, root: naiveRoot(hashes), edge })
      expect(await map.leaves(255, 300)).toEqual([leaf(255), leaf(256), leaf(257), leaf(258), leaf(259)])
      const tile = (level: number, index: number) => ({ level, index, width: 1 })
      const tiles = await map.tiles([tile(0, 1), tile(1, 0), tile(0, 0), tile(2, 0)])
      expect(tiles.map((hashes) => Buffer.from(hashes))).toEqual([Buffer.concat(hashes.slice(256)), Buffer.from(naiveRoot(hashes.slice(0, 256))), Buffer.concat(hashes.slice(0, 256)), Buffer.alloc(0)])
    })

    it('is not appended to, not in part either, where its head or a tile is another', async () => {
      const { map } = await withMap()
      const edge = await appendTo(map, EMPTY_EDGE, 0)
      const before = await map.head()
      const good = appendOf(edge, 1)
      const bad: MapAppend[] = [appendOf(EMPTY_EDGE, 0), { ...good, from: { ...good.from, root: bytes(1) } }, { ...good, tiles: good.tiles.map((tile) => ({ ...tile, offset: 0 })) }]
      for (const append of bad) await expect(map.append(append)).rejects.toThrow(StaleHeadError)
      expect(await map.head()).toEqual(before)
      expect(await map.leaves(0, 9)).toEqual([leaf(0)])
      await map.append(good)
    })
  })

  describe('the buckets', () => {
    it('hold the version that the last change led to', async () => {
      const { map } = await withMap()
      const first = change(EMPTY, 5, [row(7, 1), row(1_048_575, 2, 3)])
      await map.change(first)
      expect(await map.version()).toEqual(first.to)
      expect(await map.buckets([1_048_575, 3, 7])).toEqual([bytes(2, 192), new Uint8Array(), bytes(1, 64)])
      const second = change(first.to, 9, [row(7, 4, 2), row(0, 5)])
      await map.change(second)
      expect(await map.buckets([0, 7, 1_048_575])).toEqual([bytes(5, 64), bytes(4, 128), bytes(2, 192)])
      expect(await map.bucketHashes(0, 2)).toEqual([{ bucket: 0, hash: bytes(5) }, { bucket: 7, hash: bytes(4) }])
      expect(await map.bucketHashes(8, 9)).toEqual([{ bucket: 1_048_575, hash: bytes(2) }])
      expect(await map.blocks([65_535, 4, 0])).toEqual(new Map([
        [65_535, hashesOf([15, 2])],
        [0, hashesOf([0, 5], [7, 4])],
      ]))
      await map.clear()
      expect(await map.version()).toEqual(EMPTY)
      expect(await map.blocks([0])).toEqual(new Map())
      expect(await map.bucketHashes(0, 9)).toEqual([])
    })

    it('stay as they are where they hold another version than the change begins with', async () => {
      const { map } = await withMap()
      const first = change(EMPTY, 5, [row(7, 1)])
      await map.change(first)
      await expect(map.change(change(EMPTY, 6, [row(7, 9)]))).rejects.toThrow(StaleHeadError)
      await expect(map.change(change({ ...first.to, root: bytes(9) }, 6, [row(7, 9)]))).rejects.toThrow(StaleHeadError)
      expect(await map.buckets([7])).toEqual([bytes(1, 64)])
    })

    it('may change by nothing, and by thousands', async () => {
      const { map } = await withMap()
      const first = change(EMPTY, 1, [])
      await map.change(first)
      const rows = Array.from({ length: 5_000 }, (_, i) => row(i * 200, i % 250, 1 + (i % 3)))
      await map.change(change(first.to, 2, rows))
      expect(await map.buckets(rows.map(({ bucket }) => bucket))).toEqual(rows.map(({ entries }) => entries))
    })
  })

  describe('the published checkpoint of the map', () => {
    it('comes together with the change that it is of, once, though it be asked for again', async () => {
      const { map } = await withMap()
      await appendTo(map, EMPTY_EDGE, 0)
      const first = change(EMPTY, 5, [row(7, 1)])
      await map.publish(publication(0, 0))
      await map.publish(publication(1, 1), first)
      await map.publish(publication(1, 1), first)
      await map.publish({ ...publication(1, 1), note: 'cosigned' })
      expect(await map.publication()).toEqual({ ...publication(1, 1), note: 'cosigned' })
      expect(await map.version()).toEqual(first.to)
      expect(await map.buckets([7])).toEqual([bytes(1, 64)])
    })

    it('never goes back, nor to another tree of its size, and then nothing changes', async () => {
      const { map } = await withMap()
      const edge = await appendTo(map, EMPTY_EDGE, 0)
      await appendTo(map, edge, 1)
      await map.publish(publication(2, 1))
      for (const stale of [publication(1, 1), publication(2, 2)]) {
        await expect(map.publish(stale)).rejects.toThrow(StalePublicationError)
        await expect(map.publish(stale, change(EMPTY, 5, [row(7, 1)]))).rejects.toThrow(StalePublicationError)
      }
      expect(await map.version()).toEqual(EMPTY)
    })

    it('does not come where the buckets hold another version', async () => {
      const { map } = await withMap()
      await appendTo(map, EMPTY_EDGE, 0)
      await map.publish(publication(0, 0))
      await expect(map.publish(publication(1, 1), change({ size: 3, root: bytes(3) }, 5, [row(7, 1)]))).rejects.toThrow(StaleHeadError)
      expect(await map.publication()).toEqual(publication(0, 0))
    })
  })
}

function hashesOf(...buckets: readonly [number, number][]): Uint8Array {
  const hashes = bytes(0, 16 * 32)
  for (const [bucket, value] of buckets) hashes.set(bytes(value), 32 * bucket)
  return hashes
}

function appendOf(edge: Edge, n: number): MapAppend {
  const growth = grow(edge, [leaf(n)])
  return { from: { size: edge.size, root: grow(edge, []).root }, to: { size: edge.size + 1, root: growth.root, edge: growth.edge }, leaf: leaf(n), tiles: growth.tiles }
}

async function appendTo(map: Store['map'], edge: Edge, n: number): Promise<Edge> {
  const append = appendOf(edge, n)
  await map.append(append)
  return append.to.edge
}

function row(bucket: number, value: number, entries = 1): BucketRow {
  return { bucket, hash: bytes(value), entries: bytes(value, 64 * entries) }
}

function change(from: MapVersion, size: number, rows: readonly BucketRow[]): MapChange {
  return { from, to: { size, root: bytes(size) }, rows }
}

function publication(size: number, root: number) {
  return { size, root: bytes(root), note: `note of ${size}`, publishedAt: 1_700_000_000_000 + size }
}
