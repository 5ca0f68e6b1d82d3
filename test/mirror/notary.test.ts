// A notary of a plain did:plc directory: what is read becomes a log that anybody can verify, and the known traps of such directories.

import { describe, expect, it } from 'vitest'
import { ledger } from '../../bench/ledger.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import type { LedgerRecord } from '../../src/core/plc/records.ts'
import { verifyStateProof } from '../../src/core/state-proof.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { MIRROR_LIMITS } from '../../mirror/limits.ts'
import { openMirror, until } from '../support/mirror.ts'
import { openNotary, type TestNotary } from '../support/notary.ts'
import { person } from '../support/people.ts'
import { openPlain, SHOWN_MS, type PlainDirectory } from '../support/plain-upstream.ts'

const HOUR_MS = 3_600_000

/** Genesis operations of people who do nothing else. */
function residents(count: number): { did: string; genesis: Operation }[] {
  return Array.from({ length: count }, (_, i) => person(`resident ${i}`, 1))
}

function showResidents(upstream: PlainDirectory, from: number, to: number): void {
  for (const { did, genesis } of residents(to).slice(from)) upstream.show(did, genesis)
}

/** What a notary shows of its log as a plain directory would, without its own numbers. */
async function exported(notary: TestNotary): Promise<string[]> {
  const lines: string[] = []
  for (;;) {
    const page = await notary.list(`/export?after=${lines.length}`)
    if (page.length === 0) return lines
    lines.push(...page.map(({ did, cid, createdAt, operation }) => `${String(did)} ${String(cid)} ${String(createdAt)} ${JSON.stringify(operation)}`))
  }
}

async function expectAll(notary: TestNotary, upstream: PlainDirectory): Promise<void> {
  const shown = [...upstream.rows].sort((a, b) => a.seq - b.seq)
  expect(await exported(notary)).toEqual(
    shown.map(({ did, cid, createdAt, operation }) => `${did} ${cid} ${new Date(createdAt).toISOString()} ${renderJson(operation.value)}`),
  )
}

/** Resolves once the stream is followed. */
async function followed(upstream: PlainDirectory): Promise<void> {
  await until(() => upstream.asked.some((path) => path.startsWith('/export/stream')), () => 'the stream is followed')
}

async function refusals(notary: TestNotary, count: number): Promise<Record<string, unknown>[]> {
  let found: Record<string, unknown>[] = []
  await until(async () => (found = await notary.list('/log/refused')).length === count, () => `${count} lines are set aside; ${JSON.stringify(found)}`)
  return found
}

/** Puts the clock forward until an identity is among the divergent ones, or no longer. */
async function divergence(notary: TestNotary, did: string, open: boolean): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined
  await until(async () => {
    notary.clock.ahead += MIRROR_LIMITS.sampleMs
    found = (await notary.list('/log/divergent')).find((line) => line['did'] === did)
    return found !== undefined && (found['endedAt'] === null) === open
  }, () => `${did} ${open ? 'diverges' : 'agrees again'}: ${JSON.stringify(found)}`)
  return found ?? {}
}

