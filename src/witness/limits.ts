// Every bound of the witness in one place. spec/witness.md#limits

/** Bytes, seconds and counts; each is a row of the table in the specification, and a test holds them equal. */
export const WITNESS_LIMITS = {
  /** Longest request body, in bytes. */
  bodyBytes: 65_536,
  /** Most signatures under a checkpoint that is to be cosigned. */
  signatures: 16,
  /** Checkpoints of one log, and subtrees of it, that are cosigned in a second. */
  logRate: 50,
  /** For how many seconds' worth of cosignatures a log that was quiet may ask at once. */
  logBurstSeconds: 5,
  /** Requests that one address may make in a second. */
  addressRate: 200,
  /** For how many seconds' worth of requests an address that was quiet may ask at once. */
  addressBurstSeconds: 5,
  /** Addresses whose requests are counted one by one. */
  addresses: 100_000,
  /** How far the clock may stand before the last cosignature of a log and yet be taken for a correction, in seconds. */
  clockBackSeconds: 10,
  /** `Retry-After` of a 503, in seconds. */
  retrySeconds: 5,
  /** Most contradictions of one log that are kept: the first ones. */
  contradictions: 16,
  /** Most checkpoints of one log, signed by it but not shown to be consistent, that are kept: the last ones. */
  unproven: 16,
  /** Longest request line and header fields together, in bytes. */
  headerBytes: 16_384,
  /** How long a client may take to send its header, in seconds. */
  headerSeconds: 10,
  /** How long a client may take to send its whole request, in seconds. */
  requestSeconds: 30,
  /** How long a connection may carry nothing while an answer is due, in seconds. */
  idleSeconds: 60,
  /** How long a connection is kept for the next request, in seconds. */
  keepAliveSeconds: 65,
  /** Most connections at once; more are closed unread. */
  connections: 2_000,
  /** Most connections at once from one address, unless a proxy names the clients; more are closed unread. */
  connectionsPerAddress: 100,
  /** Most requests of one connection that wait for their answers. */
  pipelined: 16,
  /** How long the sending of an answer may take, in seconds, beside the time for its bytes. */
  answerSeconds: 30,
  /** Bytes of an answer that a client must take in a second. */
  answerBytesPerSecond: 16_384,
  /** How long a refused body is read on, so that the client sees the refusal, in seconds. */
  lingerSeconds: 1,
  /** How much of a refused body is read meanwhile, in bytes. */
  lingerBytes: 1_048_576,
  /** How often the time limits of connections are looked at, in milliseconds. */
  sweepMs: 1_000,
  /** How long answers under way may take once the witness stops, in seconds. */
  drainSeconds: 10,
} as const
