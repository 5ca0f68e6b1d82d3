import { createServer, Agent, get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/http/limits.ts'
import { listen } from '../../src/http/listen.ts'

const LOCAL = { host: '127.0.0.1', port: 0 }

/** What comes back for bytes that are sent as they are. */
function exchange(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.write(bytes)
  })
}

describe('a server', () => {
  it('says where it listens and keeps its bounds', async () => {
    await using listening = await listen((_, response) => response.end('here'), LOCAL)
    expect(listening.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(await (await fetch(listening.url)).text()).toBe('here')
    const { server } = listening
    expect([server.headersTimeout, server.requestTimeout, server.keepAliveTimeout, server.timeout, server.maxConnections]).toEqual([
      LIMITS.headerSeconds * 1000, LIMITS.requestSeconds * 1000, LIMITS.keepAliveSeconds * 1000, LIMITS.idleSeconds * 1000, LIMITS.connections,
    ])
  })

  it('answers what is no HTTP in the form of every other error', async () => {
    await using listening = await listen((_, response) => response.end(), LOCAL)
    const asked: [string, string][] = [
      ['rubbish\r\n\r\n', '400 Bad Request'],
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(LIMITS.headerBytes)}\r\n\r\n`, '431 Request Header Fields Too Large'],
      [`GET /${'x'.repeat(LIMITS.headerBytes)} HTTP/1.1\r\nHost: x\r\n\r\n`, '431 Request Header Fields Too Large'],
      ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n', '400 Bad Request'],
    ]
    for (const [bytes, status] of asked) {
      const reply = await exchange(listening.url, bytes)
      expect(reply.startsWith(`HTTP/1.1 ${status}\r\n`)).toBe(true)
      expect(reply).toContain('\r\nAccess-Control-Allow-Origin: *\r\n')
      expect(reply).toContain('\r\nContent-Type: application/json; charset=utf-8\r\n')
      expect(reply.endsWith(`\r\n\r\n{"message":"${status.slice(4)}"}`)).toBe(true)
    }
  })

  it('says why it cannot listen', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const address = taken.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    await expect(listen(() => undefined, { host: '127.0.0.1', port })).rejects.toThrow('EADDRINUSE')
    taken.close()
  })
})

describe('a server that closes', () => {
  it('finishes the answers under way, closes idle connections, and takes no more', async () => {
    const begun = Promise.withResolvers<void>()
    const listening = await listen((request, response) => {
      if (request.url === '/fast') {
        response.end('fast')
        return
      }
      begun.resolve()
      setTimeout(() => response.end('slow'), 200)
    }, LOCAL)
    const agent = new Agent({ keepAlive: true })
    const ask = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        get(`${listening.url}${path}`, { agent }, (response: IncomingMessage) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => resolve(text))
        }).on('error', reject)
      })
    expect(await ask('/fast')).toBe('fast')
    const slow = ask('/slow')
    await begun.promise
    const started = performance.now()
    const closed = listening.close()
    expect(listening.close()).toBe(closed)
    expect(await slow).toBe('slow')
    await closed
    expect(performance.now() - started).toBeLessThan(2_000)
    await expect(ask('/fast')).rejects.toThrow()
    agent.destroy()
  })

  it('cuts off what takes longer than it may', async () => {
    const begun = Promise.withResolvers<void>()
    const listening = await listen(() => begun.resolve(), { ...LOCAL, limits: { drainSeconds: 0.1 } })
    const reply = exchange(listening.url, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await begun.promise
    await listening.close()
    expect(await reply).toBe('')
  })
})
