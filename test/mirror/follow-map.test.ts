import { afterEach, describe, expect, it, vi } from 'vitest'
import { NotServedError, type TileReader } from '../../src/client/tile-reader.ts'
import { grow } from '../../src/core/growth.ts'
import { encodeMapLeaf } from '../../src/core/map/map-leaf.ts'
import { verifyStateProof } from '../../src/core/state-proof.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { systemClock } from '../../src/system.ts'
import { followMap, type MapFollowing, type MapSource } from '../../mirror/follow-map.ts'
import { checkMap, MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'
import { appendLeaves, emptyLog, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'

const WAIT = { timeout: 30_000, interval: 2 }
const resident = person('resident 0', 1)

interface MirrorSite {
  readonly store: Store
  readonly held: HeldMap
  readonly alarms: string[]
  /** Takes the first entries of the log, as a mirror does that has verified them. */
  grow(size: number): Promise<void>
  ended: unknown
  start(sources: readonly MapSource[]): void
  stop(): Promise<void>
}

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

describe('a mirror that follows the map', () => {
  it('derives every version itself, and serves the same proofs', async () => {
    const origin = await upstream()
    const mirror = await mirrorSite()
    mirror.start([sourceOf(origin.store)])
    for (const size of [0, 3, 8, 20]) {
      if (size > 0) await origin.grow(identityLeaves(size).slice((await origin.store.head())?.size ?? 0))
      await origin.shows(size)
      await mirror.grow(size)
      await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(size), WAIT)
    }
    const text = (await mirror.held.prove(resident.did)) ?? ''
    expect(verifyStateProof(text, resident.did, { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null }).leaf.size).toBe(20)
    expect(await mirror.store.map.head()).toMatchObject({ size: 4, root: (await origin.store.map.head())?.root, guardId: 'mirror' })
    await checkMap({ store: mirror.store, recorded: [] })
    expect(mirror.alarms).toEqual([])
  })

  it('waits for the entries, and goes on after a stop where it was', async () => {
    const origin = await upstream()
    await origin.grow(identityLeaves(5))
    await origin.shows(5)
    const mirror = await mirrorSite()
    await mirror.grow(2)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(async () => expect((await mirror.store.map.head())?.size).toBe(1), WAIT)
    expect(mirror.held.shown).toBeNull()
    await mirror.stop()
    await mirror.grow(5)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(5), WAIT)
    await mirror.stop()
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(5), WAIT)
  })

  it('asks the next where one has no map, or shows what was not signed', async () => {
    const origin = await upstream()
    const good = sourceOf(origin.store)
    const none: MapSource = { url: 'none', reader: good.reader, keys: () => Promise.reject(new NotServedError('none')) }
    const liar: MapSource = { url: 'liar', keys: good.keys, reader: { ...good.reader, checkpoint: async () => (await good.reader.checkpoint()).replace(/^1$/m, '2') } }
    const mirror = await mirrorSite()
    mirror.start([none, liar, good])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(0), WAIT)
    expect(mirror.alarms).toEqual([])
  })

  it.each([
    ['of which the entries lead to another root', { mapRoot: new Uint8Array(32).fill(1) }, 'the entries lead to another root'],
    ['of a tree that the log does not have', { root: new Uint8Array(32).fill(2) }, 'it names another tree of that size'],
  ])('stops at a map that was signed %s, and keeps what was shown', async (_, change, words) => {
    const origin = await upstream()
    await origin.grow(identityLeaves(4))
    await origin.shows(4)
    await origin.stop()
    const head = await origin.store.head()
    const map = await origin.store.map.head()
    if (head === null || map === null) throw new Error('there is a log')
    await origin.grow(identityLeaves(6).slice(4))
    const after = await origin.store.head()
    const bytes = encodeMapLeaf({ mapRoot: new Uint8Array(32), size: 6, root: after?.root ?? new Uint8Array(32), ...change })
    const grown = grow(map.edge, [bytes])
    await origin.store.map.append({ from: map, to: { size: grown.edge.size, root: grown.root, edge: grown.edge }, leaf: bytes, tiles: grown.tiles })
    await origin.store.map.publish({ size: grown.edge.size, root: grown.root, note: signCheckpoint({ origin: MAP_KEY.name, size: grown.edge.size, root: grown.root }, [MAP_KEY]), publishedAt: 0 })
    const mirror = await mirrorSite()
    await mirror.grow(6)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(String(mirror.ended)).toContain(words), WAIT)
    expect(mirror.alarms.length).toBe(1)
    expect((await mirror.store.map.head())?.size).toBe(map.size)
  })
})

async function upstream(): Promise<MapSite> {
  const store = await emptyLog()
  await publishAll(store)
  const site = await mapSite(store)
  ends.push(async () => {
    await site[Symbol.asyncDispose]()
  })
  site.start()
  await site.shows(0)
  return site
}

async function mirrorSite(): Promise<MirrorSite> {
  const store = await emptyLog()
  await publishAll(store)
  const tip = new Tip()
  let held = 0
  let stop: () => Promise<void> = () => Promise.resolve()
  const site: MirrorSite = {
    store,
    held: new HeldMap(store, systemClock),
    alarms: [],
    ended: null,
    async grow(size) {
      await appendLeaves(store, identityLeaves(size).slice(held, size))
      held = size
      await publishAll(store)
      tip.advancePublished(size)
    },
    start(sources) {
      const aborting = new AbortController()
      const following: MapFollowing = {
        store, tip, held: site.held, origin: LOG_KEY.name, guardId: 'mirror', sources: () => sources,
        keepAlarm: (words) => `alarm ${site.alarms.push(words)}`, clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(5, signal) }, log: () => undefined,
      }
      const running = followMap(following, aborting.signal).catch((error: unknown) => (site.ended = error))
      stop = async () => {
        aborting.abort()
        await running
      }
    },
    stop: () => stop(),
  }
  ends.push(() => stop())
  return site
}

function sourceOf({ map }: Store): MapSource {
  const reader: TileReader = {
    checkpoint: async () => (await map.publication())?.note ?? '',
    tile: async (tile) => ((await map.tiles([tile]))[0] ?? new Uint8Array()).subarray(0, tile.width * 32),
    bundle: async (index, width) => encodeBundle(await map.leaves(index * 256, index * 256 + width)),
  }
  return { url: 'upstream', reader, keys: () => Promise.resolve([MAP_KEY]) }
}
