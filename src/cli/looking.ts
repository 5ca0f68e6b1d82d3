// Whether a log can be looked at: said once when it cannot, and once when it can again.

import type { FollowOptions } from '../client/follow.ts'
import { describeDuration } from '../client/recovery.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { verdictOf } from '../core/errors.ts'
import { parseNote, verifyNote } from '../core/tlog/note.ts'
import { meetsQuorum, type Policy } from '../core/tlog/policy.ts'

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

/** When it is said, and how. */
export interface SightOptions {
  /** How long nothing may have been seen, milliseconds. */
  readonly blindMs: number
  /** What is said when something is seen again. */
  readonly again: string
}

const OF_THE_LOG: SightOptions = { blindMs: BLIND_MS, again: 'the log can be looked at again, after %: what happened meanwhile comes now, none of it is left out' }

/** Begins to listen. `now` is the time of day, milliseconds since 1970, `elapsed` milliseconds that never go back: a clock that is set hides nothing. */
export function watchSight(tell: (sight: Sight) => void, now: () => number = Date.now, elapsed: () => number = () => performance.now(), { blindMs, again }: SightOptions = OF_THE_LOG): Looking {
  let seen = { at: now(), elapsed: elapsed() }
  let blind = false
  return {
    onLook() {
      const since = seen.elapsed
      seen = { at: now(), elapsed: elapsed() }
      if (!blind) return
      blind = false
      tell({ type: 'sighted', words: again.replace('%', describeDuration(seen.elapsed - since)) })
    },
    onTrouble(url, error) {
      if (blind || elapsed() - seen.elapsed < blindMs) return
      blind = true
      tell({ type: 'blind', words: `not able to look since ${formatTimestamp(seen.at)}, and trying on: ${url}: ${error.message}` })
    },
  }
}

/** As `looking`, for a follower whose log counts as seen only where the quorum of a policy has cosigned what is shown within `maxAgeMs`: a server that shows an old log for ever is none to look at. */
export function freshOnly(looking: Looking, policy: Policy, maxAgeMs: number, now: () => number): Required<Pick<FollowOptions, 'onLook' | 'onTrouble'>> {
  const keys = policy.witnesses.map(({ key }) => key)
  return {
    onTrouble: (url, error) => looking.onTrouble(url, error),
    onLook({ size }, url, note) {
      const notBefore = (now() - maxAgeMs) / 1000
      const recent = (verdictOf(() => verifyNote(parseNote(note), keys)).value ?? []).filter(({ timestamp }) => (timestamp ?? 0) >= notBefore)
      if (meetsQuorum(policy, recent)) looking.onLook()
      else looking.onTrouble(url, new Error(`it shows ${size} entries, and that was not cosigned by the policy's quorum within the last ${describeDuration(maxAgeMs)}`))
    },
  }
}
