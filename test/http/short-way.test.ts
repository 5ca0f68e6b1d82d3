import { createHash } from 'node:crypto'
import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { AnswerCache } from '../../src/http/answer-cache.ts'
import { createApp } from '../../src/http/app.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { listen } from '../../src/http/listen.ts'
import type { CounterOptions, RequestFacts } from '../../src/http/ports.ts'
import { shortWay } from '../../src/http/short-way.ts'
import { ask, COUNTER_ORIGIN, openCounter, type AskOptions, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const [alice, bob, carol] = [person('alice'), person('bob'), person('carol', 10)]
const tagOf = (body: string): string => `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`

afterAll(() => AGENT.destroy())

/** An identity with a small document, one that ended, and one whose data are long enough to be compressed. */
async function openWorld(): Promise<TestCounter> {
  const counter = await openCounter()
  await counter.submit(alice.did, alice.genesis)
  await counter.submit(bob.did, bob.genesis)
  await counter.submit(carol.did, carol.genesis)
  counter.clock.ms += 5_000
  await counter.submit(alice.did, alice.update(alice.genesis, { handle: 'é' }))
  await counter.submit(bob.did, bob.tombstone(bob.genesis))
  return counter
}

interface Side extends AsyncDisposable {
  readonly url: string
  /** What it told of its requests. */
  readonly told: unknown[]
}

/** A counter that keeps what it may, or nothing. */
async function openSide({ store, tip, clock }: TestCounter, keeps: boolean, options: CounterOptions = {}): Promise<Side> {
  const told: unknown[] = []
  const answers = new AnswerCache({ store, tip }, { ...LIMITS, keptAnswers: keeps ? LIMITS.keptAnswers : 0 })
  const onRequest = (facts: RequestFacts): unknown => told.push(facts)
  const app = createApp(
    { store, tip, answers, submit: () => Promise.reject(new Error('nobody writes')), origin: COUNTER_ORIGIN, version: '1', now: () => clock.ms, faults: () => [], log: (...line) => told.push(line) },
    { readRate: 0, writeRate: 0, elapsed: () => 0, ...options, onRequest },
  )
  const listening = await listen(app, { host: '127.0.0.1', port: 0 })
  return { url: listening.url, told, [Symbol.asyncDispose]: () => listening.close() }
}

const AGENT = new Agent({ keepAlive: true, maxSockets: 1 })

/** Status line, fields in their order, and body; the time of day is left out. */
function exchange(url: string, path: string, { method = 'GET', headers = {} }: AskOptions): Promise<unknown> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, path, method, headers: headers as Record<string, string>, agent: AGENT }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { statusCode, statusMessage, rawHeaders } = response
        resolve({ statusCode, statusMessage, fields: rawHeaders.map((text, i) => (rawHeaders[i - 1] === 'Date' ? '' : text)), body: Buffer.concat(chunks).toString('latin1') })
      })
    })
    request.on('error', reject)
    request.end(headers['Content-Length'] === undefined ? undefined : 'x')
  })
}

