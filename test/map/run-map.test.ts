import { afterEach, describe, expect, it, vi } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { grow } from '../../src/core/growth.ts'
import { decodeMapLeaf, encodeMapLeaf } from '../../src/core/map/map-leaf.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { parseStateProof, verifyStateProof } from '../../src/core/state-proof.ts'
import { openUnderPolicy } from '../../src/core/tlog/policy.ts'
import { Witnesses } from '../../src/log/witnesses.ts'
import { UNMADE_ROOT } from '../../src/map/derive.ts'
import { MAP_LIMITS } from '../../src/map/limits.ts'
import type { MapFaultPoint } from '../../src/storage/map-memory.ts'
import type { FaultPoint } from '../../src/storage/memory.ts'
import { systemClock } from '../../src/system.ts'
import { askFakes, fakeWitness, policyOf } from '../support/fake-witness.ts'
import { checkMap, MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { person, type Person } from '../support/people.ts'
import { appendLeaves, emptyLog, FIRST_MS, identityLeaves, LOG_KEY, publishAll, storedLog } from '../support/stored-log.ts'

const [alice, bob, carol] = ['m alice', 'm bob', 'm carol'].map((name) => person(name)) as [Person, Person, Person]
const stranger = person('m nobody')
const HOUR_MS = 3_600_000

const sites: MapSite[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site[Symbol.asyncDispose]()
})

// A log whose entries strike faults where they are told to.
async function site(faults: FaultPoint[] = []): Promise<MapSite> {
  const store = await emptyLog({
    fault(point) {
      if (faults[0] !== point) return
      faults.shift()
      throw new Error(`fault: ${point}`)
    },
  })
  await publishAll(store)
  const made = await mapSite(store)
  sites.push(made)
  return made
}

// Five rounds, with an update, a recovery, an end and an entry that is refused.
const rounds: readonly (readonly Uint8Array[])[] = [
  [...identityLeaves(3), leaf(alice, 0, alice.genesis), leaf(bob, 1, bob.genesis), leaf(carol, 2, carol.genesis)],
  [leaf(alice, 3, alice.update(alice.genesis)), leaf(bob, 4, bob.update(bob.genesis, { key: 2, handle: 'thief' }))],
  [leaf(bob, 5, bob.update(bob.genesis, { key: 0, handle: 'back' })), leaf(carol, 6, alice.update(alice.genesis, { handle: 'x' }))],
  [leaf(carol, 7, carol.tombstone(carol.genesis))],
  [leaf(stranger, 8, person('m other').genesis), leaf(alice, 9, alice.update(alice.update(alice.genesis), { handle: 'last' }))],
]

