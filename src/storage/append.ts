// One change of the log inside its transaction: head by compare-and-swap, entries, nullifications, tiles.
// spec/log.md#storage

import type { PoolClient } from 'pg'
import { assert } from '../core/errors.ts'
import { parseCid } from '../core/encoding/cid.ts'
import { concatBytes } from '../core/encoding/text.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { encodeEdge } from '../core/tlog/edge.ts'
import type { TileGrowth } from '../core/growth.ts'
import { noteUpstream } from './notary-postgres.ts'
import { NOTIFY_SQL } from './notify.ts'
import { storedDid } from './reads.ts'
import { checkAppend } from './rules.ts'
import { StaleHeadError, type Append } from './store.ts'

/** Hashes in one row of `tiles`. */
const PART_WIDTH = 32

/** Writes a change, in one statement, and in more what is noted of an upstream. Throws StaleHeadError where head or a tile is not what it was decided on: the transaction must then be rolled back. */
export async function appendIn(client: PoolClient, append: Append): Promise<void> {
  checkAppend(append)
  const { entries, nullified } = append
  const pieces = append.tiles.flatMap(cutIntoParts)
  const [written] = (await client.query<Written>({ name: 'append', text: APPEND, values: columnsOf(append, pieces) })).rows
  assert(written !== undefined, 'a statement that counts has a row')
  if (written.moved !== 1) throw new StaleHeadError('another writer moved the head')
  assert(written.inserted === entries.length, 'every entry is inserted')
  assert(written.undone === nullified.length, 'every nullified entry exists')
  if (written.grown !== pieces.length) throw new StaleHeadError('a tile has another length')
  if (append.upstream !== undefined) await noteUpstream(client, append.upstream)
}

/** The statement of `Store.appendNext`, which is a transaction of its own: a row of `AppendedNext`, or an error with the code STALE_TILE or TOO_LATE. Throws where the change is not whole. */
export function appendNextQuery(append: Append, latest: number): { readonly name: string; readonly text: string; readonly values: unknown[] } {
  checkAppend(append)
  assert(append.upstream === undefined, 'what is noted of an upstream is written under the row')
  return { name: 'append next', text: APPEND_NEXT, values: [...columnsOf(append, append.tiles.flatMap(cutIntoParts)), latest] }
}

/** Whether the head was moved, 1 or 0, and the database's clock, milliseconds since 1970. */
export interface AppendedNext {
  readonly moved: number
  readonly now: number
}

/** What PostgreSQL calls the division by zero with which a change is undone that would not be whole. */
export const STALE_TILE = '22012'

/** What it calls the root of a negative number, with which a change is undone that comes too late. */
export const TOO_LATE = '2201F'

function columnsOf({ from, to, entries, nullified }: Append, pieces: readonly Piece[]): unknown[] {
  return [to.size, to.root, encodeEdge(to.edge), to.clock.lastNative, from.size, from.root, ...entryColumns(entries), nullified, ...pieceColumns(pieces)]
}

/** How many rows of each kind were written. */
interface Written {
  readonly moved: number
  readonly inserted: number
  readonly undone: number
  readonly grown: number
}

