import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SCHEMA_FILE, dumpSchema } from '../../scripts/dump-schema.ts'
import { SchemaError, migrateToLatest, schemaStatus } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { inDatabase, startTestServer, type TestServer } from './server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('the migrations', () => {
  it('lead to the schema in migrations/schema.sql, which leads there as well', async () => {
    const [migrated, empty] = [await server.migrated(), await server.empty()]
    const written = await readFile(SCHEMA_FILE, 'utf8')
    expect(await dumpSchema(migrated), 'run "npm run schema"').toBe(written)
    await inDatabase(empty, written)
    expect(await dumpSchema(empty)).toBe(written)
  })

  it('are applied once, also by several processes at once', async () => {
    const connection = await server.empty()
    expect((await schemaStatus({ connection })).applied).toEqual([])
    const applied = await Promise.all(Array.from({ length: 4 }, () => migrateToLatest({ connection })))
    const { pending, unknown, ...status } = await schemaStatus({ connection })
    expect(applied.flat()).toEqual(status.applied)
    expect(status.applied).toContain('0001_log')
    expect([pending, unknown]).toEqual([[], []])
    expect(await migrateToLatest({ connection })).toEqual([])
  })

  it('that a newer version made are refused, and nothing changes', async () => {
    const connection = await server.migrated()
    await inDatabase(connection, "insert into kysely_migration (name, timestamp) values ('9999_from_the_future', 'now')")
    await expect(migrateToLatest({ connection })).rejects.toThrow(/made by a newer version of stele \(it has 9999_from_the_future\): upgrade/)
    await expect(openPostgres({ connection, onIncident: () => {} })).rejects.toThrow(SchemaError)
    expect((await schemaStatus({ connection })).unknown).toEqual(['9999_from_the_future'])
  })

  it('that are missing are named when the store is opened', async () => {
    const connection = await server.empty()
    await expect(openPostgres({ connection, onIncident: () => {} })).rejects.toThrow(/lacks the migrations 0001_log/)
  })

  it('propagate what the database says', async () => {
    const connection = await server.empty()
    await inDatabase(connection, 'create table tiles ()')
    await expect(migrateToLatest({ connection })).rejects.toThrow('relation "tiles" already exists')
    expect((await schemaStatus({ connection })).applied).toEqual([])
    expect(await inDatabase(connection, "select relname from pg_class where relname = 'entries'")).toEqual([])
  })
})
