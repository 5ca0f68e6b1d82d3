// The streams from the outside: a whole server and real WebSockets.

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { decodeFrame } from '../../src/core/frame.ts'
import { STREAM_LIMITS } from '../../src/stream/limits.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { openCounter, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'
import { refusalOf, seqsOf, subscribe } from '../support/subscriber.ts'

const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i + 1)

/** Waits for a state that has to come. */
async function eventually(condition: () => boolean): Promise<void> {
  const until = performance.now() + 30_000
  while (!condition()) {
    if (performance.now() > until) throw new Error('it did not come to that')
    await pause(5)
  }
}

/** A WebSocket client that says nothing after its handshake, and reads nothing until it is told to. */
async function silent(counter: TestCounter, path: string): Promise<Socket> {
  const socket = connect(Number(new URL(counter.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write([`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${'A'.repeat(22)}==`, '', ''].join('\r\n'))
  await once(socket, 'readable')
  return socket
}

describe('an upgrade', () => {
  it('is refused in words before it is made where the request is wrong', async () => {
    await using counter = await openCounter()
    for (const cursor of ['abc', '-1', '5abc', '1.5', '1&cursor=2', '%20']) {
      expect(await refusalOf(counter.url, `/export/stream?cursor=${cursor}`), cursor).toMatchObject({ status: 400, message: 'Invalid cursor' })
    }
    const log = async (query: string): Promise<string> => (await refusalOf(counter.url, `/log/stream?${query}`)).message
    expect(await log('from=x')).toBe('Not a decimal number: from')
    expect(await log('from=01')).toBe('Not a decimal number: from')
    expect(await log('from=0&from=1')).toBe('Not a decimal number: from')
    expect(await log('credit=-1')).toBe('Not a decimal number: credit')
    expect(await log('did=did:plc:x')).toBe('Malformed did:plc identifier: did:plc:x')
    expect(await log('service=a&history=yes')).toBe('Not a decimal number: history')
    expect(await log(Array.from({ length: 101 }, (_, i) => `service=${i}`).join('&'))).toBe('Too many services: 100 maximum')
    const handshake = await counter.ask('/log/stream', { headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '12' } })
    expect([handshake.status, handshake.text]).toEqual([400, '{"message":"Not a WebSocket handshake of version 13"}'])
    expect(handshake.headers['access-control-allow-origin']).toBe('*')
  })

  it('to anything else is an ordinary request, and a stream is none', async () => {
    await using counter = await openCounter()
    for (const path of ['/', '/unknown/path', '/export/streams', '/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa']) {
      expect((await refusalOf(counter.url, path).catch(() => ({ status: 200 }))).status, path).toBe(path === '/' ? 200 : 404)
    }
    const { status, text } = await counter.ask('/checkpoint', { headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': '' } })
    expect([status, text]).toEqual([404, '{"message":"No checkpoint has been published yet"}'])
    for (const path of ['/export/stream', '/log/stream']) {
      const plain = await counter.ask(path)
      expect([plain.status, plain.text, plain.headers['upgrade']]).toEqual([426, '{"message":"upgrade required"}', 'websocket'])
    }
  }, 20_000)

  it('is refused where there are too many streams, of all or of one address, until one has ended', async () => {
    await using counter = await openCounter({ streams: { subscribers: 3, subscribersPerAddress: 2 } })
    const from = (client: string): { headers: Record<string, string> } => ({ headers: { 'X-Client': client } })
    using first = await subscribe(counter.url, '/export/stream', from('a'))
    using _second = await subscribe(counter.url, '/log/stream', from('a'))
    expect(await refusalOf(counter.url, '/log/stream', from('a'))).toEqual({ status: 429, message: 'Too many streams of this address', retryAfter: '5' })
    using _third = await subscribe(counter.url, '/log/stream', from('b'))
    expect(await refusalOf(counter.url, '/log/stream', from('b'))).toEqual({ status: 503, message: 'Too many streams', retryAfter: '5' })
    first.socket.close()
    await eventually(() => counter.observed.includes('closed export Left'))
    using _fourth = await subscribe(counter.url, '/log/stream', from('a'))
  })
})

describe('/export/stream', () => {
  it('sends an event for each operation, as the deployed directory writes them', async () => {
    await using counter = await openCounter()
    const alice = person('alice')
    const { did, genesis } = alice
    await counter.submit(did, genesis)
    using stream = await subscribe(counter.url, '/export/stream?cursor=0')
    counter.clock.ms += 1_000
    const second = alice.update(genesis)
    await counter.submit(did, second)
    await stream.until(2)
    expect(stream.messages).toEqual([
      `{"seq":1,"type":"sequenced_op","did":"${did}","operation":${renderJson(genesis.value)},"cid":"${genesis.cid}","createdAt":"2026-01-02T03:04:05.678Z"}`,
      `{"seq":2,"type":"sequenced_op","did":"${did}","operation":${renderJson(second.value)},"cid":"${second.cid}","createdAt":"2026-01-02T03:04:06.678Z"}`,
    ])
  })

  it('begins after its cursor, and without one, or with an empty one, with what comes', async () => {
    await using counter = await openCounter()
    await counter.fill(10)
    using later = await subscribe(counter.url, '/export/stream?cursor=7')
    using live = await subscribe(counter.url, '/export/stream')
    using empty = await subscribe(counter.url, '/export/stream/?cursor=')
    using end = await subscribe(counter.url, '/export/stream?cursor=10')
    await later.until(3)
    await eventually(() => counter.observed.length === 4)
    await counter.fill(2)
    for (const [stream, from] of [[later, 7], [live, 10], [empty, 10], [end, 10]] as const) {
      await stream.until(12 - from)
      expect(seqsOf(stream.messages)).toEqual(upTo(from, 12))
    }
  })

  it('says why it ends: a cursor ahead of the log, or too old where there is a limit', async () => {
    await using counter = await openCounter({ maxCursorAgeMs: 5_000 })
    await counter.fill(2)
    counter.clock.ms += 5_001
    for (const [cursor, reason] of [['3', 'FutureCursor'], ['99999999999999999999', 'FutureCursor'], ['1', 'OutdatedCursor']]) {
      using stream = await subscribe(counter.url, `/export/stream?cursor=${cursor}`)
      expect(await stream.closed).toEqual({ code: 1000, reason })
    }
    using stream = await subscribe(counter.url, '/log/stream?from=3')
    expect(await stream.closed).toEqual({ code: 1000, reason: 'FutureCursor' })
  })

  it('gives 50 subscribers 3,000 entries each exactly once and in order, wherever they began', async () => {
    await using counter = await openCounter()
    await counter.fill(500)
    const subscribers = await Promise.all(Array.from({ length: 50 }, (_, i) => subscribe(counter.url, `/export/stream?cursor=${i * 10}`)))
    for (const count of [1, 2, 300, 1, 1_000, 700, 495, 1]) {
      await counter.fill(count)
      await pause(1)
    }
    expect(counter.tip.durable).toBe(3_000)
    for (const [i, subscriber] of subscribers.entries()) {
      await subscriber.until(3_000 - i * 10)
      expect(seqsOf(subscriber.messages)).toEqual(upTo(i * 10, 3_000))
      subscriber[Symbol.dispose]()
    }
  }, 60_000)

  it('disconnects nobody who reads in a burst of 50,000', async () => {
    await using counter = await openCounter()
    await counter.fill(1)
    const subscribers = await Promise.all(Array.from({ length: 4 }, () => subscribe(counter.url, '/export/stream?cursor=1')))
    await counter.fill(50_000)
    for (const subscriber of subscribers) {
      await subscriber.until(50_000)
      expect(seqsOf(subscriber.messages)).toEqual(upTo(1, 50_001))
      subscriber[Symbol.dispose]()
    }
    expect(counter.observed.filter((line) => line.includes('ConsumerTooSlow'))).toEqual([])
  }, 120_000)
})

describe('a subscriber that never reads', () => {
  it('holds a bounded number of bytes, is told that it is too slow, and does not hurt the others: 200 of them', async () => {
    await using counter = await openCounter({ streams: { stallSeconds: 1, sweepMs: 50 } })
    await counter.fill(15_000)
    const silents = await Promise.all(Array.from({ length: 200 }, () => silent(counter, '/export/stream?cursor=0')))
    await eventually(() => counter.streams.waitingBytes().filter((bytes) => bytes > 0).length > 150)
    using reader = await subscribe(counter.url, '/export/stream?cursor=0')
    let most = 0
    const watch = setInterval(() => (most = Math.max(most, ...counter.streams.waitingBytes())), 5)
    await counter.fill(100)
    await reader.until(15_100)
    expect(seqsOf(reader.messages)).toEqual(upTo(0, 15_100))
    await eventually(() => counter.observed.filter((line) => line === 'closed export ConsumerTooSlow').length === 200)
    clearInterval(watch)
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(STREAM_LIMITS.subscriberBytes)
    expect(counter.streams.waitingBytes().length).toBe(1)
    for (const socket of silents) socket.destroy()
  }, 120_000)

  it('sees the reason when it reads after all', async () => {
    await using counter = await openCounter({ streams: { stallSeconds: 0.3, sweepMs: 20, closeSeconds: 20 } })
    await counter.fill(30_000)
    using stream = await subscribe(counter.url, '/export/stream?cursor=0')
    stream.socket.pause()
    await eventually(() => counter.streams.waitingBytes().some((bytes) => bytes > 0))
    await pause(1_000)
    stream.socket.resume()
    expect(await stream.closed).toEqual({ code: 1000, reason: 'ConsumerTooSlow' })
    expect(seqsOf(stream.messages)).toEqual(upTo(0, stream.messages.length))
    expect(stream.messages.length).toBeLessThan(30_000)
  }, 60_000)
})

describe('a subscriber', () => {
  it('that is dead is dropped, and one that answers pings is kept', async () => {
    await using counter = await openCounter({ streams: { pingSeconds: 0.1, sweepMs: 20 } })
    using alive = await subscribe(counter.url, '/export/stream')
    const dead = await silent(counter, '/log/stream')
    await counter.fill(1)
    await eventually(() => counter.observed.includes('closed log Dead'))
    dead.destroy()
    let pings = 0
    alive.socket.on('ping', () => pings++)
    await eventually(() => pings > 5)
    expect(alive.socket.readyState).toBe(alive.socket.OPEN)
  })

  it('of the export stream may say what it likes, so long as it is little', async () => {
    await using counter = await openCounter({ streams: { sweepMs: 1_000, messagesPerSecond: 10, messageBytes: 100 } })
    using stream = await subscribe(counter.url, '/export/stream?cursor=0')
    for (const word of ['hello', '5', '{}']) stream.socket.send(word)
    stream.socket.send(Buffer.from([1]))
    await counter.fill(1)
    await stream.until(1)
    for (let i = 0; i < 30; i++) stream.socket.send('x')
    expect(await stream.closed).toEqual({ code: 1008, reason: 'TooManyMessages' })
    using loud = await subscribe(counter.url, '/export/stream')
    loud.socket.send('x'.repeat(101))
    expect((await loud.closed).code).toBe(1009)
  })

  it('is told when the server stops, and nobody is let in after that', async () => {
    const counter = await openCounter()
    await counter.fill(3)
    using live = await subscribe(counter.url, '/export/stream?cursor=0')
    using log = await subscribe(counter.url, '/log/stream')
    await live.until(3)
    const stopped = counter[Symbol.asyncDispose]()
    expect(await Promise.all([live.closed, log.closed])).toEqual([1, 2].map(() => ({ code: 1001, reason: 'ServerStopping' })))
    await stopped
  })

  it('is told to come back where the database does not answer', async () => {
    const inner = memoryStore()
    let broken = false
    const store = { ...inner, exportFrom: (...range: Parameters<Store['exportFrom']>) => (broken ? Promise.reject(new Error('gone')) : counterStore.exportFrom(...range)) }
    let counterStore = inner
    await using counter = await openCounter({ ports: { store } })
    counterStore = counter.store
    await counter.fill(1)
    using stream = await subscribe(counter.url, '/export/stream?cursor=0')
    await stream.until(1)
    broken = true
    await counter.fill(1)
    expect(await stream.closed).toEqual({ code: 1013, reason: 'TryAgainLater' })
    broken = false
    using again = await subscribe(counter.url, '/export/stream?cursor=1')
    await again.until(1)
    expect(seqsOf(again.messages)).toEqual([2])
  })
})

describe('credit', () => {
  it('is what a reader of the log stream is sent and no more', async () => {
    await using counter = await openCounter({ streams: { blockEntries: 4 } })
    await counter.fill(40)
    using stream = await subscribe(counter.url, '/log/stream?from=0&credit=0')
    const starts = (): number[] => stream.messages.map((message) => {
      const frame = decodeFrame(message as Uint8Array)
      return frame.type === 'entries' ? frame.start : -1
    })
    await eventually(() => counter.observed.length === 1)
    await pause(100)
    expect(starts()).toEqual([])
    stream.socket.send('1')
    await stream.until(1)
    await pause(100)
    expect(starts()).toEqual([0])
    const [first] = stream.messages
    stream.socket.send(String((first?.length ?? 0) - 1))
    await pause(100)
    expect(starts()).toEqual([0])
    stream.socket.send('1000000')
    await stream.until(10)
    expect(starts()).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 32, 36])
  })

  it('that is none ends the stream', async () => {
    await using counter = await openCounter()
    for (const message of ['0', 'x', '-1', Buffer.from('5')]) {
      using stream = await subscribe(counter.url, '/log/stream?credit=5')
      stream.socket.send(message)
      expect(await stream.closed).toEqual({ code: 1008, reason: 'InvalidMessage' })
    }
  })
})
