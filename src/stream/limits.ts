// Every bound of the streams, in one place. spec/stream.md#limits

/** Bytes, seconds and counts; each is a row of the table in the specification, and a test holds them equal. */
export const STREAM_LIMITS = {
  /** Most subscribers of this process at once. */
  subscribers: 5_000,
  /** Most subscribers at once from one address. */
  subscribersPerAddress: 500,
  /** Most bytes that wait in this process for one subscriber. */
  subscriberBytes: 4_194_304,
  /** Most entries that are read together. */
  readEntries: 1_024,
  /** Most entries that are sent together. */
  blockEntries: 256,
  /** Most bytes that are sent together, unless one entry alone needs more. */
  blockBytes: 262_144,
  /** Bytes of entries and encoded messages that are kept for the next subscriber, those longest unused going first. */
  cacheBytes: 33_554_432,
  /** How long a subscriber may take nothing of what waits for it, in seconds. */
  stallSeconds: 30,
  /** How often a subscriber is pinged, in seconds. */
  pingSeconds: 30,
  /** Pings after which a subscriber that sends and takes nothing is taken for dead. */
  deadPings: 2,
  /** How often subscribers are looked at, in milliseconds. */
  sweepMs: 1_000,
  /** How long a subscriber has to answer a close, in seconds. */
  closeSeconds: 5,
  /** Longest message of a subscriber, in bytes. */
  messageBytes: 65_536,
  /** Most messages of a subscriber in a second. */
  messagesPerSecond: 100,
  /** Most bytes that a reader may have granted and not yet been sent; what it grants beyond that is lost. */
  creditBytes: 67_108_864,
  /** Most DIDs of a filter. */
  filterDids: 1_000,
  /** Most services of a filter. */
  filterServices: 100,
  /** How long a subscriber may take to send its filter, in seconds. */
  filterSeconds: 10,
  /** How far behind the newest checkpoint a filter by service may begin, in entries. */
  scanEntries: 100_000,
  /** Most entries of the DIDs that match that are read at once. */
  matchEntries: 20_000,
  /** How often the published checkpoint is read where nothing says that it changed, in seconds. */
  refreshSeconds: 30,
  /** `Retry-After` where there are too many subscribers, in seconds. */
  retrySeconds: 5,
} as const

/** The bounds, each of which a test may replace. */
export type StreamLimits = Readonly<Record<keyof typeof STREAM_LIMITS, number>>
