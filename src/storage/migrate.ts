// The schema's history: numbered SQL files in migrations/, applied in order, once. spec/log.md#storage

import { readdir, readFile } from 'node:fs/promises'
import { sql, type Kysely } from 'kysely'
import { Migrator, type MigrationProvider } from 'kysely/migration'
import { openDatabase, type Connection } from './database.ts'

/** Which migrations a database has and lacks. */
export interface SchemaStatus {
  readonly applied: readonly string[]
  /** Known here, not applied there. */
  readonly pending: readonly string[]
  /** Applied there, not known here: a newer version made them. */
  readonly unknown: readonly string[]
}

/** The schema is not the one that this version works with; the message says what to do. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError'
}

// The same relative path from src/storage and from dist/storage.
const FOLDER = new URL('../../migrations/', import.meta.url)
const FILE_NAME = /^\d{4}_[a-z0-9_]+\.sql$/
const MIGRATIONS_TABLE = 'kysely_migration'

/**
 * Applies every migration that the database lacks, all in one transaction, and returns their names. Two processes may
 * do so at once. Throws SchemaError for a database of a newer version, and changes nothing; what PostgreSQL says propagates.
 */
export async function migrateToLatest({ connection }: { readonly connection: Connection }): Promise<readonly string[]> {
  const db = openDatabase<unknown>({ connection, poolSize: 1, statementMs: 0, onIncident: () => {} })
  try {
    refuseNewer(await readStatus(db))
    const { error, results } = await new Migrator({ db, provider: sqlFiles, migrationTableName: MIGRATIONS_TABLE }).migrateToLatest()
    if (error !== undefined) throw error
    return (results ?? []).map((result) => result.migrationName)
  } finally {
    await db.destroy()
  }
}

/** Compares the database's schema with this version's; changes nothing. */
export async function schemaStatus({ connection }: { readonly connection: Connection }): Promise<SchemaStatus> {
  const db = openDatabase<unknown>({ connection, poolSize: 1, onIncident: () => {} })
  try {
    return await readStatus(db)
  } finally {
    await db.destroy()
  }
}

/** Throws SchemaError unless the database has exactly the migrations of this version. */
export async function checkSchema<T>(db: Kysely<T>): Promise<void> {
  const status = await readStatus(db)
  refuseNewer(status)
  if (status.pending.length > 0) {
    throw new SchemaError(`The database lacks the migrations ${status.pending.join(', ')}: run "stele migrate" first.`)
  }
}

function refuseNewer({ unknown }: SchemaStatus): void {
  if (unknown.length === 0) return
  throw new SchemaError(`The database was made by a newer version of stele (it has ${unknown.join(', ')}): upgrade stele, or use another database.`)
}

async function readStatus<T>(db: Kysely<T>): Promise<SchemaStatus> {
  const known = await migrationNames()
  const applied = await appliedNames(db)
  return {
    applied,
    pending: known.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !known.includes(name)),
  }
}

async function appliedNames<T>(db: Kysely<T>): Promise<string[]> {
  const table = await sql<{ found: boolean }>`select to_regclass(${MIGRATIONS_TABLE}) is not null as found`.execute(db)
  if (table.rows[0]?.found !== true) return []
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(MIGRATIONS_TABLE)} order by name collate "C"`.execute(db)
  return rows.map((row) => row.name)
}

async function migrationNames(): Promise<string[]> {
  const names = await readdir(FOLDER)
  return names
    .filter((name) => FILE_NAME.test(name))
    .map((name) => name.slice(0, -'.sql'.length))
    .sort()
}

const sqlFiles: MigrationProvider = {
  async getMigrations() {
    const migrations = (await migrationNames()).map(async (name) => {
      const text = await readFile(new URL(`${name}.sql`, FOLDER), 'utf8')
      return [name, { up: async (db: Kysely<unknown>) => void (await sql.raw(text).execute(db)) }] as const
    })
    return Object.fromEntries(await Promise.all(migrations))
  },
}
