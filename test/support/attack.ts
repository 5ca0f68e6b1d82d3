// A program: attacks the counter whose address it is given, tells its parent what came of it, and ends with it.

import { Agent, get } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What it says once all of its DIDs were asked for. */
export interface AttackSays {
  readonly unknownDids: number
  /** Statuses of the answers, each with its number. */
  readonly statuses: Readonly<Record<string, number>>
  /** How often a slow connection was cut off and opened again. */
  readonly reopened: number
  /** 50 MB bodies that were begun, and bytes of them that were taken. */
  readonly bodies: number
  readonly bodyBytes: number
}

const SLOW_CONNECTIONS = 500
const UNKNOWN_DIDS = Number(process.env['STELE_UNKNOWN_DIDS'] ?? '1000000')
const DIDS_PER_SECOND = 3_000
const BODY_BYTES = 50_000_000

const [url = ''] = process.argv.slice(2)
const { port, hostname } = new URL(url)
const did = `did:plc:${'a'.repeat(24)}`
const postHead = (length: number): string => `POST /${did} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
// Only Linux has as many addresses of its own.
const from = (host: number): { localAddress?: string } => (process.platform === 'linux' ? { localAddress: `127.0.1.${host}` } : {})

let reopened = 0
let bodies = 0
let bodyBytes = 0

/** Half of them never end their header, the others their body. */
async function slow(number: number): Promise<void> {
  for (;;) {
    const socket = connect({ host: hostname, port: Number(port), ...from(1) })
    socket.on('error', () => undefined).resume()
    socket.write(number % 2 === 0 ? 'GET / HTTP/1.1\r\nX: ' : postHead(1_000))
    while (!socket.destroyed) {
      await pause(1_000)
      socket.write('x')
    }
    reopened++
  }
}

async function large(): Promise<void> {
  const chunk = Buffer.alloc(65_536)
  for (;;) {
    const socket = connect({ host: hostname, port: Number(port), ...from(2) })
    const closed = new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()))
    socket.resume()
    bodies++
    socket.write(postHead(BODY_BYTES))
    for (let sent = 0; sent < BODY_BYTES && !socket.destroyed; sent += chunk.length) {
      if (!socket.write(chunk)) await Promise.race([closed, new Promise((resolve) => socket.once('drain', resolve))])
    }
    bodyBytes += socket.bytesWritten - socket.writableLength
    socket.end()
    await closed
    await pause(100)
  }
}

async function unknown(): Promise<Record<string, number>> {
  const agents = Array.from({ length: 20 }, (_, i) => new Agent({ keepAlive: true, maxSockets: 4, ...from(10 + i) }))
  const statuses: Record<string, number> = {}
  const started = performance.now()
  const underWay = new Set<Promise<void>>()
  for (let i = 0; i < UNKNOWN_DIDS; i++) {
    const early = (i / DIDS_PER_SECOND) * 1_000 - (performance.now() - started)
    if (early > 20) await pause(early)
    if (underWay.size >= 80) await Promise.race(underWay)
    const asked = new Promise<void>((resolve) => {
      const path = `/did:plc:${i.toString(4).replaceAll(/\d/g, (digit) => 'abcd'[Number(digit)] ?? 'a').padStart(24, 'z')}`
      get({ host: hostname, port, path, agent: agents[i % agents.length] }, (response) => {
        statuses[response.statusCode ?? 0] = (statuses[response.statusCode ?? 0] ?? 0) + 1
        response.resume().once('close', resolve)
      }).on('error', () => {
        statuses['error'] = (statuses['error'] ?? 0) + 1
        resolve()
      })
    })
    underWay.add(asked)
    void asked.then(() => underWay.delete(asked))
  }
  await Promise.all(underWay)
  return statuses
}

process.on('disconnect', () => process.exit())
for (let number = 0; number < SLOW_CONNECTIONS; number++) void slow(number)
for (let number = 0; number < 4; number++) void large()
const statuses = await unknown()
process.send?.({ unknownDids: UNKNOWN_DIDS, statuses, reopened, bodies, bodyBytes } satisfies AttackSays)
