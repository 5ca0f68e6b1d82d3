// Every row of the table, asked in every way that HTTP has for it.

import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/http/limits.ts'
import { ROUTES } from '../../src/http/router.ts'
import { openCounter, type TestCounter } from '../support/counter.ts'
import { appendNextLeaf } from '../support/map-leaves.ts'
import { mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'

interface World extends TestCounter {
  /** A path that each row of the table answers with 200. */
  pathOf(path: string): string
}

// With what the row needs: a map takes its time.
async function openWorld(route: string): Promise<World> {
  let map: MapSite | null = null
  const prove: MapSite['held']['prove'] = async (did) => (map === null ? null : map.held.prove(did))
  const counter = await openCounter({ ports: { map: { prove, standing: () => ({ size: 1, leaves: 1, fault: null }) } } })
  const alice = person('alice', 10)
  await counter.submit(alice.did, alice.genesis)
  counter.clock.ms += 5_000
  const update = alice.update(alice.genesis)
  await counter.submit(alice.did, update)
  await counter.fill(300)
  await counter.publish()
  await counter.store.notary.begin('plc.test')
  await counter.store.notary.keepDivergence({ did: alice.did, since: 1, checkedAt: 2, endedAt: null, kinds: ['vanished'], theirs: '[]' }, 10)
  if (route === '/map/next') await appendNextLeaf(counter.store)
  else if (route.startsWith('/map/') || route.endsWith('/state-proof')) {
    map = await mapSite(counter.store)
    map.start()
    await map.shows(counter.tip.durable)
  }
  const paths: Record<string, string> = {
    '/tile/entries/*path': '/tile/entries/000',
    '/tile/*path': '/tile/0/000',
    '/map/tile/entries/*path': '/map/tile/entries/000.p/1',
    '/map/tile/*path': '/map/tile/0/000.p/1',
    '/log/upstream/cursor': '/log/upstream/cursor?upstream=5',
    '/log/proof/inclusion': '/log/proof/inclusion?index=1',
    '/log/proof/consistency': '/log/proof/consistency?from=1',
  }
  return {
    ...counter,
    pathOf: (path) => paths[path] ?? path.replace(':did', alice.did).replace(':cid', update.cid),
    async [Symbol.asyncDispose]() {
      await map?.[Symbol.asyncDispose]()
      await counter[Symbol.asyncDispose]()
    },
  }
}

// A stream has no answer but an upgrade: test/stream.
const READS = ROUTES.filter((route) => route.method === 'GET' && !route.path.endsWith('/stream'))
const CACHE = { revalidate: 'no-cache', immutable: 'public, max-age=31536000, immutable', never: 'no-store' }

describe.each(READS)('GET $path', (route) => {
  it('answers 200 with its cache policy, CORS and nothing about its software', async () => {
    await using world = await openWorld(route.path)
    const reply = await world.ask(world.pathOf(route.path))
    expect(reply.status).toBe(200)
    expect(reply.headers).toMatchObject({
      'cache-control': CACHE[route.cache],
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'ETag, Location, Preference-Applied, Retry-After, Stele-Incident',
      'x-content-type-options': 'nosniff',
    })
    expect(reply.headers['x-powered-by']).toBeUndefined()
    expect(reply.headers['content-encoding']).toBeUndefined()
    expect((reply.headers.vary ?? '').includes('Accept-Encoding')).toBe(route.gzip)
  })

  it('answers HEAD as GET, without the body', async () => {
    await using world = await openWorld(route.path)
    const path = world.pathOf(route.path)
    for (const headers of [{}, { 'Accept-Encoding': 'gzip' }]) {
      const [get, head] = [await world.ask(path, { headers }), await world.ask(path, { method: 'HEAD', headers })]
      const { date: _, ...expected } = get.headers
      const { date: __, ...actual } = head.headers
      expect(head.status).toBe(get.status)
      expect(head.body.length).toBe(0)
      if (route.path === '/export') delete expected['transfer-encoding']
      expect(actual).toEqual(expected)
    }
  })

  it('has a strong validator that answers 304, where it may be kept and is not sent in pieces', async () => {
    await using world = await openWorld(route.path)
    const path = world.pathOf(route.path)
    const first = await world.ask(path)
    const etag = first.headers['etag']
    if (route.cache === 'never' || route.path === '/export') {
      expect(etag).toBeUndefined()
      return
    }
    expect(etag).toMatch(/^"[\w-]{22}"$/)
    for (const sent of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      for (const method of ['GET', 'HEAD']) {
        const reply = await world.ask(path, { method, headers: { 'If-None-Match': sent ?? '' } })
        expect(reply).toMatchObject({ status: 304, text: '' })
        expect(reply.headers).toMatchObject({ etag, 'cache-control': CACHE[route.cache], 'access-control-allow-origin': '*' })
      }
    }
    expect((await world.ask(path, { headers: { 'If-None-Match': '"other"' } })).body).toEqual(first.body)
  })

  it('is compressed only where the row says so, the client asks for it and it pays', async () => {
    await using world = await openWorld(route.path)
    const path = world.pathOf(route.path)
    const plain = await world.ask(path)
    const large = plain.body.length >= LIMITS.gzipMinBytes
    for (const accepted of ['gzip', 'gzip, deflate, br', '*', 'identity;q=0.5, gzip']) {
      const packed = await world.ask(path, { headers: { 'Accept-Encoding': accepted } })
      if (!route.gzip || (!large && route.path !== '/export')) {
        expect(packed.headers['content-encoding']).toBeUndefined()
        expect(packed.headers['etag']).toBe(plain.headers['etag'])
        expect(packed.body).toEqual(plain.body)
        continue
      }
      expect(packed.headers['content-encoding']).toBe('gzip')
      expect(gunzipSync(packed.body)).toEqual(plain.body)
      const etag = packed.headers['etag']
      if (route.path === '/export') continue
      expect(etag).toBe(plain.headers['etag']?.replace(/"$/, '-gzip"'))
      expect((await world.ask(path, { headers: { 'Accept-Encoding': accepted, 'If-None-Match': etag ?? '' } })).status).toBe(304)
      expect((await world.ask(path, { headers: { 'If-None-Match': etag ?? '' } })).status).toBe(200)
    }
    for (const refused of ['identity', 'br', 'gzip;q=0', '']) {
      expect((await world.ask(path, { headers: { 'Accept-Encoding': refused } })).headers['content-encoding']).toBeUndefined()
    }
  })

  it('lets browsers ask first', async () => {
    await using world = await openWorld(route.path)
    const headers = { Origin: 'https://app.test', 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': 'prefer' }
    const reply = await world.ask(world.pathOf(route.path), { method: 'OPTIONS', headers })
    expect(reply).toMatchObject({ status: 204, text: '' })
    expect(reply.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET,HEAD,PUT,PATCH,POST,DELETE',
      'access-control-allow-headers': 'prefer',
    })
  })
})

describe('the table', () => {
  it('has a row for a path and method once, and compresses something', async () => {
    await using world = await openWorld('/:did/state-proof')
    const keys = ROUTES.map(({ method, path }) => `${method} ${path}`)
    expect(new Set(keys).size).toBe(keys.length)
    const sizes = await Promise.all(READS.filter((route) => route.gzip).map(async (route) => (await world.ask(world.pathOf(route.path))).body.length))
    expect(sizes.filter((size) => size >= LIMITS.gzipMinBytes).length).toBeGreaterThan(3)
    expect(sizes.filter((size) => size < LIMITS.gzipMinBytes).length).toBeGreaterThan(0)
  })
})
