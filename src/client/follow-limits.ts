// Every bound of following, in one place. docs/following.md#limits

export const FOLLOW_LIMITS = {
  /** Entries that are handed over together, by default: after a crash up to so many come again. */
  runEntries: 256,
  /** Leaves that are read and judged together. */
  batchEntries: 1_024,
  /** Bytes of leaves after which such a batch takes no more. */
  batchBytes: 4_194_304,
  /** Bundles that are asked for before they are needed. */
  bundlesAhead: 8,
  /** Entries of a stream that no checkpoint covers yet; with more the stream is left, and the log is read from its bundles. */
  tailEntries: 100_000,
  /** Bytes of such entries; with more, the same. */
  tailBytes: 67_108_864,
  /** How often a server's checkpoint is read beside the stream, in milliseconds. */
  pollMs: 2_000,
  /** How long a stream may lack what the checkpoint of its server covers, in milliseconds. */
  streamLagMs: 4_000,
  /** How long the followed server may lack what the checkpoint of another one covers, in milliseconds. */
  serverLagMs: 1_500,
  /** How long a server may take for one answer, in milliseconds. */
  requestMs: 10_000,
  /** First wait between two attempts, in milliseconds; it doubles, and up to half of it is left out at random. */
  firstRetryMs: 200,
  /** Longest wait between two attempts, in milliseconds. */
  longestRetryMs: 10_000,
  /** Most DIDs of a filter that a server is asked for; with more every entry is read. */
  filterDids: 1_000,
  /** Most services of a filter that a server is asked for; with more every entry is read. */
  filterServices: 100,
  /** How far behind a filtered stream that cannot be opened may be before the entries themselves are read, in entries. */
  filterGapEntries: 100_000,
  /** Identities whose chains are kept in memory; the history of another is asked for when it changes. */
  identities: 10_000,
  /** Histories that are asked for at once. */
  historiesAtOnce: 8,
  /** How often the cursor is kept while nothing of what is read is asked for, in milliseconds. */
  keepMs: 1_000,
  /** How often the proofs of identities that are expected to be there, or not to be, are asked for, in milliseconds. */
  statesMs: 10_000,
} as const
