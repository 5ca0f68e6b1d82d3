// The store in PostgreSQL. One transaction a round holds the head's row; everything else reads. spec/log.md#storage

import { sql, type ControlledTransaction, type Kysely } from 'kysely'
import { DatabaseError } from 'pg'
import { EMPTY_EDGE, decodeEdge, edgeRoot, encodeEdge } from '../core/tlog/edge.ts'
import { assert } from '../core/errors.ts'
import { appendIn } from './append.ts'
import { openDatabase, type DatabaseOptions } from './database.ts'
import { checkSchema } from './migrate.ts'
import { NOTIFY, watchLog } from './notify.ts'
import { entries, exportAfter, exportFrom, history, newest, newestOf, tiles } from './reads.ts'
import { checkPublication } from './rules.ts'
import {
  LogExistsError,
  NoLogError,
  StalePublicationError,
  StaleSignerError,
  UnknownOutcomeError,
  type Head,
  type LockedHead,
  type Store,
} from './store.ts'
import type { LogHeadTable, Tables } from './tables.ts'

/** Opens the store of a database that is migrated. Throws SchemaError where it is not; what PostgreSQL says propagates. */
export async function openPostgres(options: DatabaseOptions): Promise<Store> {
  const db = openDatabase(options)
  try {
    await checkSchema(db)
  } catch (error) {
    await db.destroy()
    throw error
  }
  const watches = new Set<AsyncDisposable>()
  let disposed: Promise<void> | null = null
  return {
    kind: 'postgres',
    head: () => readHead(db),

    async create({ origin, guardId, vkeys }) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('log_head')
        .values({ origin, guard_id: guardId, vkeys, size: 0, root: edgeRoot(EMPTY_EDGE), edge: encodeEdge(EMPTY_EDGE), last_native: null })
        .onConflict((conflict) => conflict.column('single').doNothing())
        .executeTakeFirstOrThrow()
      if (numInsertedOrUpdatedRows !== 1n) throw new LogExistsError('the database holds a log already')
    },

    entries: (start, end) => entries(db, start, end),
    history: (dids, from, most) => history(db, dids, from, most),
    newest: (did) => newest(db, did),
    newestOf: (dids) => newestOf(db, dids),
    exportFrom: (from, to, count) => exportFrom(db, from, to, count),
    exportAfter: (after, to, count) => exportAfter(db, after, to, count),

    tiles: (asked) => tiles(db, asked),

    async publication() {
      const row = await db.selectFrom('publication').selectAll().executeTakeFirst()
      return row === undefined ? null : { size: row.size, root: row.root, note: row.note, publishedAt: row.published_at }
    },

    async publish(publication) {
      checkPublication(publication)
      const { size, root, note, publishedAt } = publication
      const values = { size, root, note, published_at: publishedAt }
      const written = await db
        .insertInto('publication')
        .values(values)
        .onConflict((conflict) =>
          conflict
            .column('single')
            .doUpdateSet(values)
            .where(sql<boolean>`(publication.size < ${size} or (publication.size = ${size} and publication.root = ${root}))`),
        )
        .returning(NOTIFY)
        .execute()
      if (written.length !== 1) throw new StalePublicationError(`a checkpoint newer than size ${size}, or with another root, is published`)
    },

    async setSigner(from, { guardId, vkeys }) {
      const written = await db.updateTable('log_head').set({ guard_id: guardId, vkeys }).where('guard_id', '=', from).returning(NOTIFY).execute()
      if (written.length === 1) return
      const head = await readHead(db)
      if (head === null) throw new NoLogError('no log has been created')
      throw new StaleSignerError(`the log's guard is ${head.guardId}`)
    },

    watch(onMove, pollMs) {
      const watching = watchLog(options, onMove, pollMs)
      watches.add(watching)
      return {
        async [Symbol.asyncDispose]() {
          watches.delete(watching)
          await watching[Symbol.asyncDispose]()
        },
      }
    },

    underHead: (work) => underHead(db, work),

    async ping() {
      await sql`select 1`.execute(db)
    },

    [Symbol.asyncDispose]() {
      disposed ??= Promise.all([db.destroy(), ...[...watches].map((watching) => watching[Symbol.asyncDispose]())]).then(() => {})
      return disposed
    },
  }
}

async function underHead<T>(db: Kysely<Tables>, work: (locked: LockedHead) => Promise<T>): Promise<T> {
  const transaction = await db.startTransaction().execute()
  let result: T
  try {
    const head = await readHead(transaction, true)
    if (head === null) throw new NoLogError('no log has been created')
    const held = lockedHead(transaction, head)
    result = await work(held.locked)
    held.finish()
  } catch (error) {
    await rollBack(transaction)
    throw error
  }
  await commit(transaction)
  return result
}

function lockedHead(transaction: Kysely<Tables>, head: Head): { locked: LockedHead; finish(): void } {
  let appended = false
  let failure: unknown = null
  const locked: LockedHead = {
    head,
    async now() {
      const { rows } = await sql<{ now: number }>`select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now`.execute(transaction)
      assert(rows[0] !== undefined, 'the database has a clock')
      return rows[0].now
    },
    history: (dids, from) => history(transaction, dids, from),
    async append(append) {
      assert(!appended, 'one change a transaction')
      appended = true
      try {
        await appendIn(transaction, append)
      } catch (error) {
        failure = error
        throw error
      }
    },
  }
  // A change that failed half-way must not be committed, even where the work swallowed its error.
  const finish = (): void => {
    if (failure !== null) throw failure
  }
  return { locked, finish }
}

async function readHead(db: Kysely<Tables>, forUpdate = false): Promise<Head | null> {
  const query = db.selectFrom('log_head').select(['origin', 'guard_id', 'vkeys', 'size', 'root', 'edge', 'last_native'])
  const row = await (forUpdate ? query.forUpdate() : query).executeTakeFirst()
  return row === undefined ? null : toHead(row)
}

function toHead(row: Omit<LogHeadTable, 'single'>): Head {
  return {
    origin: row.origin,
    guardId: row.guard_id,
    vkeys: row.vkeys,
    size: row.size,
    root: row.root,
    edge: decodeEdge(row.size, row.edge),
    clock: { lastNative: row.last_native },
  }
}

// The database answers a commit with success, or with an error and an open connection (rolled back). Whatever else
// happens, the end of the connection in particular, leaves the outcome open.
async function commit(transaction: ControlledTransaction<Tables>): Promise<void> {
  try {
    await transaction.commit().execute()
  } catch (cause) {
    if (transaction.isRolledBack) throw cause
    const alive = await rollBack(transaction)
    if (alive && cause instanceof DatabaseError) throw cause
    throw new UnknownOutcomeError('the reply to the commit was lost', { cause })
  }
}

/** Whether the connection survived. A connection that cannot roll back is thrown away, which rolls back as well. */
async function rollBack(transaction: ControlledTransaction<Tables>): Promise<boolean> {
  try {
    await transaction.rollback().execute()
    return true
  } catch {
    return false
  }
}
