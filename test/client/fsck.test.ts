import { beforeAll, describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { fsck, type FsckReport } from '../../src/client/fsck.ts'
import { NotServedError, type TileReader } from '../../src/client/tile-reader.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { bundlePath, TILE_WIDTH, tilePath, tilesOf } from '../../src/core/tlog/tile.ts'
import type { Store } from '../../src/storage/store.ts'
import { person } from '../support/people.ts'
import { appendLeaves, FIRST_MS, identityLeaves, LOG_KEY, publishAll, rememberingVerifier, storedLog } from '../support/stored-log.ts'

const verifyAnswers = rememberingVerifier()

describe('fsck', () => {
  let small: Store
  let large: Store

  beforeAll(async () => {
    small = await storedLog(identityLeaves(3))
    large = await storedLog(identityLeaves(2 * TILE_WIDTH + 5))
  })

  it('finds a clean log whole, whatever its size', async () => {
    for (const size of [0, 1, 2, 3, 255, 256, 257, 512]) {
      const report = await check(await storedLog(identityLeaves(size)))
      expect(report).toMatchObject({ entries: size, dids: size, problems: [], rejected: [], checkpoint: { size } })
    }
  })

  it('tells how far it is', async () => {
    const seen: [number, number][] = []
    await fsck(storeReader(large), [LOG_KEY], { verifyAnswers, onProgress: (done, size) => seen.push([done, size]) })
    expect(seen).toEqual([
      [256, 517],
      [512, 517],
      [517, 517],
    ])
  })

  it('finds every changed byte of a small log', async () => {
    const names = await namesOf(small)
    for (const name of names) {
      const { length } = await read(storeReader(small), name)
      for (let at = 0; at < length; at++) {
        const report = await fsck(changing(storeReader(small), name, at), [LOG_KEY], { verifyAnswers })
        expect(report.problems, `byte ${at} of ${name}`).not.toEqual([])
      }
    }
  })

  it('finds changed bytes anywhere in a log of several bundles', async () => {
    for (const name of await namesOf(large)) {
      const { length } = await read(storeReader(large), name)
      for (const at of [0, 1, 31, 32, Math.floor(length / 2), length - 1]) {
        const report = await fsck(changing(storeReader(large), name, at % length), [LOG_KEY], { verifyAnswers })
        expect(report.problems, `byte ${at} of ${name}`).not.toEqual([])
      }
    }
  })

  it('names the tile, and the hash in it, that differs', async () => {
    const report = await fsck(changing(storeReader(large), 'tile/0/001', 32 * 7), [LOG_KEY], { verifyAnswers })
    expect(report.problems).toEqual([{ kind: 'tile', where: 'tile/0/001', words: 'hash 7 is not the one that the entries lead to' }])
  })

  it('finds whatever is missing, and goes on after a missing tile', async () => {
    for (const name of await namesOf(large)) {
      if (name === 'checkpoint') continue
      const report = await fsck(without(storeReader(large), name), [LOG_KEY], { verifyAnswers })
      expect(report.problems.map(({ where }) => where), name).toContain(name)
      if (!name.includes('entries')) expect(report).toMatchObject({ entries: 517, problems: [{ kind: 'tile' }] })
    }
  })

  it('says from which entry on it could not check where a bundle is broken', async () => {
    const report = await fsck(changing(storeReader(large), bundlePath(1, 256), 0), [LOG_KEY], { verifyAnswers })
    expect(report.entries).toBe(256)
    expect(report.problems[0]).toMatchObject({ kind: 'bundle', where: 'tile/entries/001' })
    expect(report.problems[0]?.words).toContain('entries from 256 on')
  })

  it('finds a checkpoint of another key, and one of a root that the entries do not have', async () => {
    const other = { ...LOG_KEY, publicKey: new Uint8Array(32), id: '00000000' }
    expect((await fsck(storeReader(small), [other], { verifyAnswers })).problems).toMatchObject([{ kind: 'checkpoint' }])
    const note = signCheckpoint({ origin: LOG_KEY.name, size: 3, root: new Uint8Array(32) }, [LOG_KEY])
    const forged = { ...storeReader(small), checkpoint: async () => note }
    expect((await fsck(forged, [LOG_KEY], { verifyAnswers })).problems).toMatchObject([{ kind: 'root', where: 'checkpoint' }])
  })

  it('finds a log that does not continue what was seen of it before', async () => {
    const head = await small.head()
    const seen = { size: 3, root: head?.root ?? new Uint8Array(), where: 'seen last week' }
    expect((await fsck(storeReader(large), [LOG_KEY], { verifyAnswers, known: [seen] })).problems).toEqual([])
    const contradicted = { ...seen, size: 4 }
    expect((await fsck(storeReader(large), [LOG_KEY], { verifyAnswers, known: [contradicted] })).problems).toMatchObject([{ kind: 'root', where: 'seen last week' }])
    const larger = { ...seen, size: 1000 }
    expect((await fsck(storeReader(large), [LOG_KEY], { verifyAnswers, known: [larger] })).problems).toMatchObject([{ kind: 'root', where: 'seen last week' }])
  })

  it('lists entries that break a rule, and finds the tree whole', async () => {
    const alice = person('alice')
    const stolen = { ...alice.genesis, ...person('bob').genesis }
    const leaves = [
      encodeEntry({ did: alice.did, createdAt: FIRST_MS, operation: alice.genesis, source: null }),
      encodeEntry({ did: alice.did, createdAt: FIRST_MS + 1, operation: stolen, source: null }),
      utf8Encode('no entry at all'),
      encodeEntry({ did: alice.did, createdAt: FIRST_MS, operation: alice.update(alice.genesis), source: null }),
      encodeEntry({ did: alice.did, createdAt: FIRST_MS + 2, operation: alice.update(alice.genesis), source: null }),
      encodeEntry({ did: alice.did, createdAt: FIRST_MS + 3, operation: alice.update(alice.genesis), source: 'elsewhere' }),
    ]
    const report = await check(await storedLog(leaves))
    expect(report).toMatchObject({ entries: 6, dids: 1, problems: [] })
    expect(report.rejected.map(({ index, did, code }) => [index, did, code])).toEqual([
      [1, alice.did, 'MISORDERED'],
      [2, '', 'MALFORMED_ENTRY'],
      [3, alice.did, 'ENTRY_NOT_LATER'],
      [5, alice.did, 'SOURCED_AFTER_NATIVE'],
    ])
  })

  it('applies the rules across bundles, recoveries included', async () => {
    const alice = person('alice')
    const theft = alice.update(alice.genesis, { key: 2 })
    const after = alice.update(theft, { key: 2, handle: 'more' })
    const recovery = alice.update(alice.genesis, { key: 0, handle: 'mine' })
    const tooLate = alice.update(alice.genesis, { key: 1, handle: 'weaker' })
    const at = (createdAt: number, operation: typeof theft): Uint8Array => encodeEntry({ did: alice.did, createdAt: FIRST_MS + createdAt, operation, source: null })
    const store = await storedLog([at(-4, alice.genesis), at(-3, theft), at(-2, after)])
    await appendLeaves(store, identityLeaves(TILE_WIDTH))
    await appendLeaves(store, [at(2e6, recovery), at(2e6 + 1, tooLate), at(2e6 + 2, alice.update(recovery, { key: 2, handle: 'next' }))])
    await publishAll(store)
    const report = await check(store)
    expect(report.problems).toEqual([])
    expect(report.rejected.map(({ index, code }) => [index, code])).toEqual([[TILE_WIDTH + 4, 'INVALID_SIGNATURE']])
    expect(report.dids).toBe(TILE_WIDTH + 1)
  })

  it('gives what a reader throws to its caller, for that is no finding', async () => {
    const broken = { ...storeReader(small), bundle: () => Promise.reject(new Error('the network is gone')) }
    await expect(fsck(broken, [LOG_KEY])).rejects.toThrow('the network is gone')
  })

  it('checks all but the signature where no key is named', async () => {
    const foreign = { ...storeReader(small), checkpoint: async () => (await storeReader(small).checkpoint()).replace(/ [^ ]+\n$/, ' AAAAAAAA\n') }
    expect((await fsck(foreign, null, { verifyAnswers })).problems).toEqual([])
    expect((await fsck(foreign, [LOG_KEY], { verifyAnswers })).problems).not.toEqual([])
    expect((await fsck(changing(foreign, 'tile/0/000.p/3', 5), null, { verifyAnswers })).problems).toMatchObject([{ kind: 'tile' }])
  })
})

function check(store: Store): Promise<FsckReport> {
  return fsck(storeReader(store), [LOG_KEY], { verifyAnswers })
}

// Everything that a checkpoint of the store leads to, by path.
async function namesOf(store: Store): Promise<string[]> {
  const size = (await store.head())?.size ?? 0
  const bundles = Array.from({ length: Math.ceil(size / TILE_WIDTH) }, (_, i) => bundlePath(i, Math.min(TILE_WIDTH, size - i * TILE_WIDTH)))
  return ['checkpoint', ...bundles, ...[...tilesOf(size)].map(tilePath)]
}

async function read(reader: TileReader, name: string): Promise<Uint8Array> {
  let found: Uint8Array | null = null
  const spy = passing(reader, (path, bytes) => {
    if (path === name) found = bytes
    return bytes
  })
  await fsck(spy, null, { verifyAnswers })
  if (found === null) throw new Error(`fsck does not read ${name}`)
  return found
}

/** The reader with one byte of one of its texts or files changed. */
function changing(reader: TileReader, name: string, at: number): TileReader {
  return passing(reader, (path, bytes) => (path === name ? bytes.with(at, ((bytes[at] ?? 0) + 1) % 256) : bytes))
}

function without(reader: TileReader, name: string): TileReader {
  return passing(reader, (path, bytes) => {
    if (path === name) throw new NotServedError(path)
    return bytes
  })
}

function passing(reader: TileReader, pass: (path: string, bytes: Uint8Array) => Uint8Array): TileReader {
  return {
    checkpoint: async () => new TextDecoder('utf-8', { ignoreBOM: true }).decode(pass('checkpoint', utf8Encode(await reader.checkpoint()))),
    tile: async (tile) => pass(tilePath(tile), await reader.tile(tile)),
    bundle: async (index, width) => pass(bundlePath(index, width), await reader.bundle(index, width)),
  }
}
