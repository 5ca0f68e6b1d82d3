// The counter: a koa application over its ports. spec/http.md

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener } from 'node:http'
import { parse } from 'node:querystring'
import { Router, type RouterContext } from '@koa/router'
import Koa, { type Context, type Next } from 'koa'
import { DirectoryError } from '../core/errors.ts'
import { TYPES, type Call } from './answer.ts'
import { AnswerCache } from './answer-cache.ts'
import { leavesBody, lingering } from './body.ts'
import { clientKey } from '../net/client-address.ts'
import { NOTHING_WITHHELD, withholding, WithheldError } from '../storage/withheld.ts'
import { errorResponse, Refusal, type ErrorResponse } from './error-response.ts'
import { answers } from './health.ts'
import { LIMITS } from './limits.ts'
import type { CounterOptions, CounterPorts, RequestFacts } from './ports.ts'
import { receiptText } from './proof.ts'
import { ROUTES } from './router.ts'
import { CACHE_CONTROL, COMMON_HEADERS, send } from './send.ts'
import { shortSubmit, type Begun } from './short-submit.ts'
import { shortWay } from './short-way.ts'
import { Throttle } from '../net/throttle.ts'

/** The counter; `listen` serves it. Answers that are kept take the short way, everything else goes through a koa application. */
export function createApp(given: CounterPorts, options: CounterOptions = {}): RequestListener {
  const app = new Koa()
  // No handler sees the bytes that are withheld, so that none can forget to look.
  const ports = { ...given, store: withholding(given.store, given.withheld ?? NOTHING_WITHHELD) }
  const receiptOf = (index: number): Promise<string | null> => receiptText(given.store, index)
  const answers = ports.answers ?? new AnswerCache(ports)
  const routes: RoutesTaken = new WeakMap()
  const begun: BegunBefore = new WeakMap()
  // What fails once an answer is on its way: nothing is left to tell the client but the end of the connection.
  app.on('error', (error: unknown, ctx?: Context) => {
    const gone = ctx === undefined || ctx.req.socket.destroyed
    ports.log(gone ? 'debug' : 'error', { error, path: ctx?.path }, 'an answer was cut off')
  })
  app.use((ctx, next) => withErrors(ctx, next, { ports, options, routes, begun }))
  const throttling = throttlingOf(options)
  app.use((ctx, next) => {
    if (!begun.has(ctx.req)) throttling.admit(ctx)
    return next()
  })
  app.use(preflight)
  app.use(routerOf({ ports, answers, receiptOf, begun }, routes, throttling).routes())
  app.use(() => {
    throw new Refusal('NO_SUCH_RESOURCE')
  })
  const handle = app.callback()
  const answered = shortWay({ ports, answers, options, mayRead: throttling.mayRead })
  const submitted = shortSubmit({
    ports, options, mayWrite: throttling.mayWrite,
    finish(request, response, submission) {
      begun.set(request, submission)
      void handle(request, response)
    },
  })
  return (request, response) => {
    if (!answered(request, response) && !submitted(request, response)) void handle(request, response)
  }
}

interface Counter extends Pick<Call, 'receiptOf'> {
  readonly ports: CounterPorts
  readonly answers: AnswerCache
  readonly begun: BegunBefore
}

/** Submissions that went the short way first. */
type BegunBefore = WeakMap<IncomingMessage, Begun>

/** The path of the row that each request came to. */
type RoutesTaken = WeakMap<IncomingMessage, string>

const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'GET,HEAD,PUT,PATCH,POST,DELETE',
  'Access-Control-Max-Age': '86400',
} as const

function routerOf(counter: Counter, routes: RoutesTaken, throttling: Throttling): Router {
  const router = new Router({ sensitive: true })
  for (const route of ROUTES) {
    const serve = async (ctx: RouterContext): Promise<void> => {
      routes.set(ctx.req, route.path)
      await send(ctx, route, await route.handler(callOf(ctx, counter, throttling)))
    }
    if (route.method === 'GET') router.get(route.path, serve)
    else router.post(route.path, serve)
  }
  return router
}

function callOf(ctx: RouterContext, { ports, answers, receiptOf, begun }: Counter, throttling: Throttling): Call {
  const { path, params, req: request, res: response } = ctx
  return {
    ports, answers, receiptOf, path, params, headers: request.headers, request, response,
    // koa's own `query` takes time in the square of the number of parameters.
    query: () => parse(ctx.querystring, '&', '=', { maxKeys: LIMITS.queryParameters }),
    taking: begun.get(request)?.taking ?? null,
    charge: (reads) => throttling.charge(ctx, reads),
    accepts: (...types) => ctx.accepts(types),
  }
}

// Every path may be asked about, also those that are not there.
function preflight(ctx: Context, next: Next): Promise<void> {
  if (ctx.method !== 'OPTIONS') return next()
  ctx.status = 204
  ctx.set(PREFLIGHT_HEADERS)
  const wanted = ctx.get('Access-Control-Request-Headers')
  if (wanted !== '') ctx.set('Access-Control-Allow-Headers', wanted)
  ctx.vary('Access-Control-Request-Headers')
  return Promise.resolve()
}

interface Throttling {
  /** Counts a request. Throws TOO_MANY_REQUESTS. */
  readonly admit: (ctx: Context) => void
  /** Counts a read, where it may be made. */
  readonly mayRead: (request: IncomingMessage) => boolean
  /** Counts a submission, where it may be made. */
  readonly mayWrite: (request: IncomingMessage) => boolean
  /** As `Call.charge`. */
  readonly charge: (ctx: Context, reads: number) => void
}

