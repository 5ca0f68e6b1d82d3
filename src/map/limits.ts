// Every bound of the map's work, in one place. spec/map.md#storage

export const MAP_LIMITS = {
  /** Most entries of the log from which one version is derived in memory; where there are more, rows are written in between. */
  stepEntries: 20_000,
  /** Entries that are read together. */
  readEntries: 2_000,
  /** Identities whose histories are read together. */
  historyDids: 200,
  /** Buckets that are read together. */
  readBuckets: 2_000,
  /** Blocks of which the hashes of their buckets are read together. */
  readBlocks: 4_096,
  /** Identities after which others get their turn: operations and answers never wait longer than these take. */
  turnIdentities: 50,
  /** How often a proof is begun again because the version of the map changed meanwhile. */
  proofAttempts: 5,
  /** How long what all proofs have in common is used again, milliseconds. */
  commonMs: 250,
  /** How often a process that does not write the map looks for the newest version before it says that there is no proof. */
  readAttempts: 5,
  /** How long it waits in between, milliseconds. */
  readAgainMs: 20,
} as const
