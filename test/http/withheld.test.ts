// What the law forbids to show is shown nowhere, and everything else everywhere, byte for byte as before.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createResolver } from '../../src/client/resolve.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { base64 } from '../../src/core/encoding/text.ts'
import { verifyReceipt } from '../../src/core/receipt.ts'
import { decodeBundle } from '../../src/core/tlog/bundle.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { ROUTES } from '../../src/http/router.ts'
import type { Withheld } from '../../src/storage/withheld.ts'
import { COUNTER_KEY, openCounter, postJson, type Reply, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const [alice, bob, carol] = [person('alice'), person('bob'), person('carol')]
/** Stands in the operations that are withheld, and in no other. */
const MARK = 'unspeakable'
const REASON = 'order 1 of a court'
const aliceUpdate = alice.update(alice.genesis, { handle: MARK })
const carolUpdate = carol.update(carol.genesis, { handle: MARK })
const carolLater = carol.update(carolUpdate, { handle: 'harmless' })

// In the order of the log: 0 alice, 1 bob, 2 alice (withheld), 3 carol, 4 carol (withheld), 5 carol, then others.
const WITHHELD: Withheld = new Map([[2, REASON], [4, null], [9_999, 'not there yet']])
const SIZE = 306

describe('the counter, where entries are withheld', () => {
  let open: TestCounter
  let counter: TestCounter

  beforeAll(async () => {
    open = await openCounter()
    for (const { did, genesis } of [alice, bob]) await open.submit(did, genesis)
    await open.submit(alice.did, aliceUpdate)
    await open.submit(carol.did, carol.genesis)
    await open.submit(carol.did, carolUpdate)
    await open.submit(carol.did, carolLater)
    await open.fill(SIZE - 6)
    await open.publish()
    const { store, tip } = open
    counter = await openCounter({ ports: { store, tip, submit: (did, operation) => open.submit(did, operation), withheld: WITHHELD, map: { prove: () => Promise.resolve(`all of it: ${MARK}`), standing: () => ({ size: null, leaves: 0, fault: null }) } } })
  })
  afterAll(async () => {
    await counter[Symbol.asyncDispose]()
    await open[Symbol.asyncDispose]()
  })

  const withheldAt = (reply: Reply, message: string): void => {
    expect(reply.status).toBe(451)
    expect(reply.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
    expect(JSON.parse(reply.text)).toEqual({ message })
  }

  it('answers 451, with the reason, wherever the bytes would be', async () => {
    const message = `Withheld by the operator: index 2, ${REASON}`
    for (const path of ['', '/data', '/log', '/log/audit', '/log/last', '/state-proof']) withheldAt(await counter.ask(`/${alice.did}${path}`), message)
    for (const path of ['/log', '/log/audit', '/state-proof']) withheldAt(await counter.ask(`/${carol.did}${path}`), 'Withheld by the operator: index 4')
    for (const path of ['000', '000.p/3', '000.p/255']) withheldAt(await counter.ask(`/tile/entries/${path}`), message)
  })

  it('answers 451 to whoever knows the answer of before, too', async () => {
    for (const path of [`/${alice.did}`, '/tile/entries/000']) {
      const before = await open.ask(path)
      withheldAt(await counter.ask(path, { headers: { 'If-None-Match': before.headers.etag ?? '' } }), `Withheld by the operator: index 2, ${REASON}`)
    }
    const since = await counter.ask(`/${alice.did}`, { headers: { 'If-Modified-Since': new Date().toUTCString() } })
    expect(since.status).toBe(451)
  })

  it('shows the bytes at no address, under no method, to no lookup', async () => {
    const parameters: Record<string, readonly string[]> = { did: [alice.did, bob.did, carol.did], cid: [aliceUpdate.cid, carolUpdate.cid] }
    const fill = (path: string): string[] => {
      const [name] = /(?<=[:*])[a-z]+/.exec(path) ?? []
      if (name === undefined) return [path]
      const values = parameters[name] ?? ['000', '000.p/5', '001.p/3', '0/000', '0/000.p/9']
      return values.flatMap((value) => fill(path.replace(`:${name}`, value).replace(`*${name}`, value)))
    }
    const paths = ROUTES.filter(({ method }) => method === 'GET').flatMap(({ path }) => fill(path)).flatMap((path) => [path, `${path}?after=0`, `${path}?index=2&from=0`])
    expect(paths.length).toBeGreaterThan(60)
    for (const path of paths) expect((await counter.ask(path)).body.includes(MARK), path).toBe(false)
    const lookup = await counter.ask('/dids', { method: 'POST', body: JSON.stringify([alice.did, bob.did, carol.did]), headers: { 'Content-Type': 'application/json' } })
    expect(lookup.text).not.toContain(MARK)
    const [first, second, third] = lookup.text.split('\n').map((line) => JSON.parse(line) as unknown)
    expect(first).toEqual({ did: alice.did, document: null, withheld: true })
    expect([second, third]).toMatchObject([{ document: { id: bob.did } }, { document: { alsoKnownAs: ['at://harmless.carol.test'] } }])
  })

  it('leaves them out of exports, which have a gap there and as many lines as were asked for', async () => {
    const seqs = (reply: Reply): number[] => reply.text.split('\n').map((line) => (JSON.parse(line) as { seq: number }).seq)
    expect(seqs(await counter.ask('/export?after=0&count=4'))).toEqual([1, 2, 4, 6])
    expect(seqs(await counter.ask('/export?after=2&count=1'))).toEqual([4])
    const all = (await open.ask('/export?after=0')).text.split('\n')
    expect((await counter.ask('/export?after=0')).text.split('\n')).toEqual(all.filter((_, i) => i !== 2 && i !== 4))
    expect((await counter.ask('/export?count=5')).text.split('\n')).toHaveLength(5)
    expect((await counter.ask('/export')).text.split('\n')).toHaveLength(SIZE - 2)
  })

  it('lists what is withheld, with the hash that the tree has of it', async () => {
    const [first, second] = await Promise.all([2, 4].map(async (index) => base64.encode(leafHash((await open.store.leaves(index, index + 1))[0] ?? new Uint8Array()))))
    const reply = await counter.ask('/log/withheld')
    expect(reply.text.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual([
      { index: 2, leaf: first, reason: REASON },
      { index: 4, leaf: second, reason: null },
    ])
    expect((await counter.ask('/log/withheld?after=3')).text).toBe(reply.text.split('\n')[1])
    expect((await counter.ask('/log/withheld?count=1')).text).toBe(reply.text.split('\n')[0])
    expect((await counter.ask('/log/withheld?after=x')).status).toBe(400)
    expect((await open.ask('/log/withheld')).text).toBe('')
  })

  it('changes no byte of anything else', async () => {
    const tiles = ['/checkpoint', '/tile/0/000', '/tile/0/001.p/50', '/tile/1/000.p/1', '/log/vkey', '/log/proof/inclusion?index=2', '/log/proof/consistency?from=3']
    const bundles = ['/tile/entries/000.p/1', '/tile/entries/000.p/2', '/tile/entries/001.p/50']
    const others = ['', '/data', '/log', '/log/audit', '/log/last', `/log/${bob.genesis.cid}/proof`].map((path) => `/${bob.did}${path}`)
    const later = [`/${carol.did}`, `/${carol.did}/data`, `/${carol.did}/log/last`, `/${carol.did}/log/${carolLater.cid}/proof`]
    for (const path of [...tiles, ...bundles, ...others, ...later]) {
      const [before, now] = [await open.ask(path), await counter.ask(path)]
      expect(now.status, path).toBe(200)
      expect(now.body, path).toEqual(before.body)
      expect(now.headers.etag).toBe(before.headers.etag)
    }
  })

  it('proves to whoever has an operation that it is in the log, though it does not show it', async () => {
    const receipt = await counter.ask(`/${alice.did}/log/${aliceUpdate.cid}/proof`)
    expect(receipt.status).toBe(200)
    expect(verifyReceipt(receipt.text, aliceUpdate, [COUNTER_KEY])).toMatchObject({ index: 2 })
    const again = await postJson(counter, alice.did, renderJson(aliceUpdate.value), { Prefer: 'wait=0', Accept: 'text/x.tlog-proof' })
    expect([again.status, again.text]).toEqual([200, receipt.text])
  })

  it('leaves a resolver of every other identity its proofs, and tells it of this one', async () => {
    const resolver = createResolver({ servers: [counter.url], logKeys: [COUNTER_KEY] })
    expect(await resolver.resolve(bob.did, { require: 'included' })).toMatchObject({ did: bob.did, proved: [{ level: 'signed' }, { level: 'included', indices: [1] }], skipped: [] })
    await expect(resolver.resolve(alice.did, { require: 'included' })).rejects.toMatchObject({ code: 'REFUSED', skipped: [{ words: expect.stringContaining(`Withheld by the operator: index 2, ${REASON}`) as string }] })
  })

  it('lets the identity be changed all the same, and shows what follows', async () => {
    const next = alice.update(aliceUpdate, { handle: 'better' })
    expect((await postJson(counter, alice.did, renderJson(next.value))).status).toBe(200)
    expect((await counter.ask(`/${alice.did}`)).text).toContain('at://better.alice.test')
    expect((await counter.ask(`/${alice.did}/log/audit`)).status).toBe(451)
    await open.publish()
    const [leaf] = decodeBundle((await open.ask(`/tile/entries/001.p/51`)).body, 51).slice(-1)
    expect(leaf === undefined ? null : decodeEntry(leaf).operation.cid).toBe(next.cid)
  })
})
