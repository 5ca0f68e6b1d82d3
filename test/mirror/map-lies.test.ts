// A mirror and the map of its upstream, over the network: what it cosigns of it, and what it does where the map that was signed is not the log's.

import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { tilesOf } from '../../mirror/checkpoints.ts'
import { readProof } from '../../src/client/log-client.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { verifyStateProof } from '../../src/core/state-proof.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, parseVerifierKey, verifyNote, type VerifierKey } from '../../src/core/tlog/note.ts'
import { consistencyPlan } from '../../src/core/tlog/proof.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import type { MirrorConfig } from '../../mirror/start-mirror.ts'
import { appendNextLeaf, mapRootOf, publishMap, type SignedMap } from '../support/map-leaves.ts'
import { MAP_KEY } from '../support/map-writer.ts'
import { openMirror, until, type TestMirror } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { newHome } from '../support/program.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openAnswer } from '../support/witness.ts'
import { serveLog, type ServedLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(60)
const BEFORE = 40
const COSIGN = { cosign: { name: 'mirror.test/map' } }
const resident = person('resident 0', 1)
const home = newHome()
afterAll(() => home[Symbol.dispose]())

interface Scene extends AsyncDisposable {
  readonly upstream: ServedLog
  readonly mirror: TestMirror
  /** What health says of the map, and of all. */
  health(): Promise<{ readonly alarm: string | null; readonly faults: readonly string[]; readonly map: { readonly size: number | null; readonly leaves: number; readonly fault: string | null } }>
  /** Asks the mirror to cosign a checkpoint of the map. */
  ask(signed: SignedMap, oldSize: number): Promise<{ readonly status: number; readonly text: string }>
}

/** A mirror that has followed an upstream of so many entries, and its map of one leaf. */
async function openScene(config: Partial<MirrorConfig> = COSIGN): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const upstream = stack.use(await serveLog(LEAVES.slice(0, BEFORE)))
  await publishMap(upstream.store, await appendNextLeaf(upstream.store))
  const mirror = stack.use(await openMirror([upstream], config))
  await mirror.reaches(BEFORE)
  const owned = stack.move()
  const scene: Scene = {
    upstream, mirror,
    health: async () => (await fetch(`${mirror.url}/_health`)).json() as ReturnType<Scene['health']>,
    async ask({ checkpoint: { size }, note }, oldSize) {
      const proof = await readProof(tilesOf(upstream.store.map), consistencyPlan(oldSize, size), size)
      const response = await fetch(`${mirror.url}/add-checkpoint`, { method: 'POST', body: formatAddCheckpoint({ oldSize, proof, note: parseNote(note) }) })
      return { status: response.status, text: await response.text() }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
  if (config.mapVkeys === undefined) await until(async () => (await scene.health()).map.leaves === 1, () => 'the map is followed')
  return scene
}

const keysOf = async (mirror: TestMirror): Promise<readonly VerifierKey[]> => (await mirror.get('/vkeys')).text.trimEnd().split('\n').map(parseVerifierKey)
const provenSize = async (mirror: TestMirror): Promise<number> => verifyStateProof((await mirror.get(`/${resident.did}/state-proof`)).text, resident.did, { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null }).leaf.size

describe.concurrent('a mirror that cosigns', () => {
  it('cosigns a version of the map that nobody has published, once it has derived the same; and stands under what it serves', async () => {
    await using scene = await openScene()
    const { upstream, mirror } = scene
    const keys = await keysOf(mirror)
    expect(verifyNote(parseNote((await mirror.get('/map/checkpoint')).text), [MAP_KEY, ...keys])).toHaveLength(3)
    await upstream.append(LEAVES.slice(BEFORE))
    await upstream.publish()
    const next = await appendNextLeaf(upstream.store)
    expect((await fetch(`${upstream.url}/map/next`)).headers.get('cache-control')).toContain('no-store')
    expect(await scene.ask(next, 0), 'another old size').toEqual({ status: 409, text: '1\n' })
    const answer = await scene.ask(next, 1)
    expect(answer.status, answer.text).toBe(200)
    expect(openAnswer(answer.text, next.note, keys)).toHaveLength(2)
    expect((await mirror.get('/map/checkpoint')).text.split('\n')[1], 'what is not published is not shown as published').toBe('1')
    expect((await mirror.get('/map/next')).status).toBe(404)
    expect((await scene.ask(next, 2)).status, 'again').toBe(200)
    await publishMap(upstream.store, next)
    await until(async () => (await scene.health()).map.leaves === 2, () => 'the second version is shown')
    expect(await provenSize(mirror)).toBe(60)
    expect((await fetch(`${upstream.url}/map/next`)).status).toBe(404)
    expect((await mirror.health()).status).toBe(200)
    expect(await scene.health()).toMatchObject({ alarm: null, map: { size: 60, leaves: 2, fault: null } })
  })

  it('answers 503 where it cannot know the leaf, and refuses what another key has signed', async () => {
    await using scene = await openScene()
    const ask = async (key: typeof MAP_KEY): Promise<number> => {
      const body = formatAddCheckpoint({ oldSize: 0, proof: [], note: parseNote(signCheckpoint({ origin: key.name, size: 0, root: new Uint8Array(32) }, [key])) })
      return (await fetch(`${scene.mirror.url}/add-checkpoint`, { method: 'POST', body })).status
    }
    expect(await ask(makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(77)))).toBe(403)
    expect(await ask(makeSigningKey('another.test/log/map', KEY_TYPES.ed25519, new Uint8Array(32).fill(77)))).toBe(404)
    await scene.upstream.append(LEAVES.slice(BEFORE))
    const early = await appendNextLeaf(scene.upstream.store)
    expect(await scene.ask(early, 1), 'of a tree that the log has not published').toEqual({ status: 503, text: 'The entries up to that size are not verified here\n' })
    await scene.upstream.publish()
    await until(async () => (await scene.ask(early, 1)).status === 200, () => 'it is cosigned once the log has published its tree')
  })
})

describe.concurrent('a map that is not the log’s', () => {
  it.each<[string, (upstream: ServedLog) => Promise<Uint8Array>]>([
    ['has a root of its own making', () => Promise.resolve(new Uint8Array(32).fill(1))],
    ['has the root of an earlier version', ({ store }) => mapRootOf(store, BEFORE)],
    ['leaves out the newest operation', ({ store }) => mapRootOf(store, LEAVES.length - 1)],
  ])('%s: the map is stopped at, named, with evidence that a replay confirms; the log goes on', async (name, wrongRoot) => {
    await using scene = await openScene()
    const { upstream, mirror } = scene
    await upstream.append(LEAVES.slice(BEFORE))
    await upstream.publish()
    const wrong = await appendNextLeaf(upstream.store, { mapRoot: await wrongRoot(upstream) })
    if (name.startsWith('leaves out')) expect((await scene.ask(wrong, 1)).status, 'never cosigned').toBe(503)
    else await publishMap(upstream.store, wrong)
    await until(async () => (await scene.health()).alarm !== null, () => 'there is an alarm')
    const words = 'leaf 1 of the log of the map was signed and is wrong: the 60 entries of the log lead to another root'
    expect(await scene.health()).toMatchObject({ alarm: expect.stringContaining(words), faults: [expect.stringContaining('the map is followed no more, the log is')], map: { size: BEFORE, leaves: 1, fault: expect.stringContaining(words) } })
    expect((await mirror.health()).status).toBe(503)
    await mirror.reaches(60)
    expect(await provenSize(mirror), 'what was right is served').toBe(BEFORE)
    expect((await scene.ask(wrong, 1)).text).toBe('Nothing is cosigned here any more\n')
    expect(verifyNote(parseNote((await mirror.get('/checkpoint')).text), await keysOf(mirror)), 'the log is cosigned').toHaveLength(2)

    const [evidence, more] = mirror.kept('evidence')
    expect(more).toBeUndefined()
    expect(verifyEvidence(evidence?.bytes ?? new Uint8Array(), [LOG_KEY, MAP_KEY])).toMatchObject({ evidence: { kind: 'wrong-map', fault: 'root' }, replay: { size: 60 } })
    const file = `${name.replaceAll(' ', '-')}.evidence`
    copyFileSync(evidence?.file ?? '', join(home.folder, file))
    const verified = await home.run(['verify-evidence', file, '--vkey', formatVerifierKey(LOG_KEY), '--vkey', formatVerifierKey(MAP_KEY), '--replay', mirror.url])
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('proved     stored.test/log/map signed another map of 60 entries than the log leads to') as string })
  })
})

