// How processes on one database learn that another has moved the log: a NOTIFY in the transaction, a connection that
// listens, and a timer for whatever gets lost. spec/log.md#storage

import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { Client, DatabaseError } from 'pg'
import { DATABASE_LIMITS, clientConfig, type Connection, type DatabaseOptions } from './database.ts'
import type { OnMove } from './store.ts'

/** A channel belongs to one database, which holds one log. */
const CHANNEL = 'stele_moved'

/** To be returned by the statement that moves the log: tells everybody who listens, when and only if it commits. */
export const NOTIFY_SQL = `pg_notify('${CHANNEL}', '')`
export const NOTIFY = sql<string>`${sql.raw(NOTIFY_SQL)}`.as('told')

/** The database does not take listeners: a hot standby, or something between us that only looks like PostgreSQL. */
const REFUSALS: readonly (string | undefined)[] = ['25006', '0A000']

/** As `Store.watch`; `isOwn` tells of a session whether it is the store's. Each loss of the connection is told to `onIncident`, and once that this database refuses listeners. */
export function watchLog(options: Pick<DatabaseOptions, 'connection' | 'onIncident'>, onMove: OnMove, pollMs: number, isOwn: (session: number) => boolean = () => false): AsyncDisposable {
  const stopping = new AbortController()
  const { signal } = stopping
  const move = (session?: number): void => {
    if (!signal.aborted) onMove(session !== undefined && isOwn(session))
  }
  queueMicrotask(move)
  const timer = setInterval(move, pollMs)
  const listening = keepListening(options, move, signal)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      stopping.abort()
      await listening
    },
  }
}

async function keepListening({ connection, onIncident }: Pick<DatabaseOptions, 'connection' | 'onIncident'>, move: (session?: number) => void, signal: AbortSignal): Promise<void> {
  const { minMs, maxMs, steadyMs, refusedMs } = DATABASE_LIMITS.listen
  let delayMs: number = minMs
  let refused = false
  while (!signal.aborted) {
    const { since, cause } = await listen(connection, move, signal)
    if (signal.aborted) return
    if (cause instanceof DatabaseError && REFUSALS.includes(cause.code)) {
      // It may become a primary one day.
      if (!refused) onIncident(new Error('this database takes no listeners (is it a standby?): the log is polled instead', { cause }))
      refused = true
      delayMs = refusedMs
    } else if (since !== null) {
      onIncident(new Error('the connection that listens for moves of the log was lost and will be opened again', { cause }))
      move()
      if (performance.now() - since > steadyMs) delayMs = minMs
    }
    await sleep(delayMs, undefined, { signal }).catch(() => {})
    delayMs = Math.min(maxMs, delayMs * 2)
  }
}

interface Ended {
  /** From when on it listened, by `performance.now()`; null where it never came to that. */
  readonly since: number | null
  readonly cause: unknown
}

// One connection from its beginning to its end; the signal ends it in whatever state it is.
async function listen(connection: Connection, move: (session?: number) => void, signal: AbortSignal): Promise<Ended> {
  const socket = new Socket()
  const client = new Client({ ...clientConfig(connection), query_timeout: DATABASE_LIMITS.connectMs, stream: () => socket })
  const { promise: lost, resolve: lose } = Promise.withResolvers<unknown>()
  client.on('error', lose)
  client.on('end', () => lose(new Error('the database ended the connection')))
  client.on('notification', ({ processId }) => move(processId))
  const abort = (): void => lose(signal.reason)
  signal.addEventListener('abort', abort)
  let since: number | null = null
  try {
    await Promise.race([client.connect().then(() => client.query(`listen ${CHANNEL}`)), lost.then(rethrow)])
    since = performance.now()
    move()
    return { since, cause: await lost }
  } catch (cause) {
    return { since, cause }
  } finally {
    signal.removeEventListener('abort', abort)
    await close(client, socket)
  }
}

// In order where that is possible, so that the session is gone when we are; a connection half-made, or broken, is cut.
async function close(client: Client, socket: Socket): Promise<void> {
  if (!socket.connecting && !socket.destroyed) await Promise.race([client.end(), sleep(DATABASE_LIMITS.closeMs, undefined, { ref: false })])
  socket.destroy()
}

function rethrow(reason: unknown): never {
  throw reason
}
