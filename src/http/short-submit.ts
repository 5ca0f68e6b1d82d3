// The short way of a submission that is taken: read, admitted and answered as the application would, without going through
// it. spec/http.md#submit

import type { IncomingMessage, ServerResponse } from 'node:http'
import { TYPES } from './answer.ts'
import { LIMITS } from './limits.ts'
import type { CounterOptions, CounterPorts, Taken } from './ports.ts'
import { CACHE_CONTROL, COMMON_HEADERS } from './send.ts'
import { takeOperation } from './submit.ts'

/** A submission that went the short way: when it came, and what becomes of it. */
export interface Begun {
  /** By the time of day and by the process's own, milliseconds. */
  readonly at: { readonly now: number; readonly elapsed: number }
  readonly taking: Promise<Taken>
}

/** What the short way needs of the application. */
export interface ShortSubmitPorts {
  readonly ports: Pick<CounterPorts, 'now' | 'log' | 'submit' | 'forward'>
  readonly options: Pick<CounterOptions, 'onRequest' | 'elapsed'>
  /** Counts a submission, where it may be made. */
  readonly mayWrite: (request: IncomingMessage) => boolean
  /** Answers what was begun and did not end with its operation taken. */
  readonly finish: (request: IncomingMessage, response: ServerResponse, begun: Begun) => void
}

/**
 * Takes submissions that ask for nothing beside, counts, logs and reports them; whatever does not end with an operation
 * that is taken is for `finish`. What it returns is false, and nothing has happened, where the application has to look
 * at a request.
 */
export function shortSubmit({ ports, options, mayWrite, finish }: ShortSubmitPorts): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { onRequest, elapsed = () => performance.now() } = options
  return (request, response) => {
    const { method, url: path = '' } = request
    if (method !== 'POST' || !PATH.test(path) || (ports.forward ?? null) !== null || !isPlain(request) || !mayWrite(request)) return false
    const at = { now: ports.now(), elapsed: elapsed() }
    const taking = takeOperation(ports, path.slice(1), request)
    const hand = (): void => finish(request, response, { at, taking })
    taking.then(({ submitted }) => {
      if (submitted.outcome !== 'accepted') return hand()
      response.writeHead(200, TAKEN).end('OK')
      ports.log('debug', { method, path, status: 200, ms: ports.now() - at.now }, 'request')
      onRequest?.({ route: '/:did', method, status: 200, ms: elapsed() - at.elapsed, refused: null })
    }, hand)
    return true
  }
}

const PATH = /^\/did:plc:[a-z2-7]{24}$/

// Whoever waits for a checkpoint, or likes a receipt better, has to be listened to.
function isPlain({ rawHeaders, headers }: IncomingMessage): boolean {
  if (rawHeaders.length > 2 * LIMITS.headers || headers['content-type'] !== 'application/json' || headers['prefer'] !== undefined) return false
  return headers['accept'] === undefined || headers['accept'] === '*/*'
}

const TAKEN = [...Object.entries(COMMON_HEADERS).flat(), 'Content-Type', TYPES.text, 'Cache-Control', CACHE_CONTROL.never, 'Content-Length', '2']
