// What a process that writes a log tells of itself: metrics where they are asked for, and faults for its health.

import type { Config } from './config.ts'
import { listen } from './http/listen.ts'
import type { Metrics, MetricsSources } from './http/metrics.ts'
import type { RequestFacts } from './http/ports.ts'
import type { WriterObserver } from './log/ports.ts'
import type { StreamObserver } from './stream/ports.ts'

/** What tells the metrics of a process that writes a log. */
export interface Watched {
  readonly observer: WriterObserver
  /** What is wrong, in words. */
  readonly faults: () => readonly string[]
  readonly onRequest: (facts: RequestFacts) => void
  readonly streams: StreamObserver
  /** Opens the port of the metrics where one is asked for; resolves with its address. */
  readonly serve: (stack: AsyncDisposableStack, sources: MetricsSources) => Promise<string | null>
}

/** Watches from the start. Metrics know the log's tip, which is known after the log is opened, which is observed already: until then there is nothing to count. */
export function watch({ host, metricsPort }: Pick<Config, 'host' | 'metricsPort'>): Watched {
  let fault: string | null = null
  let metrics: Metrics | null = null
  const observer: WriterObserver = {
    round: (facts) => metrics?.observer.round(facts),
    roundFailed: () => metrics?.observer.roundFailed(),
    outcomeUnknown: () => metrics?.observer.outcomeUnknown(),
    published: (size) => metrics?.observer.published(size),
    clockFault(words) {
      fault = words
      metrics?.observer.clockFault(words)
    },
  }
  return {
    observer,
    faults: () => (fault === null ? [] : [fault]),
    onRequest: (facts) => metrics?.onRequest(facts),
    streams: {
      opened: (stream) => metrics?.streams.opened(stream),
      closed: (stream, reason) => metrics?.streams.closed(stream, reason),
      sent: (stream, messages, bytes) => metrics?.streams.sent(stream, messages, bytes),
    },
    async serve(stack, sources) {
      if (metricsPort === null) return null
      // Nearly a tenth of all modules, for what not everybody asks for.
      const { createMetrics } = await import('./http/metrics.ts')
      metrics = createMetrics(sources)
      return stack.use(await listen(metrics.app, { host, port: metricsPort })).url
    },
  }
}
