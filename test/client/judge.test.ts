import { expect, it } from 'vitest'
import { Judge, type Judged, type ReadHistory } from '../../src/client/judge.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, rememberingVerifier } from '../support/stored-log.ts'

const alice = person('alice')
const one = alice.update(alice.genesis, { handle: 'one' })
const two = alice.update(one, { handle: 'two' })
const three = alice.update(two, { handle: 'three' })
const timeOf = (index: number): number => FIRST_MS + index * 1_000
const placed = (index: number, operation: Operation): { index: number; leaf: Uint8Array } => ({ index, leaf: encodeEntry({ did: alice.did, createdAt: timeOf(index), operation, source: null }) })
const history = (...operations: Operation[]): ReadHistory => () => Promise.resolve(operations.map((operation, index) => ({ did: alice.did, operation, cid: operation.cid, createdAt: timeOf(index) })))
const nobody: ReadHistory = () => Promise.reject(new Error('nobody is asked'))
const words = (judged: readonly Judged[]): unknown[] => judged.map((found) => (found.verdict === null ? 'kept' : [found.verdict.code, found.told]))

it('says whether an entry was rejected by what the log holds or by what a server told, and does not go on believing that', async () => {
  const judge = new Judge(rememberingVerifier(), true)
  // The server leaves out what the entry follows, and is another one the next time.
  expect(words((await judge.judge([placed(2, two)], null, history(alice.genesis))).judged)).toEqual([['MISORDERED', true]])
  expect(words((await judge.judge([placed(3, three)], null, history(alice.genesis, one, two))).judged)).toEqual(['kept'])

  const whole = new Judge(rememberingVerifier(), true)
  expect(words((await whole.judge([placed(0, alice.genesis), placed(1, two)], { lastNative: null }, nobody)).judged)).toEqual(['kept', ['MISORDERED', false]])
  expect(words((await whole.judge([placed(2, one), placed(3, two)], { lastNative: null }, nobody)).judged)).toEqual(['kept', 'kept'])
})