describe.concurrent('a notary', () => {
  it('makes of pages, and of the stream after them, a log that verifies, of which every entry says where it came from', async () => {
    await using upstream = await openPlain()
    upstream.showAll(ledger(2_500, 3))
    await using notary = await openNotary(upstream)
    await notary.reaches(2_500)
    showResidents(upstream, 0, 20)
    await notary.reaches(2_520)
    await expectAll(notary, upstream)
    await notary.check()
    const rows = await notary.store.entries(0, 10_000)
    expect(new Set(rows.map((row) => decodeEntry(row.entry).source))).toEqual(new Set(['plc.test']))
    expect(await notary.health()).toMatchObject({ status: 200, cursor: 2_520, verifiedSize: 2_520, lagSeconds: 0, divergent: 0, refused: 0, alarm: null })
    const { did, genesis } = person('resident 0', 1)
    expect((await notary.get(`/${did}/log/${genesis.cid}/proof`)).status).toBe(200)
    expect((await notary.get(`/${did}`)).status).toBe(200)
    // Followed by the stream: pages are not read again and again.
    expect(upstream.asked.filter((path) => path.startsWith('/export?')).length).toBeLessThan(12)
  })

  it('goes on where it was when it is started again, and reads what came meanwhile', async () => {
    await using upstream = await openPlain()
    showResidents(upstream, 0, 30)
    const first = await openNotary(upstream)
    await first.reaches(30)
    await first.stop()
    showResidents(upstream, 30, 45)
    await using second = await openNotary(upstream, {}, first)
    await second.reaches(45)
    await expectAll(second, upstream)
    await second.check()
  })

  it('waits while the upstream is gone, and as long as it is told to', async () => {
    await using upstream = await openPlain()
    upstream.busy = { times: 1, retryAfter: 1 }
    showResidents(upstream, 0, 5)
    await using notary = await openNotary(upstream)
    await notary.reaches(5)
    await followed(upstream)
    upstream.gone = true
    upstream.cut()
    showResidents(upstream, 5, 8)
    await until(() => notary.lines.some(([level, words]) => level === 'warn' && words.includes('cannot be reached')), () => 'it is said that the upstream does not answer')
    notary.clock.ahead += 40_000
    expect(await notary.health()).toMatchObject({ status: 503, faults: expect.arrayContaining([expect.stringContaining('has not answered for')]) as unknown })
    upstream.gone = false
    await notary.reaches(8)
    await until(async () => (await notary.health()).status === 200, () => 'all is well again')
  })

  it('reads pages again where the stream refuses a cursor that is too old, is not there, or ends', async () => {
    await using upstream = await openPlain()
    upstream.closes = 'OutdatedCursor'
    showResidents(upstream, 0, 5)
    await using notary = await openNotary(upstream)
    await notary.reaches(5)
    showResidents(upstream, 5, 8)
    await notary.reaches(8)
    upstream.closes = null
    upstream.streams = false
    showResidents(upstream, 8, 11)
    await notary.reaches(11)
    upstream.streams = true
    const asked = upstream.asked.length
    showResidents(upstream, 11, 13)
    await notary.reaches(13)
    await until(() => upstream.asked.slice(asked).some((path) => path.startsWith('/export/stream')), () => 'the stream is followed')
    upstream.cut()
    showResidents(upstream, 13, 15)
    await notary.reaches(15)
    await expectAll(notary, upstream)
  })

  it('keeps to one upstream, one origin and its own key', async () => {
    await using upstream = await openPlain()
    showResidents(upstream, 0, 2)
    const first = await openNotary(upstream)
    await first.reaches(2)
    await first.stop()
    await expect(openNotary(upstream, { source: 'other.test' }, first)).rejects.toThrow('that of a notary of plc.test, not of other.test')
    await expect(openNotary(upstream, { origin: 'other.test/log' }, first)).rejects.toThrow('--origin is other.test/log')
    await expect(openNotary(upstream, { guardFile: `${first.folder}/none.sqlite` }, first)).rejects.toThrow('there is no guard at')
    await expect(openNotary(upstream, { origin: null })).rejects.toThrow('--origin NAME')
    const { store } = await openNotary(upstream, { origin: 'new.test/log' })
    expect((await store.head())?.origin).toBe('new.test/log')
    // A key whose database is gone.
    await expect(openNotary(upstream, {}, { ...first, store: (await import('../../src/storage/memory.ts')).memoryStore() })).rejects.toThrow('the database holds no log, but')
  })

  it('passes submissions on, and answers when they have arrived', async () => {
    await using upstream = await openPlain()
    await using notary = await openNotary(upstream, { passOn: true })
    const { did, genesis } = person('writer')
    const response = await fetch(`${notary.url}/${did}`, { method: 'POST', body: renderJson(genesis.value), headers: { 'content-type': 'application/json' } })
    expect([response.status, await response.text(), response.headers.get('stele-arrived')]).toEqual([200, 'OK', 'yes'])
    expect((await notary.get(`/${did}`)).status).toBe(200)
    await using silent = await openNotary(upstream)
    expect((await fetch(`${silent.url}/${did}`, { method: 'POST', body: renderJson(genesis.value), headers: { 'content-type': 'application/json' } })).status).toBe(503)
  })
})

