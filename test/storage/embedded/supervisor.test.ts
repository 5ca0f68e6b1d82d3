import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startEmbedded } from '../../../src/storage/embedded.ts'
import { chooseAccount } from '../../../src/storage/embedded/account.ts'
import { withFolderLock } from '../../../src/storage/embedded/folder-lock.ts'
import { processOf, readPostmaster } from '../../../src/storage/embedded/postmaster.ts'
import { findPrograms, runProgram } from '../../../src/storage/embedded/programs.ts'
import { lockFile } from '../../../src/storage/embedded/supervisor.ts'
import { migrateToLatest } from '../../../src/storage/migrate.ts'
import { openPostgres } from '../../../src/storage/postgres.ts'
import type { Store } from '../../../src/storage/store.ts'
import { plain, round } from '../rows.ts'
import { scratchFolder, silent } from '../server.ts'

const isLinux = process.platform === 'linux'

const LOST = 'the embedded PostgreSQL ended our connection'
const RESTARTED = 'the embedded PostgreSQL has been started again'

let home = ''
let dataFolder = ''
let socketFolder = ''
let prepared = ''

// Initialising takes longest: every test begins with a copy of one database, which holds an empty log.
beforeAll(async () => {
  prepared = await scratchFolder('prepared')
  await using embedded = await startEmbedded({ dataDir: prepared, log: silent })
  await migrateToLatest(embedded)
  await using store = await openPostgres({ ...embedded, onIncident: () => {} })
  await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: [] })
})

afterAll(async () => {
  await rm(prepared, { recursive: true, force: true })
})

beforeEach(async () => {
  home = await scratchFolder('supervised')
  dataFolder = join(home, 'postgres', 'data')
  await cp(prepared, home, { recursive: true })
})

afterEach(async () => {
  const server = await readPostmaster(dataFolder)
  if (server !== null && (await processOf(server.pid, dataFolder)) === 'server') process.kill(server.pid, 'SIGKILL')
  await rm(socketFolder, { recursive: true, force: true })
  await rm(home, { recursive: true, force: true })
})

/** A server that is kept running, a store in it, what it says in its log, and how often the log has moved. */
async function running() {
  const stack = new AsyncDisposableStack()
  const words: string[] = []
  const told = { moves: 0, words }
  const embedded = stack.use(await startEmbedded({ dataDir: home, log: (_level, fields, text) => words.push([text, fields['error']].join(' ').trim()) }))
  socketFolder = embedded.connection.host
  const store = stack.use(await openPostgres({ ...embedded, onIncident: () => {} }))
  stack.use(store.watch(() => told.moves++, 1_000_000))
  // Once at the beginning, once when it listens.
  await expect.poll(() => told.moves, { timeout: 10_000 }).toBeGreaterThan(1)
  return Object.assign(told, { embedded, store, [Symbol.asyncDispose]: () => stack.disposeAsync() })
}

async function append(store: Store): Promise<void> {
  await store.underHead((held) => held.append(round(held.head, plain(1))))
}

async function serverProcess(): Promise<number> {
  const server = await readPostmaster(dataFolder)
  if (server === null) throw new Error('no server')
  return server.pid
}

async function killServer(): Promise<void> {
  process.kill(await serverProcess(), 'SIGKILL')
}

