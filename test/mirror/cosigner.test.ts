// A mirror that cosigns: only what it holds, all of which it has judged; and it remembers what it has cosigned.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { COSIGNER_FOLDER, openCosigner, type CosignerPorts } from '../../mirror/cosigner.ts'
import { tilesOf } from '../../mirror/checkpoints.ts'
import { readProof } from '../../src/client/log-client.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { signCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { RULES_NAME } from '../../src/core/tlog/cosignature.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, parseVerifierKey, verifyNote, type NoteSignature, type VerifierKey } from '../../src/core/tlog/note.ts'
import { consistencyPlan } from '../../src/core/tlog/proof.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { logId } from '../../src/witness/state.ts'
import { identityLeaves, LOG_KEY, storedLog } from '../support/stored-log.ts'
import { openMirror, until, type TestMirror } from '../support/mirror.ts'
import { openFront, serveLog, type ServedLog } from '../support/upstream.ts'
import { openAnswer } from '../support/witness.ts'

const LEAVES = identityLeaves(300)
const BEFORE = 270
const AFTER = 290
const COSIGN = { cosign: { name: 'mirror.test/one' } }

/** The tree of the first entries of an honest log, in a note. */
async function treeOf(size: number, leaves = LEAVES): Promise<{ readonly checkpoint: Checkpoint; readonly note: string }> {
  const { origin, root } = (await (await storedLog(leaves.slice(0, size))).head()) ?? { origin: '', root: new Uint8Array() }
  const checkpoint = { origin, size, root }
  return { checkpoint, note: signCheckpoint(checkpoint, [LOG_KEY]) }
}

async function bodyOf(upstream: Pick<ServedLog, 'store'>, oldSize: number, size: number, note?: string): Promise<string> {
  const proof = await readProof(tilesOf(upstream.store), consistencyPlan(oldSize, size), size)
  return formatAddCheckpoint({ oldSize, proof, note: parseNote(note ?? (await treeOf(size)).note) })
}

async function ask(mirror: TestMirror, body: string): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  const response = await fetch(`${mirror.url}/add-checkpoint`, { method: 'POST', body })
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() }
}

const keysOf = async (mirror: TestMirror): Promise<readonly VerifierKey[]> => (await mirror.get('/vkeys')).text.trimEnd().split('\n').map(parseVerifierKey)

const provisional = (mirror: TestMirror, count: number): Promise<void> => until(async () => (await mirror.health()).provisional === count, () => `${count} entries are provisional`)

/** The log with its last entries, whose checkpoint is signed and not published. */
async function unpublished(): Promise<{ upstream: ServedLog; whole: ServedLog }> {
  return { upstream: await serveLog(LEAVES.slice(0, BEFORE)), whole: await serveLog(LEAVES.slice(0, AFTER)) }
}

