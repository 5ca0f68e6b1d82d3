// Every bound of the writer, in one place. spec/http.md#limits names the errors that a client sees.

export const WRITER_LIMITS = {
  /** Operations that wait for a round. One more is refused: 503. */
  maxSubmissions: 4_000,
  /** Operations in one round. */
  maxRound: 1_000,
  /** Longest time an operation waits for its round's outcome before its client is told to ask again, milliseconds. */
  submissionTimeoutMs: 30_000,
  /** Earlier entries of its identities that one round reads; with more, it takes fewer operations. One identity is never too many. */
  maxHistory: 20_000,
  /** For how long the database's clock is known from a round, by the process's own, and how long after that what was decided with it may be written, by the database's, milliseconds. Otherwise it is read under the row. */
  knownClockMs: 1_000,
  /** How often a process that follows a database looks at its head where nothing tells it to, milliseconds. */
  headPollMs: 1_000,
  /** Wait between two attempts to reach a database that is gone, milliseconds. */
  retryMs: { first: 50, longest: 2_000 },
  /** What a refused client is told to wait, seconds. */
  retryAfterS: 1,
  /** An idle log is signed again this often, so that a checkpoint's age means something, milliseconds. */
  idleCheckpointMs: 60_000,
  /** How long the witnesses may take for a checkpoint before it is abandoned, milliseconds. */
  witnessDeadlineMs: 5_000,
  /** Longest request to a witness, bytes: what every witness is known to take. */
  witnessRequestBytes: 16_384,
  /** Longest answer of a witness that is read, bytes. */
  witnessAnswerBytes: 65_536,
  /** How far the time of a cosignature may be from this machine's, milliseconds: beyond it the cosignature is not used. */
  witnessClockMs: 300_000,
  /** For how long the time of a cosignature is held against this machine's clock, milliseconds. */
  witnessTimeMs: 600_000,
  /** Most signature lines of a published checkpoint, the log's own included. */
  signatureLines: 16,
  /** Trees whose cosignatures are remembered, the newest ones. */
  cosignedTrees: 128,
  /** Checkpoints that are kept for their late cosignatures: the newest ones in any case, and with the newest of each witness so many at most. */
  keptCheckpoints: { newest: 16, most: 64 },
} as const
