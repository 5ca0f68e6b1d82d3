import { execFile } from 'node:child_process'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { DatabaseError } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { startEmbedded } from '../../src/storage/embedded.ts'
import { migrateToLatest } from '../../src/storage/migrate.ts'
import { openPostgres } from '../../src/storage/postgres.ts'
import { UnknownOutcomeError, type Store } from '../../src/storage/store.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { entryNamed, round } from './rows.ts'

const run = promisify(execFile)

/** Holds the database and some segments of its write-ahead log, which PostgreSQL makes 16 MB at a time. */
const DISK_MB = 160

let disk = ''
let mounted = false

beforeEach(async () => {
  disk = await mkdtemp(join(tmpdir(), 'full-'))
  mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB}m`, 'tmpfs', disk]).then(() => true, () => false)
})

afterEach(async () => {
  if (mounted) await run('umount', [disk])
  await rmdir(disk)
})

describe('a full disk', () => {
  // What is left when the disk fills decides where PostgreSQL meets it: in a table, or in its write-ahead log.
  it.for([1, 3, 9, 17, 20])('with %i MB left refuses rounds as incidents, and accepts them again as soon as there is space', async (leftMb, { skip, annotate }) => {
    if (!mounted) {
      process.stderr.write('\nSKIPPED, because only root may mount a small disk: what a full disk does\n')
      skip()
    }
    const words: string[] = []
    await using embedded = await startEmbedded({ dataDir: disk, log: (_level, _fields, text) => words.push(text) })
    await migrateToLatest(embedded)
    const incidents: Error[] = []
    await using store = await openPostgres({ ...embedded, onIncident: (error) => incidents.push(error) })
    await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: [] })
    await append(store)
    const ballast = join(disk, 'ballast')
    await fill(ballast, leftMb)

    const failures: unknown[] = []
    let acknowledged = 1
    let unknown = 0
    for (const deadline = performance.now() + 60_000; failures.length < 12 && performance.now() < deadline; ) {
      const failure: unknown = await append(store).then(() => null, (error: unknown) => error)
      if (failure === null) acknowledged++
      else {
        failures.push(failure)
        if (failure instanceof UnknownOutcomeError) unknown++
        await sleep(50)
      }
    }
    expect(failures).toHaveLength(12)
    for (const failure of failures) {
      expect(failure).not.toBeInstanceOf(DirectoryError)
      // An error was rolled back, and is told as such; a panic in the commit may come before or after it was written.
      if (failure instanceof UnknownOutcomeError && failure.cause instanceof DatabaseError) expect(failure.cause.severity).not.toBe('ERROR')
      if (failure instanceof DatabaseError && failure.code === '53100') expect(failure.message).toMatch(/No space left/)
    }
    const reads = await store.head().then(() => 'reading goes on', (error: unknown) => `reading waits for space: ${String(error)}`)
    await annotate(`${reads}; ${[...new Set(failures.map(describeError))].join(' | ')}`)

    await rm(ballast)
    await expect.poll(() => store.head().then(() => true, () => false), { timeout: 30_000 }).toBe(true)
    await expect.poll(() => append(store).then(() => true, () => false), { timeout: 30_000 }).toBe(true)
    acknowledged++
    const head = await store.head()
    const rows = await store.entries(0, 1_000_000)
    expect(rows).toHaveLength(head?.size ?? -1)
    expect(head?.root).toEqual(naiveRoot(rows.map((row) => naiveLeafHash(row.entry))))
    expect(rows.length / ROUND).toBeGreaterThanOrEqual(acknowledged)
    expect(rows.length / ROUND).toBeLessThanOrEqual(acknowledged + unknown)
    await annotate(`${acknowledged} rounds, ${unknown} unknown, ${words.join('; ')}`)
  })
})

const ROUND = 20

async function append(store: Store): Promise<void> {
  await store.underHead((held) => {
    const entry = new Uint8Array(20_000)
    const drafts = Array.from({ length: ROUND }, (_, position) => ({ entry: new Uint8Array([...entryNamed(String(held.head.size + position)), ...entry]) }))
    return held.append(round(held.head, drafts))
  })
}

/** Writes a file that leaves so much space. */
async function fill(path: string, leftMb: number): Promise<void> {
  const { bavail, bsize } = await statfs(disk)
  await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leftMb * 1_000_000)))
}

function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${String(error)}${cause}`
}
