// Figures for the operator, in the text format of Prometheus, on a port of their own. spec/http.md#metrics

import Koa from 'koa'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Publication, Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { TYPES } from './answer.ts'
import { LIMITS } from './limits.ts'
import type { MirrorStanding, NotaryReport, RequestFacts, WitnessesStanding } from './ports.ts'
import { shared } from './shared.ts'

/** What the figures are taken from when they are asked for. */
export interface MetricsSources {
  readonly tip: Tip
  readonly store: Pick<Store, 'publication'>
  /** Operations that wait for a round. */
  readonly queue: () => number
  /** Name of what checks signatures. */
  readonly verifier: string
  readonly version: string
  readonly origin: string
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
  /** null, the default, in a process that asks no witnesses. */
  readonly witnesses?: () => WitnessesStanding | null
  /** Given in a mirror alone. */
  readonly mirror?: () => MirrorStanding
  /** Given in a notary alone. */
  readonly notary?: () => NotaryReport
}

/** Told of what the writer does. */
export interface WriterInstruments {
  /** `refused` holds the codes of verdicts. */
  round(facts: { readonly operations: number; readonly accepted: number; readonly refused: readonly string[]; readonly ms: number }): void
  roundFailed(): void
  outcomeUnknown(): void
  published(size: number): void
  clockFault(words: string | null): void
}

/** Told of what the streams do. */
export interface StreamInstruments {
  opened(stream: string): void
  closed(stream: string, reason: string): void
  sent(stream: string, messages: number, bytes: number): void
}

/** Instruments, and the application that shows them. */
export interface Metrics {
  readonly observer: WriterInstruments
  readonly onRequest: (facts: RequestFacts) => void
  readonly streams: StreamInstruments
  /** Answers `GET /metrics`; `listen` serves it. */
  readonly app: Koa
}

/** Instruments in a registry of their own, the process's figures among them. */
export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: PREFIX })
  observeTree(registry, sources)
  observeWitnesses(registry, sources)
  if (sources.mirror !== undefined) observeMirror(registry, sources.mirror)
  if (sources.notary !== undefined) observeNotary(registry, sources.notary)
  return { observer: writerInstruments(registry, sources), onRequest: requestInstrument(registry), streams: streamInstruments(registry), app: metricsApp(registry) }
}

const PREFIX = 'stele_'
const ROUND_SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
const REQUEST_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]

/** Every other method is shown as `other`: clients can write what they like. */
const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS']

function observeTree(registry: Registry, { tip, store, version, origin, verifier, now }: MetricsSources): void {
  const info = new Gauge({ name: `${PREFIX}info`, help: 'What runs here; always 1', labelNames: ['version', 'origin', 'verifier'], registers: [registry] })
  info.set({ version, origin, verifier }, 1)
  gauge(registry, 'durable_size', 'Entries that are durable', () => tip.durable)
  // Asked once for both: the first gauge that is collected begins, the second waits for the same.
  const published = shared(() => newestPublication(store))
  gauge(registry, 'checkpoint_size', 'Entries under the newest published checkpoint; NaN where the database does not say', async () => {
    const publication = await published()
    return publication === undefined ? NaN : (publication?.size ?? 0)
  })
  gauge(registry, 'checkpoint_age_seconds', 'Seconds since the newest checkpoint was published; NaN where there is none or the database does not say', async () => {
    const publication = await published()
    return publication === undefined || publication === null ? NaN : Math.max(0, now() - publication.publishedAt) / 1000
  })
}

