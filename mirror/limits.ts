// Every bound of a mirror, in one place. spec/mirror.md#limits

export const MIRROR_LIMITS = {
  /** Entries that are replayed and written in one transaction. */
  batchEntries: 4_096,
  /** Bytes of entries, or of a notary's lines, after which a transaction takes no more. */
  batchBytes: 16_777_216,
  /** Operations of the identities that were changed last, which have not to be read again when they change once more. */
  recentOperations: 1_024,
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
  longestRetryMs: 1_000,
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
  /** How far a date may be from what clocks say before it is an alarm, in seconds. */
  dateToleranceSeconds: 300,
  /** How long health speaks of an entry that came too late for its date, in seconds. */
  dateAlarmSeconds: 3_600,
  /** How old the newest cosignature of a log may be that is cosigned every minute, before health says so, in seconds. */
  cosignedSeconds: 300,
  /** How long a forwarded operation may take to arrive here before its client is answered all the same, in seconds. */
  arrivalSeconds: 15,
  /** How long a checkpoint that is to be cosigned may wait until its entries are verified here, in milliseconds. */
  cosignWaitMs: 3_000,
  /** Checkpoints that wait for that at once; more are refused at once. */
  cosignWaiting: 16,
  /** After how long a mirror cosigns again what it serves, in seconds. */
  cosignAgainSeconds: 60,
  /** Most upstreams. */
  upstreams: 16,
  /** Alarms that are kept, as files; of more, the words stand in the log lines alone. */
  alarms: 100,
  /** Rejected entries for which evidence is looked for at one checkpoint. */
  rejectedEvidence: 100,
  /** Lines that a notary asks for in one page of the export. */
  pageLines: 1_000,
  /** Most lines that it reads in one: an upstream may repeat what stood in the page before. */
  pageLinesRead: 2_000,
  /** Longest page that is read, in bytes. */
  pageBytes: 67_108_864,
  /** How long a page or an audit log may take to come, in milliseconds. */
  pageMs: 30_000,
  /** Pages that are read before they are needed. */
  pagesAhead: 6,
  /** Transactions' worth of entries or lines that are being checked while one is written. */
  batchesAhead: 2,
  /** Requests that a notary makes of its upstream in a minute, unless it is told otherwise. */
  requestsPerMinute: 90,
  /** How far before its cursor a notary begins to read pages, in numbers of the upstream. */
  overlapNumbers: 1_000,
  /** The same where operations have no numbers, in milliseconds. */
  overlapMs: 1_000,
  /** How often what the stream brought is read again from pages, in milliseconds. */
  sweepMs: 60_000,
  /** How soon a gap in the stream's numbers is looked for in pages again, in milliseconds. */
  gapMs: 5_000,
  /** How often pages are read where there is no stream, and the longest wait between two attempts at one, in milliseconds. */
  pollPlainMs: 5_000,
  /** Lines of the stream that wait to be taken; with more the stream is read no faster. */
  streamAheadLines: 4_096,
  /** The same in UTF-16 units. */
  streamAheadLength: 8_388_608,
  /** How often an identity is compared with the upstream's audit log where nothing asks for it, in milliseconds. */
  sampleMs: 10_000,
  /** The newest entries, of which every other of these identities is. */
  sampleNewest: 10_000,
  /** How old an operation is before it matters that one side shows it and the other does not, in seconds. */
  settledSeconds: 60,
  /** Identities that wait to be compared. */
  checksWaiting: 10_000,
  /** Longest audit log that is read, in bytes. */
  auditBytes: 16_777_216,
  /** Most operations in one: more cannot be compared. */
  auditLines: 10_000,
  /** Longest audit log of a divergent identity that is kept, in bytes. */
  theirsBytes: 65_536,
  /** Divergent identities that are kept, those that agree again included. */
  divergences: 10_000,
  /** Lines that are kept aside; more are counted. */
  asideLines: 10_000,
  /** Bytes of such a line that are kept. */
  asideBytes: 32_768,
  /** Entries of the log among which the size is looked for that the last version of a lost map was of. */
  leafCandidates: 100_000,
} as const
