// An upstream that misbehaves on command: a real counter with real streams over a store in memory, and in front of it somebody who may
// change every answer and every frame on its way.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket as Socket, WebSocketServer } from 'ws'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import type { SigningKey } from '../../src/core/tlog/note.ts'
import { createApp } from '../../src/http/app.ts'
import { listen } from '../../src/http/listen.ts'
import type { CounterPorts } from '../../src/http/ports.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { NOTHING_WITHHELD } from '../../src/storage/withheld.ts'
import { openStreams } from '../../src/stream/upgrade.ts'
import { appendLeaves, emptyLog, LOG_KEY } from './stored-log.ts'

/** A log that is served. */
export interface ServedLog extends AsyncDisposable {
  readonly url: string
  readonly store: Store
  /** Appends leaves as they are; durable, and not published. */
  append(leaves: readonly Uint8Array[]): Promise<void>
  /** Signs and publishes a checkpoint of all entries, with the log's key unless another is named. */
  publish(keys?: readonly SigningKey[]): Promise<string>
}

/** Serves a log of these leaves, all of them under a published checkpoint. */
export async function serveLog(leaves: readonly Uint8Array[], ports: Partial<CounterPorts> = {}): Promise<ServedLog> {
  const store = await emptyLog()
  const tip = new Tip()
  const now = (): number => Date.now()
  const log = (): void => undefined
  const refuse: CounterPorts['submit'] = () => Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'no' })
  const app = createApp({ store, tip, origin: LOG_KEY.name, version: '1', now, faults: () => [], log, submit: refuse, ...ports }, { readRate: 0, writeRate: 0 })
  const observer = { opened() {}, closed() {}, sent() {} }
  const streams = openStreams({ store, withheld: ports.withheld ?? NOTHING_WITHHELD, tip, now, log, clientKey: () => 'client', admit: () => 0, maxCursorAgeMs: null, observer }, { refreshSeconds: 0.1 })
  const server = await listen(app, { host: '127.0.0.1', port: 0, limits: {}, upgrades: streams })
  const served: ServedLog = {
    url: server.url,
    store,
    async append(more) {
      if (more.length > 0) await appendLeaves(store, more)
      tip.advanceDurable((await store.head())?.size ?? 0)
    },
    async publish(keys = [LOG_KEY]) {
      const head = await store.head()
      if (head === null) throw new Error('there is no log')
      const { origin, size, root } = head
      const note = signCheckpoint({ origin, size, root }, keys)
      await store.publish({ size, root, note, publishedAt: now() })
      tip.advancePublished(size)
      return note
    },
    [Symbol.asyncDispose]: () => server.close(),
  }
  await served.append(leaves)
  await served.publish()
  return served
}

/** What stands between a served log and whoever asks it. All of it can be changed at any time. */
export interface Front extends AsyncDisposable {
  readonly url: string
  /** Whose answers are passed on. */
  target: ServedLog
  /** Changes the body of an answer with status 200; null makes it a 404. */
  answer: (path: string, body: Buffer) => Buffer | null
  /** Changes a frame: what is sent in its place, in order. */
  frame: (bytes: Buffer) => readonly Buffer[]
  /** Whether nothing is answered at all: every connection is cut. */
  gone: boolean
  /** Whether there are streams. */
  streams: boolean
  /** Cuts every stream that is open. */
  cut(): void
}

/** A front that changes nothing yet. */
export async function openFront(target: ServedLog): Promise<Front> {
  const sockets = new WebSocketServer({ noServer: true })
  // What is behind it may go in the middle of an answer: then so does the answer.
  const server = createServer((request, response) => void passOn(request, response).catch(() => request.socket.destroy()))
  const front: Front = {
    url: '', target, answer: (_path, body) => body, frame: (bytes) => [bytes], gone: false, streams: true,
    cut: () => sockets.clients.forEach((socket) => socket.terminate()),
    async [Symbol.asyncDispose]() {
      front.cut()
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }

  async function passOn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (front.gone) {
      request.socket.destroy()
      return
    }
    const path = request.url ?? ''
    const answer = await fetch(front.target.url + path)
    const body = Buffer.from(await answer.arrayBuffer())
    const sent = answer.status === 200 ? front.answer(path, body) : body
    response.writeHead(sent === null ? 404 : answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(sent ?? 'gone')
  }

  server.on('upgrade', (request, socket, head) => {
    if (front.gone || !front.streams) {
      socket.destroy()
      return
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const upstream = new Socket(front.target.url.replace('http', 'ws') + (request.url ?? ''))
      upstream.on('message', (data: Buffer) => {
        for (const frame of front.frame(data)) client.send(frame)
      })
      const opened = new Promise<void>((resolve) => upstream.once('open', resolve))
      client.on('message', (data: Buffer) => void opened.then(() => upstream.readyState === Socket.OPEN && upstream.send(data.toString())))
      for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
        one.on('error', () => other.terminate())
        one.on('close', (code, reason) => (code === 1006 || code === 1005 ? other.terminate() : other.close(code, reason)))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(front, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}
