// The queries that give entries and tiles. spec/log.md#storage

import { sql, type Kysely } from 'kysely'
import type { Pool, PoolClient } from 'pg'
import { formatCid } from '../core/encoding/cid.ts'
import { assert } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import type { TileId } from '../core/tlog/tile.ts'
import { copyOut, type CopiedRow } from './copy-out.ts'
import type { EntryRow, RejectedRow, StoredEntry } from './store.ts'
import type { EntriesTable, Tables } from './tables.ts'

const DID_PREFIX = 'did:plc:'

/** As `Store.entries`. */
export async function entries(db: Kysely<Tables>, start: number, end: number): Promise<EntryRow[]> {
  const rows = await db.selectFrom('entries').selectAll().where('index', '>=', start).where('index', '<', end).orderBy('index').execute()
  return rows.map(toRow)
}

/** As `Store.history`. */
export async function history(on: Pick<Pool | PoolClient, 'query'>, dids: readonly string[], from: number, most?: number): Promise<EntryRow[]> {
  const stored = dids.map(storedDid).filter((did) => did !== null)
  if (stored.length === 0) return []
  // No limit is a limit of null.
  const { rows } = await on.query<EntriesTable>({ name: 'history', text: HISTORY, values: [stored, from, most === undefined ? null : most + 1] })
  return rows.map(toRow).sort((a, b) => a.index - b.index)
}

/** As `Store.newestOf`: for each DID one step backwards in the index. Each session prepares both forms once. */
export async function newestOf(pool: Pool, dids: readonly string[]): Promise<EntryRow[]> {
  const stored = [...new Set(dids.map(storedDid).filter((did) => did !== null))]
  if (stored.length === 0) return []
  const query = stored.length === 1 ? { name: 'newest', text: NEWEST, values: stored } : { name: 'newest of', text: NEWEST_OF, values: [stored] }
  const { rows } = await pool.query<EntriesTable>(query)
  return rows.map(toRow)
}

const COLUMNS = 'entries.index, entries.did, cid, created_at, signer, nullified, rejected, entry'

// Put in order by who asks: an order with a limit would tempt the planner to walk the whole log in that order.
const HISTORY = `select ${COLUMNS} from entries where did = any($1::text[]) and index >= $2 limit $3`

// Ordered by both columns, which leaves the planner no other way.
const newestWhere = (did: string): string =>
  `select ${COLUMNS} from entries where entries.did = ${did} and not nullified and rejected is null order by entries.did desc, entries.index desc limit 1`

const NEWEST = newestWhere('$1')
const NEWEST_OF = `select newest.* from unnest($1::text[]) as asked (did) cross join lateral (${newestWhere('asked.did')}) as newest`

/** As `Store.leaves`. */
export async function leaves(pool: Pool, start: number, end: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  const slabs = new Slabs()
  const range = `index >= ${integer(start)} and index < ${integer(end)}`
  await copyOut(pool, `select entry from entries where ${range} order by index`, (row) => found.push(slabs.copy(row.bytes())))
  return found
}

// Copies of many bytes in few pieces of memory: to allocate each by itself takes longer than to fill it.
class Slabs {
  #slab = new Uint8Array(0)
  #used = 0

  copy(bytes: Uint8Array): Uint8Array {
    if (this.#used + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(SLAB_BYTES, bytes.length))
      this.#used = 0
    }
    const begin = this.#used
    this.#used += bytes.length
    this.#slab.set(bytes, begin)
    return this.#slab.subarray(begin, this.#used)
  }
}

/** What a copy keeps in memory at the most beside itself. */
const SLAB_BYTES = 65_536

/**
 * As `Store.exportFrom`. A planner who knows nothing of the table yet would put all that follows in order to give its
 * beginning: each query names an end that is near.
 */
export async function exportFrom(pool: Pool, from: number, to: number, count: number, use: (entry: StoredEntry) => void): Promise<void> {
  let [start, left] = [from, count]
  for (let span = count; left > 0 && start < to; span = Math.max(left, MORE_ENTRIES)) {
    const end = Math.min(to, start + span)
    const range = `${ACCEPTED} and index >= ${integer(start)} and index < ${integer(end)} order by index limit ${integer(left)}`
    left -= await copyOut(pool, `select ${EXPORTED} ${range}`, (row) => use(storedEntry(row)))
    start = end
  }
}

