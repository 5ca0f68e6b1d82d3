/** An upstream that shows the map of four entries and has stopped, and a mirror that has come to it. */
async function bothAtFour(): Promise<{ readonly origin: MapSite; readonly mirror: MirrorSite }> {
  const origin = await upstream()
  await origin.grow(identityLeaves(4))
  await origin.shows(4)
  await origin.stop()
  const mirror = await mirrorSite()
  await mirror.grow(4)
  mirror.start([sourceOf(origin.store)])
  await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(4), WAIT)
  return { origin, mirror }
}

// A mirror that follows the map: it derives every version itself, cosigns only what is equal, and stops at what is not, with evidence.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openCosigner, type MirrorCosigner } from '../../mirror/cosigner.ts'
import { EvidenceFolder } from '../../mirror/evidence-folder.ts'
import { MapFollowing } from '../../mirror/follow-map.ts'
import type { MapSource } from '../../mirror/map-source.ts'
import { tilesOf } from '../../mirror/checkpoints.ts'
import { NotServedError, type TileReader } from '../../src/client/tile-reader.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { describeContradiction, verifyEvidence } from '../../src/core/evidence.ts'
import { decodeMapLeaf, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { verifyStateProof } from '../../src/core/state-proof.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { openKeyStatement, signKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, parseVerifierKey, verifyNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { deriveVersion } from '../../src/map/derive.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { systemClock } from '../../src/system.ts'
import { appendMapLeaf, appendNextLeaf, publishMap } from '../support/map-leaves.ts'
import { checkMap, MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'
import { appendLeaves, emptyLog, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'

const WAIT = { timeout: 30_000, interval: 2 }
const resident = person('resident 0', 1)
const KEYS = [LOG_KEY, MAP_KEY]
const NEXT_KEY = makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(44))

interface MirrorSite {
  readonly store: Store
  readonly held: HeldMap
  readonly cosigner: MirrorCosigner | null
  readonly said: string[]
  readonly following: MapFollowing
  /** Takes the first entries of the log, as a mirror does that has verified them. */
  grow(size: number): Promise<void>
  start(sources: readonly MapSource[]): void
  stop(): Promise<void>
  /** Files that it keeps, by their names. */
  kept(kind: 'evidence' | 'alarms'): Map<string, Uint8Array>
}

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

describe('a mirror that follows the map', () => {
  it('derives every version itself, serves the same proofs, and cosigns the checkpoints', async () => {
    const origin = await upstream()
    const mirror = await mirrorSite('mirror.test/map')
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
    const note = parseNote((await mirror.store.map.publication())?.note ?? '')
    expect(verifyNote(note, mirror.cosigner?.vkeys.map(parseVerifierKey) ?? [])).toHaveLength(2)
    expect([mirror.kept('alarms').size, mirror.kept('evidence').size, mirror.following.trouble]).toEqual([0, 0, null])
    expect(mirror.said).toEqual([expect.stringContaining('WARNING: no --map-vkey was given') as string])
  })

  it('waits for the entries, and goes on after a stop where it was', async () => {
    const origin = await upstream()
    await origin.grow(identityLeaves(5))
    await origin.shows(5)
    const mirror = await mirrorSite()
    await mirror.grow(2)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.following.trouble).toBe('the newest version of the map is of 5 entries, and 2 are verified here'), WAIT)
    expect(mirror.held.shown).toBeNull()
    await mirror.stop()
    await mirror.grow(5)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(5), WAIT)
    await mirror.stop()
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(5), WAIT)
  })

  it('writes the rows of its newest leaf where a crash came between the two', async () => {
    const origin = await upstream()
    const mirror = await mirrorSite()
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(0), WAIT)
    await mirror.stop()
    await origin.grow(identityLeaves(4))
    await origin.shows(4)
    await mirror.grow(4)
    await appendMapLeaf(mirror.store, decodeMapLeaf((await origin.store.map.leaves(1, 2))[0] ?? new Uint8Array()))
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown).toMatchObject({ leaves: 2, leaf: { size: 4 } }), WAIT)
    await checkMap({ store: mirror.store, recorded: [] })
  })

  it('asks the next where one has no map, or shows what was not signed', async () => {
    const origin = await upstream()
    const good = sourceOf(origin.store)
    const none: MapSource = { ...good, url: 'none', keys: () => Promise.reject(new NotServedError('none')) }
    const liar: MapSource = { ...good, url: 'liar', reader: { ...good.reader, checkpoint: async () => (await good.reader.checkpoint()).replace(/^1$/m, '2') } }
    const mirror = await mirrorSite()
    mirror.start([none, liar, good])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(0), WAIT)
    expect([mirror.kept('alarms').size, mirror.following.halted]).toEqual([0, null])
  })

  it('knows that a leaf which nobody has published is right, and cosigns it only then', async () => {
    const origin = await upstream()
    await origin.grow(identityLeaves(4))
    await origin.shows(4)
    await origin.stop()
    const mirror = await mirrorSite()
    await mirror.grow(4)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaves).toBe(2), WAIT)
    await origin.grow(identityLeaves(7).slice(4))
    const next = await appendNextLeaf(origin.store)
    const reaches = (ms: number): Promise<boolean> => mirror.following.reaches(next, AbortSignal.timeout(ms))
    expect(await reaches(200), 'its entries are not here').toBe(false)
    await mirror.grow(7)
    expect(await reaches(30_000)).toBe(true)
    expect(await reaches(30_000), 'again, without asking').toBe(true)
    expect((await mirror.store.map.head())?.size, 'nothing is taken before it is published').toBe(2)
    const other = { origin: MAP_KEY.name, size: 3, root: new Uint8Array(32).fill(7) }
    expect(await mirror.following.reaches({ checkpoint: other, note: signCheckpoint(other, [MAP_KEY]) }, AbortSignal.timeout(200)), 'leaves that nobody shows').toBe(false)
    const same = (await mirror.store.map.head()) ?? { size: 0, root: new Uint8Array() }
    const again = { origin: MAP_KEY.name, size: same.size, root: same.root }
    expect(await mirror.following.reaches({ checkpoint: again, note: signCheckpoint(again, [MAP_KEY]) }, AbortSignal.timeout(30_000))).toBe(true)
    await publishMap(origin.store, next)
    await vi.waitFor(() => expect(mirror.held.shown).toMatchObject({ leaves: 3, leaf: { size: 7 } }), WAIT)
    await checkMap({ store: mirror.store, recorded: [] })
    expect(mirror.following.halted).toBeNull()
  })

  it.each<[string, string, string, Partial<MapLeaf> | Uint8Array]>([
    ['of which the entries lead to another root', 'root', 'lead to another root', { mapRoot: new Uint8Array(32).fill(1) }],
    ['of a tree that the log does not have', 'tree', 'names another tree of that size', { root: new Uint8Array(32).fill(2) }],
    ['that goes back', 'order', 'comes after one of 4', { size: 3 }],
    ['that is none', 'leaf', 'is no version of a map', utf8Encode('no leaf\n')],
  ])('stops at a leaf %s, published or only to be cosigned, keeps what was shown and writes evidence', async (_, fault, words, change) => {
    for (const published of [true, false]) {
      const { origin, mirror } = await bothAtFour()
      const map = await origin.store.map.head()
      await origin.grow(identityLeaves(6).slice(4))
      await mirror.grow(6)
      const next = await appendNextLeaf(origin.store, change)
      if (published) await publishMap(origin.store, next)
      else expect(await mirror.following.reaches(next, AbortSignal.timeout(30_000))).toBe(false)
      await vi.waitFor(() => expect(mirror.following.halted).toContain(words), WAIT)
      expect((await mirror.store.map.head())?.size).toBe(map?.size)
      expect(mirror.held.shown?.leaf.size).toBe(4)
      expect(mirror.kept('alarms').size).toBe(0)
      const found = verifyEvidence(mirror.kept('evidence').get(`wrong-map-${fault}-${map?.size}.evidence`) ?? new Uint8Array(), KEYS)
      expect(found.evidence).toMatchObject({ kind: 'wrong-map', fault })
      expect(found.replay !== null, 'what only a replay shows').toBe(fault === 'root')
      expect(describeContradiction(found)).toContain(`leaf ${map?.size}`)
      await mirror.stop()
    }
  })

  it.each<[string, 'root' | 'order', Partial<MapLeaf>]>([
    ['that a replay shows', 'root', { mapRoot: new Uint8Array(32).fill(1) }],
    ['that anybody sees', 'order', { size: 3 }],
  ])('goes on to prove by the last version that was published where a wrong leaf, %s, is read behind right ones, and after it was started again', async (_, fault, change) => {
    const { origin, mirror } = await bothAtFour()
    await mirror.stop()
    for (const size of [6, 9]) {
      await origin.grow(identityLeaves(size).slice(size === 6 ? 4 : 6))
      await appendNextLeaf(origin.store)
    }
    await origin.grow(identityLeaves(11).slice(9))
    await publishMap(origin.store, await appendNextLeaf(origin.store, change))
    await mirror.grow(11)
    const stopsAndProves = async (): Promise<void> => {
      mirror.start([sourceOf(origin.store)])
      await vi.waitFor(() => expect(mirror.following.halted).toContain('wrong'), WAIT)
      await vi.waitFor(() => expect(mirror.held.shown).toMatchObject({ leaves: 2, leaf: { size: 4 } }), WAIT)
      const { leaf, identity } = verifyStateProof((await mirror.held.prove(resident.did)) ?? '', resident.did, { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null })
      expect([leaf.size, identity === null, await mirror.held.prove(person('nobody').did) === null]).toEqual([4, false, false])
      await mirror.stop()
    }
    await stopsAndProves()
    expect([(await mirror.store.map.head())?.size, (await mirror.store.map.version())?.size]).toEqual([4, 4])
    expect([...mirror.kept('evidence').keys()]).toEqual([`wrong-map-${fault}-4.evidence`])
    await stopsAndProves()
    const { change: later } = await deriveVersion(mirror.store, mirror.held.tree, (await mirror.store.map.version()) ?? { size: 0, root: new Uint8Array() }, 9, new AbortController().signal)
    await mirror.store.map.change(later)
    await stopsAndProves()
    await checkMap({ store: mirror.store, recorded: [] })
  })

  it('derives many versions in memory and writes them with the checkpoint of the last', async () => {
    const origin = await upstream()
    const mirror = await mirrorSite('mirror.test/map')
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(0), WAIT)
    await mirror.stop()
    await origin.stop()
    let next = null
    for (const size of [1, 2, 5, 20, 40]) {
      await origin.grow(identityLeaves(size).slice((await origin.store.head())?.size ?? 0))
      next = await appendNextLeaf(origin.store)
    }
    if (next !== null) await publishMap(origin.store, next)
    await mirror.grow(21)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(async () => expect([mirror.following.leaves, mirror.following.trouble]).toEqual([5, 'the newest version of the map is of 40 entries, and 21 are verified here']), WAIT)
    expect([(await mirror.store.map.version())?.size, mirror.held.shown?.leaf.size], 'the one that is published is shown').toEqual([0, 0])
    await mirror.grow(40)
    await vi.waitFor(() => expect(mirror.held.shown).toMatchObject({ leaves: 6, leaf: { size: 40 } }), WAIT)
    await checkMap({ store: mirror.store, recorded: [] })
    expect(mirror.following.halted).toBeNull()
  })

  it.each<[string, readonly SigningKey[], boolean]>([
    ['goes over to a key that the one before it has announced, and cosigns under it', [MAP_KEY, NEXT_KEY], true],
    ['goes over to no key that announces itself', [NEXT_KEY], false],
  ])('%s', async (_, signers, learns) => {
    const origin = await upstream()
    const mirror = await mirrorSite('mirror.test/map')
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(0), WAIT)
    expect(await mirror.store.map.keyStatement(), 'as it was shown').toBe(await origin.store.map.keyStatement())
    await origin.stop()
    await origin.grow(identityLeaves(4))
    await mirror.grow(4)
    const guardId = (await origin.store.map.head())?.guardId ?? ''
    const statement = signKeyStatement({ origin: MAP_KEY.name, signing: [NEXT_KEY], retired: [MAP_KEY] }, signers)
    await origin.store.map.setSigner(guardId, { guardId, vkeys: [formatVerifierKey(NEXT_KEY)], statement })
    const { checkpoint } = await appendNextLeaf(origin.store)
    await publishMap(origin.store, { checkpoint, note: signCheckpoint(checkpoint, [NEXT_KEY]) })
    if (!learns) {
      await vi.waitFor(() => expect(mirror.following.trouble).toContain('No signature by a known key'), WAIT)
      expect([mirror.held.shown?.leaf.size, (await mirror.store.map.head())?.vkeys]).toEqual([0, [formatVerifierKey(MAP_KEY)]])
      return
    }
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(4), WAIT)
    expect([await mirror.store.map.keyStatement(), (await mirror.store.map.head())?.vkeys]).toEqual([statement, [formatVerifierKey(NEXT_KEY)]])
    expect(verifyNote(parseNote((await mirror.store.map.publication())?.note ?? ''), mirror.cosigner?.vkeys.map(parseVerifierKey) ?? [])).toHaveLength(2)
    await mirror.stop()
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect([mirror.following.leaves, mirror.following.trouble]).toEqual([2, null]), WAIT)
  })

  it('stops where the log of the map contradicts itself, for ever', async () => {
    const origin = await upstream()
    await origin.grow(identityLeaves(4))
    await origin.shows(4)
    const mirror = await mirrorSite()
    await mirror.grow(4)
    mirror.start([sourceOf(origin.store)])
    await vi.waitFor(() => expect(mirror.held.shown?.leaf.size).toBe(4), WAIT)
    const other = signCheckpoint({ origin: MAP_KEY.name, size: 2, root: new Uint8Array(32).fill(5) }, [MAP_KEY])
    const honest = sourceOf(origin.store)
    const forked: MapSource = { ...honest, reader: { ...honest.reader, checkpoint: () => Promise.resolve(other) } }
    await mirror.stop()
    mirror.start([forked])
    await vi.waitFor(() => expect(mirror.following.halted).toContain('contradicts the 2 leaves held here'), WAIT)
    const [file] = mirror.kept('evidence').values()
    expect(verifyEvidence(file ?? new Uint8Array(), [MAP_KEY])).toMatchObject({ evidence: { kind: 'two-roots' }, origin: MAP_KEY.name })
    await mirror.stop()
    mirror.start([honest])
    await vi.waitFor(() => expect(mirror.following.halted).toContain('signed two trees of 2 entries'), WAIT)
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

async function mirrorSite(name: string | null = null): Promise<MirrorSite> {
  const store = await emptyLog()
  await publishAll(store)
  const tip = new Tip()
  const dataDir = mkdtempSync(join(tmpdir(), 'stele-map-mirror-'))
  const folder = new EvidenceFolder(dataDir, LOG_KEY.name, () => systemClock.timeOfDay())
  const cosigner = name === null ? null : openCosigner({
    dataDir, name, freshName: () => '', origin: LOG_KEY.name, logKeys: [LOG_KEY], tilesOf: (origin) => tilesOf(origin === LOG_KEY.name ? store : store.map),
    clock: systemClock, clientIpHeader: null, log: () => undefined,
  })
  let held = 0
  let following: MapFollowing | null = null
  let stop: () => Promise<void> = () => Promise.resolve()
  const begin = (sources: readonly MapSource[], signal: AbortSignal): MapFollowing =>
    new MapFollowing(
      {
        store, tip, held: site.held, origin: LOG_KEY.name, guardId: 'mirror', keys: null, logKeys: () => [LOG_KEY], sources: () => sources, folder, cosigner,
        clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(20, signal) }, log: () => undefined, say: (words) => void site.said.push(words),
      },
      signal,
    )
  const site: MirrorSite = {
    store,
    held: new HeldMap(store, systemClock),
    cosigner,
    said: [],
    get following() {
      if (following === null) throw new Error('it has not begun')
      return following
    },
    async grow(size) {
      await appendLeaves(store, identityLeaves(size).slice(held, size))
      held = size
      await publishAll(store)
      tip.advancePublished(size)
    },
    start(sources) {
      const aborting = new AbortController()
      following = begin(sources, aborting.signal)
      const running = following.run()
      stop = async () => {
        aborting.abort()
        await running
      }
    },
    stop: () => stop(),
    kept: (kind) => new Map(namesIn(join(dataDir, kind)).map((name) => [name, Uint8Array.from(readFileSync(join(dataDir, kind, name)))])),
  }
  ends.push(async () => {
    await stop()
    cosigner?.[Symbol.dispose]()
    rmSync(dataDir, { recursive: true })
  })
  return site
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function sourceOf({ map }: Store): MapSource {
  const reader: TileReader = {
    checkpoint: async () => (await map.publication())?.note ?? '',
    tile: async (tile) => ((await map.tiles([tile]))[0] ?? new Uint8Array()).subarray(0, tile.width * 32),
    bundle: async (index, width) => encodeBundle(await map.leaves(index * 256, index * 256 + width)),
  }
  return {
    url: 'upstream',
    reader,
    keys: () => Promise.resolve([MAP_KEY]),
    async statement(known) {
      const note = await map.keyStatement()
      return note === null ? null : { statement: openKeyStatement(note, known), note }
    },
    async next() {
      const size = (await map.publication())?.size ?? 0
      const [leaf] = await map.leaves(size, size + 1)
      if (leaf === undefined) throw new NotServedError('none')
      return leaf
    },
  }
}
