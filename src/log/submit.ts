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
  return async (did, operation) => {
    const answered = new AbortController()
    try {
      const late = clock.sleep(WRITER_LIMITS.submissionTimeoutMs, answered.signal).then(() => {
        throw new UnavailableError('the operation has waited too long for its outcome; ask again')
      })
      late.catch(() => undefined)
      const accepted = await Promise.race([pool.submit(did, operation, tip.durable), late])
      return { outcome: 'accepted', ...accepted }
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      return { outcome: 'unavailable', retryAfterS: WRITER_LIMITS.retryAfterS, reason: error.message }
    } finally {
      answered.abort()
    }
  }
}
