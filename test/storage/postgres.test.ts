import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseError } from 'pg'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { APPLICATION_NAME, openDatabase, type DatabaseOptions } from '../../src/storage/database.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { UnknownOutcomeError, type LockedHead, type Store } from '../../src/storage/store.ts'
import { storeContract } from './contract.ts'
import { startFaultyProxy, type FaultyProxy } from './faulty-proxy.ts'
import { NEVER, plain, round } from './rows.ts'
import { inDatabase, startTestServer, type Place, type TestServer } from './server.ts'

let server: TestServer
let proxy: FaultyProxy
let opened: AsyncDisposable[] = []

beforeAll(async () => {
  server = await startTestServer()
  const { host, port } = await server.empty()
  proxy = await startFaultyProxy({ host, port })
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

afterEach(async () => {
  await Promise.all(opened.map((store) => store[Symbol.asyncDispose]()))
  opened = []
})

async function open(options: Omit<DatabaseOptions, 'onIncident'> & Partial<DatabaseOptions>): Promise<Store> {
  const store = await openPostgres({ onIncident: () => {}, ...options })
  opened.push(store)
  return store
}

describe('a store in the embedded PostgreSQL', () => {
  let connection: Place
  beforeAll(async () => {
    connection = await server.migrated()
  })
  storeContract(async () => {
    await inDatabase(connection, DELETE_ALL)
    return { store: await open({ connection }), again: () => open({ connection }) }
  })
})

describe('a store in a PostgreSQL of which only the URL is known', () => {
  let connection: string
  beforeAll(async () => {
    const { user, database } = await server.migrated()
    connection = `postgres://${user}@127.0.0.1:${proxy.port}/${database}`
  })
  storeContract(async () => {
    await inDatabase(connection, DELETE_ALL)
    return { store: await open({ connection }), again: () => open({ connection }) }
  })
})

describe('a transaction whose connection fails', () => {
  async function withLog(options: Partial<DatabaseOptions> = {}) {
    const place = await server.migrated()
    const store = await open({ connection: { ...place, host: '127.0.0.1', port: proxy.port }, ...options })
    await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: [] })
    return { store, place }
  }
  const appendOne = (held: LockedHead) => held.append(round(held.head, plain(1)))

  const WAYS: readonly (readonly [string, (store: Store) => Promise<unknown>])[] = [
    ['under the row', (store) => store.underHead(appendOne)],
    [
      'in one step',
      async (store) => {
        const head = await store.head()
        return head === null ? null : store.appendNext(round(head, plain(1)), NEVER)
      },
    ],
  ]
  describe.each(WAYS)('%s', (_way, write) => {
    it('has an unknown outcome where the reply to the commit is lost, and is durable', async () => {
      const { store } = await withLog()
      proxy.fault = 'lose reply'
      await expect(write(store)).rejects.toThrow(UnknownOutcomeError)
      expect((await store.head())?.size).toBe(1)
      await write(store)
      expect((await store.head())?.size).toBe(2)
    })

    it('has an unknown outcome where the commit never arrives, and is not durable', async () => {
      const { store } = await withLog()
      proxy.fault = 'lose request'
      await expect(write(store)).rejects.toThrow(UnknownOutcomeError)
      expect((await store.head())?.size).toBe(0)
      await write(store)
      expect((await store.head())?.size).toBe(1)
    })

    it('has an unknown outcome where the database falls silent in the commit', async () => {
      const { store } = await withLog({ silenceMs: 300 })
      proxy.fault = 'silence'
      await expect(write(store)).rejects.toThrow(UnknownOutcomeError)
      expect((await store.head())?.size).toBe(1)
    })

    it('has an unknown outcome where the session is ended in the commit', async () => {
      const { store, place } = await withLog()
      await inDatabase(place, AT_COMMIT('perform pg_terminate_backend(pg_backend_pid())'))
      await expect(write(store)).rejects.toThrow(UnknownOutcomeError)
      expect((await store.head())?.size).toBe(0)
    })

    it('is rolled back where the database refuses the commit, and says so', async () => {
      const { store, place } = await withLog({ poolSize: 1 })
      await inDatabase(place, AT_COMMIT("raise exception 'refused' using errcode = '40001'"))
      const outcome: unknown = await write(store).catch((error: unknown) => error)
      expect(outcome).toBeInstanceOf(DatabaseError)
      expect(outcome).toMatchObject({ code: '40001', message: 'refused' })
      await inDatabase(place, 'drop trigger at_commit on entries')
      await write(store)
      expect((await store.head())?.size).toBe(1)
    })
  })

  it('does not wait for runs that are read, however many', async () => {
    const { store } = await withLog()
    await store.underHead(appendOne)
    let read = 0
    const runs = Array.from({ length: 1_000 }, () => store.exportFrom(0, 1, 1, () => read++))
    await store.underHead(async (held) => void (await held.history(['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'], 0)))
    expect(read).toBeLessThan(runs.length)
    await Promise.all(runs)
    expect(read).toBe(runs.length)
  })

  it('is rolled back where a statement failed and the work went on', async () => {
    const { store, place } = await withLog()
    await inDatabase(place, 'alter table entries add check (index <> 0)')
    await expect(store.underHead((held) => appendOne(held).catch(() => {}))).rejects.toThrow(DatabaseError)
    expect((await store.head())?.size).toBe(0)
  })

  it('is rolled back where a query failed and the work went on', async () => {
    const { store } = await withLog()
    await expect(store.underHead((held) => held.history(['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'], 0.5).catch(() => []))).rejects.toThrow('rolled back')
    await store.underHead(appendOne)
    expect((await store.head())?.size).toBe(1)
  })

  it('is an incident where the session ends before the commit, and the next one succeeds', async () => {
    const { store, place } = await withLog()
    const outcome: unknown = await store
      .underHead(async (held) => {
        await appendOne(held)
        await inDatabase(place, END_STORES)
        await sleep(50)
        await held.history(['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'], 0)
      })
      .catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(Error)
    expect(outcome).not.toBeInstanceOf(UnknownOutcomeError)
    await store.underHead(appendOne)
    expect((await store.head())?.size).toBe(1)
  })

  it('does not harm others where idle connections end: the incident is told and the pool goes on', async () => {
    const incidents: Error[] = []
    const { store, place } = await withLog({ onIncident: (error) => incidents.push(error) })
    await store.ping()
    await inDatabase(place, END_STORES)
    await sleep(50)
    expect(incidents.length).toBeGreaterThan(0)
    expect((await store.head())?.size).toBe(0)
  })
})