describe.concurrent('the order in which an upstream shows operations', () => {
  it('may have gaps, and what fills one later is found', async () => {
    await using upstream = await openPlain()
    const [one, two, three, late] = residents(4)
    if (one === undefined || two === undefined || three === undefined || late === undefined) throw new Error('four people')
    upstream.show(one.did, one.genesis, { seq: 5 })
    upstream.show(two.did, two.genesis, { seq: 9 })
    await using notary = await openNotary(upstream)
    await notary.reaches(2)
    upstream.show(three.did, three.genesis, { seq: 20 })
    await notary.reaches(3)
    upstream.show(late.did, late.genesis, { seq: 12, silent: true })
    notary.clock.ahead += MIRROR_LIMITS.sweepMs
    await notary.reaches(4)
    expect(await notary.list('/log/upstream')).toEqual([{ seq: 1, upstream: 5 }, { seq: 2, upstream: 9 }, { seq: 3, upstream: 20 }, { seq: 4, upstream: 12 }])
    const cursor = async (query: string): Promise<unknown> => JSON.parse((await notary.get(`/log/upstream/cursor?${query}`)).text)
    // Whoever goes on from there misses nothing.
    expect(await cursor('upstream=0')).toEqual({ seq: 0, upstream: 0 })
    expect(await cursor('upstream=5')).toEqual({ seq: 1, upstream: 5 })
    expect(await cursor('upstream=10')).toEqual({ seq: 2, upstream: 10 })
    expect(await cursor('upstream=15')).toEqual({ seq: 2, upstream: 15 })
    expect(await cursor('upstream=20')).toEqual({ seq: 4, upstream: 20 })
    expect(await cursor('seq=0')).toEqual({ seq: 0, upstream: 4 })
    expect(await cursor('seq=1')).toEqual({ seq: 1, upstream: 8 })
    expect(await cursor('seq=2')).toEqual({ seq: 2, upstream: 11 })
    expect(await cursor('seq=4')).toEqual({ seq: 4, upstream: 20 })
    expect((await notary.get('/log/upstream/cursor')).status).toBe(400)
    expect((await notary.get('/log/upstream/cursor?seq=1&upstream=1')).status).toBe(400)
    await notary.check()
  })

  it('may show events of the stream before their page, lose some, and repeat them', async () => {
    await using upstream = await openPlain()
    const alice = person('alice')
    upstream.show(alice.did, alice.genesis)
    await using notary = await openNotary(upstream)
    await notary.reaches(1)
    await followed(upstream)
    const first = alice.update(alice.genesis)
    const second = alice.update(first)
    upstream.event = (text) => [text, text]
    // The second comes by the stream while the first stands only in pages.
    upstream.show(alice.did, first, { silent: true })
    upstream.show(alice.did, second)
    await notary.reaches(3)
    upstream.event = () => []
    showResidents(upstream, 0, 3)
    notary.clock.ahead += MIRROR_LIMITS.sweepMs
    await notary.reaches(6)
    await expectAll(notary, upstream)
    expect(await notary.list('/log/refused')).toEqual([])
    expect((await notary.health()).refused).toBe(0)
    await notary.check()
  })

  it('may repeat in a page what stood in the one before', async () => {
    await using upstream = await openPlain()
    upstream.showAll(ledger(2_200, 5))
    let before: readonly (string | Buffer)[] = []
    upstream.page = (lines, after) => {
      const page = after === '0' ? lines : [...before.slice(-10), ...lines]
      before = lines
      return lines.length === 0 ? [] : page
    }
    await using notary = await openNotary(upstream)
    await notary.reaches(2_200)
    await expectAll(notary, upstream)
  })

  it('may be by time alone: pages that end inside a millisecond lose nothing', async () => {
    await using upstream = await openPlain()
    upstream.numbered = false
    const records: LedgerRecord[] = [...ledger(2_600, 7)].map((record, i) => ({ ...record, createdAt: SHOWN_MS + Math.floor(i / 700) }))
    upstream.showAll(records)
    // Operations of one identity within a millisecond would be shown by their CIDs.
    upstream.rows = upstream.rows.filter(({ operation }) => operation.prev === null)
    const count = upstream.rows.length
    await using notary = await openNotary(upstream)
    await notary.reaches(count)
    expect(new Set((await exported(notary)).map((line) => line.split(' ')[1]))).toEqual(new Set(upstream.rows.map(({ cid }) => cid)))
    expect(await notary.list('/log/upstream')).toEqual([])
    expect((await notary.get('/log/upstream/cursor?seq=1')).status).toBe(404)
    const { did, genesis } = person('resident 0', 1)
    upstream.show(did, genesis, { createdAt: SHOWN_MS + HOUR_MS })
    await notary.reaches(count + 1)
    expect((await notary.health()).cursor).toBe(new Date(SHOWN_MS + HOUR_MS).toISOString())
    await notary.check()
  })

  it('may be by time with more in a millisecond than a page holds: that is said, and what follows is read', async () => {
    await using upstream = await openPlain()
    upstream.numbered = false
    upstream.showAll([...ledger(1_600, 7)].filter(({ operation }) => operation.prev === null).map((record) => ({ ...record, createdAt: SHOWN_MS })))
    const { did, genesis } = person('resident 0', 1)
    upstream.show(did, genesis, { createdAt: SHOWN_MS + 5 })
    await using notary = await openNotary(upstream)
    await notary.reaches(1_001)
    expect(notary.lines.some(([, words]) => words.includes('are of one millisecond'))).toBe(true)
  })

  it('may begin to number what it showed by time: nothing stands twice', async () => {
    await using upstream = await openPlain()
    upstream.numbered = false
    showResidents(upstream, 0, 10)
    const first = await openNotary(upstream)
    await first.reaches(10)
    await first.stop()
    upstream.numbered = true
    showResidents(upstream, 10, 12)
    await using second = await openNotary(upstream, {}, first)
    await second.reaches(12)
    expect((await second.list('/log/upstream')).map(({ seq, upstream }) => [seq, upstream])).toEqual(Array.from({ length: 12 }, (_, i) => [i + 1, i + 1]))
    await second.check()
  })

  it('may have times that go back, which only a recovery may not', async () => {
    await using upstream = await openPlain()
    const [alice, bob] = [person('alice'), person('bob')]
    upstream.show(alice.did, alice.genesis, { createdAt: SHOWN_MS + HOUR_MS })
    const update = alice.update(alice.genesis, { key: 1 })
    upstream.show(alice.did, update, { createdAt: SHOWN_MS + HOUR_MS / 2 })
    upstream.show(bob.did, bob.genesis, { createdAt: SHOWN_MS })
    // A backdated recovery.
    upstream.show(alice.did, alice.update(alice.genesis, { key: 0 }), { createdAt: SHOWN_MS + HOUR_MS / 2 })
    await using notary = await openNotary(upstream)
    await notary.reaches(3)
    expect(await refusals(notary, 1)).toMatchObject([{ did: alice.did, code: 'MISORDERED', upstream: 4, seq: null }])
    await notary.check()
  })

  it('may end earlier than it did: it is said, its numbers are followed back, and what was notarised stays', async () => {
    await using upstream = await openPlain()
    upstream.showAll(ledger(2_005, 9))
    await using notary = await openNotary(upstream)
    await notary.reaches(2_005)
    await followed(upstream)
    const lost = upstream.rows.splice(2_000)
    upstream.cut()
    await until(async () => (await notary.health()).alarm?.includes('ends at 2000 now') ?? false, () => 'the alarm')
    expect(await notary.health()).toMatchObject({ status: 503, cursor: 2_000 })
    showResidents(upstream, 0, 5)
    await notary.reaches(2_010)
    const { did } = lost[0] ?? { did: '' }
    await divergence(notary, did, true)
    upstream.rows.push(...lost.map((row) => ({ ...row, seq: row.seq + 5 })))
    upstream.cut()
    await until(async () => (await notary.health()).alarm === null, () => 'it shows them again')
    await divergence(notary, did, false)
    await notary.check()
  })
})

