// What befalls a mirror without anybody lying: keys that change, upstreams that move, disks that fill up, databases that do not answer.

import { describe, expect, it, vi } from 'vitest'
import { signKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, parseVerifierKey, verifyNote } from '../../src/core/tlog/note.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openMirror, until, type Health, type TestMirror } from '../support/mirror.ts'
import { openFront, serveLog, type ServedLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(60)
const NEW_KEY = makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(7))

async function grow(upstream: ServedLog, from: number, to: number, keys = [LOG_KEY]): Promise<void> {
  await upstream.append(LEAVES.slice(from, to))
  await upstream.publish(keys)
}

async function ails(mirror: TestMirror, words: RegExp): Promise<Health> {
  let health = await mirror.health()
  await until(async () => (health = await mirror.health()).faults?.some((fault) => words.test(fault)) ?? false, () => `${words.source} in ${JSON.stringify(health)}`)
  return health
}

const isWell = (mirror: TestMirror): Promise<void> => until(async () => (await mirror.health()).status === 200, () => 'all is well')

/** The log signs with another key from now on, and says so where `signers` are given. */
async function rotate({ store }: ServedLog, signers: readonly (typeof LOG_KEY)[] | null): Promise<void> {
  const vkeys = [formatVerifierKey(NEW_KEY)]
  const statement = signers === null ? {} : { statement: signKeyStatement({ origin: LOG_KEY.name, signing: [NEW_KEY], retired: [LOG_KEY] }, signers) }
  await store.setSigner('a guard', { guardId: 'a guard', vkeys, ...statement })
}

describe.concurrent('a log that changes its key', () => {
  it('with a statement that the known key has signed: the mirror goes on, shows the new key, and cosigns under it', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, 20))
    await using mirror = await openMirror([upstream], { cosign: { name: 'mirror.test/one' } })
    await mirror.reaches(20)
    await rotate(upstream, [LOG_KEY, NEW_KEY])
    await grow(upstream, 20, 40, [NEW_KEY])
    await mirror.reaches(40)
    await isWell(mirror)
    expect(mirror.lines).toContainEqual(['warn', expect.stringContaining('the log has changed its keys')])
    expect((await mirror.get('/log/vkey')).text).toBe(`${formatVerifierKey(NEW_KEY)}\n`)
    expect((await mirror.get('/log/keys')).text).toBe(await upstream.store.keyStatement())
    const own = (await mirror.get('/vkeys')).text.trimEnd().split('\n').map(parseVerifierKey)
    expect(verifyNote(parseNote((await mirror.get('/checkpoint')).text), [NEW_KEY, ...own])).toHaveLength(3)
    await mirror.stop()
    await using again = await openMirror([upstream], { vkeys: null }, mirror)
    await grow(upstream, 40, 60, [NEW_KEY])
    await again.reaches(60)
  })

  it.each<[string, readonly (typeof LOG_KEY)[] | null]>([['without a statement', null], ['with one that the new key alone has signed', [NEW_KEY]]])(
    '%s: nothing of it is believed, and health says so, until the operator names the new key', async (_name, signers) => {
      await using upstream = await serveLog(LEAVES.slice(0, 20))
      await using mirror = await openMirror([upstream])
      await mirror.reaches(20)
      await rotate(upstream, signers)
      await grow(upstream, 20, 40, [NEW_KEY])
      expect(await ails(mirror, /serves what is not the log: its checkpoint is not the log's: No signature by a known key/)).toMatchObject({ status: 503, verifiedSize: 20 })
      expect((await mirror.get('/log/vkey')).text).toBe(`${formatVerifierKey(LOG_KEY)}\n`)
      await mirror.stop()
      await using told = await openMirror([upstream], { vkeys: [NEW_KEY] }, mirror)
      await told.reaches(40)
      await isWell(told)
      expect(told.lines).toContainEqual(['say', expect.stringContaining('the keys of the log stored.test/log are from now on those that --upstream-vkey names')])
    },
  )
})

