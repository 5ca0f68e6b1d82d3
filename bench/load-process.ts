// The process that makes requests: connections that are kept, each with one request under way, over bare sockets, so
// that as little as possible of the machine goes into asking.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A load. */
export interface Job {
  readonly port: number
  readonly connections: number
  /** After so long no further request is made. */
  readonly seconds: number
  /** Whether the requests begin again after the last. */
  readonly repeat: boolean
  /** The bytes of each request. */
  readonly requests: readonly string[]
}

/** What came of it. */
export interface Outcome {
  readonly seconds: number
  readonly cpuS: number
  /** Of every request, in the order of the answers. */
  readonly latenciesMs: readonly number[]
  /** Positions of the requests that were answered with 200. */
  readonly answered: readonly number[]
  /** Status and body of some other answers. */
  readonly refusals: readonly (readonly [number, string])[]
}

interface Answer {
  readonly status: number
  /** Its first bytes. */
  readonly text: string
}

type Ask = (request: Buffer) => Promise<Answer>

async function run(job: Job): Promise<Outcome> {
  const requests = job.requests.map((request) => Buffer.from(request))
  const sockets = await Promise.all(Array.from({ length: job.connections }, () => open(job.port)))
  const asks = sockets.map(asker)
  process.send?.('ready')
  await once(process, 'message')

  const latenciesMs: number[] = []
  const answered: number[] = []
  const refusals: (readonly [number, string])[] = []
  const cpu = process.cpuUsage()
  const since = performance.now()
  let next = 0
  const work = async (ask: Ask): Promise<void> => {
    while (performance.now() - since < job.seconds * 1000 && (job.repeat || next < requests.length)) {
      const position = next++ % requests.length
      const request = requests[position]
      if (request === undefined) return
      const began = performance.now()
      const { status, text } = await ask(request)
      latenciesMs.push(performance.now() - began)
      if (status === 200) answered.push(position)
      else if (refusals.length < 3) refusals.push([status, text])
    }
  }
  await Promise.all(asks.map(work))
  const seconds = (performance.now() - since) / 1000
  const { user, system } = process.cpuUsage(cpu)
  for (const socket of sockets) socket.destroy()
  return { seconds, cpuS: (user + system) / 1e6, latenciesMs, answered, refusals }
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return socket
}

// Reads answers with a length or in chunks, one after the other; bodies are counted, not kept.
function asker(socket: Socket): Ask {
  let waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | null = null
  let pending = Buffer.alloc(0)
  let status = 0
  let text = ''
  let chunked = false
  /** Bytes that are still to be passed over. */
  let skip = 0
  let last = false

  const finish = (): void => {
    const done = waiting
    const answer = { status, text }
    waiting = null
    status = 0
    done?.resolve(answer)
  }

  const readHead = (): boolean => {
    const end = pending.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = pending.toString('latin1', 0, end)
    pending = pending.subarray(end + 4)
    status = Number(head.slice(9, 12))
    text = status === 200 ? '' : pending.toString('latin1', 0, 300)
    chunked = /\r\ntransfer-encoding: chunked/i.test(head)
    skip = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    last = !chunked
    return true
  }

  const readChunkSize = (): boolean => {
    const end = pending.indexOf('\r\n')
    if (end < 0) return false
    const size = parseInt(pending.toString('latin1', 0, end), 16)
    skip = end + 2 + size + 2
    last = size === 0
    return true
  }

  socket.on('data', (data: Buffer) => {
    pending = pending.length === 0 ? Buffer.from(data) : Buffer.concat([pending, data])
    for (;;) {
      if (status === 0 && !readHead()) return
      if (chunked && skip === 0 && !readChunkSize()) return
      const passed = Math.min(skip, pending.length)
      pending = pending.subarray(passed)
      skip -= passed
      if (skip > 0) return
      if (last) return finish()
    }
  })
  const fail = (error: Error): void => waiting?.reject(error)
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the server closed a connection')))

  return (request) =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject }
      socket.write(request)
    })
}

if (import.meta.main) {
  for (;;) {
    const [job] = (await once(process, 'message')) as [Job]
    process.send?.(await run(job))
  }
}
