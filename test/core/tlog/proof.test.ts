import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DirectoryError, type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { EMPTY_ROOT, nodeHash } from '../../../src/core/tlog/hash.ts'
import {
  consistencyPlan,
  foldNodes,
  impliedRoot,
  inclusionPlan,
  MAX_PROOF_HASHES,
  type Range,
  rangeNodes,
  subtreePlan,
  verifyConsistency,
  verifyInclusion,
  verifySubtree,
} from '../../../src/core/tlog/proof.ts'
import { naiveConsistency, naiveLeaves, naivePath, naiveRoot, naiveSubtreeProof } from '../../support/naive-tree.ts'
import { describeVectors, readVectors } from '../../support/vectors.ts'

const SIZES = 128
const leaves = naiveLeaves(300)
const roots = Array.from({ length: leaves.length + 1 }, (_, size) => naiveRoot(leaves.slice(0, size)))
const at = <T>(list: readonly T[], i: number): T => {
  const item = list[i]
  if (item === undefined) throw new Error(`no item ${i}`)
  return item
}
const hashOf = (range: Range) => naiveRoot(leaves.slice(range.start, range.end))
const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null

describe('proof', () => {
  it('plans and verifies the naive inclusion proof of every leaf of every tree up to 128', () => {
    const memo = memoised(hashOf)
    for (let size = 1; size <= SIZES; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionPlan(index, size).map(memo)
        expect(proof).toEqual(naivePath(index, leaves.slice(0, size)))
        verifyInclusion({ index, size, leaf: at(leaves, index), proof, root: at(roots, size) })
      }
    }
  })

  it('plans and verifies the naive consistency proof between any two trees up to 128', () => {
    const memo = memoised(hashOf)
    for (let newSize = 0; newSize <= SIZES; newSize++) {
      for (let oldSize = 0; oldSize <= newSize; oldSize++) {
        const proof = consistencyPlan(oldSize, newSize).map(memo)
        if (oldSize > 0) expect(proof).toEqual(naiveConsistency(oldSize, leaves.slice(0, newSize)))
        else expect(proof).toEqual([])
        verifyConsistency({ oldSize, oldRoot: at(roots, oldSize), newSize, newRoot: at(roots, newSize), proof })
      }
    }
  })

  it('plans and verifies the naive proof of every valid subtree of every tree up to 64', () => {
    const memo = memoised(hashOf)
    for (let size = 1; size <= SIZES / 2; size++) {
      for (let start = 0; start < size; start++) {
        for (let end = start + 1; end <= size; end++) {
          if (start % bitCeil(end - start) !== 0) continue
          const proof = subtreePlan(start, end, size).map(memo)
          expect(proof).toEqual(naiveSubtreeProof(start, end, leaves.slice(0, size)))
          verifySubtree({ start, end, hash: memo({ start, end }), size, proof, root: at(roots, size) })
        }
      }
    }
  })

  it('refuses to plan for every range that is no valid subtree, in every tree up to 20', () => {
    for (let size = 0; size <= 20; size++) {
      for (let start = -1; start <= size + 1; start++) {
        for (let end = -1; end <= size + 1; end++) {
          const valid = 0 <= start && start < end && end <= size && start % bitCeil(end - start) === 0
          expect(codeOf(() => subtreePlan(start, end, size))).toBe(valid ? null : 'OUT_OF_RANGE')
        }
      }
    }
  })

  it('holds for random subtrees of larger trees', () => {
    fc.assert(
      fc.property(fc.integer({ min: 129, max: leaves.length }), fc.nat(), fc.nat(), (size, a, b) => {
        const { start, end } = subtreeOf(size, a, b)
        const proof = subtreePlan(start, end, size).map(hashOf)
        expect(proof).toEqual(naiveSubtreeProof(start, end, leaves.slice(0, size)))
        verifySubtree({ start, end, hash: hashOf({ start, end }), size, proof, root: at(roots, size) })
      }),
      { numRuns: 300 },
    )
  })

  it('plans as the recursion over big integers does for sizes up to 2**53 - 1', () => {
    const size = fc.oneof(fc.maxSafeInteger().map(Math.abs), fc.integer({ min: 0, max: 64 }).map((d) => Number.MAX_SAFE_INTEGER - d), fc.integer({ min: -3, max: 3 }).map((d) => 2 ** 33 + d))
    fc.assert(
      fc.property(size.filter((n) => n > 0), fc.maxSafeInteger().map(Math.abs), fc.maxSafeInteger().map(Math.abs), (size, a, b) => {
        const { start, end } = subtreeOf(size, a, b)
        const plan = subtreePlan(start, end, size)
        const naive = bigSubtreePlan(0n, BigInt(size), BigInt(start), BigInt(end), true)
        expect(plan.map((range) => [BigInt(range.start), BigInt(range.end)])).toEqual(naive)
        expect(plan.length).toBeLessThanOrEqual(MAX_PROOF_HASHES)
        for (const range of [...plan, { start, end }]) {
          let next = BigInt(range.start)
          let last = Number.POSITIVE_INFINITY
          for (const node of rangeNodes(range)) {
            expect(BigInt(node.index) << BigInt(node.level)).toBe(next)
            expect(node.level).toBeLessThan(last)
            last = node.level
            next += 1n << BigInt(node.level)
          }
          expect(next).toBe(BigInt(range.end))
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('verifies inclusion and consistency in a tree of 2**52 + 2**33 + 5 equal leaves', () => {
    const size = 2 ** 52 + 2 ** 33 + 5
    const { root, rangeHash } = uniformTree(at(leaves, 0))
    for (const index of [0, 2 ** 31, 2 ** 32 + 1, 2 ** 52 - 1, 2 ** 52, 2 ** 52 + 2 ** 33, size - 1]) {
      const proof = inclusionPlan(index, size).map(rangeHash)
      const p = { index, size, leaf: at(leaves, 0), proof, root: root(size) }
      verifyInclusion(p)
      expect(codeOf(() => verifyInclusion({ ...p, leaf: at(leaves, 1) }))).toBe('INVALID_PROOF')
      expect(codeOf(() => verifyInclusion({ ...p, proof: [...proof.slice(1), at(leaves, 1)] }))).toBe('INVALID_PROOF')
    }
    for (const oldSize of [1, 2 ** 31 + 1, 2 ** 32, 2 ** 33 + 7, 2 ** 52, 2 ** 52 + 2 ** 33 + 4, size]) {
      const p = { oldSize, oldRoot: root(oldSize), newSize: size, newRoot: root(size), proof: consistencyPlan(oldSize, size).map(rangeHash) }
      verifyConsistency(p)
      if (oldSize !== size) expect(codeOf(() => verifyConsistency({ ...p, oldRoot: root(oldSize + 1) }))).toBe('INVALID_PROOF')
    }
  })

  it('derives the old root from a consistency proof wherever the proof holds it, whatever the verifier believed', () => {
    const memo = memoised(hashOf)
    for (let newSize = 1; newSize <= 64; newSize++) {
      for (let oldSize = 1; oldSize <= newSize; oldSize++) {
        const p = { oldSize, newSize, newRoot: at(roots, newSize), proof: consistencyPlan(oldSize, newSize).map(memo) }
        // A power of two is a node of every larger tree: its proof consists of siblings alone.
        const held = oldSize !== newSize && oldSize !== bitCeil(oldSize)
        expect(impliedRoot(p)).toEqual(held ? at(roots, oldSize) : null)
        expect(impliedRoot({ ...p, newRoot: flip(p.newRoot, newSize) })).toBeNull()
        for (let i = 0; i < p.proof.length; i++) {
          expect(impliedRoot({ ...p, proof: p.proof.with(i, flip(at(p.proof, i), i)) })).toBeNull()
          expect(impliedRoot({ ...p, proof: p.proof.toSpliced(i, 1) })).toBeNull()
          expect(impliedRoot({ ...p, proof: p.proof.with(i, at(p.proof, i).subarray(1)) })).toBeNull()
        }
      }
    }
    for (const oldSize of [0, -1, 3, 0.5]) expect(codeOf(() => impliedRoot({ oldSize, newSize: 2, newRoot: at(roots, 2), proof: [] }))).toBe('OUT_OF_RANGE')
  })

  it('needs no proof from the empty tree, and no more than its root', () => {
    const root = at(roots, 5)
    const fromEmpty = { oldSize: 0, oldRoot: EMPTY_ROOT, newSize: 5, newRoot: root, proof: [] }
    verifyConsistency(fromEmpty)
    verifyConsistency({ ...fromEmpty, newSize: 0, newRoot: EMPTY_ROOT })
    expect(codeOf(() => verifyConsistency({ ...fromEmpty, oldRoot: root }))).toBe('INVALID_PROOF')
    expect(codeOf(() => verifyConsistency({ ...fromEmpty, proof: [root] }))).toBe('INVALID_PROOF')
    expect(codeOf(() => verifyConsistency({ ...fromEmpty, newSize: 0 }))).toBe('INVALID_PROOF')
    expect(codeOf(() => verifyConsistency({ ...fromEmpty, newRoot: root.subarray(1) }))).toBe('INVALID_PROOF')
    expect(codeOf(() => verifyConsistency({ ...fromEmpty, newSize: 0, newRoot: root, oldRoot: root }))).toBe('INVALID_PROOF')
  })

  it('needs an empty proof and equal roots between equal sizes', () => {
    for (const size of [1, 2, 5, 8]) {
      const p = { oldSize: size, oldRoot: at(roots, size), newSize: size, newRoot: at(roots, size), proof: [] }
      verifyConsistency(p)
      expect(codeOf(() => verifyConsistency({ ...p, oldRoot: at(roots, size + 1) }))).toBe('INVALID_PROOF')
      expect(codeOf(() => verifyConsistency({ ...p, proof: [at(leaves, 0)] }))).toBe('INVALID_PROOF')
    }
  })

  it('refuses indices and sizes that are none', () => {
    const p = { index: 0, size: 1, leaf: at(leaves, 0), proof: [], root: at(roots, 1) }
    for (const wrong of [-1, 1, 2, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => verifyInclusion({ ...p, index: wrong }))).toBe('OUT_OF_RANGE')
      expect(codeOf(() => inclusionPlan(wrong, 1))).toBe('OUT_OF_RANGE')
    }
    for (const wrong of [-1, 0, 1.5, Number.NaN, 2 ** 53]) {
      expect(codeOf(() => verifyInclusion({ ...p, size: wrong }))).toBe('OUT_OF_RANGE')
      expect(codeOf(() => inclusionPlan(0, wrong))).toBe('OUT_OF_RANGE')
    }
    for (const [oldSize, newSize] of [[2, 1], [-1, 1], [0.5, 1], [Number.NaN, 1], [0, Number.NaN], [0, 2 ** 53], [0, -1]] as const) {
      expect(codeOf(() => consistencyPlan(oldSize, newSize))).toBe('OUT_OF_RANGE')
      const roots = { oldRoot: EMPTY_ROOT, newRoot: EMPTY_ROOT, proof: [] }
      expect(codeOf(() => verifyConsistency({ oldSize, newSize, ...roots }))).toBe('OUT_OF_RANGE')
    }
    expect(codeOf(() => rangeNodes({ start: 1, end: 3 }))).toBe('OUT_OF_RANGE')
    expect(codeOf(() => rangeNodes({ start: 2, end: 2 }))).toBe('OUT_OF_RANGE')
  })

  it('refuses a proof that is cut, extended, reordered, or changed in any hash, and one for another leaf, subtree or size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: leaves.length }), fc.nat(), fc.nat(), fc.nat(), (size, a, b, c) => {
        const { start, end } = subtreeOf(size, a, b)
        const proof = subtreePlan(start, end, size).map(hashOf)
        const p = { start, end, hash: hashOf({ start, end }), size, proof, root: at(roots, size) }
        verifySubtree(p)
        const refuses = (change: Partial<typeof p>) =>
          expect(codeOf(() => verifySubtree({ ...p, ...change }))).toBeOneOf(['INVALID_PROOF', 'OUT_OF_RANGE'])
        const position = c % (proof.length + 1)
        refuses({ proof: proof.toSpliced(position, 0, at(leaves, c % leaves.length)) })
        refuses({ hash: flip(p.hash, c) })
        refuses({ root: flip(p.root, c) })
        refuses({ root: EMPTY_ROOT })
        refuses({ hash: p.hash.subarray(1) })
        refuses({ root: new Uint8Array(0) })
        refuses({ start: start + 1 })
        if (proof.length > 0) {
          const i = c % proof.length
          refuses({ proof: proof.toSpliced(i, 1) })
          refuses({ proof: proof.with(i, flip(at(proof, i), c)) })
          refuses({ proof: proof.with(i, at(proof, i).subarray(1)) })
        }
        if (proof.length > 1) refuses({ proof: proof.toReversed() })
        if (end > start + 1) refuses({ end: end - 1 })
        if (end < size) refuses({ end: end + 1 })
      }),
      { numRuns: 400 },
    )
  })

  it('refuses an inclusion proof at every other index of the tree', () => {
    for (const size of [2, 7, 8, 13]) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionPlan(index, size).map(hashOf)
        for (let other = 0; other < size; other++) {
          const p = { index: other, size, leaf: at(leaves, index), proof, root: at(roots, size) }
          expect(codeOf(() => verifyInclusion(p))).toBe(other === index ? null : 'INVALID_PROOF')
        }
      }
    }
  })

  it('folds the perfect subtrees of a range to its hash', () => {
    for (let end = 1; end <= 70; end++) {
      const nodes = rangeNodes({ start: 0, end })
      const hashes = nodes.map((node) => hashOf({ start: node.index * 2 ** node.level, end: (node.index + 1) * 2 ** node.level }))
      expect(foldNodes(hashes)).toEqual(at(roots, end))
    }
    expect(() => foldNodes([])).toThrow(/assertion failed/)
  })
})

