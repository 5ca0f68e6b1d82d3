// The map and the log of its roots, in PostgreSQL. spec/map.md#storage

import { sql, type Kysely } from 'kysely'
import type { Pool } from 'pg'
import { concatBytes } from '../core/encoding/text.ts'
import { EMPTY_MAP_ROOT, MAP_HASH_BYTES } from '../core/map/trie.ts'
import { BLOCK_BUCKETS } from '../core/map/upper-tree.ts'
import { decodeEdge, EMPTY_EDGE, edgeRoot, encodeEdge } from '../core/tlog/edge.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import type { MapChange, MapHead, MapStore } from './map-store.ts'
import { checkMapAppend, checkMapChange, checkPublication } from './rules.ts'
import { LogExistsError, NoLogError, StaleHeadError, StalePublicationError, StaleSignerError, type Publication } from './store.ts'
import type { Tables } from './tables.ts'

/** The map's part of a store. */
export function mapStore(pool: Pool, db: Kysely<Tables>): MapStore {
  const readHead = async (): Promise<MapHead | null> => {
    const row = await db.selectFrom('map_log').select(['origin', 'guard_id', 'vkeys', 'size', 'root', 'edge']).executeTakeFirst()
    return row === undefined ? null : { origin: row.origin, guardId: row.guard_id, vkeys: row.vkeys, size: row.size, root: row.root, edge: decodeEdge(row.size, row.edge) }
  }
  return {
    head: readHead,

    async create({ origin, guardId, vkeys, statement = null }) {
      const empty = { size: 0, root: edgeRoot(EMPTY_EDGE), edge: encodeEdge(EMPTY_EDGE), derived_size: 0, derived_root: EMPTY_MAP_ROOT }
      const unpublished = { published_size: null, published_root: null, note: null, published_at: null }
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('map_log')
        .values({ origin, guard_id: guardId, vkeys, key_statement: statement, ...empty, ...unpublished })
        .onConflict((conflict) => conflict.column('single').doNothing())
        .executeTakeFirstOrThrow()
      if (numInsertedOrUpdatedRows !== 1n) throw new LogExistsError('the database holds the log of a map already')
    },

    async append(append) {
      checkMapAppend(append)
      const { from, to, leaf, tiles } = append
      const { rows } = await pool.query<{ moved: number }>(APPEND, [
        to.size, to.root, encodeEdge(to.edge), from.size, from.root, leaf,
        tiles.map((tile) => tile.level), tiles.map((tile) => tile.index), tiles.map((tile) => tile.offset), tiles.map((tile) => tile.hashes),
      ])
      if (rows[0]?.moved !== 1) throw new StaleHeadError('another writer moved the head of the map, or a tile has another length')
    },

    async leaves(start, end) {
      const rows = await db.selectFrom('map_leaves').select('leaf').where('index', '>=', start).where('index', '<', end).orderBy('index').execute()
      return rows.map(({ leaf }) => leaf)
    },

    async tiles(asked) {
      if (asked.length === 0) return []
      const [levels, indices] = [asked.map(({ level }) => level), asked.map(({ index }) => index)]
      const { rows } = await sql<{ hashes: Uint8Array | null }>`
        select hashes from unnest(${levels}::smallint[], ${indices}::bigint[]) with ordinality as asked (level, index, position)
          left join map_tiles using (level, index) order by position`.execute(db)
      return rows.map(({ hashes }) => hashes ?? new Uint8Array())
    },

    async publication() {
      const row = await db.selectFrom('map_log').select(['published_size', 'published_root', 'note', 'published_at']).executeTakeFirst()
      if (row === undefined || row.published_size === null || row.published_root === null || row.note === null || row.published_at === null) return null
      return { size: row.published_size, root: row.published_root, note: row.note, publishedAt: row.published_at }
    },

    publish: (publication, change) => publish(pool, publication, change ?? null),

    async version() {
      const row = await db.selectFrom('map_log').select(['derived_size', 'derived_root']).executeTakeFirst()
      return row === undefined ? null : { size: row.derived_size, root: row.derived_root }
    },

    async change(change) {
      checkMapChange(change)
      const { from, to } = change
      const { rows } = await pool.query<{ moved: number }>(CHANGE, [to.size, to.root, from.size, from.root, ...rowColumns(change)])
      if (rows[0]?.moved !== 1) throw new StaleHeadError('the buckets hold another version of the map')
    },

    async clear() {
      await pool.query('with cleared as (delete from map_buckets) update map_log set derived_size = 0, derived_root = $1', [EMPTY_MAP_ROOT])
    },

    async buckets(buckets) {
      const { rows } = await pool.query<{ bucket: number; entries: Uint8Array }>({ name: 'buckets', text: 'select bucket, entries from map_buckets where bucket = any($1::integer[])', values: [buckets] })
      const entriesOf = new Map(rows.map(({ bucket, entries }) => [bucket, entries]))
      return buckets.map((bucket) => entriesOf.get(bucket) ?? new Uint8Array())
    },

    async blocks(blocks) {
      const { rows } = await pool.query<{ block: number; present: number; hashes: Uint8Array }>({ name: 'blocks', text: BLOCKS, values: [blocks] })
      return new Map(rows.map(({ block, present, hashes }) => [block, spread(present, hashes)]))
    },

    bucketHashes: (bucket, count) => db.selectFrom('map_buckets').select(['bucket', 'hash']).where('bucket', '>=', bucket).orderBy('bucket').limit(count).execute(),

    // Nobody publishes so often here that a cosignature would have no checkpoint to join.
    keptCheckpoints: async () => [],
    keepCheckpoint: async () => undefined,

    async keyStatement() {
      const row = await db.selectFrom('map_log').select('key_statement').executeTakeFirst()
      return row?.key_statement ?? null
    },

    async setSigner(from, { guardId, vkeys, statement }) {
      const written = await db.updateTable('map_log').set({ guard_id: guardId, vkeys, ...(statement === undefined ? {} : { key_statement: statement }) }).where('guard_id', '=', from).returning('guard_id').execute()
      if (written.length === 1) return
      const head = await readHead()
      if (head === null) throw new NoLogError('no log of a map has been created')
      throw new StaleSignerError(`the guard of the map's log is ${head.guardId}`)
    },
  }
}

