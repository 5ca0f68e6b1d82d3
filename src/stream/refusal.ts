// What is said to whom a stream is refused, before it is opened, and why one ends. spec/stream.md#errors

/** What is refused before the upgrade: status, then message. */
export const REFUSALS = {
  INVALID_CURSOR: [400, 'Invalid cursor'],
  INVALID_NUMBER: [400, 'Not a decimal number'],
  INVALID_DID: [400, 'Malformed did:plc identifier'],
  TOO_MANY_DIDS: [400, 'Too many DIDs'],
  TOO_MANY_SERVICES: [400, 'Too many services'],
  INVALID_HANDSHAKE: [400, 'Not a WebSocket handshake of version 13'],
  TOO_MANY_REQUESTS: [429, 'Too many requests'],
  TOO_MANY_OF_ADDRESS: [429, 'Too many streams of this address'],
  TOO_MANY_STREAMS: [503, 'Too many streams'],
  STOPPING: [503, 'The server is stopping'],
} as const satisfies Record<string, readonly [number, string]>

/** The codes with which a stream is closed, by reason. */
export const CLOSE_CODES = {
  FutureCursor: 1000,
  OutdatedCursor: 1000,
  ConsumerTooSlow: 1000,
  TooManyMatches: 1000,
  Withheld: 1000,
  ServerStopping: 1001,
  InvalidMessage: 1008,
  TooManyMessages: 1008,
  TryAgainLater: 1013,
} as const satisfies Record<string, number>

/** Why the server closed a stream. */
export type CloseReason = keyof typeof CLOSE_CODES

/** An upgrade that is refused. Its message is the code's text, followed by `: detail` where a detail was given. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly status: number
  /** `Retry-After` in seconds; null where asking again would not help. */
  readonly retryAfterS: number | null

  constructor(code: keyof typeof REFUSALS, detail?: string, retryAfterS: number | null = null) {
    const [status, message] = REFUSALS[code]
    super(detail === undefined ? message : `${message}: ${detail}`)
    this.status = status
    this.retryAfterS = retryAfterS
  }
}

/** The end of a stream, with the reason that its subscriber is told. */
export class StreamEnd extends Error {
  override readonly name = 'StreamEnd'
  readonly reason: CloseReason

  constructor(reason: CloseReason) {
    super(reason)
    this.reason = reason
  }
}
