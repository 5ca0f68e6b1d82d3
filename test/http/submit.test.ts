import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { base64url } from '../../src/core/encoding/text.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { verifyReceipt } from '../../src/core/receipt.ts'
import type { Submitted } from '../../src/http/ports.ts'
import { preferredWait } from '../../src/http/submit.ts'
import { Tip } from '../../src/storage/tip.ts'
import { COUNTER_KEY, openCounter, postJson } from '../support/counter.ts'
import { createValue } from '../support/identities.ts'
import { person, signer } from '../support/people.ts'

const json = (operation: Operation): string => renderJson(operation.value)
const message = (text: string): string => JSON.stringify({ message: text })
const withSig = (operation: Operation, sig: string): Operation => parseOperation(new Map([...operation.value, ['sig', sig]]))
const proofType = { Accept: 'text/x.tlog-proof' }

describe('POST /:did', () => {
  it('answers OK and serves the identity from then on', async () => {
    await using counter = await openCounter()
    const alice = person('alice')
    const { did, genesis } = alice
    const update = alice.update(genesis)
    const reply = await postJson(counter, did, json(genesis))
    expect(reply).toMatchObject({ status: 200, text: 'OK' })
    expect(reply.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
    expect((await counter.ask(`/${did}`)).status).toBe(200)
    expect(await postJson(counter, encodeURIComponent(did), json(update))).toMatchObject({ status: 200, text: 'OK' })
    expect((await counter.ask(`/${did}/log/last`)).text).toBe(json(update))
  })

  it('answers OK again for an operation that it has, without a second entry, also when twenty come at once', async () => {
    await using counter = await openCounter()
    const { did, genesis } = person('alice')
    const replies = await Promise.all(Array.from({ length: 20 }, () => postJson(counter, did, json(genesis))))
    expect(replies.map((reply) => [reply.status, reply.text])).toEqual(Array.from({ length: 20 }, () => [200, 'OK']))
    expect(await postJson(counter, did, json(genesis))).toMatchObject({ status: 200, text: 'OK' })
    expect((await counter.store.head())?.size).toBe(1)
  })

  it('says 409 to an update whose prev another one was faster to follow', async () => {
    const submit = (): Promise<Submitted> => Promise.reject(new DirectoryError('STALE_PREV'))
    await using counter = await openCounter({ ports: { submit } })
    const alice = person('alice')
    expect(await postJson(counter, alice.did, json(alice.update(alice.genesis)))).toMatchObject({
      status: 409,
      text: message('Proposed prev does not match the most recent operation: [object Object],[object Object]'),
    })
  })

  it('refuses with the messages of the deployed directory', async () => {
    await using counter = await openCounter()
    const alice = person('alice')
    const { did, genesis } = alice
    const update = alice.update(genesis)
    const legacyFields = createValue({ signingKey: signer('a').did, recoveryKey: signer('b').did, handle: 'a.test', service: 'https://pds.test' })
    const legacy = renderJson(new Map([...legacyFields, ['sig', 'A'.repeat(86)]]))
    const unsorted = '{"type":"plc_operation","x":[1,true]}'
    await counter.submit(did, genesis)
    const asked: [string, string, string][] = [
      [did, '{}', 'Not a valid operation: {}'],
      [did, '', 'Not a valid operation: {}'],
      [did, '[]', 'Not a valid operation: []'],
      [did, unsorted, `Not a valid operation: ${unsorted}`],
      [did, legacy, `Not a valid operation: ${legacy}`],
      ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', json(genesis), `Hash of genesis operation does not match DID identifier: ${did}`],
      ['did:web:example.com', json(genesis), `Hash of genesis operation does not match DID identifier: ${did}`],
      ['foo', json(genesis), `Hash of genesis operation does not match DID identifier: ${did}`],
      ['%00', json(genesis), `Hash of genesis operation does not match DID identifier: ${did}`],
      ['export', json(genesis), `Hash of genesis operation does not match DID identifier: ${did}`],
      [did, json(alice.update(update)), 'Operations not correctly ordered'],
      [did, json(parseOperation(new Map([...update.value, ['prev', 'garbage']]))), 'Operations not correctly ordered'],
    ]
    for (const [path, body, expected] of asked) {
      expect(await postJson(counter, path, body), `${path} ${body.slice(0, 60)}`).toMatchObject({ status: 400, text: message(expected) })
    }
    expect(await counter.ask(`/${did}`, { method: 'POST', body: json(update), headers: { 'Content-Type': 'text/plain' } })).toMatchObject({
      status: 400,
      text: message('Not a valid operation: {}'),
    })
    expect(await counter.ask(`/${did}`, { method: 'POST', body: json(update) })).toMatchObject({ status: 400, text: message('Not a valid operation: {}') })
  })

  it('asks for no decision about what is no DID', async () => {
    const asked: string[] = []
    const submit = (did: string): Promise<Submitted> => {
      asked.push(did)
      return Promise.resolve({ outcome: 'accepted', index: 0 })
    }
    await using counter = await openCounter({ ports: { submit } })
    const { did, genesis } = person('alice')
    for (const path of ['%00', 'foo', did.toUpperCase(), `${did}%0a`, `${did}x`]) expect((await postJson(counter, path, json(genesis))).status).toBe(400)
    await postJson(counter, did, json(genesis))
    expect(asked).toEqual([did])
  })

  it('calls every signature that does not verify invalid, however malformed', async () => {
    await using counter = await openCounter()
    const alice = person('alice')
    const { did, genesis } = alice
    await counter.submit(did, genesis)
    const update = alice.update(genesis)
    const compact = base64url.decode(update.sig)
    const sigs = ['', '!!!!', `${update.sig}==`, `${update.sig}\n`, base64url.encode(compact.subarray(1)), base64url.encode(Uint8Array.of(...compact, 0)), base64url.encode(new Uint8Array(64)), 'A'.repeat(85), 'a+/b']
    for (const sig of sigs) {
      const reply = await postJson(counter, did, json(withSig(update, sig)))
      expect(reply.status).toBe(400)
      expect((JSON.parse(reply.text) as { message: string }).message).toMatch(/^Invalid signature on op: \{/)
    }
  })

  it('keeps refusing an operation that was nullified', async () => {
    await using counter = await openCounter()
    const carol = person('carol')
    const stolen = carol.update(carol.genesis, { key: 2, handle: 'stolen' })
    await counter.submit(carol.did, carol.genesis)
    await counter.submit(carol.did, stolen)
    expect(await postJson(counter, carol.did, json(carol.update(carol.genesis, { handle: 'back' })))).toMatchObject({ status: 200 })
    expect(await postJson(counter, carol.did, json(stolen))).toMatchObject({ status: 400, text: message('Operations not correctly ordered') })
  })

  it('says 400 to an operation that comes too soon, or 429 where configured', async () => {
    for (const [options, status, retryAfter] of [[{}, 400, undefined], [{ rateLimitStatus: 429 }, 429, '3600']] as const) {
      await using counter = await openCounter({ options })
      const alice = person('alice')
      let operation = alice.genesis
      for (let i = 0; i < 10; i++) {
        await counter.submit(alice.did, operation)
        operation = alice.update(operation, { handle: `h${i}` })
      }
      const reply = await postJson(counter, alice.did, json(operation))
      expect(reply).toMatchObject({ status, text: message('To many operations within last hour (max 10)') })
      expect(reply.headers['retry-after']).toBe(retryAfter)
    }
  })
})

describe('Prefer: wait', () => {
  it('answers 200 when a checkpoint covers the operation, and says what it waited for', async () => {
    await using counter = await openCounter()
    const { did, genesis } = person('alice')
    const replied = postJson(counter, did, json(genesis), { Prefer: 'wait=20' })
    while (counter.tip.durable === 0) await pause(5)
    let over = false
    void replied.then(() => (over = true))
    await pause(50)
    expect(over).toBe(false)
    await counter.publish()
    const reply = await replied
    expect(reply).toMatchObject({ status: 200, text: 'OK' })
    expect(reply.headers['preference-applied']).toBe('wait=20')
  })

  it('answers the receipt to who accepts one', async () => {
    await using counter = await openCounter()
    const { did, genesis } = person('alice')
    await counter.fill(300)
    const replied = postJson(counter, did, json(genesis), { Prefer: 'wait=20', ...proofType })
    while (counter.tip.durable === 300) await pause(5)
    await counter.publish()
    const reply = await replied
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('text/x.tlog-proof; charset=utf-8')
    expect(verifyReceipt(reply.text, genesis, [COUNTER_KEY])).toMatchObject({ index: 300, entry: { did } })
    expect(reply.text).toBe((await counter.ask(`/${did}/log/${genesis.cid}/proof`)).text)

    const again = await postJson(counter, did, json(genesis), proofType)
    expect(again.text).toBe(reply.text)
    for (const Accept of ['*/*', 'text/*', 'application/json, text/plain, */*', 'image/png']) {
      expect(await postJson(counter, did, json(genesis), { Accept })).toMatchObject({ status: 200, text: 'OK' })
    }
  })

  it('answers 202 and where the receipt will be where the wait runs out', async () => {
    await using counter = await openCounter()
    const { did, genesis } = person('alice')
    const begun = performance.now()
    const reply = await postJson(counter, did, json(genesis), { Prefer: 'wait=1', ...proofType })
    expect(performance.now() - begun).toBeGreaterThanOrEqual(990)
    expect(reply).toMatchObject({ status: 202, text: 'OK' })
    expect(reply.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      location: `/${did}/log/${genesis.cid}/proof`,
      'preference-applied': 'wait=1',
    })
    const location = reply.headers.location ?? ''
    const early = await counter.ask(location)
    expect(early).toMatchObject({ status: 404, text: message('No published checkpoint covers this operation yet') })
    expect(early.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' })
    await counter.publish()
    expect(verifyReceipt((await counter.ask(location)).text, genesis, [COUNTER_KEY]).index).toBe(0)
    expect((await postJson(counter, did, json(genesis), { Prefer: 'wait=0' })).status).toBe(200)
  })

  it('is not waited for by who did not ask, nor by an operation that is refused', async () => {
    await using counter = await openCounter()
    const { did, genesis } = person('alice')
    expect((await postJson(counter, did, json(genesis), { Prefer: 'wait=0' })).status).toBe(202)
    const reply = await postJson(counter, did, json(genesis), proofType)
    expect(reply).toMatchObject({ status: 200, text: 'OK' })
    expect(reply.headers['preference-applied']).toBeUndefined()
    expect((await postJson(counter, did, '{}', { Prefer: 'wait=20' })).status).toBe(400)
  })

  it('ends when the client leaves', async () => {
    const index = 7
    const aborted: AbortSignal[] = []
    class WatchedTip extends Tip {
      override pastPublished(size: number, signal: AbortSignal): Promise<number> {
        // Streams wait for a checkpoint too.
        if (size === index) aborted.push(signal)
        return super.pastPublished(size, signal)
      }
    }
    const submit = (): Promise<Submitted> => Promise.resolve({ outcome: 'accepted', index })
    await using counter = await openCounter({ ports: { tip: new WatchedTip(), submit } })
    const { did, genesis } = person('alice')
    const { port } = new URL(counter.url)
    const socket = connect(Number(port), '127.0.0.1')
    const body = json(genesis)
    socket.write(`POST /${did} HTTP/1.1\r\nHost: x\r\nPrefer: wait=25\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    while (aborted.length === 0) await pause(5)
    expect(aborted[0]?.aborted).toBe(false)
    const left = performance.now()
    socket.destroy()
    await once(aborted[0] as AbortSignal, 'abort')
    expect(performance.now() - left).toBeLessThan(5_000)
  })

  it('is read as RFC 7240 says, and capped', () => {
    expect(preferredWait(undefined)).toBeNull()
    expect(preferredWait('')).toBeNull()
    expect(preferredWait('wait=7')).toBe(7)
    expect(preferredWait('respond-async, Wait = "8" ; x=y')).toBe(8)
    expect(preferredWait(['return=minimal', 'wait=3', 'wait=9'])).toBe(3)
    expect(preferredWait('wait=0')).toBe(0)
    for (const header of ['wait', 'wait=', 'wait=-1', 'wait=1.5', 'wait=x', 'await=5', 'x=wait=5', 'wait=5x']) expect(preferredWait(header)).toBeNull()
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 40n }), (n) => preferredWait(`wait=${n}`) === (n > 30n ? 30 : Number(n))))
  })
})

describe('a directory that cannot take operations', () => {
  it('says so, and when to come again', async () => {
    const submit = (): Promise<Submitted> => Promise.resolve({ outcome: 'unavailable', retryAfterS: 2.5, reason: 'too many operations are waiting' })
    await using counter = await openCounter({ ports: { submit } })
    const { did, genesis } = person('alice')
    const reply = await postJson(counter, did, json(genesis), { Prefer: 'wait=5' })
    expect(reply).toMatchObject({ status: 503, text: message('too many operations are waiting') })
    expect(reply.headers).toMatchObject({ 'retry-after': '3', 'cache-control': 'no-store', 'content-type': 'application/json; charset=utf-8' })
  })
})
