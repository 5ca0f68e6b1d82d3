// The files of the database, made whole or not at all.

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTo } from './account.ts'
import { EmbeddedError, OR_ANOTHER_SERVER, runProgram, type Account, type Programs } from './programs.ts'

/** Superuser and database of the embedded server. */
export const SUPERUSER = 'stele'
export const DATABASE = 'stele'

const UNFINISHED = 'data.new-'

/**
 * Makes the cluster in `dataFolder` unless it is there: in a folder beside it, which then takes its name, so that
 * a process killed in the middle leaves nothing that looks like a database. Throws EmbeddedError with what initdb said.
 */
export async function ensureCluster(programs: Programs, account: Account, folder: string, dataFolder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(UNFINISHED)) await rm(join(folder, name), { recursive: true, force: true })
  }
  if (await exists(dataFolder)) return
  const unfinished = join(folder, UNFINISHED + randomBytes(4).toString('hex'))
  await mkdir(unfinished, { mode: 0o700 })
  await giveTo(account, unfinished)
  const { code, output } = await runInitdb(programs, account, folder, [...INITDB_OPTIONS, ...(await authentication(folder)), '-D', unfinished])
  if (code !== 0) {
    await rm(unfinished, { recursive: true, force: true })
    throw new EmbeddedError(`The database could not be initialised in ${folder}. initdb said:\n${output}`)
  }
  await rename(unfinished, dataFolder)
  await syncFolder(folder)
}

/** The superuser's password where there is one: on Windows, where sockets have no folder that keeps others out. */
export async function passwordOf(folder: string): Promise<string | null> {
  return process.platform === 'win32' ? readFile(passwordFile(folder), 'utf8') : null
}

// initdb wants a name for its user, which containers that run under any number do not have. In a user namespace it is
// nobody, who has one.
async function runInitdb(programs: Programs, account: Account, folder: string, args: readonly string[]) {
  const first = await runProgram(account, programs.initdb, args, folder)
  if (first.code === 0 || !first.output.includes('could not look up effective user')) return first
  const second = await runProgram({ ...account, prefix: [...account.prefix, 'unshare', '--user'] }, programs.initdb, args, folder)
  return second.code === 0 ? second : { ...first, output: `${first.output}\nGive the user a line in /etc/passwd, run stele as a user that has one, ${OR_ANOTHER_SERVER}.` }
}

const INITDB_OPTIONS = ['-U', SUPERUSER, '-E', 'UTF8', '--locale=C', '--data-checksums', '--no-instructions']

async function authentication(folder: string): Promise<string[]> {
  if (process.platform !== 'win32') return ['-A', 'trust']
  await writeFile(passwordFile(folder), randomBytes(24).toString('hex'), { mode: 0o600 })
  return ['-A', 'scram-sha-256', '--pwfile', passwordFile(folder)]
}

function passwordFile(folder: string): string {
  return join(folder, 'password')
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}

// A folder cannot be opened on Windows, and renames there need no help.
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  await using handle = await open(folder)
  await handle.sync()
}
