// What V8 may use for new objects. By itself it takes 128 MiB as soon as a load makes much garbage, and keeps it.

import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Where the young generation stops growing, bytes. It grows in doublings. */
const ENOUGH_BYTES = 32 * 2 ** 20

/** Keeps the young generation of every thread from growing while this one's is at ENOUGH_BYTES: collections come more often, and each takes less. */
export function boundYoungGeneration(): void {
  let mayGrow = true
  // It grows at the end of a collection, and this is told of each before the next. Where it shrank, when all was quiet, it
  // has to grow again: in a small one nearly everything lives long enough to be taken for old.
  const collections = new PerformanceObserver(() => {
    const size = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? 0
    const small = size < ENOUGH_BYTES
    if (small === mayGrow) return
    mayGrow = small
    setFlagsFromString(`--semi-space-growth-factor=${small ? 2 : 1}`)
  })
  collections.observe({ entryTypes: ['gc'] })
}
