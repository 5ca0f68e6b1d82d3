// What one connection, and one address, may hold of the server. spec/http.md#limits

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressKey } from './client-address.ts'

/** The bounds of a server, beside those of the application that it serves. */
export interface ServerLimits {
  /** Longest request line and header fields together, in bytes. */
  readonly headerBytes: number
  /** How long a client may take to send its header, in seconds. */
  readonly headerSeconds: number
  /** How long a client may take to send its whole request, in seconds. */
  readonly requestSeconds: number
  /** Longest body that a client is encouraged to send where it asks before, in bytes. */
  readonly bodyBytes: number
  /** How long a connection may carry nothing while an answer is due, in seconds. */
  readonly idleSeconds: number
  /** How long a connection is kept for the next request, in seconds. */
  readonly keepAliveSeconds: number
  /** Most connections at once; more are closed unread. */
  readonly connections: number
  /** Most connections at once from one address; Infinity where all clients come through one proxy. */
  readonly connectionsPerAddress: number
  /** Most requests of one connection that wait for their answers. */
  readonly pipelined: number
  /** How long the sending of an answer may take, in seconds, beside the time for its bytes. */
  readonly answerSeconds: number
  /** Bytes of an answer that a client must take in a second. */
  readonly answerBytesPerSecond: number
  /** Most bytes of answers that were written and not taken, of all connections together; above it, those that hold most are closed. Default: any number. */
  readonly unsentBytes?: number
  /** How long a connection stays open after the refusal of what was no HTTP, in seconds. */
  readonly lingerSeconds: number
  /** How often the time limits of connections are looked at, in milliseconds. */
  readonly sweepMs: number
  /** How long answers under way may take once the server stops, in seconds. */
  readonly drainSeconds: number
}

/** Bounds for the connections of a server; disposing it ends the watch over them, not the connections. */
export interface Connections extends Disposable {
  /** Notes a request. False where too many of its connection wait for their answers. */
  begin(request: IncomingMessage, response: ServerResponse): boolean
  /** Whether bytes written to the connection now would be taken for the answer to something that was asked before. */
  isAnswering(socket: Duplex): boolean
}

/** Bounds the connections of `server`: how many of one address there are at once, and how fast each must take its answers. */
export function boundConnections(server: Server, limits: ServerLimits): Connections {
  const counts = new Map<string, number>()
  const waiting = new Map<Duplex, Set<ServerResponse>>()
  const sending = new Map<ServerResponse, Sending>()

  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket)
    const count = (counts.get(key) ?? 0) + 1
    if (count > limits.connectionsPerAddress) {
      socket.destroy()
      return
    }
    counts.set(key, count)
    socket.once('close', () => {
      const left = (counts.get(key) ?? 1) - 1
      if (left === 0) counts.delete(key)
      else counts.set(key, left)
    })
  })

  const sweep = setInterval(() => {
    const now = performance.now()
    for (const [response, { socket, bytesBefore, since }] of sending) {
      if (!response.headersSent) continue
      const started = since ?? now
      sending.set(response, { socket, bytesBefore, since: started })
      const allowedMs = (limits.answerSeconds + (socket.bytesWritten - bytesBefore) / limits.answerBytesPerSecond) * 1000
      if (now - started > allowedMs) socket.destroy()
    }
    closeHeaviest(sending, limits.unsentBytes ?? Infinity)
  }, limits.sweepMs)
  sweep.unref()

  return {
    begin(request, response) {
      const { socket } = request
      const responses = waiting.get(socket) ?? new Set()
      waiting.set(socket, responses.add(response))
      sending.set(response, { socket, bytesBefore: socket.bytesWritten, since: null })
      response.once('close', () => {
        sending.delete(response)
        responses.delete(response)
        if (responses.size === 0) waiting.delete(socket)
      })
      return responses.size <= limits.pipelined
    },
    isAnswering: (socket) => [...(waiting.get(socket) ?? [])].some((response) => response.headersSent || response.req.complete),
    [Symbol.dispose]: () => clearInterval(sweep),
  }
}

interface Sending {
  readonly socket: Socket
  /** What the connection had carried when the request came. */
  readonly bytesBefore: number
  /** When the answer was first seen to be on its way; null before. */
  readonly since: number | null
}

// Who asks for much at once and takes little of it would fill the memory long before it is too slow.
function closeHeaviest(sending: ReadonlyMap<ServerResponse, Sending>, unsentBytes: number): void {
  const unsent = new Map<Socket, number>()
  for (const [response, { socket }] of sending) unsent.set(socket, (unsent.get(socket) ?? 0) + response.writableLength)
  let left = sum(unsent.values())
  if (left <= unsentBytes) return
  const addresses = [...Map.groupBy(unsent, ([socket]) => keyOf(socket)).values()].map((held) => ({
    held: held.sort(([, a], [, b]) => a - b),
    bytes: sum(held.map(([, bytes]) => bytes)),
  }))
  while (left > unsentBytes) {
    const heaviest = addresses.reduce((most, address) => (address.bytes > most.bytes ? address : most))
    const [socket, bytes] = heaviest.held.pop() ?? []
    socket?.destroy()
    heaviest.bytes -= bytes ?? 0
    left -= bytes ?? 0
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}

function keyOf(socket: Socket): string {
  return addressKey(socket.remoteAddress ?? '') ?? 'unknown'
}
