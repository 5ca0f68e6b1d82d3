// The default database: native PostgreSQL from npm, in the data folder, on a Unix socket that nobody else can enter.
// It outlives a killed owner, is started again when it dies, and processes of one folder share it: the last that leaves
// stops it. spec/log.md#storage

import { access, chown, constants, mkdir, realpath, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Connection } from './database.ts'
import { chooseAccount } from './embedded/account.ts'
import { attend, type EmbeddedLog, type Place } from './embedded/attend.ts'
import { ensureCluster } from './embedded/cluster.ts'
import { withFolderLock } from './embedded/folder-lock.ts'
import { joinServer, type Presence } from './embedded/presence.ts'
import { processOf, readPostmaster, type ProcessKind } from './embedded/postmaster.ts'
import { EmbeddedError, OR_ANOTHER_SERVER, findPrograms } from './embedded/programs.ts'
import { stopServer } from './embedded/server.ts'
import { SUPERVISOR_LIMITS, lockFile, supervise, type Supervision } from './embedded/supervisor.ts'

export type { EmbeddedLog } from './embedded/attend.ts'

export interface EmbeddedOptions {
  /** The folder of the program's data; the database lives in its folder `postgres`. */
  readonly dataDir: string
  readonly log: EmbeddedLog
}

/** A running server and our part in it. Disposing it stops the server, unless another process uses it. */
export interface Embedded extends AsyncDisposable {
  /** Where the server answers, for as long as this is not disposed; after a crash it is the same again. */
  readonly connection: Exclude<Connection, string>
  /** Whether this call started the server; false where it was running. */
  readonly started: boolean
}

/**
 * Initialises the folder where it is new, starts its server or joins the one that runs, and resolves when it answers.
 * Until it is disposed, the server is started again whenever it ends.
 * Throws EmbeddedError, whose message says what to do, where that cannot be.
 */
export async function startEmbedded({ dataDir, log }: EmbeddedOptions): Promise<Embedded> {
  const programs = await findPrograms()
  const folder = await ourFolder(dataDir)
  const dataFolder = join(folder, 'data')
  const { place, presence, started } = await withFolderLock(lockFile(folder), SUPERVISOR_LIMITS.lockMs, async () => {
    const account = await chooseAccount(programs, dataFolder)
    if (account.owner !== null) await chown(lockFile(folder), account.owner, account.owner)
    await ensureCluster(programs, account, folder, dataFolder)
    const place = { programs, account, folder, dataFolder, log }
    return { place, ...(await attend(place, { at: null })) }
  })
  const { host, port } = presence.connection
  log('info', { folder: dataFolder, host, port }, started ? 'the embedded PostgreSQL has started' : 'joined the embedded PostgreSQL that runs on this folder')
  const supervision = supervise(place, presence)
  let left: Promise<void> | null = null
  return {
    connection: presence.connection,
    started,
    [Symbol.asyncDispose]() {
      left ??= leave(place, supervision)
      return left
    },
  }
}

async function ourFolder(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true })
    const folder = join(await realpath(dataDir), 'postgres')
    await mkdir(folder, { mode: 0o700, recursive: true })
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    return folder
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EmbeddedError(`The data folder ${dataDir} cannot be used (${reason}): run stele as its owner, choose another with --data, ${OR_ANOTHER_SERVER}.`, { cause })
  }
}

async function leave(place: Place, supervision: Supervision): Promise<void> {
  const presence = await supervision.stop()
  try {
    await withFolderLock(lockFile(place.folder), SUPERVISOR_LIMITS.lockMs, () => stopUnlessUsed(place, presence))
  } catch (error) {
    // Nothing is lost: all that was committed is on disk, and the next start finds the server.
    place.log('error', { error }, 'the embedded PostgreSQL could not be stopped')
  }
}

async function stopUnlessUsed(place: Place, presence: Presence | null): Promise<void> {
  const { programs, account, dataFolder, log } = place
  const others = await countOthers(place, presence)
  if (others > 0) {
    log('info', { others }, 'left the embedded PostgreSQL to the processes that use it')
    return
  }
  const file = await readPostmaster(dataFolder)
  if (file === null || !RUNNING.includes(await processOf(file.pid, dataFolder))) return
  await stopServer(programs, account, dataFolder)
  if (file.host.startsWith('/')) await rmdir(file.host).catch(() => {})
  log('info', {}, 'the embedded PostgreSQL has stopped')
}

const RUNNING: readonly ProcessKind[] = ['server', 'unknown']

// A server that cannot say who uses it is stopped: whoever does starts it again, while nobody else would ever stop it.
async function countOthers(place: Place, presence: Presence | null): Promise<number> {
  const file = await readPostmaster(place.dataFolder)
  const ours = presence ?? (file === null ? null : (await joinServer(place, file)).presence)
  return ours === null ? 0 : ours.leave().catch(() => 0)
}
