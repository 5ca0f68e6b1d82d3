import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { COUNTER_START_MS, openCounter, type TestCounter } from '../support/counter.ts'
import { fields, person, signer } from '../support/people.ts'

const K256 = signer('document k256')
const P256 = signer('document p256', 'p256')
const ED25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'

// Ids of every kind: `2` and `10` look like array indices, `__proto__` is no ordinary key of an object.
const rich = signOperation(
  operationValue(
    fields({
      rotationKeys: [K256.did],
      alsoKnownAs: ['at://rich.test', 'https://rich.test/"quoted"'],
      verificationMethods: new Map([['atproto', P256.did], ['__proto__', ED25519], ['10', K256.did], ['2', P256.did], ['b', K256.did]]),
      services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.test' }], ['x', { type: '', endpoint: 'é' }]]),
    }),
  ),
  K256,
)
const richDid = didOf(rich.bytes)

interface World extends TestCounter {
  readonly updated: { readonly did: string; readonly genesis: Operation; readonly update: Operation }
  readonly tombstoned: { readonly did: string; readonly genesis: Operation; readonly tombstone: Operation }
  /** An update by the weakest key, undone by the strongest. */
  readonly recovered: { readonly did: string; readonly genesis: Operation; readonly stolen: Operation; readonly recovery: Operation }
}

async function openWorld(): Promise<World> {
  const counter = await openCounter()
  const [alice, bob, carol] = [person('alice'), person('bob'), person('carol')]
  const update = alice.update(alice.genesis)
  const tombstone = bob.tombstone(bob.genesis)
  const stolen = carol.update(carol.genesis, { key: 2, handle: 'stolen' })
  const recovery = carol.update(carol.genesis, { key: 0, handle: 'recovered' })
  await counter.submit(richDid, rich)
  await counter.submit(alice.did, alice.genesis)
  await counter.submit(bob.did, bob.genesis)
  await counter.submit(carol.did, carol.genesis)
  counter.clock.ms += 2_000
  await counter.submit(alice.did, update)
  await counter.submit(bob.did, tombstone)
  await counter.submit(carol.did, stolen)
  await counter.submit(carol.did, recovery)
  return {
    ...counter,
    updated: { did: alice.did, genesis: alice.genesis, update },
    tombstoned: { did: bob.did, genesis: bob.genesis, tombstone },
    recovered: { did: carol.did, genesis: carol.genesis, stolen, recovery },
  }
}

const multibase = (key: string): string => key.slice('did:key:'.length)
const json = (operation: Operation): string => renderJson(operation.value)