describe('a mirror that cosigns', () => {
  it('stands under the checkpoints that it serves, by two keys whose name says which rules it applies', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    const keys = await keysOf(mirror)
    expect(keys.map(({ name, type }) => [name, type])).toEqual([[`mirror.test/one${RULES_NAME}`, KEY_TYPES.cosignature], [`mirror.test/one${RULES_NAME}`, KEY_TYPES.mlDsa44]])
    for (const path of ['/checkpoint', `/${logId(LOG_KEY.name)}/checkpoint`]) {
      const note = parseNote((await mirror.get(path)).text)
      expect(verifyNote(note, [LOG_KEY, ...keys]).map(({ key }) => key.id)).toEqual([LOG_KEY, ...keys].map(({ id }) => id))
    }
    await upstream.append(LEAVES.slice(BEFORE))
    await upstream.publish()
    await mirror.reaches(300)
    expect(verifyNote(parseNote((await mirror.get('/checkpoint')).text), keys)).toHaveLength(2)
    expect(await mirror.health()).toMatchObject({ status: 200, verifiedSize: 300 })
  })

  it('cosigns a tree that nobody has published, once the entries of the stream lead to its root, and serves all of it', async () => {
    const { upstream, whole } = await unpublished()
    await using _ = upstream
    await using __ = whole
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    await provisional(mirror, AFTER - BEFORE)
    const tree = await treeOf(AFTER)
    const answer = await ask(mirror, await bodyOf(whole, BEFORE, AFTER))
    expect(answer.status, answer.text).toBe(200)
    expect(openAnswer(answer.text, tree.note, await keysOf(mirror)).map(({ timestamp }) => timestamp)).toEqual([expect.any(Number), expect.any(Number)])
    expect((await mirror.get('/checkpoint')).text.split('\n')[1], 'what the log has not published is not shown as published').toBe(String(BEFORE))
    expect((await mirror.get(`/${logId(LOG_KEY.name)}/checkpoint`)).text.split('\n')[1]).toBe(String(AFTER))
    for (const path of [`/export?after=${BEFORE}`, '/tile/0/001.p/34', '/tile/entries/001.p/34', '/tile/1/000.p/1']) expect(await mirror.get(path), path).toEqual(await get(whole, path))
    expect(await mirror.health()).toMatchObject({ status: 200, verifiedSize: AFTER, provisional: 0 })
    await upstream.publish()
    await mirror.reaches(AFTER)
    expect(verifyNote(parseNote((await mirror.get('/checkpoint')).text), await keysOf(mirror))).toHaveLength(2)
  })

  it('waits for entries that are on their way, and looks at the old size again after that', async () => {
    const { upstream, whole } = await unpublished()
    await using _ = upstream
    await using __ = whole
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    const asked = Promise.all([ask(mirror, await bodyOf(whole, BEFORE, 280)), ask(mirror, await bodyOf(whole, BEFORE, AFTER))])
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    const answers = await asked
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409])
    const size = answers[0].status === 200 ? 280 : AFTER
    expect(answers.find(({ status }) => status === 409)).toMatchObject({ type: 'text/x.tlog.size', text: `${size}\n` })
  })

  it('answers 503 where they do not come, 409 at once where the old size is wrong, and refuses what no witness would take', async () => {
    const { upstream, whole } = await unpublished()
    await using _ = upstream
    await using __ = whole
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    expect(await ask(mirror, await bodyOf(whole, BEFORE, AFTER))).toMatchObject({ status: 503, text: 'The entries up to that size are not verified here\n' })
    expect(await ask(mirror, await bodyOf(whole, AFTER, AFTER))).toMatchObject({ status: 409, text: `${BEFORE}\n` })
    const stranger = makeSigningKey('another.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(4))
    const impostor = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(4))
    const { checkpoint } = await treeOf(AFTER)
    expect((await ask(mirror, await bodyOf(whole, BEFORE, AFTER, signCheckpoint({ ...checkpoint, origin: stranger.name }, [stranger])))).status).toBe(404)
    expect((await ask(mirror, await bodyOf(whole, BEFORE, AFTER, signCheckpoint(checkpoint, [impostor])))).status).toBe(403)
    expect((await ask(mirror, 'nothing')).status).toBe(400)
    expect((await mirror.health()).status).toBe(200)
  })

  it('asks another upstream where the one that it follows lacks what is to be cosigned', async () => {
    const { upstream, whole } = await unpublished()
    await using _ = upstream
    await using __ = whole
    await using between = await openMirror([upstream])
    await using direct = await openFront(upstream)
    direct.gone = true
    await using mirror = await openMirror([between, direct], COSIGN)
    await mirror.reaches(BEFORE)
    direct.gone = false
    await until(async () => (await mirror.health()).upstreams.every(({ standing }) => standing === 'good'), () => 'both are there')
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    await until(async () => (await ask(mirror, await bodyOf(whole, BEFORE, AFTER))).status === 200, () => 'it is cosigned')
    expect((await between.store.head())?.size).toBe(BEFORE)
  })

  it('never cosigns a tree that its own entries do not lead to, though the log has signed it and the proof fits', async () => {
    const fork = [...LEAVES.slice(0, BEFORE), ...LEAVES.slice(BEFORE + 1)]
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using other = await serveLog(fork.slice(0, AFTER))
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    await provisional(mirror, AFTER - BEFORE)
    const { note } = await treeOf(AFTER, fork)
    expect((await ask(mirror, await bodyOf(other, BEFORE, AFTER, note))).status).toBe(503)
    expect((await mirror.store.head())?.size).toBe(BEFORE)
    // Once it holds the other one, it is a contradiction.
    await upstream.publish()
    await mirror.reaches(AFTER)
    expect((await ask(mirror, await bodyOf(other, AFTER, AFTER, note))).status).toBe(422)
  })

  it('cosigns nothing any more once the log has contradicted itself, and says so', async () => {
    const fork = [...LEAVES.slice(0, 200), ...LEAVES.slice(201)]
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using other = await serveLog(fork.slice(0, BEFORE))
    await using mirror = await openMirror([upstream], COSIGN)
    await mirror.reaches(BEFORE)
    await other.append([])
    const note = (await other.store.publication())?.note ?? ''
    upstream.store.publication = () => other.store.publication()
    await until(async () => (await mirror.health()).alarm !== null, () => 'the other tree was seen')
    expect(verifyEvidence(mirror.kept('evidence')[0]?.bytes ?? new Uint8Array(), [LOG_KEY]).evidence.kind).toBe('two-roots')
    for (const body of [await bodyOf(upstream, BEFORE, BEFORE), await bodyOf(other, BEFORE, BEFORE, note)]) expect(await ask(mirror, body)).toMatchObject({ status: 503, text: 'Nothing is cosigned here any more\n' })
  })

  it('remembers what it has cosigned where its database is lost: it catches up, and another history is a contradiction', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    const first = await openMirror([upstream], COSIGN)
    await first.reaches(BEFORE)
    const keys = await keysOf(first)
    await first.stop()
    await using emptied = await openMirror([upstream], { cosign: { name: null } }, { store: memoryStore(), folder: first.folder })
    await emptied.reaches(BEFORE)
    expect(await keysOf(emptied)).toEqual(keys)
    await emptied.stop()
    await using other = await serveLog([...LEAVES.slice(0, 200), ...LEAVES.slice(201, AFTER)])
    await using misled = await openMirror([other], { cosign: { name: null } }, { store: memoryStore(), folder: first.folder })
    expect(await misled.health()).toMatchObject({ status: 503, alarm: expect.stringContaining('signed two trees') })
    expect(verifyEvidence(misled.kept('evidence')[0]?.bytes ?? new Uint8Array(), [LOG_KEY]).evidence.kind).toBe('fork')
  })
})

