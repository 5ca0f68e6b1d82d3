// What one client may hold: each bound of the server and of bodies, from the outside.

import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { listen, type Listening, type ServerLimits } from '../../src/http/listen.ts'
import { ask, openCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('alice')
const body = renderJson(genesis.value)

/** A connection that was opened, and what came over it. */
interface Wire {
  readonly socket: Socket
  readonly received: () => string
  /** Resolves once the server has closed it or cut it off. */
  readonly closed: Promise<void>
}

function wire(url: string, options: { readonly localAddress?: string; readonly allowHalfOpen?: boolean } = {}): Wire {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', ...options })
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  return { socket, received: () => text, closed: new Promise((resolve) => socket.once('close', () => resolve())) }
}

const serve = (handle: RequestListener, limits: Partial<ServerLimits>): Promise<Listening> => listen(handle, { host: '127.0.0.1', port: 0, limits })
const head = (path: string, ...fields: string[]): string => [`POST ${path} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', ...fields, '', ''].join('\r\n')

/** Writes one byte after the other until the connection ends. */
async function dribble(socket: Socket, byte: string): Promise<void> {
  while (!socket.destroyed) {
    socket.write(byte)
    await pause(20)
  }
}

describe('a slow sender', () => {
  const limits = { headerSeconds: 0.3, requestSeconds: 0.5, sweepMs: 50 }

  it('of a header is told so and cut off, though it goes on', async () => {
    await using listening = await serve((_, response) => response.end(), limits)
    const { socket, received, closed } = wire(listening.url, { allowHalfOpen: true })
    const started = performance.now()
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nX: ')
    void dribble(socket, 'x')
    await closed
    expect(received()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n[^]*\{"message":"Request Timeout"\}$/)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it('of a body is told so and cut off, though it goes on', async () => {
    await using counter = await openCounter({ limits })
    const { socket, received, closed } = wire(counter.url, { allowHalfOpen: true })
    const started = performance.now()
    socket.write(head(`/${did}`, 'Content-Length: 1000'))
    void dribble(socket, ' ')
    await closed
    expect(received()).toMatch(/^HTTP\/1\.1 408 [^]*\{"message":"Request Timeout"\}$/)
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(counter.lines.filter(([level]) => level === 'error')).toEqual([])
  })

  it('of a body that nobody waits for is cut off too', async () => {
    await using counter = await openCounter({ limits, options: { writeRate: 0.1, elapsed: () => 0 } })
    for (const fields of [['Content-Length: 1000'], ['Transfer-Encoding: chunked']]) {
      while ((await counter.ask(`/${did}`, { method: 'POST' })).status !== 429);
      const { socket, received, closed } = wire(counter.url)
      socket.write(head(`/${did}`, ...fields))
      if (fields[0]?.startsWith('Content') === true) void dribble(socket, ' ')
      await closed
      expect(received()).toMatch(/^HTTP\/1\.1 429 /)
    }
  })
})

describe.skipIf(process.platform !== 'linux')('answers that are not taken', () => {
  it('are held up to a bound: of the address that makes the server hold most, the connection that does is closed', async () => {
    await using listening = await serve((_, response) => response.end(Buffer.alloc(1_000_000)), { unsentBytes: 20_000_000, sweepMs: 50 })
    const open = (): Promise<number> => new Promise((resolve) => listening.server.getConnections((_, count) => resolve(count)))
    const wires = [wire(listening.url, { localAddress: '127.0.0.2' }), wire(listening.url), wire(listening.url)]
    for (const [i, { socket }] of wires.entries()) {
      socket.pause()
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat([8, 4, 60][i] ?? 0))
    }
    while ((await open()) !== 2) await pause(20)
    const taken = wires.map(async ({ socket, received, closed }, i) => {
      socket.resume()
      if (i === 2) await closed
      else while (received().length < (i === 0 ? 8_000_000 : 4_000_000)) await once(socket, 'data')
      socket.destroy()
      return received().split('HTTP/1.1 200').length - 1
    })
    const [modest, lazy, greedy] = await Promise.all(taken)
    expect([modest, lazy]).toEqual([8, 4])
    expect(greedy).toBeLessThan(60)
  }, 30_000)
})

describe('a slow reader', () => {
  const large = (_: unknown, response: ServerResponse): void => void response.end(Buffer.alloc(30_000_000))

  it('is cut off when it takes an answer more slowly than it must', async () => {
    await using listening = await serve(large, { answerSeconds: 0.2, answerBytesPerSecond: 1e9, sweepMs: 50 })
    const { socket, closed } = wire(listening.url)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    socket.pause()
    await pause(500)
    expect(await new Promise((resolve) => listening.server.getConnections((_, count) => resolve(count)))).toBe(0)
    socket.resume()
    await closed
  })

  it('has the time that its answer takes at the pace that it must keep', async () => {
    await using listening = await serve(large, { answerSeconds: 0.01, answerBytesPerSecond: 10_000_000, sweepMs: 20 })
    const { socket, received } = wire(listening.url)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    socket.pause()
    await pause(500)
    socket.resume()
    while (received().length < 30_000_000) await once(socket, 'data')
    socket.destroy()
  })

  it('is one that has begun to get its answer: how long the answer is made is another matter', async () => {
    await using listening = await serve((_, response) => void setTimeout(() => response.end('late'), 500), { answerSeconds: 0.1, sweepMs: 20 })
    expect((await ask(listening.url, '/')).text).toBe('late')
  })
})

describe('connections', () => {
  it('of one address are so many and no more, those above closed unread', async () => {
    await using listening = await serve((_, response) => response.end('here'), { connectionsPerAddress: 3 })
    const first = [wire(listening.url), wire(listening.url), wire(listening.url)]
    await Promise.all(first.map(({ socket }) => once(socket, 'connect')))
    const fourth = wire(listening.url)
    fourth.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await fourth.closed
    expect(fourth.received()).toBe('')
    first[0]?.socket.destroy()
    await first[0]?.closed
    await pause(50)
    expect((await ask(listening.url, '/')).text).toBe('here')
    for (const { socket } of first) socket.destroy()
  })

  it.skipIf(process.platform !== 'linux')('of another address are counted apart', async () => {
    await using listening = await serve((_, response) => response.end('here'), { connectionsPerAddress: 1 })
    const first = wire(listening.url)
    await once(first.socket, 'connect')
    const other = wire(listening.url, { localAddress: '127.0.0.2' })
    other.socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await other.closed
    expect(other.received()).toMatch(/^HTTP\/1\.1 200 /)
    first.socket.destroy()
  })

  it('may ask for so much before they have had their answers, and no more', async () => {
    const answers: ServerResponse[] = []
    await using listening = await serve((_, response) => void answers.push(response), { pipelined: 3 })
    const { socket, received, closed } = wire(listening.url)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(8))
    while (answers.length < 3) await pause(5)
    await pause(50)
    expect(answers.length).toBe(3)
    for (const response of answers) response.end('here')
    await closed
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 429'])
    expect(received()).toMatch(/\r\nRetry-After: 1\r\n[^]*\{"message":"Too many requests"\}$/)
  })

  it('may ask for any number one after the other', async () => {
    await using listening = await serve((_, response) => response.end('x'), { pipelined: 3 })
    const { socket, received } = wire(listening.url)
    for (let i = 1; i <= 20; i++) {
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
      while (received().split('HTTP/1.1 200').length <= i) await once(socket, 'data')
    }
    socket.destroy()
  })
})

describe('what is no HTTP', () => {
  const garbage = 'no HTTP at all\r\n\r\n'

  it('is never answered in the place of an earlier request', async () => {
    const begun = Promise.withResolvers<void>()
    await using listening = await serve(() => begun.resolve(), {})
    const { socket, received, closed } = wire(listening.url)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await begun.promise
    socket.write(garbage)
    await closed
    expect(received()).toBe('')
  })

  it('is a 400 after an earlier answer, and the end', async () => {
    await using listening = await serve((_, response) => response.end('here'), {})
    const { socket, received, closed } = wire(listening.url)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    socket.write(garbage)
    await closed
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400'])
  })
})

describe('a request with too many header fields', () => {
  it('is a 431, though they are short', async () => {
    await using counter = await openCounter()
    const many = (count: number): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, '']))
    // Two are the client's own: Host and Connection.
    expect((await counter.ask('/', { headers: many(LIMITS.headers - 2) })).status).toBe(200)
    expect(await counter.ask('/', { headers: many(LIMITS.headers - 1) })).toMatchObject({ status: 431, text: '{"message":"Request Header Fields Too Large"}' })
    expect((await counter.ask('/', { headers: many(1_800) })).status).toBe(431)
  })
})

describe('a body of 50 MB', () => {
  const tooLarge = 'Request body too large (102400 bytes maximum)'
  const huge = Buffer.alloc(50_000_000, ' ')

  /** Sends it as fast as it goes; resolves with what came back, and how much the server took. */
  async function send(url: string, text: string): Promise<{ received: string; took: number; ms: number }> {
    const { socket, received, closed } = wire(url)
    const started = performance.now()
    socket.write(text)
    for (let at = 0; at < huge.length && !socket.destroyed; at += 65_536) {
      if (!socket.write(huge.subarray(at, at + 65_536))) await Promise.race([once(socket, 'drain').catch(() => undefined), closed])
    }
    await closed
    return { received: received(), took: socket.bytesWritten - socket.writableLength, ms: performance.now() - started }
  }

  it('is refused early, and its connection closed without the rest of it', async () => {
    await using counter = await openCounter()
    const { port } = new URL(counter.url)
    for (const fields of [[`Content-Length: ${huge.length}`], ['Transfer-Encoding: chunked', '\r\nffffffff\r\n']] as const) {
      const { received, took, ms } = await send(counter.url, head(`/${did}`, ...fields.slice(0, 1)) + (fields[1] ?? '').trimStart())
      expect(received, port).toMatch(/^HTTP\/1\.1 413 /)
      expect(received).toContain('\r\nConnection: close\r\n')
      expect(received).toContain(`\r\n\r\n{"message":"${tooLarge}"}`)
      // What is in the buffers of the two sockets is beyond the server.
      expect(took).toBeLessThan(15_000_000)
      expect(ms).toBeLessThan(5_000)
    }
  })

  it('is refused as early where it is throttled, of another type, or where nobody wants one', async () => {
    await using counter = await openCounter({ options: { writeRate: 0.1, elapsed: () => 0 } })
    await counter.ask(`/${did}`, { method: 'POST' })
    const length = `Content-Length: ${huge.length}`
    for (const [text, status] of [
      [head(`/${did}`, length), 429],
      [head('/nothing/here', length), 429],
      [head('/nothing/here', length).replace('POST', 'PUT'), 404],
      [head('/_health', length).replace('POST', 'GET'), 200],
    ] as const) {
      const { received, took } = await send(counter.url, text)
      // After a 200 the connection is closed at once: then nothing may be left to read.
      if (status !== 200) expect(received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(took).toBeLessThan(15_000_000)
    }
    await using other = await openCounter()
    const { received } = await send(other.url, head(`/${did}`, length).replace('application/json', 'text/plain'))
    expect(received).toMatch(/^HTTP\/1\.1 400 [^]*Not a valid operation: \{\}/)
  })

  it('is seen to be refused by an ordinary client', async () => {
    await using counter = await openCounter()
    for (const headers of [{ 'Content-Length': String(huge.length) }, { 'Transfer-Encoding': 'chunked' }]) {
      const reply = await counter.ask(`/${did}`, { method: 'POST', body: huge, headers: { 'Content-Type': 'application/json', ...headers } })
      expect(reply).toMatchObject({ status: 413, text: JSON.stringify({ message: tooLarge }) })
    }
  })

  it('is seen to be refused by a client that reads only after it could send no more', async () => {
    await using counter = await openCounter()
    const { socket, received, closed } = wire(counter.url)
    socket.pause()
    socket.write(head(`/${did}`, `Content-Length: ${huge.length}`))
    socket.write(huge)
    await pause(300)
    socket.resume()
    await closed
    expect(received()).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('is refused before it is sent where the client asks first, and one that is small enough is asked for', async () => {
    await using counter = await openCounter()
    const refused = wire(counter.url)
    refused.socket.write(head(`/${did}`, `Content-Length: ${huge.length}`, 'Expect: 100-continue'))
    await refused.closed
    expect(refused.received()).toMatch(/^HTTP\/1\.1 413 /)
    const asked = wire(counter.url)
    asked.socket.write(head(`/${did}`, `Content-Length: ${body.length}`, 'Expect: 100-continue', 'Connection: close'))
    await once(asked.socket, 'data')
    expect(asked.received()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    asked.socket.write(body)
    await asked.closed
    expect(asked.received()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*OK$/)
  })

  it('does not cost a small body its connection', async () => {
    await using counter = await openCounter({ options: { writeRate: 0.1, elapsed: () => 0 } })
    await counter.ask(`/${did}`, { method: 'POST' })
    const { socket, received } = wire(counter.url)
    for (let i = 1; i <= 3; i++) {
      socket.write(head(`/${did}`, `Content-Length: ${body.length}`) + body)
      while (received().split('Too many requests').length <= i) await once(socket, 'data')
    }
    expect(received()).not.toContain('Connection: close')
    socket.destroy()
  })
})
