// Whether a log can be looked at: said once when it cannot, and once when it can again.

import { describeDuration } from '../client/recovery.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'

/** How long nothing may have been seen before it is said, in milliseconds. */
export const BLIND_MS = 10_000

/** What is to be said. */
export interface Sight {
  readonly type: 'blind' | 'sighted'
  readonly words: string
}

/** Listens to what a follower is told. */
export interface Looking {
  onLook(): void
  onTrouble(url: string, error: Error): void
}

/** Begins to listen. `now` is the time of day, milliseconds since 1970, `elapsed` milliseconds that never go back: a clock that is set hides nothing. */
export function watchSight(tell: (sight: Sight) => void, now: () => number = Date.now, elapsed: () => number = () => performance.now()): Looking {
  let seen = { at: now(), elapsed: elapsed() }
  let blind = false
  return {
    onLook() {
      const since = seen.elapsed
      seen = { at: now(), elapsed: elapsed() }
      if (!blind) return
      blind = false
      tell({ type: 'sighted', words: `the log can be looked at again, after ${describeDuration(seen.elapsed - since)}: what happened meanwhile comes now, none of it is left out` })
    },
    onTrouble(url, error) {
      if (blind || elapsed() - seen.elapsed < BLIND_MS) return
      blind = true
      tell({ type: 'blind', words: `not able to look since ${formatTimestamp(seen.at)}, and trying on: ${url}: ${error.message}` })
    },
  }
}