// Thousands of rows are a handful of parameters: arrays for what is short, and one run of bytes, which travels as it
// is while an array of byte strings would travel as text, for CIDs and entries.
//
// A part of a tile that begins has no row, and the one before it in the tile is full; a part that goes on has a row of
// exactly as many hashes as it is said to have.
const WRITTEN = `
  with moved as (
    update log_head set size = $1, root = $2, edge = $3, last_native = $4 where size = $5 and root = $6
    returning ${NOTIFY_SQL}
  ), inserted as (
    insert into entries (index, created_at, signer, nullified, did, cid, rejected, entry)
    select index, created_at, signer, nullified, did,
      case when did is null then null else substr($7::bytea, (position::integer - 1) * ${HASH_BYTES} + 1, ${HASH_BYTES}) end,
      rejected, substr($8::bytea, start, length)
    from unnest($9::bigint[], $10::bigint[], $11::smallint[], $12::boolean[], $13::text[], $14::text[], $15::integer[], $16::integer[])
      with ordinality as row (index, created_at, signer, nullified, did, rejected, start, length, position)
    where exists (select from moved)
    returning 1
  ), undone as (
    update entries set nullified = true where index = any($17::bigint[]) and exists (select from moved) returning 1
  ), piece as (
    select * from unnest($18::smallint[], $19::bigint[], $20::smallint[], $21::integer[], $22::boolean[], $23::bytea[])
      as piece (level, index, part, had, follows, hashes)
    where exists (select from moved)
  ), begun as (
    insert into tiles (level, index, part, hashes)
    select level, index, part, hashes from piece
    where had = 0 and (part = 0 or follows or exists (
      select from tiles where tiles.level = piece.level and tiles.index = piece.index
        and tiles.part = piece.part - 1 and octet_length(tiles.hashes) = ${PART_WIDTH * HASH_BYTES}
    ))
    on conflict do nothing
    returning 1
  ), grown as (
    update tiles set hashes = tiles.hashes || piece.hashes
    from piece
    where tiles.level = piece.level and tiles.index = piece.index and tiles.part = piece.part
      and piece.had > 0 and octet_length(tiles.hashes) = piece.had * ${HASH_BYTES}
    returning 1
  ), counted as (
    select (select count(*) from moved)::integer as moved, (select count(*) from inserted)::integer as inserted,
      (select count(*) from undone)::integer as undone,
      ((select count(*) from begun) + (select count(*) from grown))::integer as grown
  )`

const APPEND = `${WRITTEN} select moved, inserted, undone, grown from counted`

// Where the head has moved nothing else is written; where a part of the change cannot be written, or the clock is past the latest moment by the time that
// the head is held, none of it is.
const APPEND_NEXT = `${WRITTEN}
  select moved, floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now,
    1 / case when moved = 0 or (inserted = cardinality($9::bigint[]) and undone = cardinality($17::bigint[]) and grown = cardinality($18::smallint[])) then 1 else 0 end as whole,
    sqrt(case when moved = 1 and extract(epoch from clock_timestamp()) * 1000 > $24::bigint then -1 else 0 end) as in_time
  from counted`

function entryColumns(rows: Append['entries']): readonly unknown[] {
  const lengths = rows.map((row) => row.entry.length)
  let end = 1
  const starts = lengths.map((length) => (end += length) - length)
  return [
    concatBytes(...rows.map((row) => (row.cid === '' ? new Uint8Array(HASH_BYTES) : parseCid(row.cid)))),
    concatBytes(...rows.map((row) => row.entry)),
    arrayOf(rows.map((row) => row.index)),
    arrayOf(rows.map((row) => row.createdAt)),
    arrayOf(rows.map((row) => row.signer)),
    arrayOf(rows.map((row) => row.nullified)),
    arrayOf(rows.map((row) => storedDid(row.did))),
    arrayOf(rows.map((row) => row.rejected)),
    arrayOf(starts),
    arrayOf(lengths),
  ]
}

// PostgreSQL's text of an array of what needs no quotes: numbers, and text of letters and digits.
function arrayOf(items: readonly (number | boolean | string | null)[]): string {
  return `{${items.map((item) => item ?? 'null').join(',')}}`
}

function pieceColumns(pieces: readonly Piece[]): readonly unknown[] {
  return [
    pieces.map((piece) => piece.level),
    pieces.map((piece) => piece.index),
    pieces.map((piece) => piece.part),
    pieces.map((piece) => piece.had),
    pieces.map((piece) => piece.follows),
    pieces.map((piece) => piece.hashes),
  ]
}

interface Piece {
  readonly level: number
  readonly index: number
  readonly part: number
  /** How many hashes the part has before. */
  readonly had: number
  /** Whether the part before it is filled by the same growth. */
  readonly follows: boolean
  readonly hashes: Uint8Array
}

function cutIntoParts({ level, index, offset, hashes }: TileGrowth): Piece[] {
  const pieces: Piece[] = []
  const end = offset + hashes.length / HASH_BYTES
  for (let start = offset; start < end; ) {
    const part = Math.floor(start / PART_WIDTH)
    const next = Math.min(end, (part + 1) * PART_WIDTH)
    const had = start - part * PART_WIDTH
    pieces.push({ level, index, part, had, follows: start > offset, hashes: hashes.subarray((start - offset) * HASH_BYTES, (next - offset) * HASH_BYTES) })
    start = next
  }
  return pieces
}
