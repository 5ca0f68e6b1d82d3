// A submission that is passed on, answered when its operation has arrived here: who writes through a mirror reads his own
// write. spec/mirror.md#forwarded-writes

import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { verdictOf } from '../src/core/errors.ts'
import { admitJson } from '../src/core/plc/admission.ts'
import { LIMITS } from '../src/http/limits.ts'
import type { ForwardedSubmission, ForwardPort } from '../src/http/ports.ts'
import type { Store } from '../src/storage/store.ts'
import type { Tip } from '../src/storage/tip.ts'

/** Header of an answer to a forwarded submission: whether the operation that it is about is here, `yes` or `no`. */
export const ARRIVED_HEADER = 'Stele-Arrived'

/** What waiting stands on. */
export interface ArrivalPorts {
  readonly store: Pick<Store, 'history'>
  readonly tip: Tip
  /** Longest wait, milliseconds. */
  readonly waitMs: number
}

/** As `forward`, but that an operation which was taken is waited for. Its answer is that of the other directory, late or not. */
export function untilArrived(forward: ForwardPort, ports: ArrivalPorts): ForwardPort {
  return async (submission, signal) => {
    const answer = await forward(submission, signal)
    if (answer.status !== 200 && answer.status !== 202) return answer
    const cid = await cidOf(submission)
    const arrived = cid !== null && (await arrives(ports, submission.did, cid, AbortSignal.any([signal, AbortSignal.timeout(ports.waitMs)])))
    return { ...answer, headers: { ...answer.headers, [ARRIVED_HEADER]: arrived ? 'yes' : 'no' } }
  }
}

async function arrives({ store, tip }: ArrivalPorts, did: string, cid: string, signal: AbortSignal): Promise<boolean> {
  for (let from = 0; ; ) {
    const size = tip.durable
    const rows = await store.history([did], from)
    if (rows.some((row) => row.cid === cid)) return true
    from = size
    try {
      await tip.pastDurable(size, signal)
    } catch (error) {
      if (signal.aborted) return false
      throw error
    }
  }
}

// The body was good enough for the other directory.
async function cidOf({ body, headers }: ForwardedSubmission): Promise<string | null> {
  try {
    const packed = (headers['content-encoding'] ?? 'identity').trim().toLowerCase() === 'gzip'
    const plain = packed ? await promisify(gunzip)(body, { maxOutputLength: LIMITS.bodyBytes }) : body
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain))
    return verdictOf(() => admitJson(json).cid).value
  } catch {
    return null
  }
}
