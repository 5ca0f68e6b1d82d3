// One change of the log inside its transaction: head by compare-and-swap, entries, nullifications, tiles.
// spec/log.md#storage

import { sql, type Kysely } from 'kysely'
import { assert } from '../core/errors.ts'
import { parseCid } from '../core/encoding/cid.ts'
import { concatBytes } from '../core/encoding/text.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { encodeEdge } from '../core/tlog/edge.ts'
import type { TileGrowth } from '../core/growth.ts'
import { NOTIFY } from './notify.ts'
import { storedDid } from './reads.ts'
import { checkAppend } from './rules.ts'
import { StaleHeadError, type Append } from './store.ts'
import type { Tables } from './tables.ts'

/** Hashes in one row of `tiles`. */
const PART_WIDTH = 32

/** Writes a change. Throws StaleHeadError where head or a tile is not what it was decided on: the transaction must then be rolled back. */
export async function appendIn(transaction: Kysely<Tables>, append: Append): Promise<void> {
  checkAppend(append)
  await moveHead(transaction, append)
  if (append.entries.length > 0) await insertEntries(transaction, append.entries)
  if (append.nullified.length > 0) await nullify(transaction, append.nullified)
  if (append.tiles.length > 0) await growTiles(transaction, append.tiles)
}

async function moveHead(transaction: Kysely<Tables>, { from, to }: Append): Promise<void> {
  const moved = await transaction
    .updateTable('log_head')
    .set({ size: to.size, root: to.root, edge: encodeEdge(to.edge), last_native: to.clock.lastNative })
    .where('size', '=', from.size)
    .where('root', '=', from.root)
    .returning(NOTIFY)
    .execute()
  if (moved.length !== 1) throw new StaleHeadError('another writer moved the head')
}

// Thousands of rows are a handful of parameters: arrays for what is short, and one run of bytes, which travels as it
// is while an array of byte strings would travel as text, for CIDs and entries.
async function insertEntries(transaction: Kysely<Tables>, rows: Append['entries']): Promise<void> {
  const lengths = rows.map((row) => row.entry.length)
  let end = 1
  const starts = lengths.map((length) => (end += length) - length)
  const cids = concatBytes(...rows.map((row) => (row.cid === '' ? new Uint8Array(HASH_BYTES) : parseCid(row.cid))))
  const entries = concatBytes(...rows.map((row) => row.entry))
  const { numAffectedRows } = await sql`
    insert into entries (index, created_at, signer, nullified, did, cid, rejected, entry)
    select index, created_at, signer, nullified, did,
      case when did is null then null else substr(${cids}::bytea, (position::integer - 1) * ${sql.lit(HASH_BYTES)} + 1, ${sql.lit(HASH_BYTES)}) end,
      rejected, substr(${entries}::bytea, start, length)
    from unnest(
      ${rows.map((row) => row.index)}::bigint[],
      ${rows.map((row) => row.createdAt)}::bigint[],
      ${rows.map((row) => row.signer)}::smallint[],
      ${rows.map((row) => row.nullified)}::boolean[],
      ${rows.map((row) => storedDid(row.did))}::text[],
      ${rows.map((row) => row.rejected)}::text[],
      ${starts}::integer[],
      ${lengths}::integer[]
    ) with ordinality as row (index, created_at, signer, nullified, did, rejected, start, length, position)`.execute(transaction)
  assert(numAffectedRows === BigInt(rows.length), 'every entry is inserted')
}

async function nullify(transaction: Kysely<Tables>, indices: readonly number[]): Promise<void> {
  const { numAffectedRows } = await sql`
    update entries set nullified = true where index = any(${indices}::bigint[])`.execute(transaction)
  assert(numAffectedRows === BigInt(indices.length), 'every nullified entry exists')
}

// A part that begins has no row, and the one before it in the tile is full; a part that goes on has a row of exactly
// as many hashes as it is said to have.
async function growTiles(transaction: Kysely<Tables>, tiles: Append['tiles']): Promise<void> {
  const pieces = tiles.flatMap(cutIntoParts)
  const { rows } = await sql<{ written: number }>`
    with piece as (
      select * from unnest(
        ${pieces.map((piece) => piece.level)}::smallint[],
        ${pieces.map((piece) => piece.index)}::bigint[],
        ${pieces.map((piece) => piece.part)}::smallint[],
        ${pieces.map((piece) => piece.had)}::integer[],
        ${pieces.map((piece) => piece.follows)}::boolean[],
        ${pieces.map((piece) => piece.hashes)}::bytea[]
      ) as piece (level, index, part, had, follows, hashes)
    ), begun as (
      insert into tiles (level, index, part, hashes)
      select level, index, part, hashes from piece
      where had = 0 and (part = 0 or follows or exists (
        select from tiles where tiles.level = piece.level and tiles.index = piece.index
          and tiles.part = piece.part - 1 and octet_length(tiles.hashes) = ${sql.lit(PART_WIDTH * HASH_BYTES)}
      ))
      on conflict do nothing
      returning 1
    ), grown as (
      update tiles set hashes = tiles.hashes || piece.hashes
      from piece
      where tiles.level = piece.level and tiles.index = piece.index and tiles.part = piece.part
        and piece.had > 0 and octet_length(tiles.hashes) = piece.had * ${sql.lit(HASH_BYTES)}
      returning 1
    )
    select ((select count(*) from begun) + (select count(*) from grown))::integer as written`.execute(transaction)
  if (rows[0]?.written !== pieces.length) throw new StaleHeadError('a tile has another length')
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
