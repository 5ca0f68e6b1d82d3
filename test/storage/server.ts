// One database server for a file of tests, and a database of its own for each test.

import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { clientConfig, type Connection } from '../../src/storage/database.ts'
import { startEmbedded, type EmbeddedLog } from '../../src/storage/embedded.ts'
import { migrateToLatest } from '../../src/storage/migrate.ts'

/** Where a database answers. */
export type Place = Exclude<Connection, string>

export interface TestServer extends AsyncDisposable {
  /** An empty database. */
  empty(): Promise<Place>
  /** A database with the newest schema. */
  migrated(): Promise<Place>
}

/** A log that nobody reads. */
export const silent: EmbeddedLog = () => {}

const MEMORY = '/dev/shm'
const ENOUGH_BYTES = 2 ** 31

/** A new folder for a database that nobody needs to keep: in memory where there is plenty, which saves most of the time. */
export async function scratchFolder(name: string): Promise<string> {
  const free = await statfs(MEMORY).then(({ bavail, bsize }) => bavail * bsize, () => 0)
  return mkdtemp(join(free > ENOUGH_BYTES ? MEMORY : tmpdir(), `${name}-`))
}

/** Starts an embedded server in a folder that goes with it. */
export async function startTestServer(): Promise<TestServer> {
  const dataDir = await scratchFolder('store')
  const embedded = await startEmbedded({ dataDir, log: silent })
  const admin = new Client(clientConfig(embedded.connection))
  await admin.connect()
  await admin.query('create database template')
  await migrateToLatest({ connection: { ...embedded.connection, database: 'template' } })
  let made = 0
  const make = async (options: string): Promise<Place> => {
    const database = `test${made++}`
    await admin.query(`create database ${database} ${options}`)
    return { ...embedded.connection, database }
  }
  return {
    empty: () => make(''),
    migrated: () => make('template template'),
    async [Symbol.asyncDispose]() {
      await admin.end()
      await embedded[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Runs statements in a database, as somebody else than the store. */
export async function inDatabase(connection: Connection, text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client(clientConfig(connection))
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(text, values)
    return rows
  } finally {
    await client.end()
  }
}
