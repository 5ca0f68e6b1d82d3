// Versions that are derived ahead of what is written are those that would be derived if all before them were.

import { describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { UpperTree } from '../../src/core/map/upper-tree.ts'
import { EMPTY_MAP_ROOT } from '../../src/core/map/trie.ts'
import { Ahead } from '../../src/map/ahead.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { nativeSha256 } from '../../src/crypto/sha256.ts'
import { systemClock } from '../../src/system.ts'
import { appendMapLeaf, mapRootOf } from '../support/map-leaves.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, storedLog } from '../support/stored-log.ts'

const { signal } = new AbortController()
const people = Array.from({ length: 6 }, (_, n) => person(`ahead ${n}`))
/** Identities that come, and others that change from version to version. */
const LEAVES = [
  ...identityLeaves(40),
  ...people.flatMap((of, n) => [of.genesis, of.update(of.genesis, { handle: 'next' })].map((operation, i) => encodeEntry({ did: of.did, createdAt: FIRST_MS + (500 + 2 * n + i) * 1_000, operation, source: null }))),
]

describe('versions that are derived ahead', () => {
  it.each([[[1, 2, 40, 41, 42, 43, 52]], [[41]], [[40, 47, 52]]])('of %j entries are those of the log, and are written together', async (sizes) => {
    const store = await storedLog(LEAVES.slice(0, 52))
    await appendMapLeaf(store, { mapRoot: EMPTY_MAP_ROOT, size: 0, root: new Uint8Array(32) })
    const tree = new UpperTree(nativeSha256)
    const ahead = new Ahead(store, tree, { size: 0, root: EMPTY_MAP_ROOT })
    for (const size of sizes) {
      const derived = await ahead.derive(size, signal)
      expect(derived.change.to.root).toEqual(await mapRootOf(store, size))
      expect(await ahead.derive(size, signal), 'which changes nothing').toEqual(derived)
      ahead.take(derived)
      expect([tree.root, await store.map.version()]).toEqual([EMPTY_MAP_ROOT, { size: 0, root: EMPTY_MAP_ROOT }])
    }
    const { change, upper } = ahead.derived
    expect([change.from, change.to]).toEqual([ahead.written, ahead.version])
    await store.map.change(change)
    tree.apply(upper)
    expect(tree.root).toEqual(await mapRootOf(store, sizes.at(-1) ?? 0))
    expect(await new HeldMap(store, systemClock).load()).toEqual(ahead.version)
  })

  it('takes what was derived from its last version alone', async () => {
    const ahead = new Ahead(await storedLog(LEAVES.slice(0, 20)), new UpperTree(nativeSha256), { size: 0, root: EMPTY_MAP_ROOT })
    const [first, other] = [await ahead.derive(5, signal), await ahead.derive(9, signal)]
    ahead.take(first)
    expect(() => ahead.take(other)).toThrow('it was derived from the last version')
  })
})
