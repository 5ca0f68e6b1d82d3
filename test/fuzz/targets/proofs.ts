// Fuzz targets of the proofs: accepted exactly where an algorithm written from its definition accepts.

import { createHash } from 'node:crypto'
import { verifyConsistency, verifyInclusion, verifySubtree } from '../../../src/core/tlog/proof.ts'
import { naiveConsistency, naiveLeaves, naiveNodeHash, naivePath, naiveRoot, naiveSubtreeProof } from '../../support/naive-tree.ts'
import { readVectors } from '../../support/vectors.ts'
import { accepted, bytesOfAll, must, type Target } from '../target.ts'
import { textOf } from '../tree.ts'
import { parsedJson } from './encoding.ts'

const leaves = naiveLeaves(70)
const hexOf = (hash: Uint8Array): string => Buffer.from(hash).toString('hex')
const rootOf = (start: number, end: number): Uint8Array => naiveRoot(leaves.slice(start, end))
const hashAt = (index: number): Uint8Array => rootOf(index, index + 1)
const madeUp = (count: number): Uint8Array[] => Array.from(
  { length: count }, (_, i) => new Uint8Array(createHash('sha256').update(`made up ${i}`).digest()),
)

const [EMPTY, SOME] = [hexOf(naiveRoot([])), hexOf(hashAt(0))]

/** Sizes at which numbers begin to go wrong. No such tree exists, but its proofs do. */
const LARGE = [2 ** 31, 2 ** 32 + 1, 2 ** 52 + 2 ** 31, Number.MAX_SAFE_INTEGER]

const INCLUSION = [
  ...[[0, 1], [0, 2], [6, 7], [31, 70], [69, 70], [64, 65]].map(([index = 0, size = 1]) => {
    const proof = naivePath(index, leaves.slice(0, size)).map(hexOf)
    return { index, size, leaf: hexOf(hashAt(index)), root: hexOf(rootOf(0, size)), proof }
  }),
  ...LARGE.flatMap((size) => [0, size - 1, Math.floor(size / 3)].map((index) => largeProof({ start: index, end: index + 1, size }))).map(
    ({ start, size, hash, root, proof }) => ({ index: start, size, leaf: hash, root, proof }),
  ),
  ...readVectors('merkle/inclusion').flatMap(({ json }) => fromVector(json, { index: 'leafIdx', size: 'treeSize', leaf: 'leafHash', root: 'root' })),
]

const CONSISTENCY = [
  ...[[1, 1], [1, 2], [6, 7], [32, 70], [64, 70], [69, 70], [70, 70]].map(([oldSize = 1, newSize = 1]) => {
    const proof = naiveConsistency(oldSize, leaves.slice(0, newSize)).map(hexOf)
    return { oldSize, newSize, oldRoot: hexOf(rootOf(0, oldSize)), newRoot: hexOf(rootOf(0, newSize)), proof }
  }),
  { oldSize: 0, newSize: 0, oldRoot: EMPTY, newRoot: EMPTY, proof: [] },
  { oldSize: 0, newSize: 9, oldRoot: EMPTY, newRoot: hexOf(rootOf(0, 9)), proof: [] },
  ...LARGE.flatMap((size) => [size - 1, Math.floor(size / 3), 2 ** 30].map((end) => largeProof({ start: 0, end, size }))).map(
    ({ end, size, hash, root, proof }) => ({ oldSize: end, newSize: size, oldRoot: hash, newRoot: root, proof }),
  ),
  ...readVectors('merkle/consistency').flatMap(({ json }) =>
    fromVector(json, { oldSize: 'size1', newSize: 'size2', oldRoot: 'root1', newRoot: 'root2' }),
  ),
]

const SUBTREE = [
  ...[[0, 1, 1], [4, 6, 7], [4, 8, 8], [64, 70, 70], [32, 61, 70], [0, 70, 70], [0, 33, 70]].map(([start = 0, end = 1, size = 1]) => {
    const proof = naiveSubtreeProof(start, end, leaves.slice(0, size)).map(hexOf)
    return { start, end, size, hash: hexOf(rootOf(start, end)), root: hexOf(rootOf(0, size)), proof }
  }),
  ...LARGE.map((size) => largeProof({ start: 2 ** 30, end: 2 ** 30 + 2 ** 29 + 3, size })),
]

// Numbers that are no sizes, where every hash fits.
const NO_SIZES = [2 ** 53, 2 ** 53 + 2, 1e300, -1, 1.5, 0]
const NOT_INCLUDED = NO_SIZES.flatMap((size) => [0, size - 1].map((index) => ({ index, size, leaf: SOME, root: SOME, proof: [] })))
const NOT_CONSISTENT = NO_SIZES.flatMap((newSize) =>
  [0, newSize].flatMap((oldSize) => [EMPTY, SOME].map((root) => ({ oldSize, newSize, oldRoot: root, newRoot: root, proof: [] }))),
)
const NO_SUBTREE = NO_SIZES.flatMap((size) => [0, size].map((start) => ({ start, end: size, size, hash: SOME, root: SOME, proof: [] })))

