// The queries that give entries and tiles. spec/log.md#storage

import { sql, type Kysely } from 'kysely'
import { formatCid } from '../core/encoding/cid.ts'
import { isDid } from '../core/plc/did.ts'
import type { TileId } from '../core/tlog/tile.ts'
import type { EntryRow } from './store.ts'
import type { EntriesTable, Tables } from './tables.ts'

const DID_PREFIX = 'did:plc:'

/** As `Store.entries`. */
export async function entries(db: Kysely<Tables>, start: number, end: number): Promise<EntryRow[]> {
  const rows = await db.selectFrom('entries').selectAll().where('index', '>=', start).where('index', '<', end).orderBy('index').execute()
  return rows.map(toRow)
}

/** As `Store.history`. */
export async function history(db: Kysely<Tables>, dids: readonly string[], from: number, most?: number): Promise<EntryRow[]> {
  const stored = dids.map(storedDid).filter((did) => did !== null)
  if (stored.length === 0) return []
  const found = db.selectFrom('entries').selectAll().where(sql<boolean>`did = any(${stored}::text[])`).where('index', '>=', from)
  // Put in order here: an order with a limit would tempt the planner to walk the whole log in that order.
  const rows = await (most === undefined ? found : found.limit(most + 1)).execute()
  return rows.map(toRow).sort((a, b) => a.index - b.index)
}

/** As `Store.newest`. */
export async function newest(db: Kysely<Tables>, did: string): Promise<EntryRow | null> {
  const stored = storedDid(did)
  if (stored === null) return null
  // Ordered by both columns, which leaves the planner no other way than one step backwards in the index.
  const row = await db
    .selectFrom('entries')
    .selectAll()
    .where('did', '=', stored)
    .where('nullified', '=', false)
    .where('rejected', 'is', null)
    .orderBy('did', 'desc')
    .orderBy('index', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? null : toRow(row)
}

/** As `Store.newestOf`: for each DID the one step backwards in the index that `newest` takes. */
export async function newestOf(db: Kysely<Tables>, dids: readonly string[]): Promise<EntryRow[]> {
  const stored = new Set(dids.map(storedDid).filter((did) => did !== null))
  if (stored.size === 0) return []
  const { rows } = await sql<EntriesTable>`
    select newest.*
    from unnest(${[...stored]}::text[]) as asked (did)
    cross join lateral (
      select * from entries
      where entries.did = asked.did and not entries.nullified and entries.rejected is null
      order by entries.did desc, entries.index desc
      limit 1
    ) as newest`.execute(db)
  return rows.map(toRow)
}

/** As `Store.exportFrom`. */
export async function exportFrom(db: Kysely<Tables>, from: number, to: number, count: number): Promise<EntryRow[]> {
  const rows = await accepted(db, to).selectAll().where('index', '>=', from).orderBy('index').limit(count).execute()
  return rows.map(toRow)
}

/**
 * As `Store.exportAfter`. The index orders by time alone and equal times are put in order here, by the CID's text,
 * which no index of bytes can do (base32 sorts digits before letters). Where the page ends amid equal times, all of
 * them are looked at, without their entries, to choose those that come first.
 */
export async function exportAfter(db: Kysely<Tables>, after: number | null, to: number, count: number): Promise<EntryRow[]> {
  const page = accepted(db, to).selectAll().orderBy('created_at').limit(count + 1)
  const found = (await (after === null ? page : page.where('created_at', '>', after)).execute()).map(toRow)
  const cut = found.length > count ? found.at(-1)?.createdAt : undefined
  if (cut === undefined) return found.sort(byTimeAndCid)
  const whole = found.filter((row) => row.createdAt < cut).sort(byTimeAndCid)
  const tied = await accepted(db, to).select(['index', 'cid']).where('created_at', '=', cut).execute()
  const chosen = tied
    .map(({ index, cid }) => ({ index, createdAt: cut, cid: cidText(cid) }))
    .sort(byTimeAndCid)
    .slice(0, count - whole.length)
    .map(({ index }) => index)
  const rest = await db.selectFrom('entries').selectAll().where(sql<boolean>`index = any(${chosen}::bigint[])`).execute()
  return [...whole, ...rest.map(toRow).sort(byTimeAndCid)]
}

/** As `Store.tiles`. */
export async function tiles(db: Kysely<Tables>, asked: readonly TileId[]): Promise<Uint8Array[]> {
  if (asked.length === 0) return []
  const { rows } = await sql<{ hashes: Uint8Array | null }>`
    select (
      select string_agg(tiles.hashes, ''::bytea order by tiles.part) from tiles
      where tiles.level = asked.level and tiles.index = asked.index
    ) as hashes
    from unnest(${asked.map((tile) => tile.level)}::smallint[], ${asked.map((tile) => tile.index)}::bigint[])
      with ordinality as asked (level, index, position)
    order by asked.position`.execute(db)
  return rows.map((row) => row.hashes ?? new Uint8Array())
}

/** The characters of a did:plc that are stored; null for any other text. */
export function storedDid(did: string): string | null {
  return isDid(did) ? did.slice(DID_PREFIX.length) : null
}

function accepted(db: Kysely<Tables>, to: number) {
  return db.selectFrom('entries').where('rejected', 'is', null).where('index', '<', to)
}

type Position = Pick<EntryRow, 'createdAt' | 'cid' | 'index'>

function byTimeAndCid(a: Position, b: Position): number {
  return a.createdAt - b.createdAt || (a.cid < b.cid ? -1 : a.cid > b.cid ? 1 : a.index - b.index)
}

function toRow(row: EntriesTable): EntryRow {
  return {
    index: row.index,
    did: row.did === null ? '' : DID_PREFIX + row.did,
    cid: cidText(row.cid),
    createdAt: row.created_at,
    signer: row.signer,
    nullified: row.nullified,
    rejected: row.rejected,
    entry: row.entry,
  }
}

function cidText(digest: Uint8Array | null): string {
  return digest === null ? '' : formatCid(digest)
}
