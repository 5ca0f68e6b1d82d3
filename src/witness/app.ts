// The witness over HTTP: four endpoints. spec/witness.md#endpoints

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { DirectoryError } from '../core/errors.ts'
import { utf8Decode } from '../core/encoding/text.ts'
import { clientKey } from '../net/client-address.ts'
import { Throttle } from '../net/throttle.ts'
import { WITNESS_LIMITS } from './limits.ts'
import { WitnessRefusal } from './refusal.ts'
import { StateFailure } from './state.ts'
import type { LogLine, Witness } from './witness.ts'

/** A witness as it is asked: one that has to wait for something answers later. */
export interface AskedWitness extends Pick<Witness, 'signSubtree' | 'checkpoint'> {
  addCheckpoint(body: string): string | Promise<string>
}

/** What the endpoints need. */
export interface AppPorts {
  readonly witness: AskedWitness
  /** In the order in which they are shown. */
  readonly vkeys: readonly string[]
  /** In lower case: the header in which a reverse proxy names the client; null where the address of the connection counts. */
  readonly clientIpHeader: string | null
  /** Requests a second that one address may make, 0 for any number. Default: the limit of that name. */
  readonly addressRate?: number
  /** Milliseconds, never going back. */
  readonly elapsed: () => number
  readonly log: LogLine
  /** Told where the state failed: nothing is signed any more. */
  readonly onFailure: (error: Error) => void
}

/** On every answer. */
export const COMMON_HEADERS = { 'Access-Control-Allow-Origin': '*', 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' } as const

/** Content type of every answer but one. */
export const TEXT_TYPE = 'text/plain; charset=utf-8'

/** Answers requests to a witness. */
export function createWitnessApp(ports: AppPorts): RequestListener {
  const { addressRate = WITNESS_LIMITS.addressRate, clientIpHeader, elapsed, log } = ports
  const throttle = addressRate === 0 ? null : new Throttle({ rate: addressRate, burst: addressRate * WITNESS_LIMITS.addressBurstSeconds, addresses: WITNESS_LIMITS.addresses })
  return (request, response) => {
    void answer(request, response)
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const waitMs = throttle?.take(clientKey(request, clientIpHeader), elapsed()) ?? 0
      if (waitMs > 0) throw new WitnessRefusal('TOO_MANY_REQUESTS', { retryAfterS: Math.ceil(waitMs / 1000) })
      send(request, response, 200, TEXT_TYPE, await bodyFor(request, ports))
    } catch (error) {
      if (error instanceof WitnessRefusal) sendRefusal(request, response, error)
      else sendIncident(request, response, error)
    }
    log('debug', { method: request.method, path: request.url, status: response.statusCode }, 'request')
  }

  function sendRefusal(request: IncomingMessage, response: ServerResponse, { status, message, parts, code }: WitnessRefusal): void {
    if (parts.retryAfterS !== undefined) response.setHeader('Retry-After', String(parts.retryAfterS))
    if (code === 'WRONG_METHOD') response.setHeader('Allow', parts.detail ?? '')
    send(request, response, status, parts.type ?? TEXT_TYPE, parts.body ?? `${message}\n`)
  }

  function sendIncident(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const incident = randomUUID()
    log('error', { incident, error, path: request.url }, 'a request failed')
    send(request, response, 500, TEXT_TYPE, `Internal Server Error: ${incident}\n`)
    if (error instanceof StateFailure) ports.onFailure(error)
  }
}

async function bodyFor(request: IncomingMessage, { witness, vkeys }: AppPorts): Promise<string> {
  const [path = ''] = (request.url ?? '').split('?', 1)
  if (path === '/add-checkpoint') return witness.addCheckpoint(await readBody(request))
  if (path === '/sign-subtree') return witness.signSubtree(await readBody(request))
  const [, id] = MONITORING.exec(path) ?? []
  if (path !== '/vkeys' && id === undefined) throw new WitnessRefusal('NO_SUCH_RESOURCE')
  if (request.method !== 'GET' && request.method !== 'HEAD') throw new WitnessRefusal('WRONG_METHOD', { detail: 'GET, HEAD' })
  return id === undefined ? `${vkeys.join('\n')}\n` : witness.checkpoint(id)
}

/** Whether a request is for one of the endpoints. */
export function isForWitness({ url = '' }: IncomingMessage): boolean {
  return PATHS.test(url.split('?', 1)[0] ?? '')
}

const PATHS = /^\/(add-checkpoint|sign-subtree|vkeys|[0-9a-f]{64}\/checkpoint)$/

const MONITORING = /^\/([0-9a-f]{64})\/checkpoint$/

async function readBody(request: IncomingMessage): Promise<string> {
  if (request.method !== 'POST') throw new WitnessRefusal('WRONG_METHOD', { detail: 'POST' })
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') throw new WitnessRefusal('UNSUPPORTED_ENCODING')
  const bytes = await readBytes(request)
  try {
    return utf8Decode(bytes)
  } catch (error) {
    if (error instanceof DirectoryError) throw new WitnessRefusal('MALFORMED', { detail: error.message })
    throw error
  }
}

// By events, not by iteration: leaving an iteration early destroys the socket, and the answer with it. What is too much
// is read on for a while before it is refused: a connection that is closed while bytes arrive is reset, and the client
// would never see the refusal.
function readBytes(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    let linger: NodeJS.Timeout | null = null
    const tooLarge = (): void => reject(new WitnessRefusal('BODY_TOO_LARGE'))
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= WITNESS_LIMITS.bodyBytes) {
        chunks.push(chunk)
        return
      }
      linger ??= setTimeout(tooLarge, WITNESS_LIMITS.lingerSeconds * 1000)
      if (length > WITNESS_LIMITS.bodyBytes + WITNESS_LIMITS.lingerBytes) tooLarge()
    })
    request.once('end', () => (linger === null ? resolve(Buffer.concat(chunks)) : tooLarge()))
    request.once('close', () => {
      if (linger !== null) clearTimeout(linger)
      reject(new WitnessRefusal('BODY_INCOMPLETE'))
    })
  })
}

function send(request: IncomingMessage, response: ServerResponse, status: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return
  const bytes = Buffer.from(body)
  // What of a request was not read could be taken for the next one.
  if (!request.complete) response.setHeader('Connection', 'close')
  response.writeHead(status, { ...COMMON_HEADERS, 'Content-Type': type, 'Content-Length': String(bytes.length) })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}