const WORDS = [EMPTY, SOME, hexOf(rootOf(0, 2)), '00'.repeat(31), '00'.repeat(33)]

export const PROOF_TARGETS: readonly Target[] = [
  {
    name: 'inclusion proofs',
    form: 'json',
    seeds: bytesOfAll(INCLUSION.map((proof) => JSON.stringify(proof))),
    words: WORDS,
    hostile: bytesOfAll(NOT_INCLUDED.map((proof) => JSON.stringify(proof))),
    run(input) {
      const p = readProof(input, ['index', 'size'], ['leaf', 'root'])
      if (p === null) return false
      const { index = NaN, size = NaN, leaf = NONE, root = NONE, proof } = p
      return agree(() => verifyInclusion({ index, size, leaf, proof, root }), isIncluded(index, size, leaf, proof, root))
    },
  },
  {
    name: 'consistency proofs',
    form: 'json',
    seeds: bytesOfAll(CONSISTENCY.map((proof) => JSON.stringify(proof))),
    words: WORDS,
    hostile: bytesOfAll(NOT_CONSISTENT.map((proof) => JSON.stringify(proof))),
    run(input) {
      const p = readProof(input, ['oldSize', 'newSize'], ['oldRoot', 'newRoot'])
      if (p === null) return false
      const { oldSize = NaN, newSize = NaN, oldRoot = NONE, newRoot = NONE, proof } = p
      return agree(() => verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }), isConsistent(oldSize, newSize, oldRoot, newRoot, proof))
    },
  },
  {
    name: 'subtree proofs',
    form: 'json',
    seeds: bytesOfAll(SUBTREE.map((proof) => JSON.stringify(proof))),
    words: WORDS,
    hostile: bytesOfAll(NO_SUBTREE.map((proof) => JSON.stringify(proof))),
    run(input) {
      const p = readProof(input, ['start', 'end', 'size'], ['hash', 'root'])
      if (p === null) return false
      const { start = NaN, end = NaN, size = NaN, hash = NONE, root = NONE, proof } = p
      return agree(() => verifySubtree({ start, end, hash, size, proof, root }), isSubtree(start, end, size, hash, proof, root))
    },
  },
]

const NONE = new Uint8Array(0)

function agree(verify: () => void, expected: boolean): boolean {
  const ours = accepted(verify) !== null
  must(ours === expected, expected ? 'a proof that shows it is accepted' : 'a proof that does not show it is refused')
  return ours
}

type Read<N extends string, H extends string> = { readonly [name in N]?: number } & { readonly [name in H]?: Uint8Array } & { readonly proof: readonly Uint8Array[] }

/** A proof from JSON; null where its members have other types, which the compiler keeps from the verifier. */
function readProof<N extends string, H extends string>(input: Uint8Array, numbers: readonly N[], hashes: readonly H[]): Read<N, H> | null {
  const json = parsedJson(textOf(input))?.value
  if (typeof json !== 'object' || json === null) return null
  const members = new Map<string, unknown>(Object.entries(json))
  const proof = members.get('proof')
  if (!numbers.every((name) => typeof members.get(name) === 'number') || !hashes.every((name) => typeof members.get(name) === 'string')) return null
  if (!Array.isArray(proof) || !proof.every((hash) => typeof hash === 'string')) return null
  const bytes = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(String(text), 'hex'))
  return Object.fromEntries([
    ...numbers.map((name) => [name, members.get(name)]), ...hashes.map((name) => [name, bytes(members.get(name))]),
    ['proof', proof.map(bytes)],
  ]) as Read<N, H>
}

// RFC 9162, section 2.1.3.2, in integers without bounds.
function isIncluded(index: number, size: number, leaf: Uint8Array, proof: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!areSizes(index, size) || index >= size || !areHashes([leaf, root, ...proof])) return false
  let [fn, sn, r] = [BigInt(index), BigInt(size) - 1n, leaf]
  for (const p of proof) {
    if (sn === 0n) return false
    if (fn % 2n === 1n || fn === sn) {
      r = naiveNodeHash(p, r)
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn / 2n, sn / 2n]
    } else {
      r = naiveNodeHash(r, p)
    }
    ;[fn, sn] = [fn / 2n, sn / 2n]
  }
  return sn === 0n && Buffer.compare(r, root) === 0
}

