import { describe, expect, it } from 'vitest'
import { checkTree } from '../../src/client/check-tree.ts'
import { DerivedMap } from '../../src/client/derive-map.ts'
import { stateOfRows } from '../../src/core/did-state.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { didKey, stateValue } from '../../src/core/map/did-state.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { nativeSha256 } from '../../src/crypto/sha256.ts'
import type { EntryRow } from '../../src/core/replay.ts'
import { naiveMapRoot } from '../support/naive-map.ts'
import { person, type Person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, rememberingVerifier, storedLog } from '../support/stored-log.ts'
import { tilesOf } from '../../mirror/checkpoints.ts'

const [alice, bob] = ['d alice', 'd bob'].map((name) => person(name)) as [Person, Person]
const leaf = ({ did }: Person, second: number, operation: Operation): Uint8Array => encodeEntry({ did, createdAt: FIRST_MS + 400_000 + second * 1_000, operation, source: null })

// An update, a thief who is undone, an entry that is refused, bytes that are none, an end.
const LEAVES = [
  ...identityLeaves(300),
  leaf(alice, 0, alice.genesis),
  leaf(bob, 1, bob.genesis),
  leaf(alice, 2, alice.update(alice.genesis)),
  leaf(bob, 3, bob.update(bob.genesis, { key: 2, handle: 'thief' })),
  leaf(bob, 4, bob.update(bob.genesis, { key: 0, handle: 'back' })),
  leaf(alice, 5, bob.genesis),
  Uint8Array.of(1, 2, 3),
  leaf(alice, 6, alice.tombstone(alice.update(alice.genesis))),
]
const SIZES = [1, 300, 302, 304, 305, 307, LEAVES.length]

describe('the map that a replay leads to', () => {
  it('has at every size the root that its definition says, for every entry that the replay accepted', async () => {
    const store = await storedLog(LEAVES)
    const reader = { ...tilesOf(store), checkpoint: () => Promise.resolve(''), bundle: async (index: number, width: number) => encodeBundle(await store.leaves(index * 256, index * 256 + width)) }
    const map = new DerivedMap(nativeSha256)
    expect(map.root()).toEqual(naiveMapRoot([]))
    const rows: EntryRow[] = []
    const seen: number[] = []
    await checkTree(reader, LEAVES.length, {
      known: SIZES.map((size) => ({ size, root: new Uint8Array(32), where: 'a size that is of interest' })),
      verifyAnswers: rememberingVerifier(),
      onReplayed(replayed) {
        map.add(replayed)
        rows.push(...replayed.rows)
        seen.push(rows.length)
        expect(map.root(), `at ${rows.length}`).toEqual(naive(rows))
      },
    })
    expect(seen).toEqual(expect.arrayContaining(SIZES))
    expect(rows.filter(({ rejected }) => rejected !== null).map(({ index }) => index)).toEqual([305, 306])
    const portable = new DerivedMap()
    portable.add({ rows })
    expect(portable.root(), 'all at once, by the portable hash').toEqual(map.root())
  })
})

function naive(rows: readonly EntryRow[]): Uint8Array {
  const accepted = rows.filter((row) => row.rejected === null)
  return naiveMapRoot([...Map.groupBy(accepted, (row) => row.did)].map(([did, own]) => ({ key: didKey(did), value: stateValue(stateOfRows(own)) })))
}
