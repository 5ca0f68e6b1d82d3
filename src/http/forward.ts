// Passing submissions on to the directory that takes the writes. spec/http.md#copies

import { randomBytes } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { TYPES } from './answer.ts'
import { Refusal } from './error-response.ts'
import { LIMITS } from './limits.ts'
import type { ForwardedAnswer, ForwardPort } from './ports.ts'

/** How to forward; each has a default. */
export interface ForwardOptions {
  /** What this copy calls itself in `Via`: 8 hexadecimal digits. Default: random. */
  readonly id?: string
  /** Default: the limit `forwardSeconds`. */
  readonly seconds?: number
  /** Default: the limit `forwards`. */
  readonly atOnce?: number
}

/**
 * Forwards to the directory at `url` (http or https, no slash at the end). What it returns throws FORWARD_LOOP,
 * FORWARDS_FULL, FORWARD_UNREACHABLE, FORWARD_TIMEOUT, FORWARD_UNUSABLE.
 */
export function forwardTo(url: string, options: ForwardOptions = {}): ForwardPort {
  const { id = randomBytes(4).toString('hex'), seconds = LIMITS.forwardSeconds, atOnce = LIMITS.forwards } = options
  const pooled = { keepAlive: true, maxSockets: atOnce, timeout: IDLE_MS }
  const agent = url.startsWith('https:') ? new HttpsAgent(pooled) : new HttpAgent(pooled)
  const ask = url.startsWith('https:') ? httpsRequest : httpRequest
  let underWay = 0

  return async ({ did, body, headers }, signal) => {
    const via = viaAfter(headers, id)
    if (underWay >= atOnce) throw new Refusal('FORWARDS_FULL')
    underWay++
    const late = AbortSignal.timeout(seconds * 1000)
    const ended = AbortSignal.any([late, signal])
    const open = (): ClientRequest => ask(`${url}/${did}`, { method: 'POST', agent, signal: ended, headers: { ...passedOn(headers, body), via } })
    try {
      return await exchange(open, body)
    } catch (error) {
      if (error instanceof Refusal) throw error
      throw new Refusal(late.aborted ? 'FORWARD_TIMEOUT' : 'FORWARD_UNREACHABLE')
    } finally {
      underWay--
    }
  }
}

/** How long a connection is kept for the next submission. */
const IDLE_MS = 30_000

/** Of the request. */
const REQUEST_HEADERS = ['accept', 'content-type', 'content-encoding', 'prefer']

/** Of the answer, as they are written. */
const ANSWER_HEADERS = ['Location', 'Retry-After', 'Preference-Applied']

function passedOn(headers: IncomingHttpHeaders, body: Uint8Array): Record<string, string | string[]> {
  const kept = REQUEST_HEADERS.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(kept), 'accept-encoding': 'identity', 'content-length': String(body.length) }
}

// Of what `Via` says, only the copies count: other proxies are no loop. RFC 9110 section 7.6.3
function viaAfter(headers: IncomingHttpHeaders, id: string): string {
  const copies = (headers.via ?? '').split(',').flatMap((hop) => /^\s*1\.1 (stele-[0-9a-f]{8})\s*$/.exec(hop)?.[1] ?? [])
  if (copies.includes(`stele-${id}`) || copies.length >= LIMITS.forwardHops) throw new Refusal('FORWARD_LOOP')
  return [...copies, `stele-${id}`].map((name) => `1.1 ${name}`).join(', ')
}

// A kept connection may have been closed just now: then nothing was read, and a submission may be sent twice anyway.
async function exchange(open: () => ClientRequest, body: Uint8Array): Promise<ForwardedAnswer> {
  const first = open()
  try {
    return await answerTo(first, body)
  } catch (error) {
    const stale = first.reusedSocket && error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
    if (!stale) throw error
    return await answerTo(open(), body)
  }
}

function answerTo(request: ClientRequest, body: Uint8Array): Promise<ForwardedAnswer> {
  return new Promise((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      readAnswer(response).then(resolve, (error: unknown) => {
        request.destroy()
        reject(error)
      })
    })
    request.end(body)
  })
}

async function readAnswer(response: IncomingMessage): Promise<ForwardedAnswer> {
  const { statusCode = 0, headers } = response
  const readable = (statusCode < 300 || statusCode >= 400) && (headers['content-encoding'] ?? 'identity') === 'identity'
  if (!readable) throw new Refusal('FORWARD_UNUSABLE')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > LIMITS.forwardAnswerBytes) throw new Refusal('FORWARD_UNUSABLE')
    chunks.push(chunk)
  }
  const kept = ANSWER_HEADERS.flatMap((name) => {
    const value = headers[name.toLowerCase()]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return { status: statusCode, type: headers['content-type'] ?? TYPES.bytes, body: Buffer.concat(chunks), headers: Object.fromEntries(kept) }
}