function observeWitnesses(registry: Registry, { witnesses, now }: MetricsSources): void {
  const each = (name: string, help: string, read: (witness: WitnessesStanding['witnesses'][number]) => number): void => {
    registry.registerMetric(
      new Gauge({
        name: `${PREFIX}witness_${name}`,
        help,
        labelNames: ['witness'],
        registers: [],
        collect() {
          for (const witness of witnesses?.()?.witnesses ?? []) this.set({ witness: witness.name }, read(witness))
        },
      }),
    )
  }
  each('cosignature_age_seconds', 'Seconds since the newest cosignature of a witness; NaN before the first', ({ cosignedAt }) => (cosignedAt === null ? NaN : Math.max(0, now() - cosignedAt) / 1000))
  each('latency_seconds', 'Time that a witness took for its newest cosignature; NaN before the first', ({ latencyMs }) => (latencyMs === null ? NaN : latencyMs / 1000))
  each('refused', '1 while a witness has not cosigned when it was asked last', ({ refusal }) => (refusal === null ? 0 : 1))
  gauge(registry, 'quorum_missed', '1 while the newest checkpoint lacks its quorum of witnesses', () => (witnesses?.()?.quorumMissed ? 1 : 0))
  gauge(registry, 'witness_alarm', '1 once a witness contradicts the log: nothing is signed any more', () => (witnesses?.()?.alarm ? 1 : 0))
}

function observeMirror(registry: Registry, mirror: () => MirrorStanding): void {
  gauge(registry, 'mirror_lag_entries', 'Entries by which the newest checkpoint that was shown is ahead of what is verified', () => mirror().lagEntries)
  gauge(registry, 'mirror_lag_seconds', 'Seconds for which it has been ahead, or nothing was heard', () => mirror().lagSeconds)
  gauge(registry, 'mirror_provisional', 'Entries that wait for a checkpoint', () => mirror().provisional)
  gauge(registry, 'mirror_rejected', 'Entries of the log that break its rules', () => mirror().rejected)
  gauge(registry, 'mirror_alarm', '1 while something was served or signed that should not have been', () => (mirror().alarm === null ? 0 : 1))
  gauge(registry, 'mirror_upstreams_good', 'Upstreams that serve what fits', () => mirror().upstreams.filter(({ standing }) => standing === 'good').length)
}

function observeNotary(registry: Registry, notary: () => NotaryReport): void {
  gauge(registry, 'notary_lag_seconds', 'Seconds for which what the upstream shows has not been read to its end', () => notary().lagSeconds)
  gauge(registry, 'notary_divergent', 'Identities of which the upstream shows another history than was notarised', () => notary().divergent)
  gauge(registry, 'notary_refused', 'Lines of the upstream that break the rules or cannot be read', () => notary().refused)
  gauge(registry, 'notary_alarm', '1 while the upstream serves what cannot be followed, or hides what it has shown', () => (notary().alarm === null ? 0 : 1))
}

function writerInstruments(registry: Registry, { queue }: MetricsSources): WriterInstruments {
  const registers = [registry]
  gauge(registry, 'queue_length', 'Operations that wait for a round', queue)
  const rounds = new Counter({ name: `${PREFIX}rounds_total`, help: 'Rounds that were decided', registers })
  const operations = new Counter({ name: `${PREFIX}operations_total`, help: 'Operations in rounds, by what became of them', labelNames: ['outcome'], registers })
  const refusals = new Counter({ name: `${PREFIX}operations_refused_total`, help: 'Operations that rounds refused, by the code of the verdict', labelNames: ['code'], registers })
  const seconds = new Histogram({ name: `${PREFIX}round_duration_seconds`, help: 'Duration of rounds', buckets: ROUND_SECONDS, registers })
  const failures = new Counter({ name: `${PREFIX}rounds_failed_total`, help: 'Rounds that failed', registers })
  const unknown = new Counter({ name: `${PREFIX}unknown_outcomes_total`, help: 'Rounds whose commit got no reply', registers })
  const checkpoints = new Counter({ name: `${PREFIX}checkpoints_published_total`, help: 'Checkpoints that this process published', registers })
  const fault = new Gauge({ name: `${PREFIX}clock_fault`, help: '1 while operations are refused because clocks contradict each other', registers })
  for (const outcome of ['accepted', 'refused', 'unavailable']) operations.inc({ outcome }, 0)
  return {
    round({ operations: all, accepted, refused, ms }) {
      rounds.inc()
      operations.inc({ outcome: 'accepted' }, accepted)
      operations.inc({ outcome: 'refused' }, refused.length)
      operations.inc({ outcome: 'unavailable' }, Math.max(0, all - accepted - refused.length))
      for (const code of refused) refusals.inc({ code })
      seconds.observe(ms / 1000)
    },
    roundFailed: () => failures.inc(),
    outcomeUnknown: () => unknown.inc(),
    published: () => checkpoints.inc(),
    clockFault: (words) => fault.set(words === null ? 0 : 1),
  }
}