describeVectors('vectors of inclusion proofs', () => {
  const vectors = readVectors('merkle/inclusion') as readonly { name: string; json: InclusionVector }[]
  it('are all there', () => expect(vectors.length).toBeGreaterThan(80))
  it.each(vectors)('$name', ({ json }) => {
    const p = { index: json.leafIdx, size: json.treeSize, leaf: bytesOf(json.leafHash), proof: (json.proof ?? []).map(bytesOf), root: bytesOf(json.root) }
    expectVerdict(json.wantErr, () => verifyInclusion(p))
  })
})

describeVectors('vectors of consistency proofs', () => {
  const vectors = readVectors('merkle/consistency') as readonly { name: string; json: ConsistencyVector }[]
  it('are all there', () => expect(vectors.length).toBeGreaterThan(70))
  it.each(vectors)('$name', ({ json }) => {
    const [oldRoot, newRoot] = [bytesOf(json.root1), bytesOf(json.root2)]
    const p = { oldSize: json.size1, oldRoot, newSize: json.size2, newRoot, proof: (json.proof ?? []).map(bytesOf) }
    expectVerdict(json.wantErr, () => verifyConsistency(p))
  })
})

interface InclusionVector {
  readonly leafIdx: number
  readonly treeSize: number
  readonly leafHash: string
  readonly root: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

interface ConsistencyVector {
  readonly size1: number
  readonly size2: number
  readonly root1: string
  readonly root2: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

// Where a vector replaces a hash by other text, that is decoded leniently: bytes all the same, of another length.
function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

function expectVerdict(wantErr: boolean, verify: () => void): void {
  if (!wantErr) verify()
  else expect(verify).toThrow(DirectoryError)
}

function bitCeil(n: number): number {
  let power = 1
  while (power < n) power *= 2
  return power
}

/** Some valid subtree of a tree, chosen by two numbers: a start, then a width that its alignment allows. */
function subtreeOf(size: number, a: number, b: number): Range {
  const width = 2 ** (b % 53)
  const start = a % size
  const aligned = start - (start % width)
  const longest = Math.min(aligned === 0 ? size : lowBit(aligned), size - aligned)
  return { start: aligned, end: aligned + 1 + (b % longest) }
}

function lowBit(n: number): number {
  let power = 1
  while (n % (power * 2) === 0) power *= 2
  return power
}

/** The recursion as its definition has it, over big integers. */
function bigSubtreePlan(lo: bigint, hi: bigint, start: bigint, end: bigint, known: boolean): [bigint, bigint][] {
  if (lo === start && hi === end) return known ? [] : [[lo, hi]]
  let k = 1n
  while (k << 1n < hi - lo) k <<= 1n
  const middle = lo + k
  if (end <= middle) return [...bigSubtreePlan(lo, middle, start, end, known), [middle, hi]]
  if (start >= middle) return [...bigSubtreePlan(middle, hi, start, end, known), [lo, middle]]
  return [...bigSubtreePlan(middle, hi, middle, end, false), [lo, middle]]
}

/** A tree whose leaves are all equal: the hash of a range depends on its length alone, so any size can be computed. */
function uniformTree(leaf: Uint8Array): { root: (size: number) => Uint8Array; rangeHash: (range: Range) => Uint8Array } {
  const known = new Map<number, Uint8Array>([[1, leaf]])
  const root = (size: number): Uint8Array => {
    const hash = known.get(size)
    if (hash !== undefined) return hash
    let k = 1
    while (k * 2 < size) k *= 2
    const computed = nodeHash(root(k), root(size - k))
    known.set(size, computed)
    return computed
  }
  return { root, rangeHash: (range) => root(range.end - range.start) }
}

function memoised(hashOf: (range: Range) => Uint8Array): (range: Range) => Uint8Array {
  const known = new Map<string, Uint8Array>()
  return (range) => {
    const key = `${range.start}-${range.end}`
    const hash = known.get(key) ?? hashOf(range)
    known.set(key, hash)
    return hash
  }
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const i = bit % copy.length
  copy[i] = (copy[i] ?? 0) ^ (1 << bit % 8)
  return copy
}
