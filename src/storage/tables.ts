// The tables as the queries see them; what each column means is said in migrations/. spec/log.md#storage

import type { Generated } from 'kysely'

export interface EntriesTable {
  index: number
  created_at: number
  signer: number | null
  nullified: boolean
  /** Without `did:plc:`. */
  did: string | null
  /** The 32-byte digest. */
  cid: Uint8Array | null
  rejected: string | null
  entry: Uint8Array
}

export interface TilesTable {
  level: number
  index: number
  /** 0 to 7: hashes `[32 * part, 32 * part + 32)` of the tile. */
  part: number
  hashes: Uint8Array
}

export interface LogHeadTable {
  single: Generated<boolean>
  origin: string
  guard_id: string
  vkeys: readonly string[]
  key_statement: string | null
  size: number
  root: Uint8Array
  edge: Uint8Array
  last_native: number | null
}

export interface PublicationTable {
  single: Generated<boolean>
  size: number
  root: Uint8Array
  note: string
  published_at: number
}

export interface KeptCheckpointsTable {
  size: number
  note: string
}

export interface UpstreamTable {
  single: Generated<boolean>
  source: string
  numbered: boolean
  cursor: number
  highest: number
  dropped: number
}

export interface UpstreamRunsTable {
  index: number
  number: number
  count: number
  late: boolean
}

export interface SetAsideTable {
  number: number
  key: string
  did: string
  cid: string
  code: string
  words: string
  upstream: number | null
  index: number | null
  seen_at: number
  length: number
  line: Uint8Array
}

export interface DivergencesTable {
  did: string
  since: number
  checked_at: number
  ended_at: number | null
  kinds: readonly string[]
  theirs: string | null
}

export interface MapLogTable {
  single: Generated<boolean>
  origin: string
  guard_id: string
  vkeys: readonly string[]
  key_statement: string | null
  size: number
  root: Uint8Array
  edge: Uint8Array
  published_size: number | null
  published_root: Uint8Array | null
  note: string | null
  published_at: number | null
  derived_size: number
  derived_root: Uint8Array
}

export interface MapLeavesTable {
  index: number
  leaf: Uint8Array
}

export interface MapTilesTable {
  level: number
  index: number
  hashes: Uint8Array
}

export interface MapBucketsTable {
  bucket: number
  hash: Uint8Array
  entries: Uint8Array
}

export interface Tables {
  map_log: MapLogTable
  map_leaves: MapLeavesTable
  map_tiles: MapTilesTable
  map_buckets: MapBucketsTable
  entries: EntriesTable
  tiles: TilesTable
  log_head: LogHeadTable
  publication: PublicationTable
  kept_checkpoints: KeptCheckpointsTable
  upstream: UpstreamTable
  upstream_runs: UpstreamRunsTable
  set_aside: SetAsideTable
  divergences: DivergencesTable
}
