// An upstream that lies, in every way that is known: the lie is never served as verified, and what is wrong is said.

import { describe, expect, it } from 'vitest'
import { isAlarm } from '../../src/core/alarm.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { decodeFrame, encodeFrame, type EntriesFrame } from '../../src/core/frame.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { FIRST_MS, identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openMirror, until, type Health, type TestMirror } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(300)
const BEFORE = 270
const AFTER = 290
const OTHER_KEY = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(3))

interface Scene extends AsyncDisposable {
  readonly upstream: ServedLog
  readonly front: Front
  readonly mirror: TestMirror
  /** Twenty entries more, published. */
  grow(): Promise<void>
}

/** A mirror that has followed an honest upstream to `BEFORE`. */
async function openScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const upstream = stack.use(await serveLog(LEAVES.slice(0, BEFORE)))
  const front = stack.use(await openFront(upstream))
  const mirror = stack.use(await openMirror([front]))
  await mirror.reaches(BEFORE)
  const owned = stack.move()
  return {
    upstream, front, mirror,
    async grow() {
      await upstream.append(LEAVES.slice(BEFORE, AFTER))
      await upstream.publish()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function ails(mirror: TestMirror, words: RegExp): Promise<Health> {
  let health = await mirror.health()
  await until(async () => (health = await mirror.health()).faults?.some((fault) => words.test(fault)) ?? false, () => `${words.source} in ${JSON.stringify(health)}`)
  return health
}

async function expectStill({ mirror }: Scene): Promise<void> {
  expect((await mirror.store.head())?.size).toBe(BEFORE)
  expect((await mirror.get('/checkpoint')).text.split('\n')[1]).toBe(String(BEFORE))
  expect((await mirror.get(`/export?after=${BEFORE}`)).text).toBe('')
}

/** All as it was, once the upstream is honest again: whatever was wrong has left no trace but its alarm. */
async function recovers({ mirror, upstream, front }: Scene): Promise<void> {
  front.answer = (_path, body) => body
  front.frame = (bytes) => [bytes]
  front.streams = true
  await mirror.reaches(AFTER)
  // Where nothing new comes that would clear it, a liar is believed again after a while: counted from the last lie, which may still be on its way here.
  let health = await mirror.health()
  await until(async () => {
    if (health.upstreams.some(({ standing }) => standing === 'lying')) mirror.clock.ahead += 61_000
    health = await mirror.health()
    return health.status === 200
  }, () => `all is well again: ${JSON.stringify(health)}`)
  expect((await mirror.get('/export?after=0')).text).toBe(await (await fetch(`${upstream.url}/export?after=0`)).text())
}

const flipped = (body: Buffer, at: number): Buffer => {
  const changed = Buffer.from(body)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

const otherRoot = (size: number, keys = [LOG_KEY]): Buffer => Buffer.from(signCheckpoint({ origin: LOG_KEY.name, size, root: new Uint8Array(32).fill(5) }, keys))

describe.concurrent('an upstream whose answers are wrong', () => {
  it.each<[string, RegExp, Front['answer']]>([
    ['a byte flipped in an operation', /does not hold the entries/, (path, body) => (path.startsWith('/tile/entries/001') ? flipped(body, body.length - 100) : body)],
    ['a bundle that is none', /does not hold the entries/, (path, body) => (path.startsWith('/tile/entries/001') ? body.subarray(0, -1) : body)],
    ['an entry that is missing in its bundle', /does not hold the entries/, (path, body) => (path.startsWith('/tile/entries/001') ? body.subarray(2 + body.readUInt16BE(0)) : body)],
    ['a byte flipped in a tile', /lead to another root/, (path, body) => (path.startsWith('/tile/0/001') ? flipped(body, 40) : body)],
    ['a tile that is cut', /lead to another root/, (path, body) => (path.startsWith('/tile/1/') ? body.subarray(0, -1) : body)],
    ['a checkpoint with a root that its tree does not have', /lead to another root/, (path, body) => (path === '/checkpoint' ? otherRoot(AFTER) : body)],
    ['a checkpoint by another key', /not the log's: No signature by a known key/, (path, body) => (path === '/checkpoint' ? otherRoot(AFTER, [OTHER_KEY]) : body)],
    ['a checkpoint whose signature is spoiled', /not the log's: Signature by a known key does not verify/, (path, body) => (path === '/checkpoint' ? Buffer.from(body.toString().replace(`\n${AFTER}\n`, `\n${AFTER + 1}\n`)) : body)],
    ['a checkpoint that is none', /not the log's: Malformed signed note/, (path, body) => (path === '/checkpoint' ? Buffer.from('<html>') : body)],
  ])('%s: nothing is taken, an alarm is kept, and all goes on when it is honest again', async (_name, words, answer) => {
    await using scene = await openScene()
    const { front, mirror } = scene
    front.streams = false
    front.cut()
    front.answer = answer
    await scene.grow()
    const health = await ails(mirror, words)
    expect(health).toMatchObject({ status: 503, verifiedSize: BEFORE, alarm: expect.stringMatching(words) })
    await expectStill(scene)
    const [alarm] = mirror.kept('alarms')
    expect(isAlarm(alarm?.bytes ?? new Uint8Array())).toBe(true)
    expect(mirror.kept('evidence')).toEqual([])
    await recovers(scene)
  })

  it('an older checkpoint, for ever: it is named as stale, and what is known stays', async () => {
    await using scene = await openScene()
    const { front, mirror, upstream } = scene
    const old = Buffer.from((await upstream.store.publication())?.note ?? '')
    await scene.grow()
    await mirror.reaches(AFTER)
    front.answer = (path, body) => (path === '/checkpoint' ? old : body)
    front.cut()
    await until(async () => (await mirror.health()).upstreams[0]?.standing === 'stale', () => 'it is stale')
    expect(await mirror.health()).toMatchObject({ status: 200, verifiedSize: AFTER, alarm: null })
    mirror.clock.ahead += 301_000
    await ails(mirror, /has shown an older log for 30\d seconds/)
    await recovers(scene)
  })

  it('one of two: it is named, and the log comes from the other', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, BEFORE))
    await using liar = await openFront(upstream)
    await using honest = await openFront(upstream)
    liar.streams = false
    await using mirror = await openMirror([liar, honest])
    await mirror.reaches(BEFORE)
    liar.answer = (path, body) => (path.startsWith('/tile/entries/') ? flipped(body, 300) : path === '/checkpoint' ? otherRoot(AFTER + 5, [OTHER_KEY]) : body)
    honest.cut()
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    await upstream.publish()
    await mirror.reaches(AFTER)
    await ails(mirror, new RegExp(`${liar.url} serves what is not the log`))
    expect((await mirror.health()).upstream).toBe(honest.url)
  })
})

/** Changes the entries of frames. */
const entriesOf = (change: (frame: EntriesFrame) => EntriesFrame): Front['frame'] => (bytes) => {
  const frame = decodeFrame(Uint8Array.from(bytes))
  return [Buffer.from(encodeFrame(frame.type === 'entries' ? change(frame) : frame))]
}

describe.concurrent('an upstream whose stream is wrong', () => {
  it.each<[string, Front['frame']]>([
    ['a byte flipped in an operation', entriesOf((frame) => ({ ...frame, entries: frame.entries.map((entry, i) => (i === 3 ? Uint8Array.from(flipped(Buffer.from(entry), 50)) : entry)) }))],
    ['an entry twice', entriesOf((frame) => ({ ...frame, entries: frame.entries.flatMap((entry, i) => (i === 3 ? [entry, entry] : [entry])) }))],
    ['an entry missing', entriesOf((frame) => ({ ...frame, entries: frame.entries.filter((_, i) => i !== 3) }))],
    ['two entries exchanged', entriesOf((frame) => ({ ...frame, entries: [...frame.entries.slice(0, 2).reverse(), ...frame.entries.slice(2)] }))],
    ['entries of another place', entriesOf((frame) => ({ ...frame, start: frame.start + 1 }))],
    ['frames twice', (bytes) => [bytes, bytes]],
    ['truncated frames', (bytes) => [bytes.subarray(0, -1)]],
    ['frames with something behind them', (bytes) => [Buffer.concat([bytes, Buffer.of(0)])]],
    ['oversized frames', (bytes) => [Buffer.concat([bytes, Buffer.alloc(1_100_000)])]],
    ['texts', () => [Buffer.from('x'.repeat(1_000))]],
    ['entries without an end', (bytes) => {
      const frame = decodeFrame(Uint8Array.from(bytes))
      if (frame.type !== 'entries') return [bytes]
      const entries = Array.from({ length: 255 }, () => frame.entries[0] ?? new Uint8Array())
      return [bytes, ...Array.from({ length: 400 }, (_, i) => Buffer.from(encodeFrame({ ...frame, start: frame.start + frame.entries.length + i * 255, entries })))]
    }],
  ])('%s: it is dropped, and the log comes from the bundles', async (_name, frame) => {
    await using scene = await openScene()
    const { front, mirror } = scene
    front.frame = frame
    front.cut()
    await scene.grow()
    await mirror.reaches(AFTER)
    expect(await mirror.health()).toMatchObject({ verifiedSize: AFTER, rejected: 0 })
    expect(mirror.kept('evidence')).toEqual([])
    await recovers(scene)
  })

  it('entries that no checkpoint ever covers: they are not served, and health says how long they have waited', async () => {
    await using scene = await openScene()
    const { upstream, mirror } = scene
    await upstream.append(LEAVES.slice(BEFORE, AFTER))
    await until(async () => (await mirror.health()).provisional === AFTER - BEFORE, () => 'they have come')
    await expectStill(scene)
    mirror.clock.ahead += 61_000
    await ails(mirror, /20 entries have waited 6\d seconds for a checkpoint/)
    await upstream.publish()
    await mirror.reaches(AFTER)
  })
})

describe.concurrent('a log that contradicts itself', () => {
  it('by two checkpoints of one size: following ends for good, with evidence', async () => {
    await using scene = await openScene()
    const { front, mirror } = scene
    front.answer = (path, body) => (path === '/checkpoint' ? otherRoot(BEFORE) : body)
    const health = await ails(mirror, /following has stopped at 270 entries: the log has signed two trees that contradict each other/)
    expect(health).toMatchObject({ status: 503, alarm: expect.stringContaining('evidence') })
    const [evidence] = mirror.kept('evidence')
    expect(verifyEvidence(evidence?.bytes ?? new Uint8Array(), [LOG_KEY]).evidence.kind).toBe('two-roots')
    await expectStill(scene)
    front.answer = (_path, body) => body
    await scene.grow()
    await mirror.stop()
    await using again = await openMirror([front], {}, mirror)
    expect(await again.health()).toMatchObject({ status: 503, verifiedSize: BEFORE, alarm: expect.stringContaining('signed two trees') })
  })

  it.each([['larger', 290], ['smaller', 265]])('by a fork after a prefix, and the other tree is %s: the same', async (_name, size) => {
    await using scene = await openScene()
    const { front, mirror } = scene
    await using other = await serveLog([...LEAVES.slice(0, 260), ...LEAVES.slice(261, size + 1)])
    front.target = other
    front.cut()
    await ails(mirror, /following has stopped at 270 entries/)
    const [evidence] = mirror.kept('evidence')
    expect(verifyEvidence(evidence?.bytes ?? new Uint8Array(), [LOG_KEY]).evidence.kind).toBe('fork')
    await expectStill(scene)
  })
})

const [alice, bob] = [person('alice'), person('bob')]
const at = (who: { readonly did: string }, operation: Operation, hours: number, source: string | null = null): Uint8Array =>
  encodeEntry({ did: who.did, createdAt: FIRST_MS + 3_600_000 * (1 + hours), operation, source })
const unsigned = (operation: Operation): Operation => parseOperation(new Map([...operation.value, ['sig', 'A'.repeat(86)]]))

describe.concurrent('a log with entries that break its rules', () => {
  it.each<[string, string, readonly Uint8Array[]]>([
    ['a bad signature', 'INVALID_SIGNATURE', [at(alice, alice.genesis, 0), at(alice, unsigned(alice.update(alice.genesis, { key: 0 })), 1)]],
    ['bytes that are no entry', 'MALFORMED_ENTRY', [Uint8Array.of(1, 2, 3)]],
    ['CBOR that is nested deeply', 'MALFORMED_ENTRY', [new Uint8Array(60_000).fill(0x81)]],
    ['an entry twice', 'DUPLICATE_OPERATION', [at(alice, alice.genesis, 0), at(alice, alice.genesis, 1)]],
    ['a time before that of the log', 'ENTRY_BEFORE_LOG', [at(alice, alice.genesis, 5), at(bob, bob.genesis, 4)]],
    ['a time that is not later', 'ENTRY_NOT_LATER', [at(alice, alice.genesis, 5), at(alice, alice.update(alice.genesis, { key: 0 }), 5)]],
    ['a recovery after 72 hours', 'LATE_RECOVERY', [at(alice, alice.genesis, 0), at(alice, alice.update(alice.genesis, { key: 2 }), 1), at(alice, alice.update(alice.genesis, { key: 0 }), 74)]],
    ['a recovery by a weaker key', 'INVALID_SIGNATURE', [at(alice, alice.genesis, 0), at(alice, alice.update(alice.genesis, { key: 0 }), 1), at(alice, alice.update(alice.genesis, { key: 2 }), 2)]],
    ['a sourced entry after a native one', 'SOURCED_AFTER_NATIVE', [at(alice, alice.genesis, 0, 'elsewhere')]],
  ])('%s: it stays in the tree, is listed, changes nothing, and health is red', async (_name, code, leaves) => {
    await using scene = await openScene()
    const { upstream, mirror, front } = scene
    await upstream.append(leaves)
    await upstream.publish()
    const size = BEFORE + leaves.length
    await mirror.reaches(size)
    expect(await mirror.health()).toMatchObject({ status: 503, rejected: 1, alarm: null, faults: [expect.stringContaining('1 of the log\'s entries break its rules')] })
    const listed = (await mirror.get('/log/rejected')).text.split('\n').map((line) => JSON.parse(line) as { index: number; code: string })
    expect(listed).toEqual([expect.objectContaining({ index: size - 1, code })])
    expect((await mirror.get(`/export?after=${size - 1}`)).text).toBe('')
    for (const { file, bytes } of mirror.kept('evidence')) expect(verifyEvidence(bytes, [LOG_KEY]).evidence.kind, file).toBe('broken-rule')
    await mirror.stop()
    await using again = await openMirror([front], {}, mirror)
    expect(await again.health()).toMatchObject({ status: 503, rejected: 1 })
  })
})

describe.concurrent('a mirror that is told which key to believe', () => {
  it('is not started on another log, and never takes another for its own', async () => {
    await using scene = await openScene()
    const stranger = makeSigningKey('another.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(4))
    await scene.mirror.stop()
    await expect(openMirror([scene.front], { vkeys: [stranger] }, scene.mirror)).rejects.toThrow('--upstream-vkey is a key of another.test/log, but the database mirrors the log stored.test/log')
    expect((await scene.mirror.store.head())?.vkeys).toEqual([formatVerifierKey(LOG_KEY)])
  })
})
