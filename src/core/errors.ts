// Every verdict that the rules can give, in one union: "this input is wrong, for ever, and here is the code".
// Anything that is not a DirectoryError is an incident of ours and may be retried.

/** A verdict's text: a sentence, or a function from the detail to one. The texts of the deployed directory,
 * its misspellings included, are part of the wire format (spec/http.md#errors). */
const TEXTS = {
  // encodings
  MALFORMED_TEXT: 'Malformed text encoding',
  MALFORMED_NUMBER: 'Malformed number',
  MALFORMED_TIMESTAMP: 'Malformed timestamp',
  MALFORMED_CBOR: 'Malformed DAG-CBOR',
  MALFORMED_JSON: 'Malformed JSON',
  MALFORMED_CID: 'Malformed CID',

  // plc: shapes and keys
  MALFORMED_DID: 'Malformed did:plc identifier',
  MALFORMED_KEY: 'Malformed did:key',
  INVALID_OPERATION: 'Not a valid operation',
  MALFORMED_RECORD: 'Malformed record of an operation',

  // plc: the chain
  GENESIS_HASH: 'Hash of genesis operation does not match DID identifier',
  GENESIS_PREV: 'Improperly formatted operation, expected null prev on create: [object Object]',
  INVALID_SIGNATURE: 'Invalid signature on op',
  MISORDERED: 'Operations not correctly ordered',
  LATE_RECOVERY: 'Recovery operation occurred outside of the allowed 72 hr recovery window. Time lapsed',

  // plc: what is accepted today
  OPERATION_TOO_LARGE: 'Operation too large (4000 bytes maximum in cbor encoding)',
  TOO_MANY_ALSO_KNOWN_AS: 'To many alsoKnownAs entries (max 10)',
  ALSO_KNOWN_AS_TOO_LONG: 'alsoKnownAs entry too long (max 258)',
  DUPLICATE_ALSO_KNOWN_AS: 'duplicate alsoKnownAs entry',
  TOO_MANY_ROTATION_KEYS: 'Too many rotationKey entries (max 10)',
  INVALID_ROTATION_KEY: 'Invalid rotationKey',
  TOO_MANY_SERVICES: 'To many service entries (max 10)',
  SERVICE_ID_TOO_LONG: 'Service id too long (max 32)',
  SERVICE_TYPE_TOO_LONG: 'Service type too long (max 256)',
  SERVICE_ENDPOINT_TOO_LONG: 'Service endpoint too long (max 512)',
  TOO_MANY_VERIFICATION_METHODS: 'Too many Verification Method entries (max 10)',
  VERIFICATION_METHOD_ID_TOO_LONG: 'Verification Method id too long (max 32)',
  VERIFICATION_METHOD_KEY_TOO_LONG: 'Verification Method key too long (max 256)',
  INVALID_VERIFICATION_METHOD_KEY: 'Invalid verificationMethod key',
  RATE_LIMITED: (window: string) => `To many operations within last ${window}`,
  STALE_PREV: 'Proposed prev does not match the most recent operation: [object Object],[object Object]',

  // the log's entries and its time
  MALFORMED_ENTRY: 'Malformed log entry',
  ENTRY_TOO_LARGE: 'Log entry too large (65535 bytes maximum)',
  ENTRY_NOT_LATER: 'Entry is not later than an earlier entry of its DID',
  ENTRY_BEFORE_LOG: 'Entry is earlier than an earlier native entry of the log',
  SOURCED_AFTER_NATIVE: 'Sourced entry after a native one',
  DUPLICATE_OPERATION: 'Operation is in the log already',

  // tlog
  MALFORMED_TILE: 'Malformed tile',
  MALFORMED_BUNDLE: 'Malformed entry bundle',
  MALFORMED_NOTE: 'Malformed signed note',
  MALFORMED_NOTE_KEY: 'Malformed note key',
  UNTRUSTED_NOTE: 'No signature by a known key',
  INVALID_NOTE_SIGNATURE: 'Signature by a known key does not verify',
  MALFORMED_CHECKPOINT: 'Malformed checkpoint',
  WRONG_ORIGIN: 'Checkpoint of another log',
  MALFORMED_PROOF: 'Malformed proof',
  INVALID_PROOF: 'Proof does not verify',
  OUT_OF_RANGE: 'Index or size out of range',
  MALFORMED_POLICY: 'Malformed policy',
  QUORUM_NOT_MET: 'Checkpoint does not meet the quorum of its policy',
  ROOT_MISMATCH: 'Entries do not lead to the root of the checkpoint',
  MALFORMED_FRAME: 'Malformed frame of a stream',

  // evidence
  MALFORMED_EVIDENCE: 'Malformed evidence',
  NO_CONTRADICTION: 'Nothing is proved against the log',
  MALFORMED_ALARM: 'Malformed alarm',

  // questions about identities
  DID_NOT_REGISTERED: 'DID not registered',
  DID_NOT_AVAILABLE: 'DID not available',
  OPERATION_NOT_FOUND: 'Operation not found',
} as const satisfies Record<string, string | ((detail: string) => string)>

/** The code of a verdict: stable, for machines. */
export type ErrorCode = keyof typeof TEXTS

/**
 * A verdict about an input: final, the same for everybody who applies the rules.
 * Its message is the code's text, followed by `: detail` where a detail was given.
 */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError'
  readonly code: ErrorCode
  readonly detail: string | undefined

  constructor(code: ErrorCode, detail?: string) {
    const text = TEXTS[code]
    super(typeof text === 'function' ? text(detail ?? '') : detail === undefined ? text : `${text}: ${detail}`)
    this.code = code
    this.detail = detail
  }
}

/** An error that must be impossible: a bug of ours, never a fact about an input. Throws `Error` if `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** Whether `work` gives a verdict; its value or the verdict, while incidents propagate. */
export function verdictOf<T>(work: () => T): { value: T; verdict: null } | { value: null; verdict: DirectoryError } {
  try {
    return { value: work(), verdict: null }
  } catch (error) {
    if (error instanceof DirectoryError) return { value: null, verdict: error }
    throw error
  }
}
