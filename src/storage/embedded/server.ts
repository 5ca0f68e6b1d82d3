// Starting and stopping the server's process, which leads a process group of its own: Ctrl-C in a terminal is for us,
// and we stop it when we are done.

import { spawn } from 'node:child_process'
import { chown, open, readFile, rename, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processOf, readPostmaster } from './postmaster.ts'
import { EmbeddedError, commandFor, runProgram, type Account, type Programs } from './programs.ts'

/** A server that was launched and may not answer yet. */
export interface Launched {
  readonly pid: number
  readonly logFile: string
  /** Whether its process is gone. */
  readonly ended: () => Promise<boolean>
  /** The last lines that it wrote since it was launched. */
  readonly logTail: () => Promise<string>
  /** Stops it, however far it has come; resolves when its process is gone. Throws EmbeddedError where it does not go. */
  readonly stop: () => Promise<void>
}

export interface Folders {
  readonly folder: string
  readonly dataFolder: string
  readonly socketFolder: string
  /** Its port, which is also in its socket's name; null for whichever is usual. */
  readonly port: number | null
}

const MAX_LOG_BYTES = 4_000_000
const TAIL_LINES = 20
const SOCKET_PORT = 5432
const STOP_S = 300
const STOP_POLL_MS = 20

/** Modest in memory, strict in durability, quiet in its log. */
const SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  max_connections: '100',
  shared_buffers: '128MB',
  io_method: 'sync',
  jit: 'off',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
  logging_collector: 'off',
} as const

/** Launches the server of an initialised folder. Resolves when its process runs, not when it answers. */
export async function launch(programs: Programs, account: Account, folders: Folders): Promise<Launched> {
  return process.platform === 'win32' ? launchOnWindows(programs, account, folders) : launchOnUnix(programs, account, folders)
}

/** Stops the server of a folder, ending its sessions; resolves when it has written all and ended. Throws EmbeddedError where it does not. */
export async function stopServer(programs: Programs, account: Account, dataFolder: string): Promise<void> {
  const { code, output } = await runProgram(account, programs.pgCtl, ['stop', '-D', dataFolder, '-m', 'fast', '-w', '-t', String(STOP_S)], dataFolder)
  if (code !== 0 && (await readPostmaster(dataFolder)) !== null) throw new EmbeddedError(`The server of ${dataFolder} could not be stopped: ${output}`)
}

async function launchOnUnix(programs: Programs, account: Account, { folder, dataFolder, socketFolder, port }: Folders): Promise<Launched> {
  const { file, start } = await openLog(account, folder)
  await using output = await open(file, 'a', 0o600)
  const settings = settingArguments({ listen_addresses: '', unix_socket_directories: `"${socketFolder}"`, unix_socket_permissions: '0700', port: String(port ?? SOCKET_PORT) })
  const { command, args, options } = commandFor(account, programs.postgres, ['-D', dataFolder, ...settings])
  const child = spawn(command, args, { ...options, cwd: folder, detached: true, stdio: ['ignore', output.fd, output.fd] })
  const { pid } = await new Promise<typeof child>((resolve, reject) => {
    child.once('spawn', () => resolve(child))
    child.once('error', (cause) => reject(new EmbeddedError(`The embedded PostgreSQL cannot be run: ${cause.message}`, { cause })))
  })
  if (pid === undefined) throw new EmbeddedError('The embedded PostgreSQL cannot be run')
  child.unref()
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  // pg_ctl finds a server by its file only, which one that has just been launched has not written yet.
  const stop = async (): Promise<void> => {
    const deadline = performance.now() + STOP_S * 1_000
    child.kill('SIGINT')
    while (!ended()) {
      if (performance.now() > deadline) throw new EmbeddedError(`The server of ${dataFolder} (process ${pid}) could not be stopped`)
      await sleep(STOP_POLL_MS)
    }
  }
  return { pid, logFile: file, ended: async () => ended(), logTail: () => tailOf(file, start), stop }
}

// Windows ends a process's children with its console and refuses administrators: pg_ctl knows what to do about both.
async function launchOnWindows(programs: Programs, account: Account, { folder, dataFolder, port }: Folders): Promise<Launched> {
  const { file, start } = await openLog(account, folder)
  const settings = settingArguments({ listen_addresses: '127.0.0.1', port: String(port ?? (await freePort())) })
  const args = ['start', '-D', dataFolder, '-l', file, '-w', '-o', settings.map((word) => `"${word}"`).join(' ')]
  const { code } = await runProgram(account, programs.pgCtl, args, folder)
  const pid = (await readPostmaster(dataFolder))?.pid
  if (code !== 0 || pid === undefined) throw new EmbeddedError(`The embedded PostgreSQL did not start. The end of ${file}:\n${await tailOf(file, start)}`)
  return { pid, logFile: file, ended: async () => (await processOf(pid, dataFolder)) === 'gone', logTail: () => tailOf(file, start), stop: () => stopServer(programs, account, dataFolder) }
}

function settingArguments(places: Readonly<Record<string, string>>): string[] {
  return Object.entries({ ...SETTINGS, ...places }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

async function openLog(account: Account, folder: string): Promise<{ file: string; start: number }> {
  const file = join(folder, 'server.log')
  const size = await stat(file).then(({ size }) => size, () => 0)
  if (size > MAX_LOG_BYTES) await rename(file, `${file}.old`)
  await using handle = await open(file, 'a', 0o600)
  if (account.owner !== null) await chown(file, account.owner, account.owner)
  return { file, start: (await handle.stat()).size }
}

async function tailOf(file: string, start: number): Promise<string> {
  const bytes = await readFile(file)
  return bytes.subarray(start).toString('utf8').trim().split('\n').slice(-TAIL_LINES).join('\n')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new EmbeddedError('No port of 127.0.0.1 is free')
  return address.port
}