/** Entries that are looked at together where rejected ones were among those before them. */
const MORE_ENTRIES = 1_000

/**
 * As `Store.exportAfter`. The index orders by time alone and equal times are put in order here, by the CID's text,
 * which no index of bytes can do (base32 sorts digits before letters). Where the page ends amid equal times, all of
 * them are looked at, without their entries, to choose those that come first.
 */
export async function exportAfter(pool: Pool, after: number | null, to: number, count: number): Promise<StoredEntry[]> {
  const later = `${ACCEPTED} and index < ${integer(to)}${after === null ? '' : ` and created_at > ${integer(after)}`}`
  const found: (StoredEntry & Position)[] = []
  const slabs = new Slabs()
  const kept = (stored: StoredEntry): StoredEntry => ({ ...stored, digest: slabs.copy(stored.digest), entry: slabs.copy(stored.entry) })
  await copyOut(pool, `select created_at, ${EXPORTED} ${later} order by created_at limit ${integer(count + 1)}`, (row) => {
    const createdAt = row.integer()
    found.push({ createdAt, ...kept(storedEntry(row)) })
  })
  const cut = found.length > count ? found.at(-1)?.createdAt : undefined
  if (cut === undefined) return found.sort(byTimeAndCid)
  const whole = found.filter((entry) => entry.createdAt < cut).sort(byTimeAndCid)
  const tied: Position[] = []
  await copyOut(pool, `select index, cid ${ACCEPTED} and index < ${integer(to)} and created_at = ${integer(cut)}`, (row) => {
    tied.push({ index: row.integer(), createdAt: cut, digest: new Uint8Array(row.bytes()) })
  })
  const chosen = tied.sort(byTimeAndCid).slice(0, count - whole.length)
  const rest: (StoredEntry & Position)[] = []
  await copyOut(pool, `select ${EXPORTED} ${ACCEPTED} and index = any('{${chosen.map(({ index }) => integer(index)).join()}}'::bigint[])`, (row) => {
    rest.push({ createdAt: cut, ...kept(storedEntry(row)) })
  })
  return [...whole, ...rest.sort(byTimeAndCid)]
}

/** As `Store.rejected`. */
export async function rejected(db: Kysely<Tables>, from: number, to: number, count: number): Promise<RejectedRow[]> {
  const found = db.selectFrom('entries').select(['index', 'did', 'cid', 'rejected']).where('rejected', 'is not', null).where('index', '>=', from).where('index', '<', to)
  const rows = await found.orderBy('index').limit(count).execute()
  return rows.map((row) => ({ index: row.index, did: fullDid(row.did), cid: cidText(row.cid), code: row.rejected ?? '' }))
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

const ACCEPTED = 'from entries where rejected is null'
const EXPORTED = 'index, cid, nullified, entry'

function storedEntry(row: CopiedRow): StoredEntry {
  return { index: row.integer(), digest: row.bytes(), nullified: row.boolean(), entry: row.bytes() }
}

// A copy takes no parameters.
function integer(value: number): string {
  assert(Number.isSafeInteger(value), `${value} is no whole number`)
  return String(value)
}

type Position = Pick<StoredEntry, 'index' | 'digest'> & Pick<EntryRow, 'createdAt'>

function byTimeAndCid(a: Position, b: Position): number {
  return a.createdAt - b.createdAt || compareTexts(formatCid(a.digest), formatCid(b.digest)) || a.index - b.index
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function toRow(row: EntriesTable): EntryRow {
  return {
    index: row.index,
    did: fullDid(row.did),
    cid: cidText(row.cid),
    createdAt: row.created_at,
    signer: row.signer,
    nullified: row.nullified,
    rejected: row.rejected,
    entry: row.entry,
  }
}

function fullDid(stored: string | null): string {
  return stored === null ? '' : DID_PREFIX + stored
}

function cidText(digest: Uint8Array | null): string {
  return digest === null ? '' : formatCid(digest)
}