describe('the writer of the map', () => {
  it('begins with the log as it is, and follows it version by version', async () => {
    const made = await site()
    made.start()
    await made.shows(0)
    expect((await made.proved(alice.did)).state).toBeNull()
    let size = 0
    for (const round of rounds) {
      await made.grow(round)
      size += round.length
      await made.shows(size)
      await checkMap(made)
    }
    expect(decodeMapLeaf((await made.store.map.leaves(0, 1))[0] ?? new Uint8Array()).size).toBe(0)
    expect((await made.store.map.head())?.size).toBe(6)
    expect((await made.proved(alice.did)).identity?.chain.links.length).toBe(3)
    expect((await made.proved(bob.did)).state).toMatchObject({ entries: 3, head: 8, deactivated: false })
    expect((await made.proved(carol.did)).state).toMatchObject({ entries: 2, deactivated: true })
    expect(await made.proved(stranger.did)).toMatchObject({ state: null, identity: null, leaf: { size: 13 } })
  })

  it('makes no leaf where the log has not grown, and goes on after a stop where it was', async () => {
    const made = await site()
    made.start()
    await made.grow(rounds[0] ?? [])
    await made.shows(6)
    const leaves = (await made.store.map.head())?.size
    for (let i = 0; i < 3; i++) {
      await made.stop()
      made.start()
      await made.shows(6)
    }
    expect((await made.store.map.head())?.size).toBe(leaves)
    await made.grow(rounds[1] ?? [])
    await made.shows(8)
    await checkMap(made)
  })

  it('comes to the same map however often it looked: step by step, at once, and in pieces', async () => {
    const often = await site()
    often.start()
    for (const round of rounds) {
      await often.grow(round)
      await often.shows((await often.store.head())?.size ?? 0)
    }
    const once = await mapSite(await storedLog(rounds.flat()))
    sites.push(once)
    once.start()
    await once.shows(13)
    await checkMap(once)
    const pieces = await mapSite(await storedLog(rounds.flat()))
    sites.push(pieces)
    vi.spyOn(MAP_LIMITS, 'stepEntries', 'get').mockReturnValue(2 as never)
    const changes = vi.spyOn(pieces.store.map, 'change')
    pieces.start()
    await pieces.shows(13)
    // Seven steps of rows, and the hashes above them.
    expect(changes.mock.calls.length).toBe(8)
    vi.restoreAllMocks()
    await checkMap(pieces)
    const roots = await Promise.all([often, once, pieces].map(async ({ store }) => (await store.map.version())?.root))
    expect(roots[1]).toEqual(roots[0])
    expect(roots[2]).toEqual(roots[0])
    expect((await once.store.map.head())?.size).toBe(1)
  })

  it.each(['before', 'after'] as const)('goes on from rows whose hashes above are not made, wherever it was struck %s a change', async (when) => {
    const found: unknown[] = []
    for (let strike = 1; strike <= 8; strike++) {
      let changes = 0
      const store = await emptyLog({
        fault(point) {
          if (point === `${when} map change` && ++changes === strike) throw new Error('the connection is lost')
        },
      })
      await appendLeaves(store, rounds.flat())
      await publishAll(store)
      const made = await mapSite(store)
      sites.push(made)
      const load = vi.spyOn(made.store.map, 'version')
      vi.spyOn(MAP_LIMITS, 'stepEntries', 'get').mockReturnValue(2 as never)
      made.start()
      await made.shows(13)
      vi.restoreAllMocks()
      await checkMap(made)
      expect(changes).toBeGreaterThanOrEqual(strike)
      for (const { value } of load.mock.settledResults) found.push(value)
    }
    expect(found).toContainEqual(expect.objectContaining({ root: UNMADE_ROOT }))
  })

  const points = (['append', 'publish', 'change'] as const).flatMap((what): MapFaultPoint[] => [`before map ${what}`, `after map ${what}`])
  it.each(points)('that is struck %s tries again, and signs nothing twice', async (point) => {
    const faults: FaultPoint[] = []
    const made = await site(faults)
    made.start()
    await made.shows(0)
    for (const round of rounds) {
      // An append that was made is not made again.
      faults.push(...(point === 'after map append' ? [point] : [point, point]))
      await made.grow(round)
      if (point.endsWith('change')) faults.splice(0)
      await made.shows((await made.store.head())?.size ?? 0)
      await checkMap(made)
    }
    expect(faults).toEqual([])
  })

  // Each crash leaves the store and the guard as they are at that moment: whatever the process still wanted to do is refused.
  it.each(points.filter((point) => !point.endsWith('change')))('that ends %s derives the same version again', async (point) => {
    let crash: (() => void) | null = null
    let armed = false
    const store = await emptyLog({
      fault(at) {
        if (crash !== null) throw new Error('the process has ended')
        if (!armed || at !== point) return
        crash = () => undefined
        throw new Error('the process ends')
      },
    })
    await publishAll(store)
    const made = await mapSite(store)
    sites.push(made)
    made.start()
    await made.shows(0)
    for (const round of rounds) {
      await made.stop()
      await made.grow(round)
      armed = true
      made.start()
      await vi.waitFor(() => expect(crash).not.toBeNull(), { timeout: 30_000, interval: 1 })
      await made.stop()
      armed = false
      crash = null
      await checkMap(made)
      made.start()
      await made.shows((await made.store.head())?.size ?? 0)
      await checkMap(made)
    }
  })

  it('that ends before or after the guard has written signs the same leaf afterwards, and no other', async () => {
    for (const when of ['before', 'after'] as const) {
      let crash = false
      const store = await emptyLog()
      await publishAll(store)
      const made = await mapSite(store, (guard) => ({
        ...guard,
        record(head) {
          if (crash && when === 'before') throw new Error('the process ends')
          guard.record(head)
          if (crash) throw new Error('the process ends')
        },
      }))
      sites.push(made)
      made.start()
      await made.shows(0)
      for (const round of rounds) {
        crash = true
        await made.grow(round)
        const { size } = (await made.store.map.publication()) ?? { size: 0 }
        await vi.waitFor(async () => expect((await made.store.map.head())?.size).toBe(size + 1), { timeout: 30_000, interval: 1 })
        await made.stop()
        crash = false
        made.start()
        await made.shows((await made.store.head())?.size ?? 0)
        await checkMap(made)
      }
    }
  })

  it('signs nothing where the leaf that was appended has another root than the log leads to', async () => {
    const made = await site()
    await made.grow(rounds[0] ?? [])
    const { map } = made.store
    const append = map.append.bind(map)
    Object.assign(map, { append: async () => Promise.reject(new Error('the process ends')) })
    made.start()
    await vi.waitFor(() => expect(made.words.join()).toContain('the process ends'), { timeout: 30_000, interval: 1 })
    await made.stop()
    Object.assign(map, { append })
    const head = await map.head()
    if (head === null) throw new Error('there is a map')
    const wrong = encodeMapLeaf({ mapRoot: new Uint8Array(32).fill(1), size: 6, root: new Uint8Array(32).fill(2) })
    const grown = grow(head.edge, [wrong])
    await map.append({ from: head, to: { size: 1, root: grown.root, edge: grown.edge }, leaf: wrong, tiles: grown.tiles })
    const signed = made.recorded.length
    made.start()
    await vi.waitFor(() => expect(String(made.ended)).toContain('stele map rebuild'), { timeout: 30_000, interval: 1 })
    expect(made.recorded.length).toBe(signed)
    expect(made.held.shown).toBeNull()
  })

  it('goes on with a leaf that was thought to be lost and arrives after its reply', async () => {
    const made = await site()
    const { map } = made.store
    const own = { ...map }
    made.start()
    await made.shows(0)
    let late: () => Promise<void> = () => Promise.resolve()
    Object.assign(map, {
      append(...write: Parameters<typeof own.append>) {
        late = () => own.append(...write)
        map.append = (...write) => own.append(...write)
        return Promise.reject(new Error('the reply was lost'))
      },
      async version() {
        const arrives = late
        late = () => Promise.resolve()
        await arrives()
        return own.version()
      },
    })
    await made.grow(rounds[0] ?? [])
    await made.shows(6)
    await checkMap(made)
  })

  it('takes rows for damaged that are, and not for what a process before it wrote while they were read', async () => {
    const made = await site()
    const { map } = made.store
    const own = { ...map }
    made.start()
    await made.shows(0)
    let late: () => Promise<void> = () => Promise.resolve()
    Object.assign(map, {
      publish(...write: Parameters<typeof own.publish>) {
        late = () => own.publish(...write)
        return Promise.reject(new Error('the reply was lost'))
      },
    })
    await made.grow(rounds[0] ?? [])
    await vi.waitFor(async () => expect((await map.head())?.size).toBe(2), { timeout: 30_000, interval: 1 })
    await made.stop()
    Object.assign(map, {
      publish: (...write: Parameters<typeof own.publish>) => own.publish(...write),
      async blocks(asked: readonly number[]) {
        const arrives = late
        late = () => Promise.resolve()
        await arrives()
        return own.blocks(asked)
      },
    })
    made.start()
    await made.shows(6)
    await checkMap(made)
  })

  it('shows a version once its witnesses have seen it, and the log does not wait for them', async () => {
    const made = await site()
    const fake = fakeWitness('alice', [MAP_KEY], () => systemClock.timeOfDay())
    // The policy is that of the log, and names the log alone.
    const policy = { ...policyOf([LOG_KEY], [fake], 'quorum alice'), logs: [] }
    const witnesses = new Witnesses({
      policy, keys: [MAP_KEY], rates: new Map(), failOpen: false, store: made.store.map, ask: askFakes([fake]), clock: systemClock, lastSigned: () => made.recorded.at(-1)?.size ?? 0, keepAlarm: () => '', log: () => undefined,
    })
    made.start({ witnesses })
    await made.shows(0)
    fake.always = () => ({ status: 503, type: 'text/plain', body: '' })
    await made.grow(rounds[0] ?? [])
    await vi.waitFor(() => expect(witnesses.faults().join()).toContain('quorum'), { timeout: 30_000, interval: 5 })
    expect(made.held.shown?.leaf.size).toBe(0)
    await made.grow(rounds[1] ?? [])
    expect(made.tip.published).toBe(8)
    fake.always = null
    await made.shows(8)
    const text = (await made.held.prove(alice.did)) ?? ''
    const trust = { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null }
    expect(openUnderPolicy(parseStateProof(text).mapCheckpoint, { ...policy, logs: [{ key: MAP_KEY, vkey: '', url: null }] }).checkpoint.size).toBe(3)
    expect(verifyStateProof(text, alice.did, trust).leaf.size).toBe(8)
    await checkMap(made)
    await made.stop()
    await witnesses.stop()
  })

  it('says so, and shows nothing, where the rows are not those that were written', async () => {
    const made = await site()
    made.start()
    await made.grow(rounds[0] ?? [])
    await made.shows(6)
    await made.stop()
    const [first] = await made.store.map.bucketHashes(0, 1)
    const version = await made.store.map.version()
    if (first === undefined || version === null) throw new Error('there is a bucket')
    await made.store.map.change({ from: version, to: version, rows: [{ bucket: first.bucket, hash: new Uint8Array(32).fill(7), entries: new Uint8Array(64) }] })
    made.start()
    await vi.waitFor(() => expect(String(made.ended)).toContain('stele map rebuild'), { timeout: 30_000, interval: 1 })
    expect(await made.held.prove(alice.did)).toBeNull()
  })
})

function leaf({ did }: Person, hour: number, operation: Operation): Uint8Array {
  return encodeEntry({ did, createdAt: FIRST_MS + 10_000 + hour * HOUR_MS, operation, source: null })
}
