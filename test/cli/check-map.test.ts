import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkMap } from '../../src/cli/check-map.ts'
import { UNMADE_ROOT } from '../../src/map/derive.ts'
import type { Store } from '../../src/storage/store.ts'
import { mapSite, type MapSite } from '../support/map-writer.ts'
import { emptyLog, identityLeaves, publishAll } from '../support/stored-log.ts'

const signal = new AbortController().signal

describe('the check of a stored map', () => {
  let site: MapSite
  let store: Store
  beforeEach(async () => {
    store = await emptyLog()
    await publishAll(store)
    site = await mapSite(store)
    site.start()
    await site.shows(0)
    await site.grow(identityLeaves(7))
    await site.shows(7)
    await site.stop()
  })
  afterEach(() => site[Symbol.asyncDispose]())

  it('finds nothing in one that is whole, nor where there is none', async () => {
    expect(await checkMap(store, signal)).toEqual([])
    expect(await checkMap(await emptyLog(), signal)).toEqual([])
  })

  it('finds a bucket that holds something else, though its hash be right', async () => {
    const [first] = await store.map.bucketHashes(0, 1)
    const version = await store.map.version()
    if (first === undefined || version === null) throw new Error('there is a bucket')
    await store.map.change({ from: version, to: version, rows: [{ ...first, entries: new Uint8Array(64) }] })
    expect((await checkMap(store, signal)).map(({ where }) => where)).toEqual([`map bucket ${first.bucket}`])
  })

  it('finds rows of another version than they say', async () => {
    const version = await store.map.version()
    if (version === null) throw new Error('there is a map')
    const withRoot = (root: Uint8Array): Store => ({ ...store, map: { ...store.map, version: async () => ({ ...version, root }) } })
    expect((await checkMap(withRoot(new Uint8Array(32).fill(1)), signal)).map(({ where }) => where)).toEqual(['map buckets', 'map'])
    expect(await checkMap(withRoot(UNMADE_ROOT), signal), 'a root that is not made yet is no other').toEqual([])
  })

  it('finds leaves, tiles and a checkpoint that are not what they should be', async () => {
    const spoiled: [Partial<Store['map']>, string[]][] = [
      [{ leaves: async (start, end) => (await store.map.leaves(start, end)).map((leaf, i) => (i === 1 ? new Uint8Array([1]) : leaf)) }, ['map tile 0/0', 'map leaf 1', 'map head']],
      [{ tiles: async (tiles) => tiles.map(() => new Uint8Array(64)) }, ['map tile 0/0']],
      [{ leaves: async () => [] }, ['map log', 'map head']],
      [{ publication: async () => null }, ['map publication']],
      [{ publication: async () => ({ size: 2, root: new Uint8Array(32), note: 'no note', publishedAt: 0 }) }, ['map publication']],
    ]
    for (const [map, where] of spoiled) expect((await checkMap({ ...store, map: { ...store.map, ...map } }, signal)).map((problem) => problem.where)).toEqual(where)
  })

  it('finds a leaf of a tree that the log does not have', async () => {
    const other = { ...store, tiles: async (tiles: readonly unknown[]) => tiles.map(() => new Uint8Array(7 * 32)) }
    expect((await checkMap(other, signal)).map(({ where }) => where)).toEqual(['map leaf 1'])
  })
})