describe('an answer that is kept', () => {
  it('is the one that would be made, to the last byte, for whatever is asked and however', async () => {
    await using world = await openWorld()
    await using cold = await openSide(world, false)
    await using warm = await openSide(world, true)
    const paths = [alice, bob, carol].flatMap(({ did }) => [`/${did}`, `/${did}/data`, `/${did}/log/last`])
    const others = [`/${alice.did}/`, `/${encodeURIComponent(alice.did)}`, `/${alice.did}?a=b`, `/${alice.did}?`, `/${alice.did.toUpperCase()}`, `/${alice.did}/log`, '/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa']
    for (const path of [...paths, ...others]) {
      const { headers, text } = await ask(cold.url, path)
      const etag = headers.etag ?? tagOf(text)
      const date = headers['last-modified'] ?? 'Fri, 02 Jan 2026 03:04:07 GMT'
      const requests: Readonly<Record<string, string>>[] = [
        {}, {}, { 'Accept-Encoding': 'gzip, deflate' }, { 'Accept-Encoding': 'identity;q=0' }, { Range: 'bytes=0-9' }, { Accept: 'text/html' }, { Connection: 'keep-alive' },
        ...[etag, `W/${etag}`, `"x", ${etag}`, '"x"', '*', etag.replace(/"$/, '-gzip"'), ''].map((tag) => ({ 'If-None-Match': tag })),
        { 'If-None-Match': etag, 'Cache-Control': 'no-cache' }, { 'If-None-Match': etag, 'Cache-Control': 'max-age=0' }, { 'If-None-Match': etag, 'Accept-Encoding': 'gzip' },
        { 'If-Modified-Since': date }, { 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' }, { 'If-None-Match': etag, 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
        { 'Content-Length': '1' }, Object.fromEntries(Array.from({ length: LIMITS.headers }, (_, i) => [`X-${i}`, 'x'])),
      ]
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT']) {
        for (const headers of method === 'GET' || method === 'HEAD' ? requests : [{}]) {
          const [expected, actual] = [await exchange(cold.url, path, { method, headers }), await exchange(warm.url, path, { method, headers })]
          expect(actual, `${method} ${path} ${JSON.stringify(headers).slice(0, 200)}`).toEqual(expected)
        }
      }
    }
    // The one request of `ask` is the cold side's alone.
    expect(warm.told.length).toBeGreaterThan(1_000)
    const asked = paths.length + others.length
    expect(cold.told).toHaveLength(warm.told.length + 2 * asked)
  }, 120_000)

  it('is counted, logged and reported as one that is made', async () => {
    await using world = await openWorld()
    await using cold = await openSide(world, false, { readRate: 1 })
    await using warm = await openSide(world, true, { readRate: 1 })
    const outcomes = async ({ url }: Side): Promise<unknown[]> => {
      const all: unknown[] = []
      for (let i = 0; i < LIMITS.readBurstSeconds + 2; i++) all.push(await exchange(url, `/${alice.did}`, { method: i === 1 ? 'HEAD' : 'GET' }))
      return all
    }
    const expected = await outcomes(cold)
    expect(expected.map((outcome) => (outcome as { statusCode: number }).statusCode)).toEqual([...Array.from({ length: LIMITS.readBurstSeconds }, () => 200), 429, 429])
    expect(await outcomes(warm)).toEqual(expected)
    expect(warm.told).toEqual(cold.told)
  })

  it('comes in its turn where requests are sent one behind the other', async () => {
    await using world = await openWorld()
    await using warm = await openSide(world, true)
    const { text } = await ask(warm.url, `/${alice.did}`)
    const socket = connect(Number(new URL(warm.url).port), '127.0.0.1')
    const get = (path: string, field = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${field}\r\n`
    socket.end(get(`/${carol.did}`) + get(`/${alice.did}`) + get('/unknown') + get(`/${alice.did}`, 'Connection: close\r\n'))
    let all = ''
    for await (const chunk of socket) all += String(chunk)
    const order = [...all.matchAll(/"id":"(did:plc:\w+)",|not registered: (\w+)/g)].map(([, did, unknown]) => did ?? unknown)
    expect(order).toEqual([carol.did, alice.did, 'unknown', alice.did])
    expect(all.split(text)).toHaveLength(3)
  })
})

describe('the short way', () => {
  const ready = { route: '/:did', type: 'text/plain', body: 'é', length: 2, tag: 'tag', lastModified: 0 }

  it('is taken by a GET or HEAD of a kept path, plain or with the tag that is there', async () => {
    const taken: boolean[] = []
    let mayRead = true
    const ports = { now: () => 0, log: () => undefined }
    const way = shortWay({ ports, answers: { get: (path) => (path === '/kept' ? ready : path === '/long' ? { ...ready, body: 'x'.repeat(LIMITS.gzipMinBytes), length: LIMITS.gzipMinBytes } : undefined) }, options: {}, mayRead: () => mayRead })
    await using listening = await listen((request, response) => {
      taken.push(way(request, response))
      if (taken.at(-1) === false) response.end()
    }, { host: '127.0.0.1', port: 0 })
    const takes = async (path: string, method: string, headers: Record<string, string>): Promise<boolean | undefined> => {
      await ask(listening.url, path, { method, headers })
      return taken.at(-1)
    }
    expect([await takes('/kept', 'GET', {}), await takes('/kept', 'HEAD', {}), await takes('/kept', 'GET', { 'Accept-Encoding': 'gzip' })]).toEqual([true, true, true])
    expect([await takes('/kept', 'GET', { 'If-None-Match': '"tag"' }), await takes('/long', 'GET', {})]).toEqual([true, true])
    expect([await takes('/other', 'GET', {}), await takes('/kept', 'POST', {}), await takes('/kept', 'GET', { 'If-None-Match': '*' }), await takes('/long', 'GET', { 'Accept-Encoding': 'gzip' })]).toEqual([false, false, false, false])
    mayRead = false
    expect(await takes('/kept', 'GET', {})).toBe(false)
  })
})
