import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import { chainsFromRows, checkRoot, EMPTY_CLOCK, planQuestions, planReplay, replay, type IndexedChain, type ReplayState, type Replayed } from '../../src/core/replay.ts'
import { EMPTY_EDGE, edgeRoot } from '../../src/core/tlog/edge.ts'
import { person, type Person } from '../support/people.ts'

const START: ReplayState = { edge: EMPTY_EDGE, clock: EMPTY_CLOCK }
const [alice, bob] = [person('alice'), person('bob')]

function entry(who: Person, operation: Operation, createdAt: number, source: string | null = null): Entry {
  return { did: who.did, createdAt, operation, source }
}

function replayAll(...entries: readonly Entry[]): Replayed {
  return replay(START, planReplay(entries.map(encodeEntry)), new Map())
}

const codes = ({ rows }: Replayed): (string | null)[] => rows.map((row) => row.rejected)

describe('replay', () => {
  const update = alice.update(alice.genesis, { key: 2 })
  const recovery = alice.update(alice.genesis, { key: 0, handle: 'back' })

  it('derives who signed and what is nullified', () => {
    const { rows, nullified } = replayAll(entry(alice, alice.genesis, 1), entry(bob, bob.genesis, 1), entry(alice, update, 2), entry(alice, recovery, 3))
    expect(rows.map(({ signer, nullified, rejected }) => [signer, nullified, rejected])).toEqual([
      [0, false, null],
      [0, false, null],
      [2, true, null],
      [0, false, null],
    ])
    expect(nullified).toEqual([])
  })

  it('gives in any number of runs what it gives in one', () => {
    const carol = person('carol')
    const entries = [
      entry(alice, alice.genesis, 1, 'old'),
      entry(bob, bob.genesis, 9, 'old'),
      entry(alice, update, 2, 'old'),
      entry(bob, bob.update(bob.genesis, { key: 1 }), 20),
      entry(alice, recovery, 20),
      entry(alice, update, 21),
      entry(carol, carol.genesis, 19),
      entry(bob, bob.update(bob.genesis, { key: 0, handle: 'again' }), 22),
      entry(bob, bob.update(bob.genesis, { key: 0, handle: 'sourced' }), 22, 'old'),
    ]
    const whole = replayAll(...entries)
    expect(codes(whole)).toEqual([null, null, null, null, null, 'MISORDERED', 'ENTRY_BEFORE_LOG', null, 'SOURCED_AFTER_NATIVE'])
    fc.assert(
      fc.property(fc.subarray(entries.map((_, i) => i + 1)), fc.boolean(), (cuts, asked) => {
        let state = START
        let rows = [...whole.rows].slice(0, 0)
        for (const [from, to] of [0, ...cuts].map((cut, i, all) => [cut, all[i + 1] ?? entries.length] as const)) {
          const plan = planReplay(entries.slice(from, to).map(encodeEntry))
          const chains = chainsFromRows(rows.filter((row) => plan.dids.includes(row.did)))
          const run = replay(state, plan, chains, asked ? answers(plan.decoded, chains) : [])
          rows = [...rows.map((row) => (run.nullified.includes(row.index) ? { ...row, nullified: true } : row)), ...run.rows]
          state = run.state
        }
        expect(rows).toEqual(whole.rows)
        expect(state).toEqual(whole.state)
      }),
      { numRuns: 40 },
    )
  })

  it('keeps an entry that breaks a rule in the tree and out of every chain', () => {
    const forged = alice.update(alice.genesis, { key: 1 })
    const thief = person('thief')
    const stolen = thief.update(alice.genesis)
    const broken = replayAll(entry(alice, alice.genesis, 1), entry(alice, stolen, 2), entry(alice, forged, 3))
    expect(codes(broken)).toEqual([null, 'INVALID_SIGNATURE', null])
    expect([...broken.verdicts.keys()]).toEqual([1])
    expect(broken.state.edge.size).toBe(3)
    expect(broken.rows.map((row) => row.signer)).toEqual([0, null, 1])
  })

  it('keeps bytes that are no entry in the tree, as a verdict', () => {
    const leaves = [encodeEntry(entry(alice, alice.genesis, 1)), Uint8Array.of(1, 2, 3), encodeEntry(entry(alice, update, 2))]
    const { rows, state } = replay(START, planReplay(leaves), new Map())
    expect(rows.map(({ did, rejected }) => [did, rejected])).toEqual([
      [alice.did, null],
      ['', 'MALFORMED_ENTRY'],
      [alice.did, null],
    ])
    expect(state.edge.size).toBe(3)
  })

  it('refuses a root that the entries do not lead to', () => {
    const { state } = replayAll(entry(alice, alice.genesis, 1))
    const root = edgeRoot(state.edge)
    checkRoot(state, { origin: 'x', size: 1, root })
    expect(() => checkRoot(state, { origin: 'x', size: 1, root: root.map((byte, i) => (i === 31 ? byte ^ 1 : byte)) })).toThrow(
      expect.objectContaining({ code: 'ROOT_MISMATCH' }),
    )
  })

  describe('of times', () => {
    it('wants a native entry later than all of its DID and not earlier than any native entry', () => {
      const first = entry(alice, alice.genesis, 1000)
      expect(codes(replayAll(first, entry(alice, update, 1000)))).toEqual([null, 'ENTRY_NOT_LATER'])
      expect(codes(replayAll(first, entry(alice, update, 1001)))).toEqual([null, null])
      expect(codes(replayAll(first, entry(bob, bob.genesis, 999)))).toEqual([null, 'ENTRY_BEFORE_LOG'])
      expect(codes(replayAll(first, entry(bob, bob.genesis, 1000)))).toEqual([null, null])
    })

    it('wants a native entry later than sourced ones of its DID, nullified ones too, and not than those of others', () => {
      const sourced = [entry(alice, alice.genesis, 1000, 'old'), entry(alice, update, 5000, 'old'), entry(bob, bob.genesis, 9000, 'old')]
      expect(codes(replayAll(...sourced, entry(alice, recovery, 5000)))).toEqual([null, null, null, 'ENTRY_NOT_LATER'])
      expect(codes(replayAll(...sourced, entry(alice, recovery, 5001)))).toEqual([null, null, null, null])
    })

    it('lets sourced entries keep their times in any order, but not after a native one', () => {
      expect(codes(replayAll(entry(alice, alice.genesis, 1000, 'a'), entry(alice, alice.update(alice.genesis), 500, 'b')))).toEqual([null, null])
      expect(codes(replayAll(entry(alice, alice.genesis, 1000), entry(bob, bob.genesis, 2000, 'a')))).toEqual([null, 'SOURCED_AFTER_NATIVE'])
    })

    it('does not let a rejected entry move the clock', () => {
      const thief = person('thief')
      const far = entry(alice, thief.update(alice.genesis), 9_000_000)
      expect(codes(replayAll(entry(alice, alice.genesis, 1), far, entry(bob, bob.genesis, 2)))).toEqual([null, 'INVALID_SIGNATURE', null])
      expect(codes(replayAll(entry(alice, stolenSourced(thief), 1), entry(bob, bob.genesis, 2, 'old')))).toEqual(['GENESIS_HASH', null])
    })
  })
})

