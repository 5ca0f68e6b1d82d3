// The store in PostgreSQL. One transaction a round holds the head's row; everything else reads. spec/log.md#storage

import { sql } from 'kysely'
import { DatabaseError, type Pool, type PoolClient } from 'pg'
import { EMPTY_EDGE, edgeRoot, encodeEdge } from '../core/tlog/edge.ts'
import { DATABASE_LIMITS, openPool, overPool, type DatabaseOptions } from './database.ts'
import { gather } from './gather.ts'
import { mapStore } from './map-postgres.ts'
import { checkSchema } from './migrate.ts'
import { notaryStore } from './notary-postgres.ts'
import { NOTIFY, NOTIFY_SQL, watchLog } from './notify.ts'
import { entries, exportAfter, exportFrom, history, leaves, newestOf, rejected, tiles } from './reads.ts'
import { checkKept, checkPublication } from './rules.ts'
import {
  LogExistsError,
  NoLogError,
  StalePublicationError,
  StaleSignerError,
  type Head,
  type Store,
} from './store.ts'
import type { PublicationTable } from './tables.ts'
import { appendNext, HEAD_COLUMNS, headOf, underHead, type HeadRow } from './under-head.ts'

/** Opens the store of a database that is migrated. Throws SchemaError where it is not; what PostgreSQL says propagates. */
export async function openPostgres(options: DatabaseOptions): Promise<Store> {
  const pool = openPool(options)
  const sessions = sessionsOf(pool)
  const db = overPool(pool)
  const runs = openPool({ ...options, poolSize: DATABASE_LIMITS.runsPoolSize })
  try {
    await checkSchema(db)
  } catch (error) {
    await db.destroy()
    throw error
  }
  const newest = gather(async (dids: readonly string[]) => {
    const rows = new Map((await newestOf(pool, dids)).map((row) => [row.did, row]))
    return (did) => rows.get(did) ?? null
  }, { ...DATABASE_LIMITS.newest, oneMayBeToBlame })
  const whole = gather(async (dids: readonly string[]) => {
    const rows = Map.groupBy(await history(pool, [...new Set(dids)], 0), (row) => row.did)
    return (did) => rows.get(did) ?? []
  }, { ...DATABASE_LIMITS.newest, oneMayBeToBlame })
  const watches = new Set<AsyncDisposable>()
  let disposed: Promise<void> | null = null
  return {
    kind: 'postgres',
    notary: notaryStore(db),
    map: mapStore(pool, db),
    head: () => readHead(pool),

    async create({ origin, guardId, vkeys, statement = null }) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('log_head')
        .values({ origin, guard_id: guardId, vkeys, key_statement: statement, size: 0, root: edgeRoot(EMPTY_EDGE), edge: encodeEdge(EMPTY_EDGE), last_native: null })
        .onConflict((conflict) => conflict.column('single').doNothing())
        .executeTakeFirstOrThrow()
      if (numInsertedOrUpdatedRows !== 1n) throw new LogExistsError('the database holds a log already')
    },

    entries: (start, end) => entries(db, start, end),
    history(dids, from, most) {
      const [did] = dids
      return did !== undefined && dids.length === 1 && from === 0 && most === undefined ? whole(did) : history(pool, dids, from, most)
    },
    newest,
    newestOf: (dids) => newestOf(pool, dids),
    leaves: (start, end) => leaves(runs, start, end),
    exportFrom: (from, to, count, use) => exportFrom(runs, from, to, count, use),
    exportAfter: (after, to, count) => exportAfter(runs, after, to, count),

    rejected: (from, to, count) => rejected(db, from, to, count),
    tiles: (asked) => tiles(db, asked),

    async publication() {
      const [row] = (await pool.query<PublicationTable>({ name: 'publication', text: 'select size, root, note, published_at from publication' })).rows
      return row === undefined ? null : { size: row.size, root: row.root, note: row.note, publishedAt: row.published_at }
    },

    async publish(publication) {
      checkPublication(publication)
      const { size, root, note, publishedAt } = publication
      const { rows: written } = await pool.query({ name: 'publish', text: PUBLISH, values: [size, root, note, publishedAt] })
      if (written.length !== 1) throw new StalePublicationError(`a checkpoint newer than size ${size}, or with another root, is published`)
    },

    keptCheckpoints: () => db.selectFrom('kept_checkpoints').select(['size', 'note']).orderBy('size').execute(),

    async keepCheckpoint({ size, note }, outdated) {
      checkKept({ size, note })
      const dropped = outdated.filter((other) => other !== size)
      await db
        .with('dropped', (query) => query.deleteFrom('kept_checkpoints').where(sql<boolean>`size = any(${dropped}::bigint[])`))
        .insertInto('kept_checkpoints')
        .values({ size, note })
        .onConflict((conflict) => conflict.column('size').doUpdateSet({ note }))
        .execute()
    },

    async keyStatement() {
      const row = await db.selectFrom('log_head').select('key_statement').executeTakeFirst()
      return row?.key_statement ?? null
    },

    async setSigner(from, { guardId, vkeys, statement }) {
      const written = await db.updateTable('log_head').set({ guard_id: guardId, vkeys, ...(statement === undefined ? {} : { key_statement: statement }) }).where('guard_id', '=', from).returning(NOTIFY).execute()
      if (written.length === 1) return
      const head = await readHead(pool)
      if (head === null) throw new NoLogError('no log has been created')
      throw new StaleSignerError(`the log's guard is ${head.guardId}`)
    },

    watch(onMove, pollMs) {
      const watching = watchLog(options, onMove, pollMs, (session) => sessions.has(session))
      watches.add(watching)
      return {
        async [Symbol.asyncDispose]() {
          watches.delete(watching)
          await watching[Symbol.asyncDispose]()
        },
      }
    },

    underHead: (work) => underHead(pool, work),
    appendNext: (append, latest) => appendNext(pool, append, latest),

    async ping() {
      await sql`select 1`.execute(db)
    },

    [Symbol.asyncDispose]() {
      disposed ??= Promise.all([db.destroy(), runs.end(), ...[...watches].map((watching) => watching[Symbol.asyncDispose]())]).then(() => {})
      return disposed
    },
  }
}

// The database's numbers of a pool's sessions: what it moves, it is told of under these. Missing in the library's types.
function sessionsOf(pool: Pool): ReadonlySet<number> {
  const sessions = new Set<number>()
  const numberOf = (client: PoolClient & { readonly processID?: number }): number => client.processID ?? 0
  pool.on('connect', (client) => sessions.add(numberOf(client)))
  pool.on('remove', (client) => sessions.delete(numberOf(client)))
  return sessions
}

const PUBLISH = `insert into publication (size, root, note, published_at) values ($1, $2, $3, $4)
  on conflict (single) do update set size = $1, root = $2, note = $3, published_at = $4
    where publication.size < $1 or (publication.size = $1 and publication.root = $2)
  returning ${NOTIFY_SQL}`

async function readHead(pool: Pool): Promise<Head | null> {
  const [row] = (await pool.query<HeadRow>({ name: 'head', text: `select ${HEAD_COLUMNS.join(', ')} from log_head` })).rows
  return row === undefined ? null : headOf(row)
}

// One history may be so long that it takes a statement all its time.
function oneMayBeToBlame(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === QUERY_CANCELED
}

/** What PostgreSQL calls a statement that took too long. */
const QUERY_CANCELED = '57014'