describe.concurrent('what an upstream shows and should not', () => {
  const alice = person('alice')
  const bob = person('bob')

  it('is set aside where it breaks the rules, with the verdict and the line, and nothing else suffers', async () => {
    await using upstream = await openPlain()
    upstream.show(alice.did, alice.genesis)
    const forged = bob.update(alice.genesis)
    upstream.show(alice.did, forged)
    const update = alice.update(alice.genesis, { key: 1 })
    upstream.show(alice.did, update)
    upstream.show(alice.did, alice.update(alice.genesis, { key: 2, handle: 'weaker' }))
    upstream.show(alice.did, alice.update(alice.genesis, { key: 0, handle: 'late' }), { createdAt: SHOWN_MS + 100 * HOUR_MS })
    upstream.show(bob.did, alice.genesis)
    await using notary = await openNotary(upstream)
    await notary.reaches(2)
    const found = await refusals(notary, 4)
    expect(found.map(({ number, upstream, did, cid, code }) => [number, upstream, did, cid, code])).toEqual([
      [1, 2, alice.did, forged.cid, 'INVALID_SIGNATURE'],
      [2, 4, alice.did, alice.update(alice.genesis, { key: 2, handle: 'weaker' }).cid, 'INVALID_SIGNATURE'],
      [3, 5, alice.did, alice.update(alice.genesis, { key: 0, handle: 'late' }).cid, 'LATE_RECOVERY'],
      [4, 6, bob.did, alice.genesis.cid, 'GENESIS_HASH'],
    ])
    expect(JSON.parse(String(found[0]?.['line']))).toMatchObject({ seq: 2, cid: forged.cid })
    expect((await notary.get('/log/rejected')).text).toBe('')
    expect(await notary.health()).toMatchObject({ status: 503, refused: 4, faults: expect.arrayContaining([expect.stringContaining('GET /log/refused')]) as unknown })
    // The identity's two views differ: the upstream shows what breaks the rules.
    expect(await divergence(notary, alice.did, true)).toMatchObject({ kinds: ['refused'] })
    const { ours, theirs } = JSON.parse((await notary.get(`/log/divergent/${alice.did}`)).text) as { ours: unknown[]; theirs: string }
    expect([ours.length, (JSON.parse(theirs) as unknown[]).length]).toEqual([2, 5])
    await notary.check()
    // What the operator has looked at stays in the lists, and is no fault any more.
    await divergence(notary, bob.did, true)
    await notary.stop()
    const { ahead } = notary.clock
    await using again = await openNotary(upstream, { acknowledged: Date.now() + ahead + 1_000 }, notary)
    again.clock.ahead = ahead + 2_000
    let health = await again.health()
    await until(async () => (health = await again.health()).status === 200, () => `all is well: ${JSON.stringify(health)}`)
    expect(await again.health()).toMatchObject({ status: 200, refused: 4, divergent: 2 })
    expect((await again.list('/log/refused')).length).toBe(4)
    upstream.show(alice.did, bob.update(alice.genesis, { handle: 'forged-again' }))
    await until(async () => (await again.health()).status === 503, () => 'what is new is a fault')
  })

  it('is set aside where it cannot be encoded or read, whole or its beginning, once', async () => {
    await using upstream = await openPlain()
    const line = (change: (text: string) => string): string => change(`{"did":"${alice.did}","cid":"${alice.genesis.cid}","seq":SEQ,"createdAt":"2024-01-01T00:00:00.000Z","operation":${renderJson(alice.genesis.value)},"type":"sequenced_op"}`)
    const raws = [
      line((text) => text.replace('"prev":null', '"prev":7')),
      line((text) => text.replace('at://alice.test', '\\ud800')),
      line((text) => text.replace('"prev":null', '"prev":[[[[[[]]]]]]')),
      line((text) => text.replace('"prev":null', '"extra":"","prev":null')),
      line((text) => text.replace('2024-01-01T00:00:00.000Z', 'yesterday')),
      line((text) => text.replace(alice.did, 'did:plc:short')),
      line((text) => text.slice(0, 100)),
      Buffer.concat([Buffer.from(line((text) => text).slice(0, 300)), Buffer.from([0xff, 0xfe]), Buffer.from(line((text) => text).slice(300))]),
      line((text) => text.replace('at://alice.test', 'x'.repeat(100_000))),
    ]
    for (const [i, raw] of raws.entries()) upstream.show(alice.did, alice.genesis, { raw: typeof raw === 'string' ? raw.replace('SEQ', String(i + 1)) : raw })
    upstream.show(bob.did, bob.genesis)
    await using notary = await openNotary(upstream)
    await notary.reaches(1)
    const found = await refusals(notary, raws.length)
    expect(found.map(({ code }) => code)).toEqual([
      'MALFORMED_JSON', 'MALFORMED_JSON', 'MALFORMED_JSON', 'INVALID_OPERATION', 'MALFORMED_TIMESTAMP', 'MALFORMED_DID', 'MALFORMED_JSON', 'MALFORMED_TEXT', 'ENTRY_TOO_LARGE',
    ])
    const large = String(raws[8]).replace('SEQ', '9')
    expect(found[8]).toMatchObject({ length: large.length, line: large.slice(0, MIRROR_LIMITS.asideBytes) })
    expect(found[0]).toMatchObject({ upstream: 1, did: alice.did, cid: '', seq: null, line: String(raws[0]).replace('SEQ', '1') })
    // Shown again, and by the stream: it stands here once.
    notary.clock.ahead += MIRROR_LIMITS.sweepMs
    showResidents(upstream, 0, 1)
    await notary.reaches(2)
    upstream.cut()
    showResidents(upstream, 1, 2)
    await notary.reaches(3)
    await refusals(notary, raws.length)
    expect(await notary.list('/log/refused?after=7&count=1')).toMatchObject([{ number: 8 }])
    await notary.check()
  })

  it('is taken for what it is where another CID is named beside it, and that is listed', async () => {
    await using upstream = await openPlain()
    upstream.show(alice.did, alice.genesis, { cid: bob.genesis.cid })
    const update = alice.update(alice.genesis)
    upstream.show(alice.did, update)
    await using notary = await openNotary(upstream)
    await notary.reaches(2)
    expect(await refusals(notary, 1)).toMatchObject([{ code: 'MALFORMED_RECORD', did: alice.did, cid: alice.genesis.cid, seq: 1, upstream: 1 }])
    await notary.check()
  })

  it('is passed over where it is of a type that nobody knows yet', async () => {
    await using upstream = await openPlain()
    upstream.show(alice.did, alice.genesis, { raw: `{"seq":1,"type":"something_new","did":"${alice.did}"}` })
    upstream.show(bob.did, bob.genesis)
    await using notary = await openNotary(upstream)
    await notary.reaches(1)
    upstream.show(alice.did, alice.genesis, { raw: `{"seq":3,"type":"something_new","did":"${alice.did}"}` })
    upstream.show(alice.did, alice.genesis)
    await notary.reaches(2)
    expect(await notary.list('/log/refused')).toEqual([])
  })

  it('becomes an entry after all where the operation that it follows is found in an audit log', async () => {
    await using upstream = await openPlain()
    const [first, second] = [alice.update(alice.genesis), alice.update(alice.update(alice.genesis))]
    upstream.show(alice.did, alice.genesis)
    upstream.show(alice.did, first)
    upstream.show(alice.did, second)
    // Its pages lack one.
    upstream.page = (lines) => lines.filter((line) => !line.includes(`"cid":"${first.cid}"`))
    await using notary = await openNotary(upstream)
    await notary.reaches(3)
    await until(async () => (await notary.health()).refused === 0, () => 'nothing is set aside any more')
    expect(JSON.parse((await notary.get(`/${alice.did}/log`)).text)).toHaveLength(3)
    await notary.check()
  })

  it('is no reason to stop: pages of rubbish are said, and followed again when they are pages', async () => {
    await using upstream = await openPlain()
    showResidents(upstream, 0, 3)
    await using notary = await openNotary(upstream)
    await notary.reaches(3)
    await followed(upstream)
    const honest = upstream.page
    upstream.page = () => ['<html>']
    upstream.cut()
    await until(async () => (await notary.health()).alarm?.includes('has no numbers') ?? false, () => 'the alarm')
    expect((await notary.health()).status).toBe(503)
    upstream.page = honest
    showResidents(upstream, 3, 5)
    await notary.reaches(5)
    await until(async () => (await notary.health()).alarm === null, () => 'no alarm')
  })
})

