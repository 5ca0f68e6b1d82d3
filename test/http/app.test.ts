import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { openCounter, postJson, type Reply } from '../support/counter.ts'
import { person } from '../support/people.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Store } from '../../src/storage/store.ts'

const message = (text: string): string => JSON.stringify({ message: text })
const broken = (): Promise<never> => Promise.reject(new Error('password=secret at 10.0.0.7'))
const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

function expectError(reply: Reply, status: number, words: string): void {
  expect(reply).toMatchObject({ status, text: message(words) })
  expect(reply.headers).toMatchObject({
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
  })
  expect(reply.headers['access-control-expose-headers']).toContain('Retry-After')
}

describe('what is not there', () => {
  it('is a 404 in JSON, whatever the method', async () => {
    await using counter = await openCounter()
    for (const [method, path] of [
      ['GET', '/a/b/c'], ['GET', `/${DID}/nothing`], ['PUT', `/${DID}`], ['DELETE', `/${DID}`], ['PATCH', '/'], ['POST', '/'],
      ['POST', '/admin/removeInvalidOps'], ['POST', `/${DID}/data`], ['POST', '/tile/0/000'], ['TRACE', '/'], ['PROPFIND', '/export'],
    ] as const) {
      expectError(await counter.ask(path, { method }), 404, 'Not Found')
    }
  })
})

describe('OPTIONS', () => {
  it('is answered on every path', async () => {
    await using counter = await openCounter()
    for (const path of ['/', '/a/b/c', '*', '/%zz']) {
      const reply = await counter.ask(path, { method: 'OPTIONS' })
      expect(reply).toMatchObject({ status: 204, text: '' })
      expect(reply.headers).toMatchObject({ 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET,HEAD,PUT,PATCH,POST,DELETE' })
    }
  })
})

describe('a target that is named whole', () => {
  it('means its path', async () => {
    await using counter = await openCounter()
    expect((await counter.ask('http://elsewhere.test/_health?x=1')).status).toBe(200)
    expect((await counter.ask(`https://elsewhere.test/${DID}`)).text).toBe(message(`DID not registered: ${DID}`))
    expectError(await counter.ask('ftp://elsewhere.test/_health'), 404, 'Not Found')
    expectError(await counter.ask('http://[/_health'), 404, 'Not Found')
    expectError(await counter.ask('*'), 404, 'Not Found')
  })
})

describe('an incident', () => {
  it('is a 500 that tells nothing but its id, and a log line that tells everything', async () => {
    await using sound = await openCounter()
    const store: Store = { ...sound.store, newest: broken, publication: broken }
    await using counter = await openCounter({ ports: { store, submit: broken } })
    const { did, genesis } = person('alice')
    const replies = [await counter.ask(`/${DID}`), await counter.ask('/checkpoint'), await postJson(counter, did, renderJson(genesis.value))]
    for (const [i, reply] of replies.entries()) {
      expectError(reply, 500, 'Internal Server Error')
      const [, words, fields] = counter.lines.filter(([level]) => level === 'error')[i] ?? []
      expect(words).toBe('a request failed')
      expect(reply.headers['stele-incident']).toBe(fields?.['incident'])
      expect(String(fields?.['error'])).toContain('password=secret')
    }
  })

  it('is a 503 that says when to come again, where the database is gone', async () => {
    await using sound = await openCounter()
    await using counter = await openCounter({ ports: { store: { ...sound.store, newest: broken, ping: broken } } })
    const reply = await counter.ask(`/${DID}`)
    expectError(reply, 503, 'Service Unavailable')
    expect(reply.headers['retry-after']).toBe('5')
  })

  it('is what bytes of ours are that do not read back, never a fault of the request', async () => {
    await using sound = await openCounter()
    await sound.fill(300)
    await sound.publish()
    const [row] = await sound.store.entries(0, 1)
    const store: Store = {
      ...sound.store,
      newest: async () => (row === undefined ? null : { ...row, entry: Uint8Array.of(1, 2, 3) }),
      tiles: async (tiles) => tiles.map(() => new Uint8Array(32)),
      entries: async () => [],
      leaves: async () => [],
      history: async () => (row === undefined ? [] : [{ ...row, entry: Uint8Array.of(0xa3) }]),
      exportFrom: async (_from, _to, _count, use) => use({ index: 0, digest: new Uint8Array(32), nullified: false, entry: Uint8Array.of(0xa3, 0x60, 0x60) }),
    }
    await using counter = await openCounter({ ports: { store, tip: sound.tip } })
    for (const path of [`/${DID}`, `/${DID}/log`, `/${DID}/log/audit`, '/export?after=0', '/log/proof/inclusion?index=1', '/tile/0/000', '/tile/entries/000']) {
      expectError(await counter.ask(path), 500, 'Internal Server Error')
    }
  })
})

describe('a log line at debug level', () => {
  it('is written for every request', async () => {
    await using counter = await openCounter()
    await counter.ask('/_health')
    await counter.ask('/a/b/c')
    expect(counter.lines).toEqual([
      ['debug', 'request', { method: 'GET', path: '/_health', status: 200, ms: 0 }],
      ['debug', 'request', { method: 'GET', path: '/a/b/c', status: 404, ms: 0 }],
    ])
  })
})

describe('a client that leaves while an answer is sent', () => {
  it('is no incident', async () => {
    await using counter = await openCounter()
    await counter.fill(1_000)
    const { port } = new URL(counter.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write('GET /export?after=0 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(20))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.destroy()
    expect((await counter.ask('/export?after=999')).status).toBe(200)
    expect(counter.lines.filter(([level]) => level === 'error')).toEqual([])
  })
})
