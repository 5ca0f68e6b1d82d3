// Says which input hangs: a loop without end lets nothing else run on its thread, so a second one watches.

import { Worker } from 'node:worker_threads'

/** How long one input may hang before the process is ended, in milliseconds. */
const HANG_MS = 30_000

/** Watches until disposed. */
export interface Watchdog extends Disposable {
  /** An iteration begins. */
  beat(iteration: number): void
}

/** Where an iteration hangs, prints which one to stderr and ends this process: there is no other way out of a loop. */
export function startWatchdog(name: string): Watchdog {
  const cells = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(SOURCE, { eval: true, workerData: { cells, name, hangMs: HANG_MS } })
  worker.unref()
  return {
    beat(iteration) {
      Atomics.store(cells, 1, iteration)
      Atomics.add(cells, 0, 1)
    },
    [Symbol.dispose]: () => void worker.terminate(),
  }
}

const SOURCE = `
  const { workerData: { cells, name, hangMs } } = require('node:worker_threads')
  const { writeSync } = require('node:fs')
  let [count, since] = [0, Date.now()]
  setInterval(() => {
    const now = Atomics.load(cells, 0)
    if (now !== count) [count, since] = [now, Date.now()]
    if (count === 0 || Date.now() - since < hangMs) return
    writeSync(2, name + ': iteration ' + Atomics.load(cells, 1) + ' hangs\\n')
    process.kill(process.pid, 'SIGKILL')
  }, 1000)
`