describe.concurrent('the key of the map', () => {
  it('is believed as it is shown first, and loudly, unless it is named', async () => {
    await using scene = await openScene({})
    expect(scene.mirror.lines.filter(([level, words]) => level === 'say' && words.startsWith('WARNING: no --map-vkey was given'))).toHaveLength(1)
    await using told = await openScene({ mapVkeys: [MAP_KEY] })
    await until(async () => (await told.health()).map.leaves === 1, () => 'the map is followed')
    expect(told.mirror.lines.filter(([level]) => level === 'say')).toEqual([])
  })

  it('counts alone where it is named, and is replaced by another one that is named', async () => {
    const stranger = makeSigningKey(MAP_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(5))
    await using scene = await openScene({ mapVkeys: [stranger] })
    await until(async () => (await scene.health()).map.fault?.includes('No signature by a known key') === true, () => 'the map is not believed')
    expect((await scene.health()).map).toMatchObject({ size: null, leaves: 0 })
    await scene.mirror.stop()
    await expect(openMirror([scene.upstream], { mapVkeys: [LOG_KEY] }, scene.mirror)).rejects.toThrow('--map-vkey is a key of stored.test/log, but the map of the log stored.test/log is stored.test/log/map')
    await using again = await openMirror([scene.upstream], { mapVkeys: [MAP_KEY] }, scene.mirror)
    expect(again.lines.some(([, words]) => words === 'the keys of the map stored.test/log/map are from now on those that --map-vkey names')).toBe(true)
    await until(async () => (await again.get('/map/checkpoint')).status === 200, () => 'the map is followed')
  })
})
