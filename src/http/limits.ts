// Every bound of the counter in one place. spec/http.md#limits

/** Bytes, seconds and counts; each is a row of the table in the specification, and a test holds them equal. */
export const LIMITS = {
  /** Longest request body, in bytes, as sent and as unpacked. */
  bodyBytes: 102_400,
  /** Most operations in one answer of `/export`, and how many there are without `count`. */
  exportCount: 1_000,
  /** Most lines in one answer of `/log/refused`. */
  refusedLines: 100,
  /** Most DIDs in one lookup. */
  lookupDids: 1_000,
  /** Longest wait that `Prefer: wait` is granted, in seconds. */
  waitSeconds: 30,
  /** Shortest body that is compressed, in bytes. */
  gzipMinBytes: 1_024,
  /** How long the database may take to say that it is there, in milliseconds. */
  pingMs: 2_000,
  /** How long an entry may wait for a checkpoint before health says so, in seconds. */
  checkpointLagSeconds: 30,
  /** `Retry-After` where a checkpoint is about to come, in seconds. */
  checkpointRetrySeconds: 1,
  /** `Retry-After` where the database is gone, in seconds. */
  incidentRetrySeconds: 5,
  /** Parameters of a query that are read; what comes after them is as if it were not there. */
  queryParameters: 100,
  /** Longest request line and header fields together, in bytes. */
  headerBytes: 16_384,
  /** How long a client may take to send its header, in seconds. */
  headerSeconds: 10,
  /** How long a client may take to send its whole request, in seconds. */
  requestSeconds: 30,
  /** How long a connection may carry nothing while an answer is due, in seconds. */
  idleSeconds: 120,
  /** How long a connection is kept for the next request, in seconds. */
  keepAliveSeconds: 65,
  /** Most header fields of a request. */
  headers: 200,
  /** Most connections at once; more are closed unread. */
  connections: 10_000,
  /** Most connections at once from one address, unless a proxy names the clients; more are closed unread. */
  connectionsPerAddress: 1_000,
  /** Most requests of one connection that wait for their answers. */
  pipelined: 100,
  /** How long the sending of an answer may take, in seconds, beside the time for its bytes. */
  answerSeconds: 30,
  /** Bytes of an answer that a client must take in a second. */
  answerBytesPerSecond: 16_384,
  /** Bytes of answers that were written and not taken, of all connections together. */
  unsentBytes: 67_108_864,
  /** How long a connection stays open after the refusal of a body, so that the client sees the refusal, in seconds. */
  lingerSeconds: 1,
  /** How much of a refused body is read meanwhile, in bytes. */
  lingerBytes: 1_048_576,
  /** How often the time limits of connections are looked at, in milliseconds. */
  sweepMs: 1_000,
  /** Submissions that one address may make in a second. */
  writeRate: 50,
  /** For how many seconds' worth of submissions an address that was quiet may make at once. */
  writeBurstSeconds: 10,
  /** Other requests that one address may make in a second. */
  readRate: 1_000,
  /** For how many seconds' worth of other requests an address that was quiet may make at once. */
  readBurstSeconds: 5,
  /** Addresses whose requests are counted one by one, for submissions and for other requests each. */
  addresses: 100_000,
  /** Most submissions that are being forwarded at once. */
  forwards: 500,
  /** Directories that may forward one submission, one after the other. */
  forwardHops: 4,
  /** How long another directory may take to answer a forwarded submission, in seconds. */
  forwardSeconds: 65,
  /** Longest body of its answer, in bytes. */
  forwardAnswerBytes: 262_144,
  /** `Retry-After` where the other directory gives no answer, in seconds. */
  forwardRetrySeconds: 5,
  /** Answers about identities that are kept ready. */
  keptAnswers: 30_000,
  /** Bytes of their bodies. */
  keptBytes: 20_971_520,
  /** New entries that are looked at to learn which of them are still true; where there are more, none is kept. */
  followedEntries: 5_000,
  /** Most lines that name what an operator withholds. */
  withheldEntries: 1_000,
  /** Longest reason for it, in characters. */
  withheldReason: 200,
  /** How long answers under way may take once the server stops, in seconds. */
  drainSeconds: 10,
} as const
