// A program: a counter over a store in memory with the limits of a real one, which tells its parent where it listens and how much memory it holds.

import { openCounter } from './counter.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { person } from './people.ts'

/** What it says. */
export type CounterSays = { readonly url: string } | { readonly rssBytes: number; readonly heapBytes: number }

/** What it is asked: how much it holds, after it has thrown away what it does not need where that is wished. */
export type CounterAsked = 'weigh' | 'collect and weigh'

const counter = await openCounter({ options: { readRate: LIMITS.readRate, writeRate: LIMITS.writeRate } })
const { did, genesis } = person('alice')
await counter.submit(did, genesis)
await counter.fill(5_000)
await counter.publish()
// Lines would pile up here: nobody reads them.
setInterval(() => counter.lines.splice(0), 100)
process.on('message', (asked: CounterAsked) => {
  if (asked === 'collect and weigh') globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  process.send?.({ rssBytes: rss, heapBytes: heapUsed } satisfies CounterSays)
})
process.on('disconnect', () => process.exit())
process.send?.({ url: counter.url } satisfies CounterSays)
