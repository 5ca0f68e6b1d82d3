// From a data folder, in whatever state it was left, to a server that answers: the way of the first start, of joining
// and of every start after a crash.

import { rm, rmdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { giveTo } from './account.ts'
import { joinServer, type Presence } from './presence.ts'
import { postmasterFile, processOf, readPostmaster, socketFolder } from './postmaster.ts'
import { EmbeddedError, type Account, type Programs } from './programs.ts'
import { launch } from './server.ts'

/** Tells the operator something: a level, facts, and a sentence. */
export type EmbeddedLog = (level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, words: string) => void

/** An initialised database and who runs it. */
export interface Place {
  readonly programs: Programs
  readonly account: Account
  /** Ours: lock, log, data. */
  readonly folder: string
  /** PostgreSQL's. */
  readonly dataFolder: string
  readonly log: EmbeddedLog
}

/** Where a server answers: the folder of its socket, or its address, and its port. */
export type Address = Pick<Presence['connection'], 'host' | 'port'>

export interface AttendOptions {
  /** Where the server has to answer, because others connect there; null for wherever it likes. */
  readonly at: Address | null
  /** Ends the attempt, and the server that it has launched. */
  readonly signal?: AbortSignal
}

/** How long things may take. */
export const ATTEND_LIMITS = {
  /** Until a server answers. */
  startMs: 60_000,
  /** Until a server answers that says it is recovering from a crash. */
  recoveryMs: 600_000,
  /** Between attempts, where sessions of a server that was killed have not noticed yet. */
  lingerMs: 200,
  /** What a server that was stopped in order stays stopped for; pg_ctl looks every 100 ms. */
  handMs: 500,
  pollMs: 20,
} as const

/** What PostgreSQL says then. */
const SESSIONS_LINGER = 'is still in use'

/**
 * Joins the server of the folder, or starts it where none runs. To be called under the folder's lock. Throws
 * EmbeddedError, whose message says what to do, where that cannot be, and the signal's reason.
 */
export async function attend(place: Place, options: AttendOptions): Promise<{ readonly presence: Presence; readonly started: boolean }> {
  let running = await joinRunning(place, options)
  if (running === null && options.at !== null && (await readPostmaster(place.dataFolder)) === null) {
    // It was stopped in order, so perhaps by a hand that waits to see it stopped, and may be about to start it again.
    await sleep(ATTEND_LIMITS.handMs, undefined, { signal: options.signal })
    running = await joinRunning(place, options)
  }
  return running === null ? { presence: await start(place, options), started: true } : { presence: running, started: false }
}

// Joins the server that the folder's file names, waiting while it starts or stops; null where none runs.
async function joinRunning(place: Place, { at, signal }: AttendOptions): Promise<Presence | null> {
  const { dataFolder } = place
  const overdue = stopwatch()
  for (;;) {
    const file = await readPostmaster(dataFolder)
    if (file === null) return null
    const joined = await joinServer(place, file)
    if (joined.presence !== null) {
      if (at === null || (file.host === at.host && file.port === at.port)) return joined.presence
      await joined.presence.leave()
      throw new EmbeddedError(
        `Somebody has started a PostgreSQL server (process ${file.pid}) on ${dataFolder} that answers at ${file.host}, port ${file.port}, and not at ${at.host}, port ${at.port}, where it is looked for. End it with "kill -INT ${file.pid}": it is then started in the right place.`,
      )
    }
    const running = await processOf(file.pid, dataFolder)
    if (running === 'gone') return null
    if (running === 'ended' || running === 'other') {
      // PostgreSQL looks at the number alone and would refuse to start. What the file guards against, sessions that
      // outlived their server, it notices by its shared memory as well.
      place.log('warn', { pid: file.pid, process: running }, 'the database was not stopped in order: removing the file with its process number')
      await rm(postmasterFile(dataFolder), { force: true })
      return null
    }
    if (overdue(joined.recovering)) {
      throw new EmbeddedError(
        `A PostgreSQL server (process ${file.pid}) seems to run on ${dataFolder} but does not answer at ${file.host} (${joined.reason}). End it with "kill -INT ${file.pid}" and try again; where that process is no PostgreSQL, remove ${postmasterFile(dataFolder)}.`,
      )
    }
    await sleep(ATTEND_LIMITS.pollMs * 5, undefined, { signal })
  }
}

async function start(place: Place, { at, signal }: AttendOptions): Promise<Presence> {
  const { programs, account, folder, dataFolder } = place
  const overdue = stopwatch()
  await giveTo(account, dataFolder)
  const folders = { folder, dataFolder, socketFolder: await socketFolder(dataFolder, account, at?.host ?? null), port: at?.port ?? null }
  let server = await launch(programs, account, folders)
  for (;;) {
    const file = await readPostmaster(dataFolder)
    const joined = file === null || file.pid !== server.pid ? null : await joinServer(place, file)
    if (joined?.presence) return joined.presence
    if (signal?.aborted === true) {
      await server.stop()
      await rmdir(folders.socketFolder).catch(() => {})
      signal.throwIfAborted()
    }
    const ended = await server.ended()
    const late = overdue(joined?.recovering ?? false)
    if (ended || late) {
      const words = await server.logTail()
      if (!ended) await server.stop()
      if (late || !words.includes(SESSIONS_LINGER)) {
        await rmdir(folders.socketFolder).catch(() => {})
        throw new EmbeddedError(`The embedded PostgreSQL ${ended ? 'did not start' : 'does not answer'}. The end of ${server.logFile}:\n${words}`)
      }
      await sleep(ATTEND_LIMITS.lingerMs, undefined, { signal })
      server = await launch(programs, account, folders)
    }
    await sleep(ATTEND_LIMITS.pollMs)
  }
}

// Tells whether a server has had its time, which is longer where it recovers from a crash.
function stopwatch(): (recovering: boolean) => boolean {
  const began = performance.now()
  return (recovering) => performance.now() - began > (recovering ? ATTEND_LIMITS.recoveryMs : ATTEND_LIMITS.startMs)
}
