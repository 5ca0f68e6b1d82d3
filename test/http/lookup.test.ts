import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { openCounter, postJson, type Reply, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const UNKNOWN = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const NOT_A_LIST = { status: 400, text: '{"message":"Not a JSON array of strings"}' }
const TOO_OFTEN = { status: 429, text: '{"message":"Too many requests"}' }

const lookUp = (counter: TestCounter, dids: unknown, headers: Record<string, string> = {}): Promise<Reply> => postJson(counter, 'dids', JSON.stringify(dids), headers)

/** The lines that the answers to single requests amount to. */
async function oneByOne(counter: TestCounter, dids: readonly string[]): Promise<string> {
  const lines: string[] = []
  for (const did of dids) {
    const { status, text } = await counter.ask(`/${encodeURIComponent(did)}`)
    const name = JSON.stringify(did)
    if (status === 200) lines.push(`{"did":${name},"document":${text}}`)
    else lines.push(`{"did":${name},"document":null,${text.includes('not available') ? '"tombstoned"' : '"notFound"'}:true}`)
  }
  return lines.join('\n')
}

describe('POST /dids', () => {
  const [alice, bob, carol] = [person('alice'), person('bob'), person('carol')]

  async function openPeople(): Promise<TestCounter> {
    const counter = await openCounter()
    for (const { did, genesis } of [alice, bob, carol]) await counter.submit(did, genesis)
    const lost = alice.update(alice.genesis, { key: 2, handle: 'thief' })
    await counter.submit(alice.did, lost)
    await counter.submit(alice.did, alice.update(alice.genesis, { key: 0, handle: 'back' }))
    await counter.submit(bob.did, bob.tombstone(bob.genesis))
    return counter
  }

  it('says of each DID in the order asked what a request of its own would say', async () => {
    await using counter = await openPeople()
    const dids = [carol.did, bob.did, alice.did, UNKNOWN, alice.did, 'did:web:example.com', 'foo "bar"', 'ä\n\u0000', bob.did]
    const reply = await lookUp(counter, dids)
    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': 'application/jsonlines', 'cache-control': 'no-store', vary: 'Accept-Encoding' } })
    expect(reply.headers).not.toHaveProperty('etag')
    expect(reply.text).toBe(await oneByOne(counter, dids))
    const lines = reply.text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map(({ did }) => did)).toEqual(dids)
    expect(lines[2]).toMatchObject({ document: { alsoKnownAs: ['at://back.alice.test'] } })
    expect(lines[1]).toEqual({ did: bob.did, document: null, tombstoned: true })
    expect(lines[3]).toEqual({ did: UNKNOWN, document: null, notFound: true })
  })

  it('answers nothing to nothing', async () => {
    await using counter = await openCounter()
    expect(await lookUp(counter, [])).toMatchObject({ status: 200, text: '', headers: { 'content-type': 'application/jsonlines' } })
  })

  it('takes as many DIDs as the limit in one query, and no more', async () => {
    await using sound = await openPeople()
    await sound.fill(LIMITS.lookupDids)
    const rows = await sound.store.entries(6, 6 + LIMITS.lookupDids)
    const asked: number[] = []
    const store = { ...sound.store, newestOf: (dids: readonly string[]) => (asked.push(dids.length), sound.store.newestOf(dids)) }
    await using counter = await openCounter({ ports: { store, tip: sound.tip } })
    const dids = rows.map((row) => row.did)
    expect(dids).toHaveLength(LIMITS.lookupDids)
    const reply = await lookUp(counter, dids)
    expect(asked).toEqual([LIMITS.lookupDids])
    const lines = reply.text.split('\n').map((line) => JSON.parse(line) as { did: string; document: { id: string } })
    expect(lines.map(({ did }) => did)).toEqual(dids)
    expect(lines.map(({ document }) => document.id)).toEqual(dids)
    expect(await lookUp(counter, [...dids, alice.did])).toMatchObject({ status: 400, text: '{"message":"Too many DIDs (1000 maximum)"}' })
    expect(asked).toHaveLength(1)

    const packed = await lookUp(counter, dids, { 'Accept-Encoding': 'gzip' })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(gunzipSync(packed.body).toString()).toBe(reply.text)
  })

  it('may be sent packed, and has the bounds of every body', async () => {
    await using counter = await openPeople()
    const body = gzipSync(JSON.stringify([carol.did]))
    const packed = await counter.ask('/dids', { method: 'POST', body, headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } })
    expect(packed.text).toBe(await oneByOne(counter, [carol.did]))
    expect((await lookUp(counter, ['x'.repeat(LIMITS.bodyBytes)])).status).toBe(413)
    expect((await lookUp(counter, [carol.did], { 'Content-Encoding': 'br' })).status).toBe(415)
    expect((await postJson(counter, 'dids/', JSON.stringify([carol.did]))).text).toBe(packed.text)
  })

  it('refuses in words what is no list of strings', async () => {
    await using counter = await openCounter()
    for (const value of [null, true, 7, 'did', {}, { dids: [] }, [1], [null], [[UNKNOWN]], [UNKNOWN, {}], { length: 1, 0: UNKNOWN }]) {
      expect(await lookUp(counter, value), JSON.stringify(value)).toMatchObject(NOT_A_LIST)
    }
    expect(await postJson(counter, 'dids', '')).toMatchObject(NOT_A_LIST)
    expect(await counter.ask('/dids', { method: 'POST', body: JSON.stringify([UNKNOWN]), headers: { 'Content-Type': 'text/plain' } })).toMatchObject(NOT_A_LIST)
    for (const body of ['[', '["a",]', '[\u0000]', '['.repeat(50_000)]) {
      const reply = await postJson(counter, 'dids', body)
      expect(reply.status, body.slice(0, 10)).toBe(400)
      expect(Object.keys(JSON.parse(reply.text) as object)).toEqual(['message'])
    }
  })

  it('is no submission, and leaves the names beside it alone', async () => {
    await using counter = await openCounter()
    expect(await lookUp(counter, Object.fromEntries(alice.genesis.value))).toMatchObject(NOT_A_LIST)
    expect(await counter.ask('/dids')).toMatchObject({ status: 404, text: '{"message":"DID not registered: dids"}' })
    expect((await postJson(counter, 'did', '{}')).text).toBe('{"message":"Not a valid operation: {}"}')
    expect((await postJson(counter, alice.did, renderJson(alice.genesis.value))).status).toBe(200)
  })

  it('is answered by copies themselves', async () => {
    await using directory = await openPeople()
    const never = (): Promise<never> => Promise.reject(new Error('must not be asked'))
    await using copy = await openCounter({ ports: { store: directory.store, tip: directory.tip, submit: never, forward: never } })
    expect((await lookUp(copy, [alice.did])).text).toBe(await oneByOne(directory, [alice.did]))
  })

  it('counts as a read for every DID, at most a full bucket, and says when to come again', async () => {
    const elapsed = { ms: 0 }
    await using counter = await openCounter({ options: { readRate: 2, writeRate: 1, elapsed: () => elapsed.ms } })
    const dids = (count: number): string[] => Array.from({ length: count }, () => UNKNOWN)
    expect((await lookUp(counter, dids(8))).status).toBe(200)
    expect(await lookUp(counter, dids(3))).toMatchObject({ ...TOO_OFTEN, headers: { 'retry-after': '1' } })
    expect((await counter.ask(`/${UNKNOWN}`)).status).toBe(404)
    expect(await lookUp(counter, dids(1))).toMatchObject(TOO_OFTEN)
    expect((await postJson(counter, alice.did, renderJson(alice.genesis.value))).status).toBe(200)

    const { headers } = await lookUp(counter, dids(1))
    elapsed.ms += Number(headers['retry-after']) * 1000
    expect((await lookUp(counter, dids(2))).status).toBe(200)
    elapsed.ms += 1_000
    const refused = await lookUp(counter, dids(1_000))
    expect(refused).toMatchObject({ ...TOO_OFTEN, headers: { 'retry-after': '5' } })
    elapsed.ms += 5_000
    expect((await lookUp(counter, dids(1_000))).status).toBe(200)
    expect(await lookUp(counter, [])).toMatchObject(TOO_OFTEN)
  })
})
