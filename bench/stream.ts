// The streams of a directory: from a POST's answer to the event, a backfill over one stream in both forms, and 500
// subscribers at once. Subscribers count messages and look no further, so that the figures are the server's.
//
// node bench/stream.ts [--runs 5] [--operations 50000] [--profile FOLDER]

import { connect, type Socket } from 'node:net'
import { renderJson } from '../src/core/encoding/json.ts'
import { person } from '../test/support/people.ts'
import { medianOf, note, printTable, quantile, readOptions, type Figures } from './harness.ts'
import { importLedger, newPlace, published, readMemory, readUsage, serve, type Served } from './server.ts'

const SUBSCRIBERS = 500
const SUBMISSIONS = 200

/** A subscriber that has been answered. */
interface Subscriber extends Disposable {
  readonly socket: Socket
  /** Resolves once it has this many entries. */
  until(entries: number): Promise<void>
}

// Each frame is looked at only as far as its length, and for a binary one the entries that its index tells.
async function subscribe({ port }: Served, path: string): Promise<Subscriber> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\n\r\n`)
  let rest: Buffer = Buffer.alloc(0)
  let entries = 0
  let skip = 0
  let answered = false
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  let changed: () => void = () => undefined
  const missing = (count: number): number => count - entries
  const take = (chunk: Buffer): void => {
    let at = Math.min(skip, chunk.length)
    skip -= at
    if (skip > 0) return
    let bytes = chunk
    if (rest.length > 0) {
      bytes = Buffer.concat([rest, chunk])
      rest = Buffer.alloc(0)
      at = 0
    }
    while (at < bytes.length) {
      const short = (bytes[at + 1] ?? 0) & 0x7f
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (at + head + HEAD_BYTES > bytes.length && at + head + short > bytes.length) {
        rest = bytes.subarray(at)
        return
      }
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
      const opcode = (bytes[at] ?? 0) & 0xf
      if (opcode === 8) throw new Error(`a stream was closed: ${bytes.toString('latin1', at + head + 2, at + head + length)}`)
      if (opcode === 1) entries++
      else if (opcode === 2) entries += entriesIn(bytes, at + head)
      at += head + length
    }
    skip = at - bytes.length
    changed()
  }
  socket.on('data', (chunk: Buffer) => {
    if (answered) return take(chunk)
    rest = Buffer.concat([rest, chunk])
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!rest.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(rest.toString('latin1'))
    answered = true
    const first = rest.subarray(end + 4)
    rest = Buffer.alloc(0)
    open()
    take(first)
  })
  await opened
  return {
    socket,
    async until(count) {
      while (missing(count) > 0) await new Promise<void>((resolve) => (changed = resolve))
    },
    [Symbol.dispose]: () => socket.destroy(),
  }
}

/** More than a frame's beginning needs, up to the number of its entries. */
const HEAD_BYTES = 40

// a4 64 "type" 67 "entries" 65 "start" <number> 67 "entries" <array's head>; a checkpoint has no entries.
function entriesIn(bytes: Buffer, payload: number): number {
  if (bytes[payload] !== 0xa4) return 0
  const widths = [1, 2, 4, 8]
  const width = (first: number): number => (first < 24 ? 0 : (widths[first - 24] ?? 0))
  const number = payload + 20
  const array = number + 1 + width((bytes[number] ?? 0) & 0x1f) + 8
  const info = (bytes[array] ?? 0) & 0x1f
  return info < 24 ? info : bytes.readUIntBE(array + 1, width(info))
}

async function withUsage(served: Served, work: () => Promise<Figures>): Promise<Figures> {
  const before = readUsage(served)
  const since = performance.now()
  const figures = await work()
  const seconds = (performance.now() - since) / 1000
  const after = readUsage(served)
  const share = (cpuS: number): number => (cpuS / seconds) * 100
  const server = after.server - before.server
  return { ...figures, 'a CPU second': ((figures['a second'] ?? 0) * seconds) / server, 'server CPU %': share(server), 'database CPU %': share(after.database - before.database), 'server RSS MiB': readMemory(served.child.pid).now }
}

async function backfill(served: Served, path: string, size: number, subscribers: number): Promise<Figures> {
  return withUsage(served, async () => {
    const since = performance.now()
    const all = await Promise.all(Array.from({ length: subscribers }, () => subscribe(served, path)))
    await Promise.all(all.map((subscriber) => subscriber.until(size)))
    const seconds = (performance.now() - since) / 1000
    for (const subscriber of all) subscriber[Symbol.dispose]()
    return { 'a second': (size * subscribers) / seconds }
  })
}

let submitted = 0

// The event may come before the answer: then it is 0 ms later.
async function latency(served: Served): Promise<Figures> {
  const event = await subscribe(served, '/export/stream')
  const [later, whole]: [number[], number[]] = [[], []]
  for (let i = 1; i <= SUBMISSIONS; i++) {
    const { did, genesis } = person(`streamed ${submitted++}`, 1)
    const body = renderJson(genesis.value)
    const seen = event.until(i).then(() => performance.now())
    const sent = performance.now()
    const response = await fetch(`${served.url}/${did}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
    const answered = performance.now()
    if (response.status !== 200) throw new Error(`an answer was ${response.status}`)
    await response.text()
    later.push(Math.max(0, (await seen) - answered))
    whole.push((await seen) - sent)
  }
  event[Symbol.dispose]()
  const sorted = (values: number[]): number[] => values.sort((a, b) => a - b)
  return {
    'p50 ms': quantile(sorted(later), 0.5), 'p99 ms': quantile(later, 0.99),
    'POST to event p50 ms': quantile(sorted(whole), 0.5), 'POST to event p99 ms': quantile(whole, 0.99),
  }
}

const options = readOptions(50_000)
await using place = newPlace()
const records = await importLedger(place, options.operations)
const size = records.length

// Each run has a process of its own, so that nothing is kept from the run before.
async function onServer(work: (served: Served) => Promise<Figures>): Promise<Figures> {
  return medianOf(options.runs, async () => {
    await using served = await serve(place, options.profile)
    await published(served, size)
    return await work(served)
  })
}

note('backfill')
const rows = [
  { name: 'JSON, one stream', figures: await onServer((served) => backfill(served, '/export/stream?cursor=0', size, 1)) },
  { name: 'CBOR, one stream', figures: await onServer((served) => backfill(served, '/log/stream?from=0', size, 1)) },
]
note('many subscribers')
const tail = Math.max(0, size - 4_000)
rows.push(
  { name: `JSON, ${SUBSCRIBERS} subscribers`, figures: await onServer((served) => backfill(served, `/export/stream?cursor=${tail}`, size - tail, SUBSCRIBERS)) },
  { name: `CBOR, ${SUBSCRIBERS} subscribers`, figures: await onServer((served) => backfill(served, `/log/stream?from=${tail}`, size - tail, SUBSCRIBERS)) },
)
note('latency')
const latencies = await onServer(latency)
printTable(`Operations over streams, of a log of ${size}`, options, rows)
printTable(`From a POST's answer to the event, ${SUBMISSIONS} operations one after the other`, options, [{ name: 'one subscriber', figures: latencies }])
