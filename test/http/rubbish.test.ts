// Whatever is sent: never a 5xx, always JSON with a message that browsers may read, and the counter goes on.

import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { openCounter, type Reply, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('alice')
let counter: TestCounter

beforeAll(async () => {
  counter = await openCounter()
  await counter.submit(did, genesis)
  await counter.fill(300)
  await counter.publish()
})

afterAll(() => counter[Symbol.asyncDispose]())

function expectDecent(method: string, reply: Reply, what: string): void {
  expect(reply.status, what).toBeLessThan(500)
  expect(reply.headers['access-control-allow-origin'], what).toBe('*')
  if (reply.status < 400) return
  expect(reply.headers['content-type'], what).toBe('application/json; charset=utf-8')
  expect(reply.headers['cache-control'], what).toBe('no-store')
  if (method === 'HEAD') expect(reply.text).toBe('')
  else expect(JSON.parse(reply.text), what).toEqual({ message: expect.any(String) })
}

// Characters that the parser lets into a request line; what it does not is rubbish for the socket.
const pathText = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 40 })
const piece = fc.oneof(
  fc.constantFrom(did, encodeURIComponent(did), 'export', 'log', 'tile', 'entries', 'proof', 'data', 'audit', 'last', 'checkpoint', '_health', genesis.cid, '%00', '%zz', '%', '..', '.', '', '0', '000', 'x001', '001.p', '45'),
  pathText,
  fc.string({ unit: 'binary' }).map((text) => encodeURIComponent(text.toWellFormed())),
)
const queryPiece = fc.tuple(fc.constantFrom('count', 'after', 'index', 'size', 'from', 'to', 'a'), fc.oneof(fc.integer().map(String), fc.double().map(String), fc.date({ noInvalidDate: true }).map((date) => date.toISOString()), pathText, fc.constant('9'.repeat(30))))
const target = fc
  .tuple(fc.array(piece, { maxLength: 6 }), fc.array(queryPiece, { maxLength: 3 }))
  .map(([pieces, query]) => `/${pieces.join('/')}${query.length === 0 ? '' : `?${query.map(([name, value]) => `${name}=${value}`).join('&')}`}`)
const headers = fc.dictionary(
  fc.constantFrom('Accept', 'Accept-Encoding', 'If-None-Match', 'If-Modified-Since', 'Prefer', 'Content-Type', 'Content-Encoding', 'Origin', 'Range', 'Cookie', 'X-Forwarded-For', 'Access-Control-Request-Headers'),
  fc.oneof(
    fc.constantFrom('gzip', '*', '*/*', 'text/html', 'application/json', 'bytes=0-5', 'wait=0', '"x"', 'gzip;q=x', 'text/x.tlog-proof', 'application/json; charset='),
    fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).filter((code) => code !== 0x7f).map((code) => String.fromCharCode(code)), maxLength: 30 }),
  ),
  { maxKeys: 4, noNullPrototype: true },
)

describe('rubbish', () => {
  it('in paths, queries and headers is answered decently', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'), target, headers, async (method, path, headers) => {
        expectDecent(method, await counter.ask(path, { method, headers }), `${method} ${path}`)
      }),
      { numRuns: 1_500 },
    )
  })

  it('that is no request target names nothing', async () => {
    for (const target of ['//a@b[c/x#y', '/export#', '//[', '/export?a#b']) {
      const reply = await counter.ask(target, { method: 'GET' })
      expectDecent('GET', reply, target)
      expect(reply.status).toBe(404)
    }
  })

  it('in bodies is answered decently', async () => {
    const text = renderJson(genesis.value)
    const mutated = fc.tuple(fc.nat(text.length), fc.nat(20), fc.string({ unit: 'binary', maxLength: 5 })).map(([at, drop, insert]) => text.slice(0, at) + insert + text.slice(at + drop))
    const fieldChanged = fc
      .tuple(fc.constantFrom('type', 'prev', 'sig', 'services', 'alsoKnownAs', 'rotationKeys', 'verificationMethods', 'extra', '__proto__'), fc.jsonValue({ noUnicodeString: false }))
      .map(([field, value]) => text.replace(/^\{/, `{${JSON.stringify(field)}:${JSON.stringify(value)},`).replace(new RegExp(`,"${field}":("[^"]*"|null|\\{\\}|\\[[^\\]]*\\])`), ''))
    const body = fc.oneof(mutated, fieldChanged, fc.json(), fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)))
    const path = fc.oneof(fc.constant(did), piece.map((text) => text.replaceAll('/', '')))
    await fc.assert(
      fc.asyncProperty(path, body, headers, async (path, body, headers) => {
        const reply = await counter.ask(`/${path}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...headers } })
        expectDecent('POST', reply, `POST /${path} ${String(body)}`)
      }),
      { numRuns: 1_000 },
    )
  })

  it('on the socket itself is answered decently or not at all', async () => {
    const { port } = new URL(counter.url)
    const line = fc.oneof(
      fc.constantFrom('GET / HTTP/1.1', 'POST /x HTTP/1.1', 'GET * HTTP/1.1', 'CONNECT x:1 HTTP/1.1', 'GET http://[ HTTP/1.1', 'Host: x', 'Host:', 'Content-Length: 5', 'Content-Length: -1', 'Transfer-Encoding: chunked', 'Transfer-Encoding: x', 'Expect: 100-continue', 'Expect: x', 'Upgrade: websocket', 'Connection: upgrade', 'Connection: close', '', 'zz', '0'),
      fc.string({ unit: 'binary', maxLength: 20 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), async (lines) => {
        const received = await new Promise<string>((resolve) => {
          const socket = connect(Number(port), '127.0.0.1')
          let text = ''
          socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
          socket.on('close', () => resolve(text))
          socket.on('error', () => undefined)
          socket.end(`${lines.join('\r\n')}\r\n\r\n`)
        })
        for (const [, status] of received.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) expect(Number(status)).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
    expect((await counter.ask('/_health')).status).toBe(200)
  })

  it('left no incident behind', () => {
    expect(counter.lines.filter(([level]) => level === 'error')).toEqual([])
  })
})
