// Which status code a verdict has: the only place that knows. spec/http.md#errors

import { DirectoryError, type ErrorCode } from '../core/errors.ts'
import { LIMITS } from './limits.ts'

/** An error's answer. */
export interface ErrorResponse {
  readonly status: number
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

/** The status of each verdict; null where no request can be at fault, so that meeting it is an incident. */
export const STATUS_OF_VERDICT: Readonly<Record<ErrorCode, number | null>> = {
  MALFORMED_TEXT: 400,
  MALFORMED_NUMBER: 400,
  MALFORMED_TIMESTAMP: null,
  MALFORMED_CBOR: 400,
  MALFORMED_JSON: 400,
  MALFORMED_CID: 400,
  MALFORMED_DID: 400,
  MALFORMED_KEY: 400,
  INVALID_OPERATION: 400,
  GENESIS_HASH: 400,
  GENESIS_PREV: 400,
  INVALID_SIGNATURE: 400,
  MISORDERED: 400,
  LATE_RECOVERY: 400,
  OPERATION_TOO_LARGE: 400,
  TOO_MANY_ALSO_KNOWN_AS: 400,
  ALSO_KNOWN_AS_TOO_LONG: 400,
  DUPLICATE_ALSO_KNOWN_AS: 400,
  TOO_MANY_ROTATION_KEYS: 400,
  INVALID_ROTATION_KEY: 400,
  TOO_MANY_SERVICES: 400,
  SERVICE_ID_TOO_LONG: 400,
  SERVICE_TYPE_TOO_LONG: 400,
  SERVICE_ENDPOINT_TOO_LONG: 400,
  TOO_MANY_VERIFICATION_METHODS: 400,
  VERIFICATION_METHOD_ID_TOO_LONG: 400,
  VERIFICATION_METHOD_KEY_TOO_LONG: 400,
  INVALID_VERIFICATION_METHOD_KEY: 400,
  RATE_LIMITED: 400,
  STALE_PREV: 409,
  MALFORMED_ENTRY: null,
  ENTRY_TOO_LARGE: null,
  ENTRY_NOT_LATER: null,
  ENTRY_BEFORE_LOG: null,
  SOURCED_AFTER_NATIVE: null,
  DUPLICATE_OPERATION: null,
  MALFORMED_TILE: null,
  MALFORMED_BUNDLE: null,
  MALFORMED_NOTE: null,
  MALFORMED_NOTE_KEY: null,
  UNTRUSTED_NOTE: null,
  INVALID_NOTE_SIGNATURE: null,
  MALFORMED_CHECKPOINT: null,
  WRONG_ORIGIN: null,
  MALFORMED_RECORD: null,
  MALFORMED_PROOF: null,
  INVALID_PROOF: null,
  OUT_OF_RANGE: 400,
  MALFORMED_POLICY: null,
  QUORUM_NOT_MET: null,
  ROOT_MISMATCH: null,
  MALFORMED_EVIDENCE: null,
  NO_CONTRADICTION: null,
  MALFORMED_ALARM: null,
  MALFORMED_FRAME: null,
  DID_NOT_REGISTERED: 404,
  DID_NOT_AVAILABLE: 404,
  OPERATION_NOT_FOUND: 404,
}

/** What the counter itself refuses, before or beside the rules of identities: status, then message. */
export const REFUSALS = {
  NO_SUCH_RESOURCE: [404, 'Not Found'],
  INVALID_COUNT: [400, 'Invalid count parameter'],
  INVALID_AFTER: [400, 'Invalid after parameter'],
  INVALID_LOOKUP: [400, 'Not a JSON array of strings'],
  TOO_MANY_DIDS: [400, `Too many DIDs (${LIMITS.lookupDids} maximum)`],
  INVALID_NUMBER: [400, 'Not a decimal number'],
  UPGRADE_REQUIRED: [426, 'upgrade required'],
  TOO_MANY_REQUESTS: [429, 'Too many requests'],
  TOO_MANY_HEADERS: [431, 'Request Header Fields Too Large'],
  BODY_TOO_LARGE: [413, `Request body too large (${LIMITS.bodyBytes} bytes maximum)`],
  BODY_INCOMPLETE: [400, 'Request body is incomplete'],
  BODY_NOT_GZIP: [400, 'Request body is not gzip'],
  UNSUPPORTED_ENCODING: [415, 'Unsupported content encoding'],
  UNSUPPORTED_CHARSET: [415, 'Unsupported charset'],
  NO_DESCRIPTION: [404, 'The description of this API is not installed here'],
  NO_CHECKPOINT: [404, 'No checkpoint has been published yet'],
  NO_NOTARY: [404, 'This directory is no notary of another'],
  NOT_NUMBERED: [404, 'The upstream of this notary does not number its operations'],
  NOT_DIVERGENT: [404, 'The upstream was never seen to show another history of this identity'],
  NO_KEY_STATEMENT: [404, 'This log has said nothing of its keys'],
  NO_SUCH_TILE: [404, 'No such tile'],
  NO_MAP: [404, 'There is no map here'],
  NO_NEXT_LEAF: [404, 'No version of the map waits for its checkpoint'],
  NO_STATE_PROOF: [503, 'No version of the map is at hand here'],
  NOT_COVERED: [404, 'No published checkpoint covers this operation yet'],
  NOT_PUBLISHED: [404, 'Larger than the published tree'],
  WITHHELD: [451, 'Withheld by the operator'],
  FORWARD_LOOP: [508, 'The directories to which this submission was forwarded lead back to themselves'],
  FORWARDS_FULL: [503, 'Too many submissions are being forwarded'],
  FORWARD_UNREACHABLE: [503, 'The directory that takes the writes cannot be reached; sending the same again is safe'],
  FORWARD_TIMEOUT: [503, 'The directory that takes the writes has not answered in time; sending the same again is safe'],
  FORWARD_UNUSABLE: [502, 'The directory that takes the writes gave no usable answer; sending the same again is safe'],
} as const satisfies Record<string, readonly [number, string]>

/** The code of a refusal. */
export type RefusalCode = keyof typeof REFUSALS

/**
 * A request that the counter refuses. Its message is the code's text, followed by `: detail` where a detail was given;
 * `retryAfterS` counts before the wait that belongs to the code.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly retryAfterS: number | null

  constructor(code: RefusalCode, detail?: string, retryAfterS?: number) {
    super(detail === undefined ? REFUSALS[code][1] : `${REFUSALS[code][1]}: ${detail}`)
    this.code = code
    this.retryAfterS = retryAfterS ?? null
  }
}

/** What an operator may choose of it. */
export interface RefusalOptions {
  /** Status of an operation that comes too soon: 400 as in the deployed directory, or 429 with `Retry-After`. Default 400. */
  readonly rateLimitStatus?: 400 | 429
}

/** The answer to an error about the request; null for an incident. */
export function errorResponse(error: unknown, options: RefusalOptions = {}): ErrorResponse | null {
  if (error instanceof Refusal) {
    const retryAfter = error.retryAfterS === null ? {} : { 'Retry-After': String(error.retryAfterS) }
    return { status: REFUSALS[error.code][0], message: error.message, headers: { ...HEADERS_OF_REFUSAL[error.code], ...retryAfter } }
  }
  if (!(error instanceof DirectoryError)) return null
  if (error.code === 'RATE_LIMITED' && options.rateLimitStatus === 429) {
    return { status: 429, message: error.message, headers: { 'Retry-After': String(retrySeconds(error.detail ?? '')) } }
  }
  const status = STATUS_OF_VERDICT[error.code]
  return status === null ? null : { status, message: error.message, headers: {} }
}

const HEADERS_OF_REFUSAL: Partial<Record<RefusalCode, Readonly<Record<string, string>>>> = {
  UPGRADE_REQUIRED: { Connection: 'Upgrade', Upgrade: 'websocket' },
  UNSUPPORTED_ENCODING: { 'Accept-Encoding': 'gzip, identity' },
  NO_CHECKPOINT: { 'Retry-After': String(LIMITS.checkpointRetrySeconds) },
  NOT_COVERED: { 'Retry-After': String(LIMITS.checkpointRetrySeconds) },
  NO_STATE_PROOF: { 'Retry-After': String(LIMITS.checkpointRetrySeconds) },
  FORWARDS_FULL: { 'Retry-After': String(LIMITS.forwardRetrySeconds) },
  FORWARD_UNREACHABLE: { 'Retry-After': String(LIMITS.forwardRetrySeconds) },
  FORWARD_TIMEOUT: { 'Retry-After': String(LIMITS.forwardRetrySeconds) },
  FORWARD_UNUSABLE: { 'Retry-After': String(LIMITS.forwardRetrySeconds) },
}

// The verdict names its window ("hour (max 10)"); a whole one is the longest that a client has to wait.
function retrySeconds(window: string): number {
  if (window.startsWith('hour')) return 3_600
  return window.startsWith('day') ? 86_400 : 604_800
}
