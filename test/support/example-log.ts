// The log of the worked examples in the specification: an identity, its update, and one checkpoint. Always the same bytes.

import { openCounter, type TestCounter } from './counter.ts'
import { makeIdentity, makeUpdate } from './identities.ts'

const { did, genesis } = makeIdentity([0, 1])

/** The identity of the examples and what its owner signed. */
export const EXAMPLE = { did, genesis, update: makeUpdate(genesis.cid, 0, [0, 1], 'alice.test') }

/** Serves the log of the examples. */
export async function openExampleLog(): Promise<TestCounter> {
  const counter = await openCounter()
  await counter.submit(did, genesis)
  counter.clock.ms += 90_000
  await counter.submit(did, EXAMPLE.update)
  await counter.publish()
  return counter
}
