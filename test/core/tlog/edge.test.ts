import { describe, expect, it } from 'vitest'
import { appendLeaf, decodeEdge, type Edge, edgeRoot, EMPTY_EDGE, encodeEdge } from '../../../src/core/tlog/edge.ts'
import { EMPTY_ROOT, nodeHash } from '../../../src/core/tlog/hash.ts'
import { naiveLeaves, naiveRoot } from '../../support/naive-tree.ts'

describe('edge', () => {
  it('has the naive root, and the roots of the subtrees that a leaf completes, at every size up to 300', () => {
    const leaves = naiveLeaves(300)
    let edge = EMPTY_EDGE
    expect(edgeRoot(edge)).toEqual(EMPTY_ROOT)
    for (const [i, leaf] of leaves.entries()) {
      const appended = appendLeaf(edge, leaf)
      edge = appended.edge
      const size = i + 1
      expect(edge.size).toBe(size)
      expect(edgeRoot(edge)).toEqual(naiveRoot(leaves.slice(0, size)))
      expect(appended.completed).toEqual(heightsAt(size).map((h) => naiveRoot(leaves.slice(size - 2 ** h, size))))
      expect(edge.hashes.at(-1)).toEqual(appended.completed.at(-1))
      expect(decodeEdge(size, encodeEdge(edge))).toEqual(edge)
    }
  })

  it('does not change the edge that it is given', () => {
    const [a = new Uint8Array(32), b = new Uint8Array(32)] = naiveLeaves(2)
    const one = appendLeaf(EMPTY_EDGE, a).edge
    appendLeaf(one, b)
    expect(one).toEqual({ size: 1, hashes: [a] })
    expect(EMPTY_EDGE).toEqual({ size: 0, hashes: [] })
  })

  it('appends past 2**32 and 2**52 leaves', () => {
    for (const power of [32, 52]) {
      const size = 2 ** power - 1
      const hashes = Array.from({ length: power }, (_, i) => new Uint8Array(32).fill(i + 1))
      const leaf = new Uint8Array(32).fill(99)
      const edge: Edge = decodeEdge(size, encodeEdge({ size, hashes }))
      const root = hashes.toReversed().reduce<Uint8Array>((right, left) => nodeHash(left, right), leaf)
      const { edge: full, completed } = appendLeaf(edge, leaf)
      expect(full).toEqual({ size: 2 ** power, hashes: [root] })
      expect(completed.length).toBe(power + 1)
      expect(appendLeaf(full, leaf).edge).toEqual({ size: 2 ** power + 1, hashes: [root, leaf] })
    }
  })

  it('takes a stored edge of another length for damage, not for a verdict', () => {
    for (const [size, count] of [[0, 1], [1, 0], [3, 1], [2 ** 40, 2]] as const) {
      expect(() => decodeEdge(size, new Uint8Array(count * 32))).toThrow(/assertion failed/)
    }
    expect(() => decodeEdge(1, new Uint8Array(31))).toThrow(/assertion failed/)
    expect(() => appendLeaf(EMPTY_EDGE, new Uint8Array(31))).toThrow(/assertion failed/)
  })
})

/** Heights of the perfect subtrees that the last leaf of a tree of this size completes. */
function heightsAt(size: number): number[] {
  const heights = [0]
  for (let h = 1; size % 2 ** h === 0; h++) heights.push(h)
  return heights
}
