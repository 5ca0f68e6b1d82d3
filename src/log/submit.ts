// What the counter calls for each operation: into the pool, and an answer within a bound. spec/http.md#submit

import type { Operation } from '../core/plc/operation.ts'
import type { Tip } from '../storage/tip.ts'
import { WRITER_LIMITS } from './limits.ts'
import { UnavailableError, type Accepted, type SubmissionPool } from './pool.ts'
import type { Clock } from './ports.ts'

/** Accepted at an index, or to be asked again later. */
export type Submitted =
  | ({ readonly outcome: 'accepted' } & Accepted)
  | { readonly outcome: 'unavailable'; readonly retryAfterS: number; readonly reason: string }

/**
 * Submission to a pool. What it returns resolves once the operation is durable, or after `submissionTimeoutMs`
 * without an outcome, which is then unknown: the operation may still be written, and asking again is safe.
 * It throws the verdict on an operation that is refused.
 */
export function submitTo(pool: SubmissionPool, tip: Tip, clock: Clock): (did: string, operation: Operation) => Promise<Submitted> {
  // Those that wait, the oldest first, so that one timer is enough for all of them.
  const waiting = new Set<Waiting>()
  let answered: AbortController | null = null

  const expire = async (none: AbortSignal): Promise<void> => {
    for (let [oldest] = waiting; oldest !== undefined && !none.aborted; [oldest] = waiting) {
      const leftMs = oldest.since + WRITER_LIMITS.submissionTimeoutMs - clock.now()
      if (leftMs > 0) {
        await clock.sleep(leftMs, none)
        continue
      }
      waiting.delete(oldest)
      oldest.give(unavailable('the operation has waited too long for its outcome; ask again'))
    }
    if (!none.aborted) answered = null
  }

  return (did, operation) =>
    new Promise((resolve, reject) => {
      const own = { since: clock.now(), give: resolve }
      const leave = (): void => {
        waiting.delete(own)
        if (waiting.size > 0) return
        answered?.abort()
        answered = null
      }
      waiting.add(own)
      if (answered === null) {
        answered = new AbortController()
        expire(answered.signal).catch(reject)
      }
      pool.submit(did, operation, tip.durable).then(
        (accepted) => {
          leave()
          resolve({ outcome: 'accepted', ...accepted })
        },
        (error: unknown) => {
          leave()
          if (error instanceof UnavailableError) resolve(unavailable(error.message))
          else reject(error)
        },
      )
    })
}

interface Waiting {
  /** When it came, on the clock. */
  readonly since: number
  readonly give: (submitted: Submitted) => void
}

function unavailable(reason: string): Submitted {
  return { outcome: 'unavailable', retryAfterS: WRITER_LIMITS.retryAfterS, reason }
}
