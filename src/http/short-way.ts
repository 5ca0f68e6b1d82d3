// The short way of an answer that is kept: as the application would send it, without going through it.
// spec/http.md#kept-answers

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnswerCache, ReadyAnswer } from './answer-cache.ts'
import { LIMITS } from './limits.ts'
import type { CounterOptions, CounterPorts } from './ports.ts'
import { CACHE_CONTROL, COMMON_HEADERS } from './send.ts'

/** What the short way needs of the application. */
export interface ShortWayPorts {
  readonly ports: Pick<CounterPorts, 'now' | 'log'>
  readonly answers: Pick<AnswerCache, 'get'>
  readonly options: Pick<CounterOptions, 'onRequest' | 'elapsed'>
  /** Counts a read, where it may be made. */
  readonly mayRead: (request: IncomingMessage) => boolean
}

/**
 * Answers requests that need no more than a glance, counts, logs and reports them. What it returns is false, and
 * nothing has happened, where the application has to look at a request.
 */
export function shortWay({ ports, answers, options, mayRead }: ShortWayPorts): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { onRequest, elapsed = () => performance.now() } = options
  return (request, response) => {
    const { method, url: path } = request
    if (path === undefined || (method !== 'GET' && method !== 'HEAD')) return false
    const begun = ports.now()
    const begunAt = elapsed()
    // Its paths are plain: no query, nothing encoded.
    const answer = answers.get(path)
    if (answer === undefined) return false
    const status = statusFor(request, answer)
    if (status === null || !mayRead(request)) return false
    send(response, status, answer)
    ports.log('debug', { method, path, status, ms: ports.now() - begun }, 'request')
    onRequest?.({ route: answer.route, method, status, ms: elapsed() - begunAt, refused: null })
    return true
  }
}

// null for what has to be weighed: dates, several tags, compression, a body, too many fields.
function statusFor({ rawHeaders, headers }: IncomingMessage, { length, tag }: ReadyAnswer): 200 | 304 | null {
  if (rawHeaders.length > 2 * LIMITS.headers || headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return null
  if (headers['accept-encoding'] !== undefined && length >= LIMITS.gzipMinBytes) return null
  if (headers['if-modified-since'] !== undefined) return null
  const match = headers['if-none-match']
  if (match === undefined) return 200
  return match === `"${tag}"` && headers['cache-control'] === undefined ? 304 : null
}

function send(response: ServerResponse, status: 200 | 304, { type, body, length, tag, lastModified }: ReadyAnswer): void {
  const validators = ['Last-Modified', new Date(lastModified).toUTCString(), 'Vary', 'Accept-Encoding', 'ETag', `"${tag}"`]
  if (status === 304) response.writeHead(304, [...COMMON, 'Cache-Control', CACHE_CONTROL.revalidate, ...validators]).end()
  else response.writeHead(200, [...COMMON, 'Content-Type', type, 'Cache-Control', CACHE_CONTROL.revalidate, ...validators, 'Content-Length', String(length)]).end(body)
}

const COMMON = Object.entries(COMMON_HEADERS).flat()
