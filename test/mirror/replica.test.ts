// A mirror of an honest log: all of it, checked, and the same bytes; whatever the network does.

import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Replica } from '../../mirror/replica.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, LOG_KEY, emptyLog, identityLeaves } from '../support/stored-log.ts'
import { checkLog } from '../support/check-log.ts'
import { openMirror, until, type TestMirror } from '../support/mirror.ts'
import { openFront, serveLog } from '../support/upstream.ts'

const PATHS = ['/export?after=0', '/export', '/checkpoint', '/log/vkey', '/tile/0/000', '/tile/1/000.p/1', '/tile/entries/000', '/tile/entries/001.p/40', '/log/rejected']

async function expectSame(mirror: TestMirror, upstream: { readonly url: string }, paths = PATHS): Promise<void> {
  for (const path of paths) {
    const [here, there] = await Promise.all([mirror.url, upstream.url].map(async (url) => {
      const response = await fetch(url + path)
      return { status: response.status, body: Buffer.from(await response.arrayBuffer()).toString('base64') }
    }))
    expect(here, path).toEqual(there)
  }
}

describe('a mirror of an honest log', () => {
  it('holds and serves the same bytes: from bundles at first, from the stream afterwards', async () => {
    const leaves = identityLeaves(400)
    await using upstream = await serveLog(leaves.slice(0, 300))
    await using mirror = await openMirror([upstream])
    await mirror.reaches(300)
    await expectSame(mirror, upstream)
    await upstream.append(leaves.slice(300, 350))
    await until(async () => (await mirror.health()).provisional === 50, () => 'the entries have come, and are provisional')
    expect((await mirror.health()).verifiedSize).toBe(300)
    expect((await mirror.get('/export?after=300')).text).toBe('')
    await upstream.publish()
    await mirror.reaches(350)
    await upstream.append(leaves.slice(350))
    await upstream.publish()
    await mirror.reaches(400)
    await expectSame(mirror, upstream)
    await checkLog(mirror.store, [LOG_KEY])
    expect(await mirror.health()).toMatchObject({ status: 200, verifiedSize: 400, lagEntries: 0, rejected: 0, alarm: null, upstream: upstream.url })
  })

  it('begins with an empty log, and goes on from any size', async () => {
    const leaves = identityLeaves(520)
    await using upstream = await serveLog([])
    await using mirror = await openMirror([upstream])
    let size = 0
    for (const next of [1, 2, 255, 256, 257, 511, 512, 513, 520]) {
      await upstream.append(leaves.slice(size, next))
      await upstream.publish()
      await mirror.reaches(next)
      size = next
    }
    await checkLog(mirror.store, [LOG_KEY])
  })

  it('goes on by bundles where there is no stream, and by the stream again when there is', async () => {
    const leaves = identityLeaves(330)
    await using upstream = await serveLog(leaves.slice(0, 300))
    await using front = await openFront(upstream)
    front.streams = false
    await using mirror = await openMirror([front])
    await mirror.reaches(300)
    await upstream.append(leaves.slice(300, 310))
    await upstream.publish()
    await mirror.reaches(310)
    front.streams = true
    await upstream.append(leaves.slice(310, 320))
    await until(async () => (await mirror.health()).provisional === 10, () => 'the stream has come')
    front.cut()
    front.gone = true
    await upstream.append(leaves.slice(320))
    await upstream.publish()
    await until(async () => (await mirror.health()).upstreams[0]?.standing === 'silent', () => 'the upstream is gone')
    front.gone = false
    await mirror.reaches(330)
    await checkLog(mirror.store, [LOG_KEY])
  })

  it('goes on where it was when it is started again, and serves what it holds while nobody answers', async () => {
    const leaves = identityLeaves(300)
    await using upstream = await serveLog(leaves.slice(0, 200))
    await using front = await openFront(upstream)
    const first = await openMirror([front])
    await first.reaches(200)
    await first.stop()
    await upstream.append(leaves.slice(200))
    await upstream.publish()
    front.gone = true
    await using second = await openMirror([front], {}, first)
    expect((await second.get('/checkpoint')).text.split('\n')[1]).toBe('200')
    second.clock.ahead += 60_000
    expect(await second.health()).toMatchObject({ status: 503, faults: [expect.stringContaining('no upstream has shown a checkpoint of the log for')] })
    front.gone = false
    await second.reaches(300)
    await until(async () => (await second.health()).status === 200, () => 'all is well again')
  })

  it('takes the log from another upstream where one is gone', async () => {
    const leaves = identityLeaves(320)
    await using upstream = await serveLog(leaves.slice(0, 300))
    await using one = await openFront(upstream)
    await using other = await openFront(upstream)
    await using mirror = await openMirror([one, other])
    await mirror.reaches(300)
    one.gone = true
    one.cut()
    await upstream.append(leaves.slice(300, 310))
    await upstream.publish()
    await mirror.reaches(310)
    one.gone = false
    other.gone = true
    other.cut()
    await upstream.append(leaves.slice(310))
    await upstream.publish()
    await mirror.reaches(320)
  })

  it('is an upstream for the next, which verifies against the first log\'s key', async () => {
    const leaves = identityLeaves(310)
    await using upstream = await serveLog(leaves.slice(0, 300))
    await using first = await openMirror([upstream])
    await using second = await openMirror([first], { vkeys: null })
    await second.reaches(300)
    expect(second.lines.some(([level, words]) => level === 'say' && words.startsWith('WARNING'))).toBe(true)
    await upstream.append(leaves.slice(300))
    await upstream.publish()
    await second.reaches(310)
    await expectSame(second, upstream)
    await checkLog(second.store, [LOG_KEY])
  })
})

