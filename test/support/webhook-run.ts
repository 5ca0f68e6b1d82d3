// A directory under load, a mirror of it, a follower of the mirror and a receiver of its webhook, each ended where it stands, again and again.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { randomOf, type Random } from '../fuzz/random.ts'
import { signDelivery } from '../../src/client/webhook.ts'
import { keepProcess } from './kept-process.ts'
import { startLoad } from './load.ts'
import { until } from './mirror.ts'
import { newHome, type Started } from './program.ts'

const SECRET = 'a secret of the tests alone'

interface Delivered {
  readonly seq: number
  readonly did: string
  readonly cid: string
}

/** Restarts so many of them, and expects that every operation was delivered, in order, and none left out. */
export async function deliverThroughRestarts(restarts: number, seed: number): Promise<void> {
  using home = newHome()
  const random = randomOf('webhook', seed)
  writeFileSync(join(home.folder, 'hook.secret'), SECRET)
  const directory = await keepProcess(home, ['serve', '--data', 'directory', '--checkpoint-interval', '50ms', '--write-rate', '0'])
  const mirror = await keepProcess(home, ['mirror', '--upstream', directory.url, '--data', 'mirror', '--read-rate', '0'])
  await using receiver = await openReceiver(random)
  mkdirSync(join(home.folder, 'evidence'))

  let follower: Started
  const startFollower = (): void => {
    follower = home.start(['follow', mirror.url, '--webhook', receiver.url, '--secret-file', 'hook.secret', '--cursor', 'follow.cursor', '--evidence', 'evidence'])
    follower.line.catch(() => undefined)
  }
  startFollower()
  const strikes: readonly (() => Promise<void>)[] = [
    async () => {
      // Killed, or told to end: it may take either.
      follower.child.kill(random.oneIn(2) ? 'SIGKILL' : 'SIGTERM')
      await follower.ended
      startFollower()
    },
    async () => {
      await mirror.kill()
      await pause(random.below(300))
      await mirror.start()
    },
    async () => {
      await receiver.close()
      await pause(random.below(500))
      await receiver.open()
    },
  ]
  const load = startLoad({ urls: [directory.url], writers: 6, pauseMs: 60 })
  const order = Array.from({ length: restarts }, (_, n) => ({ strike: strikes[n % strikes.length], at: random.below(1_000_000) })).sort((a, b) => a.at - b.at)
  for (const { strike } of order) {
    await load.progress(5 + random.below(30), 60_000)
    const before = receiver.delivered.length
    await strike?.()
    if (random.oneIn(3)) await until(() => receiver.delivered.length > before, () => 'something is delivered')
  }
  await load.finish()

  const { acknowledged } = load
  await until(() => new Set(receiver.delivered.map(({ seq }) => seq)).size >= acknowledged.size, () => `${acknowledged.size} operations are delivered, of which ${new Set(receiver.delivered.map(({ seq }) => seq)).size} came`)
  expect(receiver.forged).toBe(0)
  expect(existsSync(join(home.folder, 'dead-letters'))).toBe(false)
  const first = new Map<string, Delivered>()
  let newest = 0
  for (const one of receiver.delivered) {
    // What has come may come again; what comes for the first time is the next one.
    expect(one.seq).toBeLessThanOrEqual(newest + 1)
    newest = Math.max(newest, one.seq)
    if (!first.has(one.cid)) first.set(one.cid, one)
  }
  expect(new Map([...first.values()].map(({ cid, did }) => [cid, did]))).toEqual(new Map(acknowledged))
  const ordered = [...first.values()]
  for (const did of new Set(acknowledged.values())) {
    const written = [...acknowledged].filter(([, one]) => one === did).map(([cid]) => cid)
    expect(ordered.filter((one) => one.did === did).map(({ cid }) => cid)).toEqual(written)
  }
}

interface Receiver extends AsyncDisposable {
  readonly url: string
  /** Entries, in the order in which they came, those that came again too. */
  readonly delivered: Delivered[]
  /** Deliveries that were not signed. */
  forged: number
  open(): Promise<void>
  close(): Promise<void>
}

// It refuses some, and loses the answer to some that it took.
async function openReceiver(random: Random): Promise<Receiver> {
  let server: Server | null = null
  let port = 0
  const receiver: Receiver = {
    get url() {
      return `http://127.0.0.1:${port}/hook`
    },
    delivered: [],
    forged: 0,
    async open() {
      const opened = createServer((request, response) => void take(request, response))
      await new Promise<void>((resolve) => opened.listen(port, '127.0.0.1', resolve))
      port = (opened.address() as AddressInfo).port
      server = opened
    },
    async close() {
      const closed = server
      closed?.closeAllConnections()
      await new Promise<void>((resolve) => (closed === null ? resolve() : closed.close(() => resolve())))
    },
    [Symbol.asyncDispose]: () => receiver.close(),
  }

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    try {
      for await (const part of request) parts.push(part as Buffer)
    } catch {
      return
    }
    const body = Buffer.concat(parts).toString()
    if (random.oneIn(10)) return void response.writeHead(500).end()
    const signed = await signDelivery(Buffer.from(SECRET), String(request.headers['stele-timestamp']), body)
    if (request.headers['stele-signature'] !== signed) receiver.forged++
    receiver.delivered.push(...(JSON.parse(body) as { entries: Delivered[] }).entries)
    if (random.oneIn(10)) request.socket.destroy()
    else response.end()
  }

  await receiver.open()
  return receiver
}