describe.concurrent('an upstream that moves', () => {
  it.each<[string, (path: string) => Buffer | null]>([
    ['to nothing: 404 everywhere', () => null],
    ['and leaves a page for people behind', () => Buffer.from('<html>we have moved</html>')],
  ])('%s: what is held is served, health says so, and a new address goes on from there', async (_name, answer) => {
    await using upstream = await serveLog(LEAVES.slice(0, 20))
    await using front = await openFront(upstream)
    await using mirror = await openMirror([front])
    await mirror.reaches(20)
    front.answer = (path) => answer(path)
    front.streams = false
    front.cut()
    await grow(upstream, 20, 40)
    await until(async () => (await mirror.health()).upstreams[0]?.standing !== 'good', () => 'it was seen')
    mirror.clock.ahead += 61_000
    await ails(mirror, /no upstream has shown a checkpoint of the log for 6\d seconds/)
    expect((await mirror.get('/checkpoint')).text.split('\n')[1]).toBe('20')
    await mirror.stop()
    await using moved = await openMirror([upstream], {}, mirror)
    await moved.reaches(40)
    await isWell(moved)
  })
})

describe.concurrent('a store that fails', () => {
  it.each([['a full disk', 'could not extend file "base/5/16384": No space left on device'], ['a connection that is lost', 'Connection terminated unexpectedly']])(
    '%s: nothing that is served is wrong, health says why, and it goes on by itself', async (_name, words) => {
      await using upstream = await serveLog(LEAVES.slice(0, 20))
      await using mirror = await openMirror([upstream])
      await mirror.reaches(20)
      const underHead = mirror.store.underHead.bind(mirror.store)
      mirror.store.underHead = () => Promise.reject(new Error(words))
      await grow(upstream, 20, 40)
      const health = await ails(mirror, new RegExp(`^entries cannot be stored: ${words.replaceAll(/[()/"]/g, '.')}`))
      expect(health).toMatchObject({ status: 503, verifiedSize: 20, alarm: null, lagEntries: 20 })
      expect((await mirror.get(`/export?after=20`)).text).toBe('')
      expect((await mirror.get('/checkpoint')).text.split('\n')[1]).toBe('20')
      mirror.store.underHead = underHead
      await mirror.reaches(40)
      await isWell(mirror)
    },
  )

  it('a commit whose reply is lost: what was written is found, and nothing is written twice', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, 20))
    await using mirror = await openMirror([upstream])
    await mirror.reaches(20)
    const underHead = mirror.store.underHead.bind(mirror.store)
    mirror.store.underHead = async (work) => {
      mirror.store.underHead = underHead
      await underHead(work)
      throw new Error('the reply is lost')
    }
    await grow(upstream, 20, 40)
    await mirror.reaches(40)
    await isWell(mirror)
    expect((await mirror.get('/export?after=0')).text).toBe(await (await fetch(`${upstream.url}/export?after=0`)).text())
  })

  it('a database that does not answer at all: health says so, and goes on when it does', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, 20))
    await using mirror = await openMirror([upstream], { cosign: { name: 'mirror.test/one' } })
    await mirror.reaches(20)
    const gone = ['head', 'publication', 'ping', 'underHead'] as const
    const spies = gone.map((method) => vi.spyOn(mirror.store, method).mockRejectedValue(new Error('connect ECONNREFUSED')))
    await grow(upstream, 20, 40)
    await ails(mirror, /^the database does not answer$/)
    expect((await mirror.get('/checkpoint')).status).toBe(503)
    for (const spy of spies) spy.mockRestore()
    await mirror.reaches(40)
    await isWell(mirror)
  })
})

describe.concurrent('figures of a mirror', () => {
  it('are on a port of their own where it is given one', async () => {
    await using upstream = await serveLog(LEAVES.slice(0, 20))
    await using mirror = await openMirror([upstream], { metricsPort: 0 })
    await mirror.reaches(20)
    const url = mirror.fields.map(({ metrics }) => metrics).find((value) => typeof value === 'string')
    const text = await (await fetch(`${String(url)}/metrics`)).text()
    for (const line of ['stele_durable_size 20', 'stele_mirror_lag_entries 0', 'stele_mirror_rejected 0', 'stele_mirror_alarm 0', 'stele_mirror_upstreams_good 1']) expect(text.split('\n')).toContain(line)
    expect((await mirror.get('/metrics')).status).toBe(404)
  })
})