describe('a replica', () => {
  // Two identities, each operation upon the one before it: an update, a tombstone that is undone, and one entry that nobody signed.
  const [a, b] = [person('interleaved a'), person('interleaved b')]
  const updates = [a.genesis]
  for (let i = 0; i < 6; i++) updates.push(a.update(updates[i] ?? a.genesis, { key: 1, handle: `h${i}` }))
  const ended = b.tombstone(b.genesis, { key: 2 })
  const undone = b.update(b.genesis, { key: 0, handle: 'back' })
  const of = [[a, updates[0]], [b, b.genesis], [a, updates[1]], [b, ended], [a, updates[2]], [a, updates[4]], [b, undone], [a, updates[3]], [a, updates[4]], [b, b.update(undone, { handle: 'on' })]] as const
  const leaves = of.flatMap(([{ did }, operation], i) => (operation === undefined ? [] : [encodeEntry({ did, createdAt: FIRST_MS + i * 1_000, operation, source: null })]))

  async function replicaOf(store: Store): Promise<Replica> {
    const head = await store.head()
    if (head === null) throw new Error('there is a log')
    const verify = async (questions: readonly (Parameters<typeof findSigner>[0] | null)[]): Promise<(ReturnType<typeof findSigner> | undefined)[]> => {
      for (let i = 0; i < 5; i++) await setImmediate() // others go on meanwhile, as with threads
      return questions.map((question) => (question === null ? undefined : findSigner(question)))
    }
    return new Replica({ store, tip: new Tip({ durable: 0, published: 0 }), verify, appended: () => undefined, rejected: () => undefined, now: () => FIRST_MS }, head)
  }
  const runsOf = (count: number): Uint8Array[][] => Array.from({ length: Math.ceil(leaves.length / count) }, (_, i) => leaves.slice(i * count, (i + 1) * count))

  it('comes to the same whatever runs the entries come in, though the next ones are judged before those are written', async () => {
    const whole = await emptyLog()
    await (await replicaOf(whole)).append([leaves])
    const rows = await whole.entries(0, leaves.length)
    expect(rows.map(({ rejected }) => rejected)).toEqual([null, null, null, null, null, 'MISORDERED', null, null, null, null])
    expect(rows.flatMap(({ index, nullified }) => (nullified ? [index] : []))).toEqual([3])
    for (const count of [1, 2, 3, 4, 7]) {
      const store = await emptyLog()
      const replica = await replicaOf(store)
      await replica.append(runsOf(count))
      expect(await store.entries(0, leaves.length), `runs of ${count}`).toEqual(rows)
      expect(replica.head).toEqual(await whole.head())
    }
  })

  it('writes what came before the runs fail, and nothing after a write that fails', async () => {
    const store = await emptyLog()
    const replica = await replicaOf(store)
    const failing = function* (): Generator<readonly Uint8Array[]> {
      yield* runsOf(1).slice(0, 5)
      throw new Error('no more')
    }
    await expect(replica.append(failing())).rejects.toThrow('no more')
    expect(replica.head.size).toBe(5)

    let writes = 0
    const broken: Store = { ...store, underHead: (work) => (++writes === 2 ? Promise.reject(new Error('the disk is full')) : store.underHead(work)) }
    const other = await replicaOf(broken)
    await expect(other.append(runsOf(1).slice(5))).rejects.toThrow('the disk is full')
    expect(writes).toBe(2)
    expect((await other.refresh()).size).toBe(6)
    await other.append(runsOf(1).slice(6))
    expect((await store.entries(0, leaves.length)).map(({ index }) => index)).toEqual(leaves.map((_, i) => i))
  })
})