// A tile that begins has no row, one that goes on has exactly as many hashes as it is said to have.
const APPEND = `
  with piece as (
    select * from unnest($7::smallint[], $8::bigint[], $9::integer[], $10::bytea[]) as piece (level, index, had, hashes)
  ), moved as (
    update map_log set size = $1, root = $2, edge = $3 where size = $4 and root = $5 and not exists (
      select from piece left join map_tiles using (level, index) where coalesce(octet_length(map_tiles.hashes), 0) <> had * ${HASH_BYTES}
    ) returning 1
  ), inserted as (
    insert into map_leaves (index, leaf) select $4::bigint, $6::bytea where exists (select from moved)
  ), grown as (
    insert into map_tiles as tile (level, index, hashes) select level, index, hashes from piece where exists (select from moved)
    on conflict (level, index) do update set hashes = tile.hashes || excluded.hashes
  )
  select (select count(*) from moved)::integer as moved`

// Sixteen rows in one: which buckets of a block there are, and their hashes one after the other.
const BLOCKS = `
  select block, present, hashes from unnest($1::integer[]) as block, lateral (
    select bit_or(1 << bucket % ${BLOCK_BUCKETS}) as present, string_agg(hash, '' order by bucket) as hashes
    from map_buckets where bucket between block * ${BLOCK_BUCKETS} and block * ${BLOCK_BUCKETS} + ${BLOCK_BUCKETS - 1}
  ) as buckets where present is not null`

function spread(present: number, hashes: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK_BUCKETS * MAP_HASH_BYTES)
  for (let [bucket, at] = [0, 0]; bucket < BLOCK_BUCKETS; bucket++) {
    if (((present >> bucket) & 1) === 0) continue
    block.set(hashes.subarray(at, at + MAP_HASH_BYTES), bucket * MAP_HASH_BYTES)
    at += MAP_HASH_BYTES
  }
  return block
}

const UPSERT = (first: number): string => `
    insert into map_buckets (bucket, hash, entries)
    select bucket, substr($${first + 1}::bytea, (position::integer - 1) * ${MAP_HASH_BYTES} + 1, ${MAP_HASH_BYTES}), substr($${first + 2}::bytea, start, length)
    from unnest($${first}::integer[], $${first + 3}::integer[], $${first + 4}::integer[]) with ordinality as row (bucket, start, length, position)
    where exists (select from moved)
    on conflict (bucket) do update set hash = excluded.hash, entries = excluded.entries`

const CHANGE = `
  with moved as (
    update map_log set derived_size = $1, derived_root = $2 where derived_size = $3 and derived_root = $4 returning 1
  ), written as (${UPSERT(5)})
  select (select count(*) from moved)::integer as moved`

const MAY_PUBLISH = '(published_size is null or published_size < $1 or (published_size = $1 and published_root = $2))'

const PUBLISH = `update map_log set published_size = $1, published_root = $2, note = $3, published_at = $4 where ${MAY_PUBLISH}`

// The same change may come again, after the reply to it was lost.
const PUBLISH_WITH_CHANGE = `
  with moved as (
    update map_log set published_size = $1, published_root = $2, note = $3, published_at = $4, derived_size = $5, derived_root = $6
    where ${MAY_PUBLISH} and ((derived_size = $7 and derived_root = $8) or (derived_size = $5 and derived_root = $6)) returning 1
  ), written as (${UPSERT(9)})
  select (select count(*) from moved)::integer as moved, (select ${MAY_PUBLISH} from map_log) as allowed`

async function publish(pool: Pool, publication: Publication, change: MapChange | null): Promise<void> {
  checkPublication(publication)
  const { size, root, note, publishedAt } = publication
  const stale = new StalePublicationError(`a checkpoint of the map newer than size ${size}, or with another root, is published`)
  if (change === null) {
    if ((await pool.query(PUBLISH, [size, root, note, publishedAt])).rowCount !== 1) throw stale
    return
  }
  checkMapChange(change)
  const { from, to } = change
  const { rows } = await pool.query<{ moved: number; allowed: boolean | null }>(PUBLISH_WITH_CHANGE, [size, root, note, publishedAt, to.size, to.root, from.size, from.root, ...rowColumns(change)])
  if (rows[0]?.moved === 1) return
  throw rows[0]?.allowed === false ? stale : new StaleHeadError('the buckets hold another version of the map')
}

// Thousands of rows in a handful of parameters, as in a round.
function rowColumns({ rows }: MapChange): readonly unknown[] {
  const lengths = rows.map(({ entries }) => entries.length)
  let end = 1
  return [rows.map(({ bucket }) => bucket), concatBytes(...rows.map(({ hash }) => hash)), concatBytes(...rows.map(({ entries }) => entries)), lengths.map((length) => (end += length) - length), lengths]
}
