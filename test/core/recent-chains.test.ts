import { describe, expect, it } from 'vitest'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { RecentChains } from '../../src/core/recent-chains.ts'
import { chainsFromRows, EMPTY_CLOCK, planReplay, replay, type EntryRow, type IndexedChain, type ReplayState } from '../../src/core/replay.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { person, type Person } from '../support/people.ts'

const START: ReplayState = { edge: EMPTY_EDGE, clock: EMPTY_CLOCK }
const [alice, bob, carol] = [person('alice'), person('bob'), person('carol')]
const DIDS = [alice, bob, carol].map(({ did }) => did)

function entry(who: Person, operation: Operation, createdAt: number): Entry {
  return { did: who.did, createdAt, operation, source: null }
}

describe('chains that were changed last', () => {
  it('are those that the rows give, nullified and refused operations among them, run after run', () => {
    const update = alice.update(alice.genesis, { key: 2 })
    const runs = [
      [entry(alice, alice.genesis, 1), entry(bob, bob.genesis, 2)],
      [entry(alice, update, 3)],
      [entry(alice, alice.update(alice.genesis, { key: 0, handle: 'back' }), 4), entry(bob, update, 5)],
      [entry(carol, carol.genesis, 6), entry(carol, carol.update(carol.genesis), 7)],
    ]
    const recent = new RecentChains(100)
    let [state, rows]: [ReplayState, readonly EntryRow[]] = [START, []]
    for (const run of runs) {
      const known = recent.at(state.edge.size, DIDS)
      const replayed = replay(state, planReplay(run.map(encodeEntry)), known)
      recent.note(state.edge.size, replayed.state.edge.size, replayed.changed)
      rows = [...rows.map((row) => (replayed.nullified.includes(row.index) ? { ...row, nullified: true } : row)), ...replayed.rows]
      state = replayed.state
      expect(recent.at(state.edge.size, DIDS)).toEqual(chainsFromRows(rows))
    }
    expect(rows.map(({ nullified, rejected }) => nullified || rejected !== null)).toEqual([false, false, true, false, true, false, false])
  })

  const chainOf = (who: Person, size: number): [string, IndexedChain] => {
    const operations = [who.genesis]
    while (operations.length < size) operations.push(who.update(operations.at(-1) ?? who.genesis, { handle: `v${operations.length}` }))
    return [who.did, { chain: { did: who.did, links: operations.map((operation, i) => ({ operation, createdAt: i, signer: 0, nullified: false })) }, indices: [...operations.keys()] }]
  }
  const known = (recent: RecentChains, size: number): string[] => [...recent.at(size, DIDS).keys()]

  it('are not known at another size, after a change that was not noted, nor after they were forgotten', () => {
    const recent = new RecentChains(100)
    recent.note(0, 1, new Map([chainOf(alice, 1)]))
    expect([known(recent, 1), known(recent, 0), known(recent, 2)]).toEqual([[alice.did], [], []])
    recent.note(2, 3, new Map([chainOf(bob, 1)]))
    expect(known(recent, 3)).toEqual([bob.did])
    recent.forget()
    expect(known(recent, 3)).toEqual([])
  })

  it('are of so many operations at most, those longest unchanged going first, and none of a change that is larger', () => {
    const recent = new RecentChains(4)
    recent.note(0, 2, new Map([chainOf(alice, 1), chainOf(bob, 1)]))
    recent.note(2, 3, new Map([chainOf(alice, 2)]))
    recent.note(3, 4, new Map([chainOf(carol, 2)]))
    expect(known(recent, 4)).toEqual([alice.did, carol.did])
    recent.note(4, 5, new Map([chainOf(carol, 5)]))
    expect(known(recent, 5)).toEqual([])
    recent.note(5, 10, new Map([chainOf(bob, 1)]))
    expect(known(recent, 10)).toEqual([])
  })

  it('keep of a frame no more than their own bytes', () => {
    const recent = new RecentChains(4)
    const frame = new Uint8Array(10_000)
    const operation = { ...alice.genesis, bytes: frame.subarray(10, 20) }
    recent.note(0, 1, new Map([[alice.did, { chain: { did: alice.did, links: [{ operation, createdAt: 1, signer: 0, nullified: false }] }, indices: [0] }]]))
    expect(recent.at(1, DIDS).get(alice.did)?.chain.links[0]?.operation.bytes.buffer.byteLength).toBe(10)
  })
})