describe('GET /:did', () => {
  it('answers the document, byte for byte, with the ids of users in the deployed order', async () => {
    await using world = await openWorld()
    const method = (id: string, key: string): string =>
      `{"id":"${richDid}#${id}","type":"Multikey","controller":"${richDid}","publicKeyMultibase":"${multibase(key)}"}`
    const reply = await world.ask(`/${richDid}`)
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/did+ld+json; charset=utf-8')
    expect(reply.text).toBe(
      '{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1","https://w3id.org/security/suites/ecdsa-2019/v1","https://w3id.org/security/suites/secp256k1-2019/v1"],' +
        `"id":"${richDid}","alsoKnownAs":["at://rich.test","https://rich.test/\\"quoted\\""],` +
        `"verificationMethod":[${method('2', P256.did)},${method('10', K256.did)},${method('b', K256.did)},${method('atproto', P256.did)},${method('__proto__', ED25519)}],` +
        `"service":[{"id":"#x","type":"","serviceEndpoint":"é"},{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.test"}]}`,
    )
  })

  it('takes the DID raw or percent-encoded, with or without a slash at the end', async () => {
    await using world = await openWorld()
    const { text } = await world.ask(`/${richDid}`)
    for (const path of [`/${encodeURIComponent(richDid)}`, `/${richDid}/`, `/${encodeURIComponent(richDid)}/`, `/${richDid}?a=b`]) {
      expect(await world.ask(path)).toMatchObject({ status: 200, text })
    }
  })

  it('answers 404 for a DID that ended, with other words than for one that never was', async () => {
    await using world = await openWorld()
    const { did } = world.tombstoned
    for (const path of [`/${did}`, `/${did}/data`]) {
      expect(await world.ask(path)).toMatchObject({ status: 404, text: `{"message":"DID not available: ${did}"}` })
    }
    const unknown = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
    for (const rest of ['', '/data', '/log', '/log/audit', '/log/last', '/log/bafyreia/proof']) {
      const reply = await world.ask(`/${unknown}${rest}`)
      expect(reply).toMatchObject({ status: 404, text: `{"message":"DID not registered: ${unknown}"}` })
      expect(reply.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
    }
  })

  it('says that whatever is no DID is not registered', async () => {
    await using world = await openWorld()
    const asked: [string, string][] = [
      ['/foo', 'foo'],
      ['/did:web:example.com', 'did:web:example.com'],
      [`/${richDid.toUpperCase()}`, richDid.toUpperCase()],
      ['/%00', '\\u0000'],
      ['/%zz', '%zz'],
      ['/%ff', '%ff'],
      ['/%ED%A0%80', '%ED%A0%80'],
      ['/a%2Fb', 'a/b'],
      ['/%22', '\\"'],
      [`/${richDid}x`, `${richDid}x`],
      [`/${richDid}%0A`, `${richDid}\\n`],
      ['/__proto__', '__proto__'],
      ['/tile', 'tile'],
      ['/EXPORT', 'EXPORT'],
    ]
    for (const [path, shown] of asked) {
      expect(await world.ask(path)).toMatchObject({ status: 404, text: `{"message":"DID not registered: ${shown}"}` })
    }
  })
})

describe('GET /:did/data', () => {
  it('answers the data in the deployed key order', async () => {
    await using world = await openWorld()
    const reply = await world.ask(`/${richDid}/data`)
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(reply.text).toBe(
      `{"did":"${richDid}","verificationMethods":{"2":"${P256.did}","10":"${K256.did}","b":"${K256.did}","atproto":"${P256.did}","__proto__":"${ED25519}"},` +
        `"rotationKeys":["${K256.did}"],"alsoKnownAs":["at://rich.test","https://rich.test/\\"quoted\\""],` +
        '"services":{"x":{"type":"","endpoint":"é"},"atproto_pds":{"type":"AtprotoPersonalDataServer","endpoint":"https://pds.test"}}}',
    )
  })
})

describe('the history of a DID', () => {
  it('is the operations in effect, oldest first, with their signatures', async () => {
    await using world = await openWorld()
    const { updated, tombstoned, recovered } = world
    const reply = await world.ask(`/${updated.did}/log`)
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(reply.text).toBe(`[${json(updated.genesis)},${json(updated.update)}]`)
    expect(reply.text.startsWith('[{"sig":"')).toBe(true)
    expect((await world.ask(`/${tombstoned.did}/log`)).text).toBe(`[${json(tombstoned.genesis)},${json(tombstoned.tombstone)}]`)
    expect((await world.ask(`/${recovered.did}/log`)).text).toBe(`[${json(recovered.genesis)},${json(recovered.recovery)}]`)
  })

  it('ends with the last operation in effect, a tombstone included', async () => {
    await using world = await openWorld()
    expect(await world.ask(`/${world.updated.did}/log/last`)).toMatchObject({ status: 200, text: json(world.updated.update) })
    expect(await world.ask(`/${world.tombstoned.did}/log/last`)).toMatchObject({ status: 200, text: json(world.tombstoned.tombstone) })
    expect(await world.ask(`/${world.recovered.did}/log/last`)).toMatchObject({ status: 200, text: json(world.recovered.recovery) })
  })

  it('is audited with times, CIDs and what was nullified', async () => {
    await using world = await openWorld()
    const { did, genesis, stolen, recovery } = world.recovered
    const line = (operation: Operation, nullified: boolean, ms: number): string =>
      `{"did":"${did}","operation":${json(operation)},"cid":"${operation.cid}","nullified":${nullified},"createdAt":"${new Date(ms).toISOString()}"}`
    const later = COUNTER_START_MS + 2_000
    const reply = await world.ask(`/${did}/log/audit`)
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(reply.text).toBe(`[${line(genesis, false, COUNTER_START_MS)},${line(stolen, true, later)},${line(recovery, false, later + 1)}]`)
  })

  it('names the entries that broke a rule nowhere', async () => {
    const counter = await openCounter()
    await using store = counter
    const { did, genesis } = person('dora')
    await counter.submit(did, genesis)
    const rows = await counter.store.history([did], 0)
    const app = await openCounter({
      ports: {
        store: {
          ...counter.store,
          history: async () => rows.flatMap((row) => [row, { ...row, index: 1, rejected: 'INVALID_SIGNATURE', signer: null }]),
        },
      },
    })
    await using other = app
    expect(JSON.parse((await other.ask(`/${did}/log/audit`)).text)).toHaveLength(1)
    expect((await other.ask(`/${did}/log`)).text).toBe(`[${json(genesis)}]`)
    expect((await store.ask(`/${did}/log`)).text).toBe(`[${json(genesis)}]`)
  })
})

describe('Last-Modified', () => {
  it('is the time of the newest operation as an HTTP date, and answers 304 to who has it', async () => {
    await using world = await openWorld()
    const { did } = world.updated
    for (const rest of ['', '/data', '/log', '/log/audit', '/log/last']) {
      const reply = await world.ask(`/${did}${rest}`)
      expect(reply.headers['last-modified']).toBe('Fri, 02 Jan 2026 03:04:07 GMT')
      expect(await world.ask(`/${did}${rest}`, { headers: { 'If-Modified-Since': 'Fri, 02 Jan 2026 03:04:07 GMT' } })).toMatchObject({ status: 304, text: '' })
      expect((await world.ask(`/${did}${rest}`, { headers: { 'If-Modified-Since': 'Fri, 02 Jan 2026 03:04:06 GMT' } })).status).toBe(200)
      expect((await world.ask(`/${did}${rest}`, { headers: { 'If-Modified-Since': 'rubbish' } })).status).toBe(200)
    }
  })

  it('never answers 304 by a date that two versions share', async () => {
    await using world = await openWorld()
    const { did } = world.recovered
    for (const rest of ['', '/data', '/log', '/log/audit', '/log/last']) {
      const { headers } = await world.ask(`/${did}${rest}`)
      expect((await world.ask(`/${did}${rest}`, { headers: { 'If-Modified-Since': headers['last-modified'] ?? '' } })).status).toBe(200)
      expect((await world.ask(`/${did}${rest}`, { headers: { 'If-None-Match': headers['etag'] ?? '' } })).status).toBe(304)
    }
  })
})
