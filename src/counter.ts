// The counter and the window of a process, on one port. spec/http.md#limits

import type { RequestListener } from 'node:http'
import type Koa from 'koa'
import type { Config } from './config.ts'
import { listen, type Listening } from './http/listen.ts'
import { LIMITS } from './http/limits.ts'
import type { Clock } from './log/ports.ts'
import { clientKey } from './net/client-address.ts'
import { Throttle } from './net/throttle.ts'
import type { StreamPorts } from './stream/ports.ts'
import { openStreams } from './stream/upgrade.ts'

/** What is to be served, and what counts it. */
export interface CounterParts extends Omit<StreamPorts, 'now' | 'clientKey' | 'admit' | 'maxCursorAgeMs'> {
  readonly app: Koa | RequestListener
  readonly clock: Clock
}

/** Serves an application and the streams beside it until the stack ends. Throws what the system says where it cannot listen. */
export async function openCounter(stack: AsyncDisposableStack, config: Pick<Config, 'host' | 'port' | 'clientIpHeader' | 'readRate' | 'maxCursorAgeMs'>, { app, clock, ...ports }: CounterParts): Promise<Listening> {
  const { host, port, clientIpHeader, readRate, maxCursorAgeMs } = config
  // Behind a proxy every connection has the proxy's address.
  const limits = clientIpHeader === null ? {} : { connectionsPerAddress: Infinity }
  // Streams are opened at the rate of reads, counted apart.
  const openings = readRate === 0 ? null : new Throttle({ rate: readRate, burst: readRate * LIMITS.readBurstSeconds, addresses: LIMITS.addresses })
  const streams = stack.use(
    openStreams({
      ...ports,
      now: () => clock.timeOfDay(),
      clientKey: (request) => clientKey(request, clientIpHeader),
      admit: (key) => openings?.take(key, clock.now()) ?? 0,
      maxCursorAgeMs,
    }),
  )
  return stack.use(await listen(app, { host, port, limits, upgrades: streams }))
}