// What one address may ask. Health is spared: probes share an address with whoever comes through the same proxy.
function throttlingOf(options: CounterOptions): Throttling {
  const { writeRate = LIMITS.writeRate, readRate = LIMITS.readRate, clientIpHeader = null, elapsed = processTime } = options
  const throttleOf = (rate: number, seconds: number): Throttle | null =>
    rate === 0 ? null : new Throttle({ rate, burst: rate * seconds, addresses: LIMITS.addresses })
  const writes = throttleOf(writeRate, LIMITS.writeBurstSeconds)
  const reads = throttleOf(readRate, LIMITS.readBurstSeconds)
  const take = (request: IncomingMessage, throttle: Throttle | null, count: number): number =>
    throttle === null ? 0 : throttle.take(clientKey(request, clientIpHeader), elapsed(), count)
  return {
    mayRead: (request) => take(request, reads, 1) === 0,
    mayWrite: (request) => take(request, writes, 1) === 0,
    admit(ctx) {
      const throttle = ctx.method === 'POST' && !LOOKUP.test(ctx.path) ? writes : reads
      const waitMs = ctx.path === HEALTH ? 0 : take(ctx.req, throttle, 1)
      if (waitMs > 0) throw new Refusal('TOO_MANY_REQUESTS', undefined, Math.ceil(waitMs / 1000))
    },
    charge(ctx, count) {
      // With the one that was counted before, a full bucket pays for whatever is larger than it.
      const waitMs = take(ctx.req, reads, Math.min(count, readRate * LIMITS.readBurstSeconds - 1))
      // The one that was counted before will be counted again.
      if (waitMs > 0) throw new Refusal('TOO_MANY_REQUESTS', undefined, Math.ceil((waitMs + 1000 / readRate) / 1000))
    },
  }
}

const HEALTH = '/_health'

/** The one POST that only reads. */
const LOOKUP = /^\/dids\/?$/

function processTime(): number {
  return performance.now()
}

interface Around {
  readonly ports: CounterPorts
  readonly options: CounterOptions
  readonly routes: RoutesTaken
  readonly begun: BegunBefore
}

// The outermost layer. koa's own would drop the headers that a browser needs in order to see the error at all.
async function withErrors(ctx: Context, next: Next, { ports, options, routes, begun }: Around): Promise<void> {
  const { elapsed = processTime } = options
  const at = begun.get(ctx.req)?.at ?? { now: ports.now(), elapsed: elapsed() }
  const report = (status: number | null, refused: RequestFacts['refused']): void => {
    options.onRequest?.({ route: routes.get(ctx.req) ?? 'none', method: ctx.method, status, ms: elapsed() - at.elapsed, refused })
  }
  ctx.set(COMMON_HEADERS)
  let refused: RequestFacts['refused'] = null
  try {
    if (ctx.req.rawHeaders.length > 2 * LIMITS.headers) throw new Refusal('TOO_MANY_HEADERS')
    normalizeTarget(ctx)
    await next()
  } catch (thrown) {
    const error = thrown instanceof WithheldError ? new Refusal('WITHHELD', thrown.message) : thrown
    if (ctx.headerSent || ctx.res.destroyed) {
      ports.log('debug', { error, path: ctx.path }, 'the client has gone')
      report(null, null)
      return
    }
    const response = errorResponse(error, options)
    if (response !== null && (error instanceof Refusal || error instanceof DirectoryError)) refused = error.code
    sendError(ctx, response ?? (await reportIncident(ctx, ports, error)))
  }
  if (leavesBody(ctx.req)) ctx.set('Connection', 'close')
  ports.log('debug', { method: ctx.method, path: ctx.path, status: ctx.status, ms: ports.now() - at.now }, 'request')
  report(ctx.status, refused)
}

function sendError(ctx: Context, { status, message, headers }: ErrorResponse): void {
  for (const name of ctx.res.getHeaderNames()) ctx.remove(name)
  ctx.set({ ...COMMON_HEADERS, ...headers, 'Cache-Control': CACHE_CONTROL.never, 'Content-Type': TYPES.json })
  ctx.status = status
  const body = JSON.stringify({ message })
  ctx.body = leavesBody(ctx.req) ? lingering(ctx.req, body) : body
  ctx.length = Buffer.byteLength(body)
}

async function reportIncident(ctx: Context, ports: CounterPorts, error: unknown): Promise<ErrorResponse> {
  const incident = randomUUID()
  ports.log('error', { incident, error, method: ctx.method, path: ctx.path }, 'a request failed')
  const headers = { 'Stele-Incident': incident }
  if (await answers(ports.store)) return { status: 500, message: 'Internal Server Error', headers }
  return { status: 503, message: 'Service Unavailable', headers: { ...headers, 'Retry-After': String(LIMITS.incidentRetrySeconds) } }
}

// A request may name its target whole, as to a proxy; what is no target at all names nothing that is here. koa throws
// whenever it is asked for the path of some of those, so that none of them may reach it.
function normalizeTarget(ctx: Context): void {
  const target = ctx.req.url ?? ''
  const clean = TARGET.test(target)
  if (clean && target.startsWith('/')) return
  const url = clean ? URL.parse(target) : null
  const known = url !== null && url.protocol.startsWith('http')
  ctx.req.url = known ? `${url.pathname}${url.search}` : '/'
  if (!known && ctx.method !== 'OPTIONS') throw new Refusal('NO_SUCH_RESOURCE')
}

/** Printable ASCII, and no fragment. RFC 9112, 3.2 */
const TARGET = /^[!"$-~]+$/
