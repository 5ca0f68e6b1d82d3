// Keeps the embedded server running for as long as we use it: whoever of its processes notices first starts it again.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { attend, type Address, type Place } from './attend.ts'
import { withFolderLock } from './folder-lock.ts'
import type { Presence } from './presence.ts'

/** Our part in a server that is kept running. */
export interface Supervision {
  /** Lets the server be; ends a restart that is under way, and what it has launched. Resolves with our part, null where there is none at the moment. */
  stop(): Promise<Presence | null>
}

export const SUPERVISOR_LIMITS = {
  /** Until another process has started or stopped the server: longer than either may take. */
  lockMs: 700_000,
  /** Pauses between attempts: none, then `minMs`, doubling up to `maxMs`; none again after a server has held for `steadyMs`. */
  minMs: 250,
  maxMs: 10_000,
  steadyMs: 30_000,
} as const

/** The lock of a folder of ours. */
export function lockFile(folder: string): string {
  return join(folder, 'lock')
}

/**
 * Takes over a presence. When it is lost, the server is joined again, or started where none runs, at the address where
 * it was, so that whatever is connected to it recovers by itself. Goes on for ever, with words in the log.
 */
export function supervise(place: Place, joined: Presence): Supervision {
  const stopping = new AbortController()
  const { signal } = stopping
  const { minMs, maxMs, steadyMs, lockMs } = SUPERVISOR_LIMITS
  const at: Address = joined.connection
  let presence: Presence | null = joined
  let rejoining: Promise<void> = Promise.resolve()
  let delayMs = 0

  function stay(next: Presence): void {
    presence = next
    const since = performance.now()
    void next.lost.then(() => {
      if (signal.aborted) return
      presence = null
      if (performance.now() - since > steadyMs) delayMs = 0
      place.log('warn', {}, 'the embedded PostgreSQL ended our connection')
      rejoining = rejoin()
    })
  }

  async function rejoin(): Promise<void> {
    for (;;) {
      await sleep(delayMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      delayMs = Math.min(maxMs, Math.max(minMs, delayMs * 2))
      try {
        const { presence: next, started } = await withFolderLock(lockFile(place.folder), lockMs, () => attend(place, { at, signal }), signal)
        place.log('info', {}, started ? 'the embedded PostgreSQL has been started again' : 'the embedded PostgreSQL answers again')
        stay(next)
        return
      } catch (error) {
        if (!signal.aborted) place.log('error', { error, retryMs: delayMs }, 'the embedded PostgreSQL could not be started again, which will be tried on and on')
      }
    }
  }

  stay(joined)
  return {
    async stop() {
      stopping.abort()
      await rejoining
      return presence
    },
  }
}
