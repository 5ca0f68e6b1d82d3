import { describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { findBrokenRule, findFork } from '../../src/client/fork.ts'
import { fsck } from '../../src/client/fsck.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { formatEvidence, verifyEvidence, type Evidence } from '../../src/core/evidence.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import { naiveRoot } from '../support/naive-tree.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, rememberingVerifier, storedLog } from '../support/stored-log.ts'

const KEYS = [LOG_KEY]
const verifyAnswers = rememberingVerifier()

/** Leaves that part from `identityLeaves` after the first `common`. */
function parted(common: number, count: number): Uint8Array[] {
  return [...identityLeaves(common), ...identityLeaves(count + 1).slice(common + 1)]
}

function noteOver(leaves: readonly Uint8Array[]): string {
  return signCheckpoint({ origin: LOG_KEY.name, size: leaves.length, root: naiveRoot(leaves.map(leafHash)) }, KEYS)
}

function kindOf(evidence: Evidence | null | undefined): string | null {
  return evidence ? verifyEvidence(utf8Encode(formatEvidence(evidence)), KEYS).evidence.kind : null
}

describe('two checkpoints', () => {
  it('are a fork wherever they part, in either order, for those who hold the larger tree', async () => {
    for (const [small, large, common] of [[1, 2, 0], [3, 5, 2], [255, 257, 254], [256, 300, 0], [TILE_WIDTH + 1, 2 * TILE_WIDTH + 5, TILE_WIDTH]] as const) {
      const reader = storeReader(await storedLog(parted(common, large)))
      const [one, other] = [noteOver(identityLeaves(small)), noteOver(parted(common, large))]
      expect(kindOf(await findFork(reader, one, other, KEYS))).toBe('fork')
      expect(kindOf(await findFork(reader, other, one, KEYS))).toBe('fork')
    }
  })

  it('of one size and two roots contradict each other without any tree', async () => {
    const nothing = { tile: () => Promise.reject(new Error('nothing is read')) }
    expect(kindOf(await findFork(nothing, noteOver(identityLeaves(4)), noteOver(parted(1, 4)), KEYS))).toBe('two-roots')
    expect(await findFork(nothing, noteOver(identityLeaves(4)), noteOver(identityLeaves(4)), KEYS)).toBeNull()
  })

  it('of a log that continues are none, from the empty tree on', async () => {
    const reader = storeReader(await storedLog(identityLeaves(300)))
    for (const size of [0, 1, 2, 255, 256, 299, 300]) expect(await findFork(reader, noteOver(identityLeaves(size)), noteOver(identityLeaves(300)), KEYS)).toBeNull()
  })

  it('prove nothing with tiles that are not of the larger tree', async () => {
    const reader = storeReader(await storedLog(identityLeaves(300)))
    await expect(findFork(reader, noteOver(identityLeaves(4)), noteOver(parted(1, 300)), KEYS)).rejects.toMatchObject({ code: 'INVALID_PROOF' })
  })
})

describe('fsck', () => {
  it('makes evidence of a kept checkpoint that the log contradicts, and none of one that it continues', async () => {
    const reader = storeReader(await storedLog(parted(2, 300)))
    const check = async (note: string) => await fsck(reader, KEYS, { verifyAnswers, kept: [{ note, where: 'kept' }] })
    expect(await check(noteOver(parted(2, 290)))).toMatchObject({ problems: [], evidence: [] })
    const contradicted = await check(noteOver(identityLeaves(290)))
    expect(contradicted.problems).toMatchObject([{ kind: 'root', where: 'kept' }])
    expect(contradicted.evidence.map(kindOf)).toEqual(['fork'])
    expect((await check(noteOver(identityLeaves(300)))).evidence.map(kindOf)).toEqual(['two-roots'])
    const larger = await check(noteOver(identityLeaves(301)))
    expect([larger.problems.length, larger.evidence]).toEqual([1, []])
    expect(await check('rubbish')).toMatchObject({ problems: [{ kind: 'checkpoint', where: 'kept' }], evidence: [] })
  })

  it('makes evidence of a rule that was broken, with what stands in other bundles, and none of what proves nothing', async () => {
    const alice = person('alice')
    const at = (ms: number, operation: typeof alice.genesis): Uint8Array => encodeEntry({ did: alice.did, createdAt: FIRST_MS + ms, operation, source: null })
    const update = alice.update(alice.genesis, { key: 2 })
    const far = 10_000_000
    const cases = [
      [[at(-1, alice.genesis), ...identityLeaves(300), at(far, person('bob').update(alice.genesis))], 'signature'],
      [[at(-1, alice.genesis), ...identityLeaves(300), at(0, update)], 'time'],
      [[at(-1, alice.genesis), ...identityLeaves(2), at(far, alice.update(update)), at(far, update)], 'place'],
      [[at(-1, alice.genesis), ...identityLeaves(300), at(far, alice.update(update))], null],
      [[utf8Encode('nothing'), ...identityLeaves(3)], 'entry'],
    ] as const
    for (const [leaves, rule] of cases) {
      const { rejected, evidence } = await fsck(storeReader(await storedLog(leaves)), KEYS, { verifyAnswers })
      expect(rejected.length).toBe(1)
      expect(evidence.map((one) => (one.kind === 'broken-rule' ? one.rule : one.kind))).toEqual(rule === null ? [] : [rule])
      for (const one of evidence) expect(kindOf(one)).toBe('broken-rule')
    }
  })

  it('makes no evidence where the entries are not those that were signed', async () => {
    const leaves = [utf8Encode('nothing'), ...identityLeaves(3)]
    const reader = { ...storeReader(await storedLog(leaves)), checkpoint: () => Promise.resolve(noteOver(identityLeaves(4))) }
    const { problems, evidence } = await fsck(reader, KEYS, { verifyAnswers })
    expect(problems.map(({ kind }) => kind)).toContain('root')
    expect(evidence).toEqual([])
    await expect(findBrokenRule(reader, noteOver(identityLeaves(4)), KEYS, { index: 0, entry: utf8Encode('nothing') }, [])).rejects.toMatchObject({ code: 'INVALID_PROOF' })
  })
})
