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

export interface Tables {
  entries: EntriesTable
  tiles: TilesTable
  log_head: LogHeadTable
  publication: PublicationTable
  kept_checkpoints: KeptCheckpointsTable
}