describe('a session', () => {
  it('commits synchronously, whatever the database does by default, and is stricter where that is stricter', async () => {
    const connection = await server.empty()
    for (const [setting, expected] of [['off', 'on'], ['local', 'on'], ['remote_write', 'on'], ['on', 'on'], ['remote_apply', 'remote_apply']] as const) {
      await inDatabase(connection, `alter database ${connection.database} set synchronous_commit = ${setting}`)
      const db = openDatabase({ connection, onIncident: () => {} })
      const { rows } = await sql`select current_setting('synchronous_commit') as synchronous, current_setting('statement_timeout') as statement,
        current_setting('idle_in_transaction_session_timeout') as idle, current_setting('application_name') as name`.execute(db)
      await db.destroy()
      expect(rows).toEqual([{ synchronous: expected, statement: '15s', idle: '15s', name: APPLICATION_NAME }])
    }
  })

  it('refuses numbers that are not exact', async () => {
    const connection = await server.migrated()
    const store = await open({ connection })
    await inDatabase(connection, 'insert into publication (size, root, note, published_at) values (9007199254740992, $1, $2, 0)', [Buffer.alloc(32), 'n'])
    await expect(store.publication()).rejects.toThrow('beyond exact numbers')
    await store.ping()
  })

  it('is closed with its store, more than once without harm', async () => {
    const connection = await server.migrated()
    const store = await openPostgres({ connection, onIncident: () => {} })
    await store.ping()
    await store[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
    await expect(store.ping()).rejects.toThrow()
    const left = await inDatabase(connection, 'select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
    expect(left).toEqual([])
  })
})

const DELETE_ALL = 'delete from entries; delete from tiles; delete from log_head; delete from publication; delete from kept_checkpoints; delete from upstream; delete from upstream_runs; delete from set_aside; delete from divergences; delete from map_log; delete from map_leaves; delete from map_tiles; delete from map_buckets'

const END_STORES = 'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'

const AT_COMMIT = (statement: string) => `
  create function at_commit() returns trigger language plpgsql as $$ begin ${statement}; return null; end $$;
  create constraint trigger at_commit after insert on entries deferrable initially deferred for each row execute function at_commit()`
