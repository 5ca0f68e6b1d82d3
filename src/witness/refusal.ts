// What a witness refuses, and with which status: the only place of this room that knows. spec/witness.md#errors

import { WITNESS_LIMITS } from './limits.ts'

/** Status, then the text of the answer's body. */
export const WITNESS_REFUSALS = {
  MALFORMED: [400, 'Malformed request'],
  OLD_ABOVE_SIZE: [400, 'The old size is above that of the checkpoint'],
  NO_SUCH_SUBTREE: [400, 'No such subtree in a tree of that size'],
  TOO_MANY_SIGNATURES: [400, `Too many signatures (${WITNESS_LIMITS.signatures} maximum)`],
  BODY_INCOMPLETE: [400, 'Request body is incomplete'],
  UNTRUSTED: [403, 'Not signed by a key that is known for this log'],
  UNKNOWN_LOG: [404, 'Unknown log'],
  NO_SUCH_RESOURCE: [404, 'Not Found'],
  NEVER_COSIGNED: [404, 'No checkpoint of this log was cosigned yet'],
  WRONG_METHOD: [405, 'Method Not Allowed'],
  STALE: [409, 'Another size was cosigned last'],
  UNKNOWN_CHECKPOINT: [409, 'Another checkpoint was cosigned last'],
  BODY_TOO_LARGE: [413, `Request body too large (${WITNESS_LIMITS.bodyBytes} bytes maximum)`],
  UNSUPPORTED_ENCODING: [415, 'Unsupported content encoding'],
  INCONSISTENT: [422, 'The proof does not verify'],
  CONTRADICTION: [422, 'Another root was cosigned at this size'],
  NOT_EMPTY: [422, 'A tree without entries has another root'],
  TOO_MANY_REQUESTS: [429, 'Too many requests'],
  CLOCK_BEHIND: [503, 'The clock of this witness stands before what it cosigned last'],
  UNAVAILABLE: [503, 'The state cannot be written'],
  NOT_VERIFIED: [503, 'The entries up to that size are not verified here'],
  NO_MORE: [503, 'Nothing is cosigned here any more'],
} as const satisfies Record<string, readonly [number, string]>

/** The code of a refusal. */
export type WitnessRefusalCode = keyof typeof WITNESS_REFUSALS

/** What an answer to a refusal has beside its status. */
export interface RefusalParts {
  /** In place of the text of its code, newline included. */
  readonly body?: string
  readonly type?: string
  readonly retryAfterS?: number
  /** Said after the text of its code. */
  readonly detail?: string
}

/** A request that the witness refuses. */
export class WitnessRefusal extends Error {
  override readonly name = 'WitnessRefusal'
  readonly code: WitnessRefusalCode
  readonly status: number
  readonly parts: RefusalParts

  constructor(code: WitnessRefusalCode, parts: RefusalParts = {}) {
    super(parts.detail === undefined ? WITNESS_REFUSALS[code][1] : `${WITNESS_REFUSALS[code][1]}: ${parts.detail}`)
    this.code = code
    this.status = WITNESS_REFUSALS[code][0]
    this.parts = parts
  }
}
