// What V8 may use beyond what is alive. By itself it takes 128 MiB for new objects as soon as a load makes much garbage, and
// lets old objects grow to several times those that are alive before it looks through them.

import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Where the young generation stops growing, bytes. It grows in doublings. */
const ENOUGH_BYTES = 32 * 2 ** 20

/** How far the old generation grows beyond what was alive, percent of that, before it is collected again. */
const OLD_GROWTH_PERCENT = 60

/**
 * Bounds the heaps of every thread from here on: the old generation by OLD_GROWTH_PERCENT, and the young one is kept from growing while this
 * thread's is at ENOUGH_BYTES. Collections come more often, and each takes less.
 */
export function boundHeap(): void {
  setFlagsFromString(`--heap-growing-percent=${OLD_GROWTH_PERCENT}`)
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
