// Connections to PostgreSQL: every limit, the types on the wire, and what each session promises. spec/log.md#storage

import { Socket } from 'node:net'
import { Kysely, PostgresDialect } from 'kysely'
import { Pool, types, type ClientConfig } from 'pg'
import { assert } from '../core/errors.ts'
import type { Tables } from './tables.ts'

/** Where a database answers: a connection string, or its parts (`host` may be the folder of a Unix socket). */
export type Connection =
  | string
  | {
      readonly host: string
      readonly port: number
      readonly user: string
      readonly database: string
      readonly password?: string
    }

export interface DatabaseOptions {
  readonly connection: Connection
  /** Most connections at once. */
  readonly poolSize?: number
  /** Longest statement, milliseconds; 0 for none. Default: DATABASE_LIMITS.statementMs. */
  readonly statementMs?: number
  /** How long a connection may be silent while it is used, milliseconds. Default: DATABASE_LIMITS.silenceMs. */
  readonly silenceMs?: number
  /** Told of idle connections that broke; the pool replaces them. */
  readonly onIncident: (error: Error) => void
}

/** Every limit of a connection, in one place. */
export const DATABASE_LIMITS = {
  poolSize: 10,
  /** Connections for whole runs of entries, such as exports: apart, so that however many are read writers find the others free. */
  runsPoolSize: 4,
  /** Waiting for a connection, free or new. */
  connectMs: 10_000,
  /** Longest statement; a wait for the head's row is one. */
  statementMs: 15_000,
  /** Longest pause inside a transaction before the server ends it and frees the head's row. */
  idleInTransactionMs: 15_000,
  /** A connection on which nothing moves for this long is dead: longer than every statement may take. */
  silenceMs: 20_000,
  /** A connection that nobody uses is closed after this time. */
  idleMs: 10_000,
  keepAliveMs: 10_000,
  /** How long a connection may take to end in order. */
  closeMs: 1_000,
  /** Identities that are looked up in one query, and such queries at once: they must not keep writers from the connections. */
  newest: { together: 100, underWay: 2 },
  /** Pauses before the connection that listens is opened again: they double, and begin anew after it has held. */
  listen: { minMs: 100, maxMs: 5_000, steadyMs: 10_000, refusedMs: 60_000 },
} as const

/** What `pg_stat_activity` calls our sessions. */
export const APPLICATION_NAME = 'stele'

/** Opens a pool and a way to ask it; connects when the first query asks for it. */
export function openDatabase<T = Tables>(options: DatabaseOptions): Kysely<T> {
  return overPool(openPool(options))
}

/** Queries on the connections of a pool, which ends with them. */
export function overPool<T = Tables>(pool: Pool): Kysely<T> {
  return new Kysely<T>({ dialect: new PostgresDialect({ pool }) })
}

/** Opens a pool; connects when somebody asks for a connection. */
export function openPool(options: DatabaseOptions): Pool {
  const statementMs = options.statementMs ?? DATABASE_LIMITS.statementMs
  const pool = new Pool({
    ...clientConfig(options.connection),
    max: options.poolSize ?? DATABASE_LIMITS.poolSize,
    idleTimeoutMillis: DATABASE_LIMITS.idleMs,
    stream: () => (statementMs > 0 ? watchedSocket(options.silenceMs ?? DATABASE_LIMITS.silenceMs) : new Socket()),
    verify(client, done) {
      client.query(SESSION_SETTINGS, [String(statementMs), String(DATABASE_LIMITS.idleInTransactionMs)]).then(() => done(), done)
    },
  })
  pool.on('error', options.onIncident)
  // While a connection is in use its queries report what befalls it; without a listener the event would end the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** The options of one `pg` client, for whoever needs a connection of his own. */
export function clientConfig(connection: Connection): ClientConfig {
  return {
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: DATABASE_LIMITS.connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: DATABASE_LIMITS.keepAliveMs,
    types: { getTypeParser: parserOf },
  }
}

// An acknowledged operation must survive the loss of power, whatever the database's default is: 'off', 'local' and
// 'remote_write' are raised to 'on', while the stricter 'remote_apply' stays. No query wants all rows of a table that
// has an index, and a plan that was made while the table was small is kept for prepared statements when it is not.
const SESSION_SETTINGS = `select
  set_config('synchronous_commit', case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, false),
  set_config('enable_seqscan', 'off', false),
  set_config('statement_timeout', $1, false),
  set_config('idle_in_transaction_session_timeout', $2, false)`

// A peer that vanished sends nothing, not even an end: without this a commit would wait for its reply for ever.
function watchedSocket(silenceMs: number): Socket {
  const socket = new Socket()
  socket.setTimeout(silenceMs, () => socket.destroy(new Error(`the database was silent for ${silenceMs / 1_000} s`)))
  return socket
}

const parserOf: typeof types.getTypeParser = (type, format) => {
  if (type === types.builtins.INT8) return parseInt8
  if (type === types.builtins.BYTEA) return parseBytea
  return types.getTypeParser(type, format)
}

function parseInt8(text: string): number {
  const value = Number(text)
  assert(Number.isSafeInteger(value), `${text} in the database is beyond exact numbers`)
  return value
}

function parseBytea(text: string): Uint8Array {
  assert(text.startsWith('\\x'), 'bytes come as hexadecimal')
  const bytes = Buffer.from(text.slice(2), 'hex')
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