/** All PostgreSQL servers that run on our folder. */
async function servers(): Promise<string[]> {
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(numbers.map((number) => readFile(`/proc/${number}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes('postgres') && line.includes(dataFolder))
}

/** Waits until the store answers, and gives how long that took, milliseconds. */
async function untilAnswers(store: Store): Promise<number> {
  const began = performance.now()
  await expect.poll(() => store.ping().then(() => true, () => false), { timeout: 20_000, interval: 20 }).toBe(true)
  return performance.now() - began
}

async function byHand(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const programs = await findPrograms()
  const account = await chooseAccount(programs, dataFolder)
  return runProgram(account, programs.pgCtl, [...args, '-D', dataFolder, '-w', '-l', join(home, 'by-hand.log')], home)
}

describe('the embedded server', () => {
  it('is started again when it is killed, and store and watch recover by themselves', async () => {
    await using here = await running()
    for (const kills of [1, 2]) {
      await append(here.store)
      const killed = await serverProcess()
      const { moves } = here
      process.kill(killed, 'SIGKILL')
      await expect.poll(() => here.words.filter((words) => words === LOST).length).toBe(kills)
      expect(await untilAnswers(here.store)).toBeLessThan(10_000)
      expect(await serverProcess()).not.toBe(killed)
      expect((await here.store.head())?.size).toBe(kills)
      await expect.poll(() => here.moves, { timeout: 10_000 }).toBeGreaterThan(moves + 1)
    }
    await using other = await openPostgres({ ...here.embedded, onIncident: () => {} })
    const { moves } = here
    await append(other)
    await expect.poll(() => here.moves).toBeGreaterThan(moves)
    expect(here.words).toEqual(['the embedded PostgreSQL has started', LOST, RESTARTED, LOST, RESTARTED])
  })

  it('that is away fails its callers at once', async () => {
    await using here = await running()
    await withFolderLock(lockFile(join(home, 'postgres')), 1_000, async () => {
      const midway = here.store.underHead(async (held) => {
        await killServer()
        await sleep(50)
        await held.now()
      })
      await expect(midway).rejects.toThrow()
      const began = performance.now()
      const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => here.store.head()))
      expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 'rejected'))
      await expect(append(here.store)).rejects.toThrow(/ECONNREFUSED|ENOENT/)
      expect(performance.now() - began).toBeLessThan(1_000)
    })
    await untilAnswers(here.store)
    await append(here.store)
  })

  it('is started again where it was stopped by hand, and joined again where it was restarted', async () => {
    await using here = await running()
    expect(await byHand('stop', '-m', 'fast')).toMatchObject({ code: 0 })
    await untilAnswers(here.store)
    await append(here.store)
    // Behind the lock, or whoever starts it first makes the other fail.
    await withFolderLock(lockFile(join(home, 'postgres')), 1_000, async () => {
      expect(await byHand('restart', '-m', 'fast')).toMatchObject({ code: 0 })
    })
    await untilAnswers(here.store)
    await expect.poll(() => here.words.at(-1)).toBe('the embedded PostgreSQL answers again')
    await append(here.store)
    expect((await here.store.head())?.size).toBe(2)
    if (isLinux) expect(await servers()).toHaveLength(1)
  })

  it('is tried on and on where it cannot start, and runs when the reason is gone', async () => {
    await using here = await running()
    const control = join(dataFolder, 'global', 'pg_control')
    await rename(control, join(home, 'pg_control'))
    await killServer()
    await expect.poll(() => here.words.filter((words) => words.includes('tried on and on')).length, { timeout: 10_000 }).toBeGreaterThan(1)
    expect(here.words.at(-1)).toMatch(/did not start[^]*pg_control/)
    await rename(join(home, 'pg_control'), control)
    await untilAnswers(here.store)
    await expect.poll(() => here.words.at(-1)).toBe(RESTARTED)
  })

  it('is not looked for elsewhere: one that was started by hand in another place is named, until it ends', async () => {
    await using here = await running()
    const elsewhere = join(home, 'elsewhere')
    await mkdir(elsewhere)
    await withFolderLock(lockFile(join(home, 'postgres')), 1_000, async () => {
      await byHand('stop', '-m', 'immediate')
      expect(await byHand('start', '-o', `-k '${elsewhere}' -c listen_addresses=''`)).toMatchObject({ code: 0 })
    })
    await expect.poll(() => here.words.at(-1), { timeout: 10_000 }).toMatch(/Somebody has started a PostgreSQL server .*elsewhere/)
    process.kill(await serverProcess(), 'SIGINT')
    await untilAnswers(here.store)
    await append(here.store)
  })

  it.runIf(isLinux)('is not left behind by whoever leaves while it is started again', async () => {
    for (const afterMs of [0, 10, 40, 80, 150, 250, 400]) {
      const here = await running()
      await killServer()
      await sleep(afterMs)
      await here[Symbol.asyncDispose]()
      await sleep(50)
      expect(await servers(), `after ${afterMs} ms`).toEqual([])
    }
  })

  it('is started again once by several processes, and stopped by the last that leaves', async () => {
    const script = fileURLToPath(new URL('../embedded-owner.ts', import.meta.url))
    const owner = spawn(process.execPath, [script, home], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: owner.stdout })[Symbol.asyncIterator]()
    expect(JSON.parse(String((await lines.next()).value))).toMatchObject({ started: true })
    const here = await running()
    await using others = await running()
    await killServer()
    await Promise.all([untilAnswers(here.store), untilAnswers(others.store)])
    // A server that is just beginning has another command line for a moment; a second one would stay.
    if (isLinux) await expect.poll(servers, { timeout: 5_000 }).toHaveLength(1)
    await sleep(500)
    if (isLinux) await expect.poll(servers, { timeout: 5_000 }).toHaveLength(1)
    await here[Symbol.asyncDispose]()
    owner.stdin.end()
    await once(owner, 'exit')
    await append(others.store)
    const pid = await serverProcess()
    await others[Symbol.asyncDispose]()
    expect(await processOf(pid, dataFolder)).not.toBe('server')
  })
})
