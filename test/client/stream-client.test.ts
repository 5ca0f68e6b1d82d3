import { getEventListeners, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { exportStream, logStream, StreamClosedError } from '../../src/client/stream-client.ts'
import { encodeFrame, type Frame } from '../../src/core/frame.ts'
import { COUNTER_KEY, openCounter } from '../support/counter.ts'
import { EdgeConsumer } from '../support/subscriber.ts'

const FRAME: Frame = { type: 'entries', start: 0, entries: [new Uint8Array(1_000)], provisional: true }

describe('a client of the log stream', () => {
  it('re-derives every root from nothing but an edge, however small its buffer', async () => {
    await using counter = await openCounter()
    await counter.fill(700)
    await counter.publish()
    const consumer = new EdgeConsumer([COUNTER_KEY])
    for await (const frame of logStream(counter.url, 0, { bufferBytes: 1_000 })) {
      consumer.take(frame)
      if (consumer.checked === 1 && consumer.next === 700) await counter.fill(30)
      if (consumer.checked === 1 && consumer.next === 730) await counter.publish()
      if (consumer.checked === 2) break
    }
    expect(consumer.edge.size).toBe(730)
    expect(consumer.edge.hashes).toEqual((await counter.store.head())?.edge.hashes)
  })

  it('says why the stream ended, and that it could not be opened', async () => {
    await using counter = await openCounter()
    await expect(logStream(counter.url, 5).next()).rejects.toMatchObject({ name: 'StreamClosedError', code: 1000, reason: 'FutureCursor' })
    await expect(logStream(`${counter.url}/nowhere`, 0).next()).rejects.toBeInstanceOf(StreamClosedError)
    await expect(exportStream('http://127.0.0.1:1', 0).next()).rejects.toMatchObject({ code: 1006 })
  })

  it('ends with its signal, and leaves no listener on it', async () => {
    await using counter = await openCounter()
    const stop = new AbortController()
    const stream = logStream(counter.url, 0, { signal: stop.signal })
    const next = stream.next()
    await counter.fill(1)
    expect((await next).value).toMatchObject({ start: 0 })
    const waiting = stream.next()
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    await expect(logStream(counter.url, 0, { signal: stop.signal }).next()).rejects.toThrow('enough')
  })
})

describe('a client of a server that', () => {
  let server: WebSocketServer
  let url: string
  let behave: (socket: WebSocket) => void
  beforeAll(async () => {
    server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    server.on('connection', (socket) => behave(socket))
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise<void>((resolve) => server.close(() => resolve())))

  it('sends more than was granted keeps no more than it has room for', async () => {
    behave = (socket) => {
      for (let i = 0; i < 1_500; i++) socket.send(encodeFrame(FRAME))
    }
    const stream = logStream(url, 0, { bufferBytes: 2_000 })
    let taken = 0
    const read = async (): Promise<never> => {
      for (;;) {
        await stream.next()
        taken++
        if (taken < 50) await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    await expect(read()).rejects.toMatchObject({ reason: 'ConsumerTooSlow' })
    expect(taken).toBeLessThan(1_200)
  }, 60_000)

  it('sends messages of no length at all is cut off while nobody reads', async () => {
    const closed = new Promise<void>((resolve) => {
      behave = (socket) => {
        socket.on('close', () => resolve())
        socket.send(encodeFrame(FRAME))
        for (let i = 0; i < 40_000; i++) socket.send('')
      }
    })
    const stream = logStream(url, 0, { bufferBytes: 2_000 })
    await stream.next()
    await closed
    await expect(stream.next()).rejects.toBeInstanceOf(Error)
  }, 60_000)

  it('sends no frame is no longer read', async () => {
    for (const message of ['text', Buffer.from([1, 2, 3])]) {
      behave = (socket) => socket.send(message)
      await expect(logStream(url, 0).next()).rejects.toMatchObject({ code: 'MALFORMED_FRAME' })
    }
  })

  it('speaks the deployed protocol gets its texts, and its reason when it closes', async () => {
    behave = (socket) => {
      for (const text of ['{"seq":8}', '{"seq":9}']) socket.send(text)
      socket.close(1000, 'OutdatedCursor')
    }
    const stream = exportStream(url, 7)
    expect([(await stream.next()).value, (await stream.next()).value]).toEqual(['{"seq":8}', '{"seq":9}'])
    await expect(stream.next()).rejects.toMatchObject({ code: 1000, reason: 'OutdatedCursor', message: 'the stream ended: OutdatedCursor' })
  })
})
