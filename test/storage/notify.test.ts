import { cp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startEmbedded } from '../../src/storage/embedded.ts'
import { migrateToLatest } from '../../src/storage/migrate.ts'
import { watchLog } from '../../src/storage/notify.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import type { Store } from '../../src/storage/store.ts'
import { startFaultyProxy } from './faulty-proxy.ts'
import { plain, round } from './rows.ts'
import { inDatabase, scratchFolder, silent, startTestServer, type Place, type TestServer } from './server.ts'

/** Longer than any test. */
const NEVER_MS = 1_000_000

let server: TestServer
let opened: AsyncDisposable[] = []

beforeAll(async () => {
  server = await startTestServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

afterEach(async () => {
  await Promise.all(opened.map((item) => item[Symbol.asyncDispose]()))
  opened = []
})

async function withLog() {
  const place = await server.migrated()
  const store = await openPostgres({ connection: place, onIncident: () => {} })
  opened.push(store)
  await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: [] })
  return { place, store }
}

function watched(connection: Place, pollMs = NEVER_MS) {
  const told = { calls: 0, incidents: [] as Error[] }
  const watching = watchLog({ connection, onIncident: (error) => told.incidents.push(error) }, () => told.calls++, pollMs)
  opened.push(watching)
  return Object.assign(told, { watching })
}

async function append(store: Store): Promise<void> {
  await store.underHead((held) => held.append(round(held.head, plain(1))))
}

const LISTENERS = "select pid from pg_stat_activity where datname = current_database() and query = 'listen stele_moved'"

async function listening(place: Place): Promise<unknown> {
  await expect.poll(async () => (await inDatabase(place, LISTENERS)).length).toBe(1)
  const [session] = await inDatabase(place, LISTENERS)
  return session?.['pid']
}

describe('a watch', () => {
  it('opens its connection again when it is lost, calls, says so, and goes on', async () => {
    const { place, store } = await withLog()
    const told = watched(place)
    for (const losses of [1, 2, 3]) {
      const pid = await listening(place)
      const before = told.calls
      await inDatabase(place, 'select pg_terminate_backend($1)', [pid])
      await expect.poll(() => told.incidents.length).toBe(losses)
      await expect.poll(() => told.calls).toBeGreaterThan(before)
      await listening(place)
      await expect.poll(() => told.calls).toBeGreaterThan(before + 1)
      const calls = told.calls
      await append(store)
      await expect.poll(() => told.calls).toBeGreaterThan(calls)
    }
    expect(told.incidents[0]?.message).toMatch(/listens/)
  })

  it('calls from time to time while there is no database, and comes back with it', async () => {
    const { place, store } = await withLog()
    const proxy = await startFaultyProxy(place)
    const told = watched({ ...place, host: '127.0.0.1', port: proxy.port }, 50)
    await listening(place)
    await proxy[Symbol.asyncDispose]()
    await expect.poll(() => told.incidents.length).toBe(1)
    const calls = told.calls
    await expect.poll(() => told.calls, { timeout: 2_000 }).toBeGreaterThan(calls + 5)
    await using back = await startFaultyProxy(place, proxy.port)
    expect(back.port).toBe(proxy.port)
    await listening(place)
    expect(told.incidents).toHaveLength(1)
    const before = told.calls
    await append(store)
    await expect.poll(() => told.calls).toBeGreaterThan(before)
  })

  it('keeps no session after its end, in whatever state of the connection it comes', async () => {
    const { place } = await withLog()
    for (const afterMs of [0, 1, 2, 3, 5, 8, 13, 50]) {
      const { watching, incidents } = watched(place)
      await sleep(afterMs)
      await watching[Symbol.asyncDispose]()
      await expect.poll(() => inDatabase(place, LISTENERS)).toEqual([])
      expect(incidents).toEqual([])
    }
  })

  it('ends promptly in the middle of a connect, and between two attempts', async () => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => void sockets.push(socket.resume()))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = mute.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const connection = { host: '127.0.0.1', port: address.port, user: 'u', database: 'd' }
    const within = watched(connection)
    await expect.poll(() => sockets.length).toBe(1)
    const began = performance.now()
    await within.watching[Symbol.asyncDispose]()
    await expect.poll(() => sockets[0]?.closed).toBe(true)
    await new Promise((resolve) => mute.close(resolve))
    const between = watched(connection)
    await sleep(250)
    await between.watching[Symbol.asyncDispose]()
    expect(performance.now() - began).toBeLessThan(2_500)
    expect([...within.incidents, ...between.incidents]).toEqual([])
  })

  it('ends with its store', async () => {
    const { place } = await withLog()
    const store = await openPostgres({ connection: place, onIncident: () => {} })
    let calls = 0
    const watching = store.watch(() => calls++, 5)
    await listening(place)
    await store[Symbol.asyncDispose]()
    expect(await inDatabase(place, LISTENERS)).toEqual([])
    const before = calls
    await sleep(30)
    expect(calls).toBe(before)
    await watching[Symbol.asyncDispose]()
  })
})

describe('a watch of a hot standby', () => {
  it('polls, which is said once, and the log can be read there', async () => {
    const home = await scratchFolder('standby')
    try {
      const [primary, copy] = [join(home, 'primary'), join(home, 'copy')]
      {
        await using embedded = await startEmbedded({ dataDir: primary, log: silent })
        await migrateToLatest(embedded)
        await using store = await openPostgres({ ...embedded, onIncident: () => {} })
        await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: ['vkey'] })
        await append(store)
      }
      await cp(primary, copy, { recursive: true })
      await writeFile(join(copy, 'postgres', 'data', 'standby.signal'), '')
      await using embedded = await startEmbedded({ dataDir: copy, log: silent })
      expect(await inDatabase(embedded.connection, 'select pg_is_in_recovery() as standby')).toEqual([{ standby: true }])
      const incidents: Error[] = []
      await using store = await openPostgres({ ...embedded, onIncident: (error) => incidents.push(error) })
      expect(await store.head()).toMatchObject({ size: 1, guardId: 'guard', vkeys: ['vkey'] })
      expect(await store.entries(0, 9)).toHaveLength(1)
      let calls = 0
      await using stack = new AsyncDisposableStack()
      stack.use(store.watch(() => calls++, 25))
      await expect.poll(() => calls).toBeGreaterThan(10)
      expect(incidents.map((error) => error.message)).toEqual([expect.stringMatching(/standby.*polled/)])
      await expect(append(store)).rejects.toMatchObject({ code: '25006' })
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })
})