// RFC 9162, section 2.1.4.2; what it leaves open, sizes of 0 and equal sizes, as spec/log.md#consistency-proofs has it.
function isConsistent(first: number, second: number, firstHash: Uint8Array, secondHash: Uint8Array, given: readonly Uint8Array[]): boolean {
  if (!areSizes(first, second) || !areHashes([firstHash, secondHash, ...given])) return false
  const isEmptyRoot = (hash: Uint8Array): boolean => Buffer.compare(hash, naiveRoot([])) === 0
  if (first === 0) return given.length === 0 && isEmptyRoot(firstHash) && (second !== 0 || isEmptyRoot(secondHash))
  if (first === second) return given.length === 0 && Buffer.compare(firstHash, secondHash) === 0
  let [fn, sn] = [BigInt(first) - 1n, BigInt(second) - 1n]
  const path = 2 ** Math.round(Math.log2(first)) === first ? [firstHash, ...given] : [...given]
  while (fn % 2n === 1n) [fn, sn] = [fn / 2n, sn / 2n]
  const seed = path.shift()
  if (seed === undefined || given.length === 0) return false
  let [fr, sr] = [seed, seed]
  for (const c of path) {
    if (sn === 0n) return false
    if (fn % 2n === 1n || fn === sn) {
      ;[fr, sr] = [naiveNodeHash(c, fr), naiveNodeHash(c, sr)]
      while (fn % 2n === 0n && fn !== 0n) [fn, sn] = [fn / 2n, sn / 2n]
    } else {
      sr = naiveNodeHash(sr, c)
    }
    ;[fn, sn] = [fn / 2n, sn / 2n]
  }
  return sn === 0n && Buffer.compare(fr, firstHash) === 0 && Buffer.compare(sr, secondHash) === 0
}

function isSubtree(start: number, end: number, size: number, hash: Uint8Array, proof: readonly Uint8Array[], root: Uint8Array): boolean {
  if (![start, end, size].every(Number.isSafeInteger) || start < 0 || start >= end || end > size || !areHashes([hash, root, ...proof])) return false
  let width = 1n
  while (width < BigInt(end - start)) width *= 2n
  if (BigInt(start) % width !== 0n) return false
  const folded = foldSubtree(start, end, size, hash, proof)
  return folded !== null && Buffer.compare(folded.subtree, hash) === 0 && Buffer.compare(folded.tree, root) === 0
}

/** The hashes of the subtree and of the tree that a proof leads to, by the recursion that defines it; null where it has too many or too few. */
function foldSubtree(start: number, end: number, size: number, hash: Uint8Array, proof: readonly Uint8Array[]): { subtree: Uint8Array; tree: Uint8Array } | null {
  const left = [...proof]
  const take = (): Uint8Array => left.pop() ?? NONE
  const folded = fold(start, end, size, true)
  return left.length === 0 && proof.length === stepsOf(start, end, size, true) ? folded : null

  function fold(from: number, to: number, n: number, known: boolean): { subtree: Uint8Array; tree: Uint8Array } {
    if (from === 0 && to === n) {
      const whole = known ? hash : take()
      return { subtree: whole, tree: whole }
    }
    const k = split(n)
    const sibling = take()
    if (to <= k) {
      const { subtree, tree } = fold(from, to, k, known)
      return { subtree, tree: naiveNodeHash(tree, sibling) }
    }
    if (from >= k) {
      const { subtree, tree } = fold(from - k, to - k, n - k, known)
      return { subtree, tree: naiveNodeHash(sibling, tree) }
    }
    const { subtree, tree } = fold(0, to - k, n - k, false)
    return { subtree: naiveNodeHash(sibling, subtree), tree: naiveNodeHash(sibling, tree) }
  }
}

function stepsOf(from: number, to: number, n: number, known: boolean): number {
  if (from === 0 && to === n) return known ? 0 : 1
  const k = split(n)
  if (to <= k) return 1 + stepsOf(from, to, k, known)
  if (from >= k) return 1 + stepsOf(from - k, to - k, n - k, known)
  return 1 + stepsOf(0, to - k, n - k, false)
}

/** The largest power of two below n. */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

interface Place {
  readonly start: number
  readonly end: number
  readonly size: number
}

// A proof of made-up hashes, and the roots that it leads to.
function largeProof({ start, end, size }: Place): Place & { readonly hash: string; readonly root: string; readonly proof: readonly string[] } {
  const proof = madeUp(stepsOf(start, end, size, true))
  const [leaf = NONE] = madeUp(1)
  const folded = foldSubtree(start, end, size, leaf, proof)
  return { start, end, size, hash: hexOf(folded?.subtree ?? NONE), root: hexOf(folded?.tree ?? NONE), proof: proof.map(hexOf) }
}

function areSizes(first: number, second: number): boolean {
  return Number.isSafeInteger(first) && Number.isSafeInteger(second) && first >= 0 && first <= second
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === 32)
}

/** A published vector with its members by our names; none where it is one that has to be refused. */
function fromVector(json: unknown, names: Readonly<Record<string, string>>): Record<string, unknown>[] {
  const members = new Map<string, unknown>(Object.entries(json ?? {}))
  const convert = (value: unknown): unknown => (typeof value === 'string' ? Buffer.from(value, 'base64').toString('hex') : value)
  const proof = members.get('proof') ?? []
  if (members.get('wantErr') !== false || !Array.isArray(proof)) return []
  return [{ ...Object.fromEntries(Object.entries(names).map(([ours, theirs]) => [ours, convert(members.get(theirs))])), proof: proof.map(convert) }]
}
