import { describe, expect, it } from 'vitest'
import type { Followed } from '../../src/client/follow.ts'
import { agreement, followed, indexFollowed, type LatestQuestion } from '../../src/client/latest.ts'
import type { VerifiedAnswer } from '../../src/client/proved.ts'
import { NOBODY_TO_ASK } from '../support/latest-question.ts'
import { person } from '../support/people.ts'

const alice = person('alice')
const OPERATIONS = [alice.genesis, alice.update(alice.genesis, { handle: 'one' }), alice.update(alice.genesis, { handle: 'two' })]

/** What a server of this address proves: operations at these indices, in a tree of this size. */
function answer(server: string, size: number, indices: readonly number[]): VerifiedAnswer {
  const links = indices.map((index) => ({ operation: OPERATIONS[index / 10] ?? alice.genesis, createdAt: 0, signer: 0, nullified: false }))
  const checkpoint = { origin: 'latest.test/log', size, root: new Uint8Array(32) }
  return { server, chain: { did: alice.did, links }, data: null, seen: { checkpoint, note: '', verified: [] }, indices, proved: [] }
}

/** A question to servers that give one list of answers after the other; `named` are those that were skipped. */
function question(...rounds: (readonly VerifiedAnswer[])[]): LatestQuestion & { readonly named: Record<string, string>; readonly sizes: number[] } {
  const named: Record<string, string> = {}
  const sizes: number[] = []
  return {
    did: alice.did,
    named,
    sizes,
    all: (size) => {
      sizes.push(size)
      return Promise.resolve(rounds.shift() ?? [])
    },
    each: async function* () {
      for (const one of rounds.shift() ?? []) yield await Promise.resolve(one)
    },
    skip: (one, code) => void (named[one.server] = code),
    ...NOBODY_TO_ASK,
  }
}

const [A, B, C] = ['http://a.test', 'http://b.test', 'http://c.test']

describe('agreement', () => {
  it('takes the answer in the largest tree, and says in how small a one it is shown', async () => {
    const largest = answer(B, 30, [0, 10])
    expect(await agreement(2)(question([answer(A, 20, [0, 10]), largest]))).toEqual({ answer: largest, size: 20, words: 'a.test, b.test agree' })
  })

  it('counts one host once, and asks for two at least', async () => {
    expect(await agreement(2)(question([answer(A, 20, [0]), answer(`${A}/copy`, 20, [0])]))).toBe('1 of the servers agree, 2 have to')
    for (const count of [1, 0, 1.5, NaN]) expect(() => agreement(count)).toThrow(RangeError)
  })

  it('asks once more whoever is only behind the newest operation', async () => {
    const asked = question([answer(A, 15, [0, 10]), answer(B, 10, [0])], [answer(A, 15, [0, 10]), answer(B, 16, [0, 10])])
    expect(await agreement(2)(asked)).toMatchObject({ size: 15 })
    expect(asked.sizes).toEqual([0, 11])
    const stuck = question([answer(A, 15, [0, 10]), answer(B, 10, [0])], [answer(A, 15, [0, 10])], [answer(A, 15, [0, 10]), answer(B, 16, [0, 10])])
    expect(await agreement(2)(stuck)).toBe('1 of the servers agree, 2 have to')
    expect(stuck.named).toEqual({ [B]: 'BEHIND' })
  })

  it('counts one operation more against any majority', async () => {
    const asked = question([answer(A, 40, [0, 10]), answer(B, 40, [0, 10]), answer(C, 40, [0, 10, 20])])
    expect(await agreement(2)(asked)).toBe('1 of the servers agree, 2 have to')
    expect(asked.named).toEqual({ [A]: 'OMITTED', [B]: 'OMITTED' })
  })

  it('is shown by nobody where nobody answers', async () => {
    expect(await agreement(2)(question([]))).toBe('0 of the servers agree, 2 have to')
  })
})

describe('a follower', () => {
  const operation = (index: number): Followed => ({ type: 'operation', index, entry: { did: alice.did, createdAt: 0, operation: OPERATIONS[index / 10] ?? alice.genesis, source: null } }) as Followed
  const other = (index: number): Followed => ({ type: index % 2 === 0 ? 'rejected' : 'operation', index, entry: { did: person('other').did, createdAt: 0, operation: person('other').genesis, source: null } }) as Followed

  it('knows what is newest once it has read as far as the answer', async () => {
    const index = indexFollowed()
    for (let i = 0; i < 15; i++) index.add(i === 0 || i === 10 ? operation(i) : other(i))
    for (let i = 5; i < 12; i++) index.add(i === 10 ? operation(i) : other(i)) // they come again after a crash
    const shown = answer(A, 15, [0, 10])
    expect(await followed(index)(question([shown]))).toMatchObject({ answer: shown, size: 15 })
    const asked = question([answer(A, 15, [0]), answer(B, 9, [0]), answer(C, 15, [0, 10])])
    expect(await followed(index)(asked)).toMatchObject({ answer: { server: C } })
    expect(asked.named).toEqual({ [A]: 'OMITTED', [B]: 'BEHIND' })
    expect(await index.operations(person('nobody').did, 3)).toEqual({ size: 15, operations: [], doubtful: [] })
  })

  it('waits for what it has not read yet', async () => {
    const index = indexFollowed()
    const asking = followed(index)(question([answer(A, 2, [0])]))
    index.add(operation(0))
    index.add(other(1))
    expect(await asking).toMatchObject({ size: 2 })
  })

  it('refuses an answer that holds what its replay has rejected', async () => {
    const index = indexFollowed()
    for (let i = 0; i < 15; i++) index.add(i === 0 ? operation(i) : other(i))
    const asked = question([answer(A, 15, [0, 10])])
    expect(await followed(index)(asked)).toBe('no server gave the answer that the replay gives')
    expect(asked.named).toEqual({ [A]: 'INVALID_HISTORY' })
  })

  it('shows nothing of an identity of which it rejected an entry on the word of a server', async () => {
    const index = indexFollowed()
    for (let i = 0; i < 15; i++) index.add(i === 0 ? operation(i) : i === 10 ? ({ ...operation(i), type: 'rejected', told: true } as Followed) : other(i))
    expect(await followed(index)(question([answer(A, 15, [0])]))).toBe('whether entry 10 is one of the identity depends on the word of the server that was followed')
  })

  it('has to be handed every entry', () => {
    expect(() => indexFollowed().add(operation(10))).toThrow('entry 0 was left out')
  })
})