describe('the questions of a run', () => {
  it('are those of each operation against the one before it, in the same run or earlier', () => {
    const update = alice.update(alice.genesis, { key: 1 })
    const run = [alice.genesis, update, alice.tombstone(update, { key: 2 }), bob.update(alice.genesis)].map((operation, i) => ({ did: i === 3 ? bob.did : alice.did, operation }))
    const questions = planQuestions(run, new Map())
    expect(questions.map((question) => question && findSigner(question))).toEqual([0, 1, 2, null])
    expect(questions[3]).toBeNull()
  })

  it('include those of an operation that stands after itself, or after a genesis that may come to nothing', () => {
    const forged = parseOperation(new Map([...alice.genesis.value, ['sig', 'A'.repeat(86)]]))
    const update = alice.update(alice.genesis)
    const run = [update, forged, forged, alice.genesis, update, bob.genesis, update].map((operation) => ({ did: alice.did, operation }))
    expect(planQuestions(run, new Map()).map((question) => question && findSigner(question))).toEqual([null, null, null, 0, 0, 0, 0])
    expect(planQuestions(run, new Map()).map((question) => question === null)).toEqual([true, false, false, false, false, false, false])
    expect(planQuestions(run, chainsFromRows(replayAll(entry(alice, alice.genesis, 1)).rows)).map((question) => question === null)).toEqual([false, true, true, true, false, true, false])
  })
})

function stolenSourced(thief: Person): Operation {
  return thief.genesis
}

function answers(decoded: ReturnType<typeof planReplay>['decoded'], chains: ReadonlyMap<string, IndexedChain>): (number | null | undefined)[] {
  const operations = decoded.map((entry) => {
    if (entry instanceof Error) throw entry
    return entry
  })
  return planQuestions(operations, chains).map((question) => (question === null ? undefined : findSigner(question)))
}
