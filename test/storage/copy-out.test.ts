import type { Pool } from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { copyOut } from '../../src/storage/copy-out.ts'
import { openPool } from '../../src/storage/database.ts'
import { inDatabase, startTestServer, type Place, type TestServer } from './server.ts'

const ROWS = 2_000
const INTEGERS = `select n::bigint from generate_series(1, ${ROWS}) as n`

let server: TestServer
let place: Place
let pool: Pool

beforeAll(async () => {
  server = await startTestServer()
  place = await server.empty()
  pool = openPool({ connection: place, poolSize: 1, onIncident: () => undefined })
})

afterAll(async () => {
  await pool.end()
  await server[Symbol.asyncDispose]()
})

// With one connection, whatever follows goes over the one that failed, or over the one that took its place.
async function expectUsable(): Promise<void> {
  const seen: number[] = []
  const copied = copyOut(pool, INTEGERS, (row) => seen.push(row.integer()))
  const asked = pool.query<{ answer: number }>('select 42 as answer')
  expect(await copied).toBe(ROWS)
  expect(seen).toEqual(Array.from({ length: ROWS }, (_, i) => i + 1))
  expect((await asked).rows).toEqual([{ answer: 42 }])
}

it('gives every row once, in order, and none of an empty answer', async () => {
  await expectUsable()
  expect(await copyOut(pool, 'select 1 where false', () => expect.unreachable())).toBe(0)
})

it('throws what the database says in the middle, and the connection goes on', async () => {
  let rows = 0
  const failing = copyOut(pool, `select 1 / (${ROWS} - n) from generate_series(1, ${2 * ROWS}) as n`, () => rows++)
  const next = expectUsable()
  await expect(failing).rejects.toThrow('division by zero')
  expect(rows).toBe(ROWS - 1)
  await next
})

it('throws what its caller throws, once all rows have come', async () => {
  let rows = 0
  const failing = copyOut(pool, INTEGERS, () => {
    if (++rows === 7) throw new Error('enough')
  })
  const next = expectUsable()
  await expect(failing).rejects.toThrow('enough')
  expect(rows).toBe(7)
  await next
})

it('throws where its session is ended in the middle, and another takes its place', async () => {
  const { rows: [session] } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  let first: () => void = () => undefined
  const begun = new Promise<void>((resolve) => (first = resolve))
  // More than what is on its way at once, so that it cannot end before it is ended.
  const failing = copyOut(pool, `select repeat('x', 10000)::bytea, case when n = 5000 then pg_sleep(60) end is null from generate_series(1, 5000) as n`, () => first())
  failing.catch(() => undefined)
  await begun
  await inDatabase(place, 'select pg_terminate_backend($1)', [session?.pid])
  await expect(failing).rejects.toThrow(/terminat/)
  await expect.poll(() => expectUsable().then(() => 'usable', String), { timeout: 30_000 }).toBe('usable')
})
