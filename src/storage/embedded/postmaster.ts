// What a data folder says of its server: the file postmaster.pid, which may be true, stale, or about a process that
// has nothing to do with it. https://www.postgresql.org/docs/current/storage-file-layout.html

import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chown, lstat, mkdir, mkdtemp, readFile, readlink, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { EmbeddedError, type Account } from './programs.ts'

/** The running server as its file describes it. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
  /** Folder of its Unix socket, or its address. */
  readonly host: string
}

/** Reads `postmaster.pid`; null where there is none, or it is not written to its end. */
export async function readPostmaster(dataFolder: string): Promise<Postmaster | null> {
  const text = await readFile(postmasterFile(dataFolder), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const [pid = '', , , port = '', socketFolder = '', address = ''] = text.split('\n').map((line) => line.trim())
  const host = socketFolder === '' ? address : socketFolder
  if (!(Number(pid) > 0) || !(Number(port) > 0) || host === '') return null
  return { pid: Number(pid), port: Number(port), host }
}

export function postmasterFile(dataFolder: string): string {
  return join(dataFolder, 'postmaster.pid')
}

/**
 * What the process of the file's first line is: `gone`, `ended` (dead, but nobody has collected it, so PostgreSQL
 * would take it for alive), `server` (PostgreSQL on this folder), `other` (a program that was given the number of a
 * server that ended), `unknown` (it cannot be told).
 */
export type ProcessKind = 'gone' | 'ended' | 'server' | 'other' | 'unknown'

export async function processOf(pid: number, dataFolder: string): Promise<ProcessKind> {
  if (!exists(pid)) return 'gone'
  const words = await commandLine(pid)
  if (words === null) return exists(pid) ? 'unknown' : 'gone'
  if (words === '') return exists(pid) ? 'ended' : 'gone'
  const folder = await realpath(dataFolder)
  const servesFolder = words.includes(dataFolder) || words.includes(folder) || (await workingFolder(pid)) === folder
  return PROGRAM.test(words) && servesFolder ? 'server' : 'other'
}

/**
 * A folder for the server's socket, which only we and the server may enter, on a path as short as sockets need.
 * One that stands there and is not exactly that (a trap in a folder that everybody may write) is left alone.
 * Where others connect to a folder of before, it is `keep` that is made again. Throws EmbeddedError where that cannot be.
 */
export async function socketFolder(dataFolder: string, account: Account, keep: string | null): Promise<string> {
  const base = tmpdir().length <= LONGEST_BASE ? tmpdir() : '/tmp'
  const hash = createHash('sha256').update(await realpath(join(dataFolder, '..'))).digest('hex').slice(0, 12)
  const named = keep ?? join(base, `stele-${hash}`)
  await mkdir(named, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const usable = (await isPrivate(named, account)) && (await isFree(named))
  if (!usable && keep !== null) throw new EmbeddedError(`The database's socket has to be in ${keep}, which is not ours alone or in use by another server: remove that folder, or start stele again.`)
  const folder = usable ? named : await mkdtemp(join(base, `stele-${randomBytes(2).toString('hex')}-`))
  if (account.owner !== null) await chown(folder, account.owner, account.owner)
  return folder
}

/** A socket's path has at most 103 bytes (macOS), and `/stele-0123456789ab-abcdef/.s.PGSQL.5432` is 40 of them. */
const LONGEST_BASE = 60

async function isPrivate(folder: string, account: Account): Promise<boolean> {
  const found = await lstat(folder)
  const closedToOthers = found.mode % 0o100 === 0
  return found.isDirectory() && closedToOthers && (found.uid === process.getuid?.() || found.uid === account.owner)
}

/** PostgreSQL at the beginning of a command line, with or without a path (which may hold blanks). */
const PROGRAM = /(^|[/\\])postgres(\.exe)?:?( |$)/

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

// Whether no server uses a folder for its socket. What a dead one left behind is removed: PostgreSQL would ask only
// whether there is a process of that number, which may be another program by now.
async function isFree(folder: string): Promise<boolean> {
  const socket = join(folder, '.s.PGSQL.5432')
  const pid = Number((await readFile(`${socket}.lock`, 'utf8').catch(() => '')).split('\n')[0])
  if (pid > 0 && exists(pid) && PROGRAM.test((await commandLine(pid)) ?? '')) return false
  await rm(socket, { force: true })
  await rm(`${socket}.lock`, { force: true })
  return true
}

// The command line of a process; '' for one that has ended and was not collected, null where it cannot be read.
async function commandLine(pid: number): Promise<string | null> {
  if (process.platform === 'win32') return null
  try {
    if (process.platform === 'linux') return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)])
    return stdout.trim()
  } catch {
    return null
  }
}

// Where a process works (PostgreSQL works in its data folder, also where that was moved); null where it cannot be read.
async function workingFolder(pid: number): Promise<string | null> {
  return readlink(`/proc/${pid}/cwd`).catch(() => null)
}
