// A server on a socket, with its bounds, and an end that lets answers under way finish. spec/http.md#limits

import { once } from 'node:events'
import { createServer, STATUS_CODES, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { boundConnections, type Connections, type ServerLimits } from './connections.ts'

/** A server that listens. */
export interface Listening extends AsyncDisposable {
  readonly server: Server
  /** `http://host:port`, without a slash at the end. */
  readonly url: string
  /** Takes no more connections, waits for the answers under way, at most `drainSeconds`, then cuts the rest off. */
  close(): Promise<void>
}

/** Where to listen, within which bounds. */
export interface ListenOptions {
  readonly host: string
  /** 0 means any. */
  readonly port: number
  readonly limits: ServerLimits
  /** The form of an error that never reaches the application. */
  readonly plainError: (message: string) => PlainError
  /** What takes connections over; without it every request is an ordinary one. */
  readonly upgrades?: Upgrades
}

/** What takes connections over. */
export interface Upgrades {
  /** Whether a request that asks for an upgrade is for it; any other is an ordinary request. */
  accepts(request: IncomingMessage): boolean
  /** Takes the connection. Throws UpgradeRefusal, and leaves the socket alone, where it does not. */
  open(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Lets go of all that was taken. */
  close(): Promise<void>
}

/** An upgrade that is refused, with an ordinary answer. */
export interface UpgradeRefusal extends Error {
  readonly status: number
  /** `Retry-After` in seconds; null for none. */
  readonly retryAfterS: number | null
}

/** An error's answer, but its status. `body` is ASCII. */
export interface PlainError {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** Serves `handle`. Throws what the system says where it cannot listen. */
export async function listenWith(handle: RequestListener, { host, port, limits, plainError, upgrades }: ListenOptions): Promise<Listening> {
  let closing: Promise<void> | null = null
  const serve: RequestListener = (request, response) => {
    if (closing !== null) response.setHeader('Connection', 'close')
    if (connections.begin(request, response)) handle(request, response)
    else refuseMore(response, plainError)
  }
  const server = createServer(
    { maxHeaderSize: limits.headerBytes, connectionsCheckingInterval: limits.sweepMs, shouldUpgradeCallback: (request) => closing === null && upgrades?.accepts(request) === true },
    serve,
  )
  const connections = boundConnections(server, limits)
  // Who asks before it sends a body that is too large is not encouraged to.
  server.on('checkContinue', (request, response) => {
    if (!(Number(request.headers['content-length']) > limits.bodyBytes)) response.writeContinue()
    serve(request, response)
  })
  // Fields above this number would be left out in silence; `headerBytes` bounds them, and the application counts.
  server.maxHeadersCount = 0
  server.headersTimeout = limits.headerSeconds * 1000
  server.requestTimeout = limits.requestSeconds * 1000
  server.keepAliveTimeout = limits.keepAliveSeconds * 1000
  server.timeout = limits.idleSeconds * 1000
  server.maxConnections = limits.connections
  server.on('clientError', (error, socket) => answerUnreadable(error, socket, connections, limits.lingerSeconds, plainError))
  server.on('upgrade', (request, socket, head) => {
    try {
      upgrades?.open(request, socket, head)
    } catch (error) {
      refuseUpgrade(error, socket, limits.lingerSeconds, plainError)
    }
  })
  server.listen(port, host)
  await once(server, 'listening')

  const close = (): Promise<void> => (closing ??= Promise.all([drain(server, limits.drainSeconds), upgrades?.close()]).then(() => undefined).finally(() => connections[Symbol.dispose]()))
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
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex, connections: Connections, lingerSeconds: number, plainError: ListenOptions['plainError']): void {
  if (error.code === 'ECONNRESET' || !socket.writable || connections.isAnswering(socket)) {
    socket.destroy()
    return
  }
  const status = UNREADABLE[error.code ?? ''] ?? '400 Bad Request'
  endWith(socket, status, closing(plainError(status.slice(4))), lingerSeconds)
}

function refuseUpgrade(error: unknown, socket: Duplex, lingerSeconds: number, plainError: ListenOptions['plainError']): void {
  if (!isRefusal(error)) throw error
  const { body, headers } = closing(plainError(error.message))
  const retryAfter = error.retryAfterS === null ? {} : { 'Retry-After': String(error.retryAfterS) }
  socket.on('error', () => socket.destroy())
  endWith(socket, `${error.status} ${STATUS_CODES[error.status] ?? ''}`, { body, headers: { ...headers, ...retryAfter } }, lingerSeconds)
}

function isRefusal(error: unknown): error is UpgradeRefusal {
  return error instanceof Error && 'status' in error && 'retryAfterS' in error
}

function endWith(socket: Duplex, status: string, { body, headers }: PlainError, lingerSeconds: number): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`)
  // Who goes on sending would otherwise never be done.
  const cut = setTimeout(() => socket.destroy(), lingerSeconds * 1000)
  socket.once('close', () => clearTimeout(cut))
}

function refuseMore(response: ServerResponse, plainError: ListenOptions['plainError']): void {
  const { body, headers } = closing(plainError('Too many requests'))
  response.writeHead(429, { ...headers, 'Retry-After': '1' }).end(body)
}

function closing({ body, headers }: PlainError): PlainError {
  return { body, headers: { ...headers, 'Content-Length': String(body.length), Connection: 'close' } }
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
