import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packEntries, trieRoot, triePath, type MapEntry } from '../../../src/core/map/trie.ts'
import { BLOCK_BUCKETS, blockOf, blockRoot, bucketOf, joinChanges, UpperTree, walkBlock, type UpperChange } from '../../../src/core/map/upper-tree.ts'
import { naiveMapPath, naiveMapRoot } from '../../support/naive-map.ts'

// Some keys in one bucket, some in neighbours, some far apart.
const key = fc.tuple(fc.constantFrom(0, 0x7f, 0x80, 0xff), fc.nat(255), fc.constantFrom(0, 0x0f, 0x10, 0xf0), fc.uint8Array({ minLength: 29, maxLength: 29 })).map(([a, b, c, rest]) => Uint8Array.of(a, b, c, ...rest))
const entry = fc.record({ key, value: fc.uint8Array({ minLength: 32, maxLength: 32 }) })
const batches = fc.array(fc.array(entry, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 })

describe('the upper tree', () => {
  it('batch by batch comes to the root and the paths of the whole trie', () => {
    fc.assert(
      fc.property(batches, key, (given, stranger) => {
        const tree = new UpperTree()
        const buckets = new Map<number, MapEntry[]>()
        for (const batch of given) {
          const before = tree.root
          const change = tree.plan(changedBy(buckets, batch))
          expect(tree.root).toEqual(before)
          tree.apply(change)
          expect(tree.root).toEqual(change.root)
          const all = [...buckets.values()].flat()
          expect(tree.root).toEqual(naiveMapRoot(all))
          for (const key of [...batch.map((entry) => entry.key), stranger]) {
            const { steps, block } = tree.walk(key)
            const hashes = hashesOf(buckets, block ?? -1)
            expect(tree.block(block ?? -1)).toEqual(blockRoot(hashes))
            const within = walkBlock(hashes, key)
            const below = triePath(packEntries(buckets.get((block ?? -1) * BLOCK_BUCKETS + within.bucket) ?? []), key)
            expect({ steps: [...steps, ...within.steps, ...below.steps], leaf: below.leaf }).toEqual(naiveMapPath(all, key))
          }
        }
      }),
      { numRuns: 50 },
    )
  })

  it('comes to the same by changes that are made together as by one after the other', () => {
    fc.assert(
      fc.property(batches, (given) => {
        const [tree, other] = [new UpperTree(), new UpperTree()]
        const buckets = new Map<number, MapEntry[]>()
        const changes = given.map((batch): UpperChange => {
          const change = tree.plan(changedBy(buckets, batch))
          tree.apply(change)
          return change
        })
        const together = joinChanges(changes)
        expect(together?.root).toEqual(tree.root)
        if (together !== null) other.apply(together)
        expect(other.root).toEqual(tree.root)
        for (const { key } of given.flat()) expect(other.walk(key)).toEqual(tree.walk(key))
      }),
      { numRuns: 50 },
    )
    expect(joinChanges([])).toBeNull()
  })

  it('is empty at first, and a change of nothing changes nothing', () => {
    const tree = new UpperTree()
    expect(tree.root).toEqual(naiveMapRoot([]))
    expect(tree.walk(new Uint8Array(32))).toEqual({ steps: [], block: null })
    expect(tree.block(5)).toBeNull()
    expect(blockRoot(new Uint8Array(512))).toBeNull()
    expect(tree.plan(new Map()).root).toEqual(tree.root)
  })

  it('knows the first and the last bucket and block', () => {
    expect([bucketOf(new Uint8Array(32)), blockOf(new Uint8Array(32))]).toEqual([0, 0])
    expect([bucketOf(new Uint8Array(32).fill(255)), blockOf(new Uint8Array(32).fill(255))]).toEqual([2 ** 20 - 1, 2 ** 16 - 1])
  })
})

function changedBy(buckets: Map<number, MapEntry[]>, batch: readonly MapEntry[]): Map<number, Uint8Array> {
  for (const entry of batch) {
    buckets.set(bucketOf(entry.key), [...(buckets.get(bucketOf(entry.key)) ?? []), entry])
  }
  return new Map(batch.flatMap(({ key }) => {
    const root = blockRoot(hashesOf(buckets, blockOf(key)))
    return root === null ? [] : [[blockOf(key), root]]
  }))
}

function hashesOf(buckets: ReadonlyMap<number, readonly MapEntry[]>, block: number): Uint8Array {
  const hashes = new Uint8Array(32 * BLOCK_BUCKETS)
  for (let i = 0; i < BLOCK_BUCKETS; i++) {
    const entries = buckets.get(block * BLOCK_BUCKETS + i)
    if (entries !== undefined) hashes.set(trieRoot(packEntries(entries)), 32 * i)
  }
  return hashes
}
