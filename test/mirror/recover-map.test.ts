// The log of a map behind its guard, filled from a mirror: whole, or not touched at all; and the map that goes on from it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { recoverMap, type MapRecoveryPorts } from '../../mirror/recover-map.ts'
import { httpTileReader, type TileReader } from '../../src/client/tile-reader.ts'
import { refuseMirror } from '../../src/log/open-log.ts'
import { createGuard } from '../../src/log/guard.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { runMap } from '../../src/map/run-map.ts'
import { makeSigningKey, KEY_TYPES } from '../../src/core/tlog/note.ts'
import type { Publication, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { systemClock } from '../../src/system.ts'
import { checkMap, MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { appendLeaves, emptyLog, identityLeaves, publishAll, storedLog } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

const SIZES = [3, 20, 21, 60]
const LEAVES = identityLeaves(70)
/** As `mapSite` names it. */
const GUARD = 'guard of the map'

describe('recovering the log of a map', () => {
  let served: ServedLog
  let site: MapSite
  let front: Front
  const published: Publication[] = []
  const heads: { readonly size: number; readonly root: Uint8Array }[] = []

  beforeAll(async () => {
    served = await serveLog([])
    front = await openFront(served)
    site = await mapSite(served.store)
    for (const [i, size] of SIZES.entries()) {
      await site.grow(LEAVES.slice(SIZES[i - 1] ?? 0, size))
      site.start()
      await site.shows(size)
      await site.stop()
      const [head, publication] = [await served.store.map.head(), await served.store.map.publication()]
      if (head === null || publication === null) throw new Error('there is a map')
      heads.push(head)
      published.push(publication)
    }
    await appendLeaves(served.store, LEAVES.slice(60))
    await publishAll(served.store)
  }, 60_000)
  afterAll(async () => {
    for (const one of [site, front, served]) await one[Symbol.asyncDispose]()
  })

  function guardOf(version: number): MapRecoveryPorts['guard'] {
    const { size, root } = heads[version] ?? { size: 0, root: new Uint8Array() }
    return { id: GUARD, size, root }
  }

  /** Shows the map as it was at a version, and nothing newer. */
  function showOnly(version: number): void {
    front.answer = (path, body) => (path === '/map/checkpoint' ? Buffer.from(published[version]?.note ?? '') : body)
  }

  function recover(store: Store, guard: MapRecoveryPorts['guard'], given: Partial<MapRecoveryPorts> = {}): ReturnType<typeof recoverMap> {
    return recoverMap({ store, url: front.url, guard, origin: MAP_KEY.name, keys: [MAP_KEY], reader: httpTileReader(`${front.url}/map`, { attempts: 1 }), now: () => 1, signal: new AbortController().signal, ...given })
  }

  /** Takes the map up where it is, with the guard that was kept, until it shows a version of all entries. */
  async function goesOn(store: Store, { id, size, root }: MapRecoveryPorts['guard']): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'stele-recovered-map-'))
    const stop = new AbortController()
    const guard = createGuard(join(folder, 'guard.sqlite'), MAP_KEY.name, id, { size, root })
    try {
      const entries = (await store.publication())?.size ?? 0
      const held = new HeldMap(store, systemClock)
      const running = runMap({ store, tip: new Tip({ durable: entries, published: entries }), held, guard, keys: [MAP_KEY], witnesses: null, intervalMs: 1, checkpointIntervalMs: 1, clock: systemClock, log: () => undefined }, stop.signal)
      await Promise.race([running, vi.waitFor(() => expect(held.shown?.leaf.size).toBe(entries), { timeout: 30_000, interval: 2 })])
      stop.abort()
      await running
      await checkMap({ store, recorded: [] })
    } finally {
      guard[Symbol.dispose]()
      rmSync(folder, { recursive: true })
    }
  }

  it('from nothing, to what its guard has signed, and its checkpoint with it; and the map goes on', async () => {
    front.answer = (_path, body) => body
    const store = await storedLog(LEAVES)
    expect(await recover(store, guardOf(3))).toMatchObject({ from: 0, to: heads[3]?.size, published: heads[3]?.size })
    expect(await store.map.leaves(0, 99)).toEqual(await served.store.map.leaves(0, 99))
    expect((await store.map.publication())?.note).toBe(published[3]?.note)
    expect([await store.map.keyStatement(), await store.map.keyStatement() === null]).toEqual([await served.store.map.keyStatement(), false])
    expect(await recover(store, guardOf(3)), 'again: there is nothing to do').toMatchObject({ from: heads[3]?.size, to: heads[3]?.size })
    await goesOn(store, guardOf(3))
  })

  it.each([0, 1, 2])('from what was kept at version %i, with the rows of that time', async (version) => {
    const store = await storedLog(LEAVES)
    showOnly(version)
    await recover(store, guardOf(version))
    showOnly(3)
    expect(await recover(store, guardOf(3))).toMatchObject({ from: heads[version]?.size, to: heads[3]?.size })
    await goesOn(store, guardOf(3))
  })

  it.each([1, 2, 3])('derives version %i anew, which was signed and never published', async (version) => {
    const store = await storedLog(LEAVES)
    showOnly(version - 1)
    expect(await recover(store, guardOf(version))).toMatchObject({ from: 0, to: heads[version]?.size, published: heads[version - 1]?.size })
    expect(await store.map.leaves(0, 99)).toEqual(await served.store.map.leaves(0, heads[version]?.size ?? 0))
    await goesOn(store, guardOf(version))
  })

  it('goes on after it was cut short, and until it is done nobody opens it', async () => {
    showOnly(3)
    const store = await storedLog(LEAVES)
    const broken = new Error('the disk is gone')
    const spoiled: Store = { ...store, map: { ...store.map, append: (append) => (append.from.size === 2 ? Promise.reject(broken) : store.map.append(append)) } }
    await expect(recover(spoiled, guardOf(3))).rejects.toBe(broken)
    const head = await store.map.head()
    if (head === null) throw new Error('it was begun')
    expect(() => refuseMirror(head)).toThrow(/was cut short/)
    expect(await recover(store, guardOf(3))).toMatchObject({ to: heads[3]?.size })
    await goesOn(store, guardOf(3))
  })

  it.each<[string, RegExp, () => Promise<{ store: Store; guard: MapRecoveryPorts['guard']; given?: Partial<MapRecoveryPorts> }>]>([
    ['who shows more than the guard has signed', /shows \d+ versions of the map that its key has signed, but the guard remembers/, async () => ({ store: await storedLog(LEAVES), guard: guardOf(2) })],
    ['who shows another map of that size', /two have signed with one key/, async () => ({ store: await storedLog(LEAVES), guard: { ...guardOf(3), root: new Uint8Array(32) } })],
    ['who lacks more than one version', /holds \d of the \d versions.*Ask another mirror/, async () => {
      showOnly(1)
      return { store: await storedLog(LEAVES), guard: guardOf(3) }
    }],
    ['who lacks one that the log does not lead to', /the last one cannot be derived/, async () => {
      showOnly(2)
      return { store: await storedLog([...LEAVES.slice(0, 25), ...LEAVES.slice(26)]), guard: guardOf(3) }
    }],
    ['whose key is another', /is not signed by the key of this map/, async () => ({ store: await storedLog(LEAVES), guard: guardOf(3), given: { keys: [makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(5))] } })],
    ['who has no map', /has no map/, async () => {
      const plain = await openFront(served)
      plain.answer = (path, body) => (path.startsWith('/map') ? null : body)
      return { store: await storedLog(LEAVES), guard: guardOf(3), given: { url: plain.url, reader: httpTileReader(`${plain.url}/map`, { attempts: 1 }) } }
    }],
    ['where the database is of another guard', /names another guard/, async () => {
      const store = await emptyLog()
      await store.map.create({ origin: MAP_KEY.name, guardId: 'other', vkeys: [] })
      return { store, guard: guardOf(3) }
    }],
  ])('is refused, and nothing is changed: from %s', async (_name, words, make) => {
    front.answer = (_path, body) => body
    const { store, guard, given } = await make()
    const before = await store.map.head()
    await expect(recover(store, guard, given)).rejects.toThrow(words)
    expect(await store.map.head()).toEqual(before)
  })

  it('takes no bundle that does not lead to the root', async () => {
    showOnly(3)
    const store = await storedLog(LEAVES)
    const whole = httpTileReader(`${front.url}/map`, { attempts: 1 })
    const spoiled: TileReader = { ...whole, bundle: async (index, width) => (await whole.bundle(index, width)).map((byte, i) => (i === 8 ? byte ^ 1 : byte)) }
    await expect(recover(store, guardOf(3), { reader: spoiled })).rejects.toThrow(/does not hold the entries of the tree/)
    expect(await recover(store, guardOf(3))).toMatchObject({ to: heads[3]?.size })
  })
})