describe.concurrent('an operation that vanishes from the upstream', () => {
  const alice = person('alice')

  it('stays here; the identity is divergent, both views are shown, until they agree again', async () => {
    await using upstream = await openPlain()
    upstream.show(alice.did, alice.genesis)
    const update = upstream.show(alice.did, alice.update(alice.genesis))
    await using notary = await openNotary(upstream)
    await notary.reaches(2)
    upstream.rows = upstream.rows.filter((row) => row !== update)
    expect(await divergence(notary, alice.did, true)).toMatchObject({ kinds: ['vanished'], endedAt: null })
    const both = JSON.parse((await notary.get(`/log/divergent/${alice.did}`)).text) as { ours: { cid: string }[]; theirs: string }
    expect(both.ours.map(({ cid }) => cid)).toEqual([alice.genesis.cid, update.cid])
    expect((JSON.parse(both.theirs) as { cid: string }[]).map(({ cid }) => cid)).toEqual([alice.genesis.cid])
    expect(await notary.health()).toMatchObject({ status: 503, divergent: 1, faults: expect.arrayContaining([expect.stringContaining('GET /log/divergent')]) as unknown })
    expect((await notary.get(`/log/divergent/${person('nobody').did}`)).status).toBe(404)
    // What the upstream makes of it from then on follows another operation than ours, and is kept apart.
    const other = alice.update(alice.genesis, { key: 0, handle: 'other' })
    upstream.show(alice.did, other)
    await refusals(notary, 1)
    expect(JSON.parse((await notary.get(`/${alice.did}/log/last`)).text)).toEqual(JSON.parse(renderJson(update.operation.value)))
    upstream.rows = upstream.rows.filter((row) => row.cid !== other.cid)
    upstream.rows.push(update)
    await divergence(notary, alice.did, false)
    expect((await notary.health()).divergent).toBe(0)
    await notary.check()
  })

  it('may be all of an identity', async () => {
    await using upstream = await openPlain()
    upstream.show(alice.did, alice.genesis)
    await using notary = await openNotary(upstream)
    await notary.reaches(1)
    upstream.rows = []
    expect(await divergence(notary, alice.did, true)).toMatchObject({ kinds: ['vanished'] })
    expect((await notary.get(`/${alice.did}`)).status).toBe(200)
  })

  it('is one case: other flags, other times and what is no audit log are told apart', async () => {
    await using upstream = await openPlain()
    const people = ['flags', 'times', 'rubbish'].map((name) => person(name))
    for (const someone of people) {
      upstream.show(someone.did, someone.genesis)
      upstream.show(someone.did, someone.update(someone.genesis))
    }
    await using notary = await openNotary(upstream)
    await notary.reaches(6)
    const [flags, times, rubbish] = people.map(({ did }) => did)
    upstream.audit = (text, did) =>
      did === flags ? text.replace('"nullified":false', '"nullified":true') : did === times ? text.replace('00:00:0', '00:00:5') : did === rubbish ? '{}' : text
    expect(await divergence(notary, flags ?? '', true)).toMatchObject({ kinds: ['nullified'] })
    expect(await divergence(notary, times ?? '', true)).toMatchObject({ kinds: ['time'] })
    expect(await divergence(notary, rubbish ?? '', true)).toMatchObject({ kinds: ['unreadable'] })
  })

  it('that has only just come may be missing a moment later without being missed', async () => {
    await using upstream = await openPlain()
    upstream.audit = (_text, did) => (did === alice.did ? null : _text)
    upstream.show(alice.did, alice.genesis, { createdAt: Date.now() + HOUR_MS })
    await using notary = await openNotary(upstream)
    await notary.reaches(1)
    await until(async () => {
      notary.clock.ahead += MIRROR_LIMITS.sampleMs
      return upstream.asked.filter((path) => path.endsWith('/log/audit')).length > 1
    }, () => 'it was asked for twice')
    expect(await notary.list('/log/divergent')).toEqual([])
  })
})

