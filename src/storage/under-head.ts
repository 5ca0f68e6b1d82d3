// The transaction of a round: two round trips around the work and one for what it writes, or one for all. spec/log.md#storage

import { DatabaseError, type Pool, type PoolClient, type QueryConfig, type QueryResult } from 'pg'
import { assert } from '../core/errors.ts'
import { decodeEdge } from '../core/tlog/edge.ts'
import { appendIn, appendNextQuery, STALE_TILE, TOO_LATE, type AppendedNext } from './append.ts'
import { history } from './reads.ts'
import { NoLogError, StaleHeadError, UnknownOutcomeError, type Append, type Head, type LockedHead } from './store.ts'
import type { LogHeadTable } from './tables.ts'

/** A row of `log_head`, as heads are made of it. */
export type HeadRow = Omit<LogHeadTable, 'single' | 'key_statement'>

/** The columns of `log_head` that a head is made of. */
export const HEAD_COLUMNS = ['origin', 'guard_id', 'vkeys', 'size', 'root', 'edge', 'last_native'] as const satisfies (keyof HeadRow)[]

/** The head in its row. */
export function headOf(row: HeadRow): Head {
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

/** As `Store.underHead`. */
export async function underHead<T>(pool: Pool, work: (locked: LockedHead) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  const held = new Transaction(client)
  try {
    let result: T
    try {
      result = await work(await held.lock())
      held.finish()
    } catch (error) {
      await held.rollBack()
      throw error
    }
    await held.commit()
    return result
  } finally {
    client.release(!held.ended)
  }
}

/** As `Store.appendNext`. */
export async function appendNext(pool: Pool, append: Append, latest: number): Promise<number | null> {
  const query = appendNextQuery(append, latest)
  const client = await pool.connect()
  const alone = new Transaction(client)
  try {
    const row = await alone.run<AppendedNext>(query)
    return row !== null && row.moved === 1 ? row.now : null
  } finally {
    client.release(!alone.ended)
  }
}

// The time is asked for outside of what waits for the row, so that it is a time at which the row was held.
const BEGIN = `begin; with held as (select ${HEAD_COLUMNS.join(', ')} from log_head for update)
  select held.*, floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now from held`

class Transaction {
  readonly #client: PoolClient
  #held = true
  #appended = false
  #failure: unknown = null
  /** Whether the connection is out of the transaction and can be used again. */
  ended = false

  constructor(client: PoolClient) {
    this.#client = client
  }

  async lock(): Promise<LockedHead> {
    // Several statements, several results, which the types of `pg` do not know.
    const results = (await this.#client.query(BEGIN)) as unknown as readonly QueryResult<HeadRow & { now: number }>[]
    const row = results[1]?.rows[0]
    if (row === undefined) throw new NoLogError('no log has been created')
    const takenAt = performance.now()
    return {
      head: headOf(row),
      now: () => Promise.resolve(row.now + Math.floor(performance.now() - takenAt)),
      history: async (dids, from) => {
        this.#assertHeld()
        return history(this.#client, dids, from)
      },
      append: async (append) => {
        this.#assertHeld()
        assert(!this.#appended, 'one change a transaction')
        this.#appended = true
        try {
          await appendIn(this.#client, append)
        } catch (error) {
          this.#failure = error
          throw error
        }
      },
    }
  }

  // Afterwards the connection belongs to somebody else.
  #assertHeld(): void {
    assert(this.#held, 'the head is no longer held')
  }

  /** Nothing more is done under the row. A change that failed half-way must not be committed, even where the work swallowed its error. */
  finish(): void {
    this.#held = false
    if (this.#failure !== null) throw this.#failure
  }

  /** Whether the connection survived. One that cannot roll back is thrown away, which rolls back as well. */
  async rollBack(): Promise<boolean> {
    this.#held = false
    try {
      await this.#client.query('rollback')
      this.ended = true
    } catch {
      this.ended = false
    }
    return this.ended
  }

  // The database answers a commit with success, or with an error and an open connection (rolled back). Whatever else
  // happens, the end of the connection in particular, leaves the outcome open.
  async commit(): Promise<void> {
    try {
      const { command } = await this.#client.query('commit')
      this.ended = true
      if (command !== 'COMMIT') throw new Error('a statement of the transaction had failed: it is rolled back')
    } catch (cause) {
      if (this.ended) throw cause
      await this.#fail(cause)
    }
  }

  /** The whole of a transaction in one statement, which commits by itself; resolves with its first row, with null where it came too late. */
  async run<Row extends object>(query: QueryConfig): Promise<Row | null> {
    try {
      const [row] = (await this.#client.query<Row>(query)).rows
      this.ended = true
      assert(row !== undefined, 'the statement has a row')
      return row
    } catch (cause) {
      if (this.ended) throw cause
      if (cause instanceof DatabaseError && cause.code === TOO_LATE) return null
      if (cause instanceof DatabaseError && cause.code === STALE_TILE) throw new StaleHeadError('the rows are not what the change was decided on', { cause })
      return this.#fail(cause)
    }
  }

  async #fail(cause: unknown): Promise<never> {
    const alive = await this.rollBack()
    if (alive && cause instanceof DatabaseError) throw cause
    throw new UnknownOutcomeError('the reply to the commit was lost', { cause })
  }
}
