// A server on a socket, with its bounds, and an end that lets answers under way finish. spec/http.md#limits

import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type Koa from 'koa'
import { COMMON_HEADERS } from './app.ts'
import { TYPES } from './answer.ts'
import { boundConnections, type Connections } from './connections.ts'
import { REFUSALS } from './error-response.ts'
import { LIMITS } from './limits.ts'
import { CACHE_CONTROL } from './send.ts'

/** A server that listens. */
export interface Listening extends AsyncDisposable {
  readonly server: Server
  /** `http://host:port`, without a slash at the end. */
  readonly url: string
  /** Takes no more connections, waits for the answers under way, at most `drainSeconds`, then cuts the rest off. */
  close(): Promise<void>
}

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 means any. */
  readonly port: number
  /** Each in place of the limit of its name. `connectionsPerAddress` is Infinity where all clients come through one proxy. */
  readonly limits?: Partial<ServerLimits>
}

/** The bounds of a server, beside those of the application that it serves. */
export type ServerLimits = Readonly<Record<(typeof SERVER_LIMITS)[number], number>>

const SERVER_LIMITS = [
  'headerSeconds', 'requestSeconds', 'idleSeconds', 'keepAliveSeconds', 'connections', 'connectionsPerAddress', 'pipelined', 'answerSeconds', 'answerBytesPerSecond', 'sweepMs', 'drainSeconds',
] as const satisfies (keyof typeof LIMITS)[]

/** Serves an application. Throws what the system says where it cannot listen. */
export async function listen(app: Koa | RequestListener, address: Address): Promise<Listening> {
  const handle = typeof app === 'function' ? app : app.callback()
  const limits: ServerLimits = { ...LIMITS, ...address.limits }
  let closing: Promise<void> | null = null
  const serve: RequestListener = (request, response) => {
    if (closing !== null) response.setHeader('Connection', 'close')
    if (connections.begin(request, response)) handle(request, response)
    else refuseMore(response)
  }
  const server = createServer({ maxHeaderSize: LIMITS.headerBytes, connectionsCheckingInterval: limits.sweepMs }, serve)
  const connections = boundConnections(server, limits)
  // Who asks before it sends a body that is too large is not encouraged to.
  server.on('checkContinue', (request, response) => {
    if (!(Number(request.headers['content-length']) > LIMITS.bodyBytes)) response.writeContinue()
    serve(request, response)
  })
  // Fields above this number would be left out in silence; `headerBytes` bounds them, and the application counts.
  server.maxHeadersCount = 0
  server.headersTimeout = limits.headerSeconds * 1000
  server.requestTimeout = limits.requestSeconds * 1000
  server.keepAliveTimeout = limits.keepAliveSeconds * 1000
  server.timeout = limits.idleSeconds * 1000
  server.maxConnections = limits.connections
  server.on('clientError', (error, socket) => answerUnreadable(error, socket, connections))
  server.listen(address.port, address.host)
  await once(server, 'listening')

  const close = (): Promise<void> => (closing ??= drain(server, limits.drainSeconds).finally(() => connections[Symbol.dispose]()))
  return { server, url: urlOf(server), close, [Symbol.asyncDispose]: close }
}

async function drain(server: Server, seconds: number): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  // A connection that has just had its answer is idle only from then on.
  const sweep = setInterval(() => server.closeIdleConnections(), 50)
  const cut = setTimeout(() => server.closeAllConnections(), seconds * 1000)
  try {
    await closed
  } finally {
    clearInterval(sweep)
    clearTimeout(cut)
  }
}

const UNREADABLE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

// What is no HTTP never reaches the application: it gets an error in the same form, unless that would be read as the
// answer to an earlier request of the connection.
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex, connections: Connections): void {
  if (error.code === 'ECONNRESET' || !socket.writable || connections.isAnswering(socket)) {
    socket.destroy()
    return
  }
  const status = UNREADABLE[error.code ?? ''] ?? '400 Bad Request'
  const { body, headers } = plainError(status.slice(4))
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`)
  // Who goes on sending would otherwise never be done.
  const cut = setTimeout(() => socket.destroy(), LIMITS.lingerSeconds * 1000)
  socket.once('close', () => clearTimeout(cut))
}

function refuseMore(response: ServerResponse): void {
  const [status, message] = REFUSALS.TOO_MANY_REQUESTS
  const { body, headers } = plainError(message)
  response.writeHead(status, { ...headers, 'Retry-After': '1' }).end(body)
}

function plainError(message: string): { body: string; headers: Record<string, string> } {
  const body = JSON.stringify({ message })
  const headers = { ...COMMON_HEADERS, 'Cache-Control': CACHE_CONTROL.never, 'Content-Type': TYPES.json }
  return { body, headers: { ...headers, 'Content-Length': String(body.length), Connection: 'close' } }
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