describe('a mirror whose upstream adds signature lines that nobody knows', () => {
  const junk = Array.from({ length: 99 }, (_, i) => ({ name: i % 2 === 0 ? LOG_KEY.name : 'nobody.test/w', id: (0x10000000 + i).toString(16), signature: new Uint8Array(72).fill(i) }))

  it('serves a checkpoint that the log has signed, though there is no room for all of them', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using front = await openFront(upstream)
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(withLines(body.toString(), junk, [])) : body)
    front.streams = false
    await using mirror = await openMirror([front], COSIGN)
    await mirror.reaches(BEFORE)
    const note = parseNote((await mirror.get('/checkpoint')).text)
    expect(note.signatures).toHaveLength(100)
    expect(verifyNote(note, [LOG_KEY, ...(await keysOf(mirror))])).toHaveLength(3)
  })

  it('lets go of them with the next cosignature that is shown', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using front = await openFront(upstream)
    const [cosignature] = junk.slice(1)
    if (cosignature === undefined) throw new Error('one')
    let shown = (note: string): string => withLines(note, [], junk.slice(0, 20))
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(shown(body.toString())) : body)
    front.streams = false
    await using mirror = await openMirror([front])
    await mirror.reaches(BEFORE)
    expect(parseNote((await mirror.get('/checkpoint')).text).signatures).toHaveLength(21)
    shown = (note) => withLines(note, [], [{ ...cosignature, signature: new Uint8Array(72).fill(200) }])
    await until(async () => parseNote((await mirror.get('/checkpoint')).text).signatures.length === 2, () => 'the newer note is shown')
    shown = (note) => note
    await until(async () => parseNote((await mirror.get('/checkpoint')).text).signatures.length === 2, () => 'what adds nothing takes nothing away')
  })
})

describe('the cosigner of a mirror', () => {
  it('serves without its cosignature, and health says why, where its clock stands before the last one; and again when it is right', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'stele-cosigner-'))
    const store = await storedLog(LEAVES.slice(0, 20))
    let day = 1_800_000_000_000
    const ports: CosignerPorts = {
      dataDir, name: null, freshName: () => 'fresh.test/name', origin: LOG_KEY.name, logKeys: [LOG_KEY], tilesOf: () => tilesOf(store), clientIpHeader: null, log: () => undefined,
      clock: { now: () => 0, timeOfDay: () => day, sleep: () => Promise.resolve() },
    }
    const [ten, twenty] = [await treeOf(10), await treeOf(20)]
    using cosigner = openCosigner(ports)
    const by = (note: string): number => parseNote(note).signatures.length
    expect(by(await cosigner.vouch(ten))).toBe(3)
    expect(cosigner.last(LOG_KEY.name)).toMatchObject({ size: 10, timestamp: 1_800_000_000 })
    expect(cosigner.faults({ log: 9, map: 0 })).toEqual(['this mirror has cosigned 10 entries and holds 9: its database was lost or went back, and is filled again'])
    day -= 3_600_000
    expect(await cosigner.vouch(twenty)).toBe(twenty.note)
    expect(cosigner.faults({ log: 20, map: 0 })).toEqual(['this mirror does not cosign stored.test/log: The clock of this witness stands before what it cosigned last'])
    day += 7_200_000
    const vouched = await cosigner.vouch(twenty)
    expect([by(vouched), cosigner.faults({ log: 20, map: 0 })]).toEqual([3, []])
    expect(await cosigner.vouch({ ...twenty, note: vouched }), 'within a minute the same').toBe(vouched)
    day += 61_000
    expect(await cosigner.vouch({ ...twenty, note: vouched })).not.toBe(vouched)
    expect(await cosigner.vouch(ten), 'never a smaller tree again').toBe(ten.note)
    expect(() => openCosigner(ports)).toThrow(/in use/)
    expect(COSIGNER_FOLDER).toBe('cosigner')
    rmSync(dataDir, { recursive: true })
  })
})

function withLines(text: string, before: readonly NoteSignature[], after: readonly NoteSignature[]): string {
  const note = parseNote(text)
  return formatNote({ ...note, signatures: [...before, ...note.signatures, ...after] })
}

async function get(server: { readonly url: string }, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(server.url + path)
  return { status: response.status, text: await response.text() }
}
