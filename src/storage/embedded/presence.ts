// One connection for as long as we use the server: its end tells the others that we left, however we did, and tells us
// that the server is gone.

import { realpath } from 'node:fs/promises'
import { Client, DatabaseError } from 'pg'
import { APPLICATION_NAME, clientConfig, type Connection } from '../database.ts'
import { DATABASE, SUPERUSER, passwordOf } from './cluster.ts'
import type { Postmaster } from './postmaster.ts'

/** Our part in a running server. */
export interface Presence {
  readonly connection: Exclude<Connection, string>
  /** Resolves when the connection has ended, by whomever. */
  readonly lost: Promise<void>
  /** Ends our part. Resolves with how many processes still have theirs; throws where the server cannot say. */
  leave(): Promise<number>
}

/** What an attempt to join came to; `recovering` where a server answers that it is not ready yet, or not any more. */
export interface Joined {
  readonly presence: Presence | null
  readonly recovering: boolean
  readonly reason: string
}

const PRESENCE_NAME = `${APPLICATION_NAME} presence`
const CANNOT_CONNECT_NOW = '57P03'

/** Joins the server that `postmaster` describes, if it answers and serves this data folder; makes our database where it is missing. */
export async function joinServer(home: { readonly folder: string; readonly dataFolder: string }, postmaster: Postmaster): Promise<Joined> {
  const password = await passwordOf(home.folder)
  const connection = { host: postmaster.host, port: postmaster.port, user: SUPERUSER, database: DATABASE, ...(password === null ? {} : { password }) }
  const client = new Client({ ...clientConfig({ ...connection, database: 'postgres' }), application_name: PRESENCE_NAME })
  const lost = new Promise<void>((resolve) => client.on('error', () => resolve()).on('end', resolve))
  try {
    await client.connect()
    const answer = await client.query<{ data_directory: string }>('show data_directory')
    const folder = answer.rows[0]?.data_directory ?? ''
    if ((await realpath(folder)) !== (await realpath(home.dataFolder))) throw new Error(`the server there serves ${folder}`)
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`create database ${DATABASE}`)
  } catch (error) {
    await client.end().catch(() => {})
    const recovering = error instanceof DatabaseError && error.code === CANNOT_CONNECT_NOW
    return { presence: null, recovering, reason: error instanceof Error ? error.message : String(error) }
  }
  return { presence: { connection, lost, leave: () => leave(client) }, recovering: false, reason: '' }
}

async function leave(client: Client): Promise<number> {
  try {
    const { rows } = await client.query<{ others: number }>(
      'select count(*)::integer as others from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()',
      [PRESENCE_NAME],
    )
    return rows[0]?.others ?? 0
  } finally {
    await client.end()
  }
}
