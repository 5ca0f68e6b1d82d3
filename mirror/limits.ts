// Every bound of a mirror, in one place. spec/mirror.md#limits

export const MIRROR_LIMITS = {
  /** Entries that are replayed and written in one transaction. */
  batchEntries: 4_096,
  /** Bytes of entries after which a transaction takes no more. */
  batchBytes: 16_777_216,
  /** Bundles that are asked for before they are needed. */
  bundlesAhead: 24,
  /** Entries that no checkpoint covers yet; with more the stream is left, and the log is read from its bundles. */
  tailEntries: 100_000,
  /** Bytes of entries that no checkpoint covers yet; with more, the same. */
  tailBytes: 67_108_864,
  /** How often the checkpoint of an upstream is read beside its stream, in milliseconds. */
  pollMs: 1_000,
  /** How long an upstream's stream may lack what its checkpoint covers, in milliseconds. */
  streamLagMs: 3_000,
  /** How long an upstream may take for one answer, in milliseconds. */
  requestMs: 10_000,
  /** First wait between two attempts at an upstream, in milliseconds; it doubles, and up to half of it is left out at random. */
  firstRetryMs: 100,
  /** Longest wait between two attempts at an upstream, in milliseconds. */
  longestRetryMs: 2_000,
  /** How long an upstream that served something wrong is asked last, in milliseconds. */
  distrustMs: 60_000,
  /** How long no upstream may answer before health says so, in seconds. */
  silentSeconds: 30,
  /** How long a mirror may be behind before health says so, in seconds. */
  lagSeconds: 60,
  /** How long an entry may be provisional before health says so, in seconds. */
  provisionalSeconds: 60,
  /** How long an upstream may show an older checkpoint than is known before health says so, in seconds. */
  staleSeconds: 300,
  /** How long a forwarded operation may take to arrive here before its client is answered all the same, in seconds. */
  arrivalSeconds: 15,
  /** Most upstreams. */
  upstreams: 16,
  /** Alarms that are kept, as files; of more, the words stand in the log lines alone. */
  alarms: 100,
  /** Rejected entries for which evidence is looked for at one checkpoint. */
  rejectedEvidence: 100,
} as const
