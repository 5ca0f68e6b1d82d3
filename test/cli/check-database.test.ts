import { describe, expect, it } from 'vitest'
import { checkDatabase } from '../../src/cli/check-database.ts'
import type { FsckReport } from '../../src/client/fsck.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import type { EntryRow, Store } from '../../src/storage/store.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { person } from '../support/people.ts'
import { appendLeaves, FIRST_MS, identityLeaves, LOG_KEY, publishAll, rememberingVerifier, storedLog } from '../support/stored-log.ts'

const verifyAnswers = rememberingVerifier()
const alice = person('alice')
const theft = alice.update(alice.genesis, { key: 2 })
const recovery = alice.update(alice.genesis, { key: 0, handle: 'mine' })
const leaves = [
  ...identityLeaves(260),
  encodeEntry({ did: alice.did, createdAt: FIRST_MS + 1e6, operation: alice.genesis, source: null }),
  encodeEntry({ did: alice.did, createdAt: FIRST_MS + 1e6 + 1, operation: theft, source: null }),
  utf8Encode('no entry'),
  encodeEntry({ did: alice.did, createdAt: FIRST_MS + 1e6 + 2, operation: recovery, source: null }),
]

function check(store: Store): Promise<FsckReport> {
  return checkDatabase(store, [LOG_KEY], { verifyAnswers })
}

/** The store with other rows in some places. */
function withRows(store: Store, change: (row: EntryRow) => EntryRow | null): Store {
  return { ...store, entries: async (start, end) => (await store.entries(start, end)).flatMap((row) => change(row) ?? []) }
}

describe('checking a database', () => {
  it('finds a clean one clean, published or not up to its end, with the rejected entries listed', async () => {
    const store = await storedLog(leaves)
    expect(await check(store)).toMatchObject({ problems: [], entries: 264, dids: 261, rejected: [{ index: 262, code: 'MALFORMED_ENTRY' }] })
    const ahead = await storedLog(leaves.slice(0, 100))
    await appendLeaves(ahead, leaves.slice(100))
    expect(await check(ahead)).toMatchObject({ problems: [], entries: 264, checkpoint: { size: 264 } })
  })

  it('finds every derived column that is not what the entries lead to', async () => {
    const store = await storedLog(leaves)
    const changes: Record<string, Partial<EntryRow>> = { did: { did: alice.did }, cid: { cid: 'bafy' }, createdAt: { createdAt: 5 }, signer: { signer: 3 }, rejected: { rejected: 'MISORDERED', signer: null } }
    for (const [column, change] of Object.entries(changes)) {
      for (const index of [0, 255, 256, 259]) {
        const report = await check(withRows(store, (row) => (row.index === index ? { ...row, ...change } : row)))
        expect(report.problems.map(({ kind, where }) => [kind, where]), column).toEqual([['database', `entry ${index}`]])
        expect(report.problems[0]?.words).toContain(column)
      }
    }
  })

  it('finds a nullified flag that is missing, and one too many', async () => {
    const store = await storedLog(leaves)
    const missing = await check(withRows(store, (row) => ({ ...row, nullified: false })))
    expect(missing.problems).toEqual([{ kind: 'database', where: 'entry 261', words: 'nullified: the database says no, the rules yes' }])
    const extra = await check(withRows(store, (row) => ({ ...row, nullified: row.nullified || row.index === 3 })))
    expect(extra.problems).toEqual([{ kind: 'database', where: 'entry 3', words: 'nullified: the database says yes, the rules no' }])
  })

  it('is not misled by what a writer appends meanwhile', async () => {
    const store = await storedLog(leaves.slice(0, 262))
    let grown = false
    const growing: Store = {
      ...store,
      async entries(start, end) {
        if (!grown && start >= 256) {
          grown = true
          await appendLeaves(store, leaves.slice(262))
          await publishAll(store)
        }
        return store.entries(start, end)
      },
    }
    expect(await check(growing)).toMatchObject({ problems: [], entries: 262 })
    expect(grown).toBe(true)
  })

  it('finds a row that is missing, and an entry that was changed', async () => {
    const store = await storedLog(leaves)
    expect((await check(withRows(store, (row) => (row.index === 7 ? null : row)))).problems[0]).toMatchObject({ kind: 'bundle', where: 'tile/entries/000' })
    const other = leaves[8] ?? new Uint8Array()
    const changed = await check(withRows(store, (row) => (row.index === 7 ? { ...row, entry: other } : row)))
    expect(changed.problems.map(({ where }) => where)).toEqual(expect.arrayContaining(['tile/0/000', 'head', 'publication']))
  })

  it('finds a tile that is changed or too short', async () => {
    const store = await storedLog(leaves)
    const flipped: Store = { ...store, tiles: async (asked) => (await store.tiles(asked)).map((bytes) => bytes.with(0, (bytes[0] ?? 0) ^ 1)) }
    expect((await check(flipped)).problems.map(({ where }) => where).sort()).toEqual(['tile/0/000', 'tile/0/001.p/8', 'tile/1/000.p/1'])
    const short: Store = { ...store, tiles: async (asked) => (await store.tiles(asked)).map((bytes) => bytes.subarray(32)) }
    expect((await check(short)).problems.map(({ words }) => words)).toEqual(['it is missing', 'it is missing', 'it is missing'])
  })

  it('finds a head and a publication that the entries do not lead to', async () => {
    const store = await storedLog(leaves)
    const head = await store.head()
    const publication = await store.publication()
    if (head === null || publication === null) throw new Error('a log has both')
    const where = async (changed: Partial<Store>): Promise<string[]> => (await check({ ...store, ...changed })).problems.map(({ where }) => where)
    expect(await where({ head: async () => ({ ...head, root: new Uint8Array(32) }) })).toEqual(['head'])
    expect(await where({ head: async () => ({ ...head, edge: { ...head.edge, hashes: head.edge.hashes.toReversed() } }) })).toEqual(['head'])
    expect(await where({ head: async () => ({ ...head, clock: { lastNative: 1 } }) })).toEqual(['head'])
    expect(await where({ head: async () => ({ ...head, origin: 'other.test/log' }) })).toEqual(['publication'])
    expect(await where({ publication: async () => null })).toEqual(['publication'])
    expect(await where({ publication: async () => ({ ...publication, note: `${publication.note}x` }) })).toEqual(['publication'])
    expect(await where({ publication: async () => ({ ...publication, size: 3 }) })).toEqual(['publication', 'publication'])
    const { origin } = head
    const forked = signCheckpoint({ origin, size: 264, root: new Uint8Array(32) }, [LOG_KEY])
    expect(await where({ publication: async () => ({ ...publication, root: new Uint8Array(32), note: forked }) })).toEqual(['publication'])
    const larger = signCheckpoint({ origin, size: 300, root: publication.root }, [LOG_KEY])
    expect(await where({ publication: async () => ({ ...publication, size: 300, note: larger }) })).toEqual(['publication'])
  })

  it('needs a log', async () => {
    await expect(check(memoryStore())).rejects.toThrow('holds no log')
  })
})