function requestInstrument(registry: Registry): Metrics['onRequest'] {
  const registers = [registry]
  const labelNames = ['route', 'method', 'status'] as const
  const requests = new Counter({ name: `${PREFIX}http_requests_total`, help: 'Requests by endpoint, method and class of status', labelNames, registers })
  const seconds = new Histogram({ name: `${PREFIX}http_request_duration_seconds`, help: 'Time from a request to its answer', labelNames, buckets: REQUEST_SECONDS, registers })
  const refusals = new Counter({ name: `${PREFIX}http_refused_total`, help: 'Requests that were refused, by code', labelNames: ['code'], registers })
  const throttled = new Counter({ name: `${PREFIX}http_throttled_total`, help: 'Requests of addresses that made too many', registers })
  return ({ route, method, status, ms, refused }) => {
    const labels = { route, method: METHODS.includes(method) ? method : 'other', status: status === null ? 'gone' : `${Math.floor(status / 100)}xx` }
    requests.inc(labels)
    seconds.observe(labels, ms / 1000)
    if (refused !== null) refusals.inc({ code: refused })
    if (refused === 'TOO_MANY_REQUESTS') throttled.inc()
  }
}

function streamInstruments(registry: Registry): StreamInstruments {
  const registers = [registry]
  const labelNames = ['stream'] as const
  const subscribers = new Gauge({ name: `${PREFIX}stream_subscribers`, help: 'Subscribers of the streams', labelNames, registers })
  const messages = new Counter({ name: `${PREFIX}stream_messages_total`, help: 'Messages that subscribers took', labelNames, registers })
  const bytes = new Counter({ name: `${PREFIX}stream_bytes_total`, help: 'Bytes of these messages', labelNames, registers })
  const closed = new Counter({ name: `${PREFIX}stream_closed_total`, help: 'Streams that ended, by reason', labelNames: ['stream', 'reason'], registers })
  return {
    opened: (stream) => subscribers.inc({ stream }),
    closed(stream, reason) {
      subscribers.dec({ stream })
      closed.inc({ stream, reason })
    },
    sent(stream, count, length) {
      messages.inc({ stream }, count)
      bytes.inc({ stream }, length)
    },
  }
}

function metricsApp(registry: Registry): Koa {
  const app = new Koa()
  app.use(async (ctx) => {
    ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
    if (ctx.path === '/metrics' && (ctx.method === 'GET' || ctx.method === 'HEAD')) {
      ctx.set('Content-Type', registry.contentType)
      ctx.body = await registry.metrics()
      return
    }
    ctx.set('Content-Type', TYPES.json)
    ctx.status = 404
    ctx.body = JSON.stringify({ message: 'Not Found' })
  })
  return app
}

function gauge(registry: Registry, name: string, help: string, read: () => number | Promise<number>): void {
  const options = {
    name: `${PREFIX}${name}`,
    help,
    registers: [],
    async collect(this: Gauge) {
      this.set(await read())
    },
  }
  registry.registerMetric(new Gauge(options))
}

// undefined where the database does not say within `pingMs`: the other figures must not wait for it.
async function newestPublication(store: Pick<Store, 'publication'>): Promise<Publication | null | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(resolve, LIMITS.pingMs, undefined)
  try {
    return await Promise.race([store.publication().catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}