describe('the map of a notary', () => {
  it('is derived, signed and served, and a replica of the notary derives the same', async () => {
    await using upstream = await openPlain()
    const alice = person('mapped')
    upstream.show(alice.did, alice.genesis)
    showResidents(upstream, 0, 4)
    await using notary = await openNotary(upstream, { mapIntervalMs: 10 })
    await notary.reaches(5)
    await using mirror = await openMirror([notary], { vkeys: null })
    upstream.show(alice.did, alice.update(alice.genesis))
    await notary.reaches(6)
    const keysAt = async (path: string) => (await notary.get(path)).text.trimEnd().split('\n').map(parseVerifierKey)
    const trust = { logKeys: await keysAt('/log/vkey'), mapKeys: await keysAt('/map/vkey'), policy: null }
    for (const server of [notary, mirror]) {
      let proof = { status: 0, text: '' }
      await until(async () => (proof = await server.get(`/${alice.did}/state-proof`)).status === 200 && verifyStateProof(proof.text, alice.did, trust).leaf.size === 6, () => `the newest state is proved: ${proof.text.slice(0, 200)}`)
      expect(verifyStateProof(proof.text, alice.did, trust).state?.entries).toBe(2)
    }
    const health = JSON.parse((await mirror.get('/_health')).text) as { map: unknown }
    expect(health.map).toMatchObject({ size: 6, fault: null })
  })

  it('is not there where it is told so', async () => {
    await using upstream = await openPlain()
    await using notary = await openNotary(upstream, { map: false })
    expect([(await notary.get('/map/vkey')).status, (await notary.get(`/${person('nobody').did}/state-proof`)).status]).toEqual([404, 503])
    expect((await notary.health()).status).toBe(200)
  })
})
