// What V8 may use for new objects. By itself it takes 128 MiB as soon as a load makes much garbage, and keeps it.

import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Where the young generation stops growing, bytes. It grows in doublings. */
const ENOUGH_BYTES = 32 * 2 ** 20

/** Keeps the young generation of every thread from growing once this one's has reached ENOUGH_BYTES: collections come more often, and each takes less. */
export function boundYoungGeneration(): void {
  // It grows at the end of a collection, and this is told of each before the next.
  const collections = new PerformanceObserver(() => {
    const size = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? 0
    if (size < ENOUGH_BYTES) return
    collections.disconnect()
    setFlagsFromString('--semi-space-growth-factor=1')
  })
  collections.observe({ entryTypes: ['gc'] })
}
