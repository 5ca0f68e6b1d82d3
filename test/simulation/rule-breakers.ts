// Entries that break the rules, whatever the log holds: what a log's holder could sign all the same.

import { decodeEntry, encodeEntry } from '../../src/core/entry.ts'
import { chainsFromRows, planReplay, replay } from '../../src/core/replay.ts'
import { forge, keyNumber, make } from './catalog.ts'
import type { Site } from './directory-process.ts'
import { inEffect } from './model.ts'
import type { Oracle } from './oracle.ts'
import type { World } from './world.ts'

/** A leaf that breaks a rule as the log's next one, or `anywhere` in it; null where the log is still empty. */
export function ruleBreaker({ random }: World, oracle: Oracle, leaves: readonly Uint8Array[], anywhere = false): Uint8Array | null {
  const { dids, newest } = oracle
  if (dids.length === 0) return null
  const did = random.pick(dids)
  const head = inEffect(oracle.history(did)).at(-1)
  const by = keyNumber(head?.rotationKeys[0] ?? '')
  const next = head === undefined || head.tombstone || by < 0 ? null : make({ prev: head.cid, by, rotation: [by], handle: 'against the rules' })
  const createdAt = newest + 1
  const kinds = [
    () => Uint8Array.of(1, 2, 3, random.below(256)),
    () => new Uint8Array(200 + random.below(200)).fill(0x81),
    ...(next === null ? [] : [() => encodeEntry({ did, createdAt, operation: forge(next).operation, source: null })]),
    ...(anywhere ? [] : [() => again(random.pick(leaves), createdAt)]),
    ...(anywhere || next === null
      ? []
      : [
          () => encodeEntry({ did, createdAt: newest - 1 - random.below(1_000), operation: next.operation, source: null }),
          () => encodeEntry({ did, createdAt, operation: next.operation, source: 'elsewhere' }),
        ]),
  ]
  return random.pick(kinds)()
}

/** Puts one into the log itself, behind the back of its directory. */
export async function plant(site: Site): Promise<void> {
  const { world, database: { store } } = site
  const oracle: Oracle = site.oracle
  await store.underHead(async (locked) => {
    const { head } = locked
    await oracle.look()
    const leaf = ruleBreaker(world, oracle, await store.leaves(0, head.size))
    if (leaf === null) return
    const plan = planReplay([leaf])
    const { rows, growth, state, verdicts } = replay(head, plan, chainsFromRows(await locked.history(plan.dids, 0)), [null])
    oracle.check(verdicts.has(head.size), `an entry that breaks the rules is not rejected: ${JSON.stringify(rows)}`)
    oracle.planted.add(head.size)
    oracle.saw(`planted ${verdicts.get(head.size)?.code}`)
    await locked.append({ from: head, entries: rows, nullified: [], tiles: growth.tiles, to: { size: state.edge.size, root: growth.root, ...state } })
  })
}

// An operation that is in the log, once more; of a leaf that is none, the same leaf.
function again(leaf: Uint8Array, createdAt: number): Uint8Array {
  try {
    return encodeEntry({ ...decodeEntry(leaf), createdAt })
  } catch {
    return leaf
  }
}
