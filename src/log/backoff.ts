// Waiting between attempts at something that fails: a little longer each time, up to a bound.

import { WRITER_LIMITS } from './limits.ts'
import type { Clock } from './ports.ts'

/** The waits of one run of failures. */
export interface Backoff {
  /** Waits: `retryMs.first` milliseconds at first, twice as long each time, at most `retryMs.longest`. Ends early when the signal is aborted. */
  wait(signal?: AbortSignal): Promise<void>
  /** Begins anew, after a success. */
  reset(): void
}

/** Waits by this clock. */
export function startBackoff(clock: Clock): Backoff {
  const { first, longest } = WRITER_LIMITS.retryMs
  let nextMs: number = first
  return {
    async wait(signal) {
      await clock.sleep(nextMs, signal)
      nextMs = Math.min(nextMs * 2, longest)
    },
    reset() {
      nextMs = first
    },
  }
}
