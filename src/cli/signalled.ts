// The end of a command that runs until it is told to stop.

import { constants } from 'node:os'

/**
 * A signal within this time after the first is the same one: Ctrl-C reaches a process from the terminal and,
 * where npm or another parent passes it on, a second time.
 */
const SAME_SIGNAL_MS = 500

/** Resolves with null at the first signal; the second ends the process where it stands. */
export function signalled(): Promise<null> {
  return new Promise((resolve) => {
    let first: number | null = null
    const onSignal = (signal: NodeJS.Signals): void => {
      const now = performance.now()
      if (first === null) {
        first = now
        resolve(null)
      } else if (now - first >= SAME_SIGNAL_MS) {
        process.exit(128 + constants.signals[signal])
      }
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  })
}
