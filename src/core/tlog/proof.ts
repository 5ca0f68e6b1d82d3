// Inclusion, consistency and subtree proofs: one plan says what a proof consists of, one fold checks it. spec/log.md#proofs

import { bytesEqual } from '../encoding/text.ts'
import { assert, DirectoryError } from '../errors.ts'
import { EMPTY_ROOT, HASH_BYTES, nodeHash } from './hash.ts'

/** Entries `[start, end)`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** A perfect subtree: entries `[index * 2**level, (index + 1) * 2**level)`. `level` is its height, 0 for a leaf. */
export interface Node {
  readonly level: number
  readonly index: number
}

/** Most hashes in a proof: one for each level below the root, and the subtree's own last node. */
export const MAX_PROOF_HASHES = 54

/**
 * The ranges whose hashes are, in order, the proof that the subtree `[start, end)` belongs to the tree of `size`.
 * Throws OUT_OF_RANGE unless 0 <= start < end <= size and start is a multiple of the smallest power of two that is
 * not below end - start. spec/log.md#subtree-proofs
 */
export function subtreePlan(start: number, end: number, size: number): readonly Range[] {
  const { node, whole, steps } = descend(start, end, size)
  const siblings = steps.map((step) => step.sibling).reverse()
  return whole ? siblings : [node, ...siblings]
}

/** The ranges that prove the leaf at `index` in the tree of `size`, its sibling first. Throws OUT_OF_RANGE unless 0 <= index < size. */
export function inclusionPlan(index: number, size: number): readonly Range[] {
  return subtreePlan(index, index + 1, size)
}

/**
 * The ranges that prove that the tree of `newSize` continues that of `oldSize`: none where the sizes are equal or
 * the old one is 0. Throws OUT_OF_RANGE unless 0 <= oldSize <= newSize.
 */
export function consistencyPlan(oldSize: number, newSize: number): readonly Range[] {
  checkSizes(oldSize, newSize)
  return oldSize === 0 ? [] : subtreePlan(0, oldSize, newSize)
}

/**
 * The perfect subtrees of a range, left to right. Throws OUT_OF_RANGE unless the range may be a subtree (it does
 * where a plan gave it): 0 <= start < end, start a multiple of the smallest power of two not below end - start.
 */
export function rangeNodes(range: Range): readonly Node[] {
  checkSubtree(range.start, range.end, range.end)
  const nodes: Node[] = []
  for (let at = range.start; at < range.end; ) {
    let level = 0
    while (2 ** (level + 1) <= range.end - at) level++
    nodes.push({ level, index: at / 2 ** level })
    at += 2 ** level
  }
  return nodes
}

/** The hash of a range, 32 bytes, from those of its perfect subtrees, left to right; at least one. */
export function foldNodes(hashes: readonly Uint8Array[]): Uint8Array {
  assert(hashes.length > 0, 'a range has entries')
  return hashes.reduceRight((right, left) => nodeHash(left, right))
}

/**
 * Checks that the leaf with hash `leaf` is at `index` of the tree of `size` and `root`. Throws OUT_OF_RANGE unless
 * 0 <= index < size, INVALID_PROOF where the proof does not show it. spec/log.md#inclusion-proofs
 */
export function verifyInclusion(p: {
  readonly index: number
  readonly size: number
  readonly leaf: Uint8Array
  readonly proof: readonly Uint8Array[]
  readonly root: Uint8Array
}): void {
  verifySubtree({ start: p.index, end: p.index + 1, hash: p.leaf, size: p.size, proof: p.proof, root: p.root })
}

/**
 * Checks that the tree of `newSize` and `newRoot` continues that of `oldSize` and `oldRoot`. Throws OUT_OF_RANGE
 * unless 0 <= oldSize <= newSize, INVALID_PROOF where the proof does not show it. A tree of size 0 has the empty
 * root and needs an empty proof, as equal sizes do. spec/log.md#consistency-proofs
 */
export function verifyConsistency(p: {
  readonly oldSize: number
  readonly oldRoot: Uint8Array
  readonly newSize: number
  readonly newRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}): void {
  checkSizes(p.oldSize, p.newSize)
  if (p.oldSize > 0) {
    verifySubtree({ start: 0, end: p.oldSize, hash: p.oldRoot, size: p.newSize, proof: p.proof, root: p.newRoot })
    return
  }
  checkLengths([p.oldRoot, p.newRoot])
  if (p.proof.length !== 0) throw invalid('the empty tree needs no proof')
  if (!bytesEqual(p.oldRoot, EMPTY_ROOT)) throw invalid('an empty tree with the root of another')
  if (p.newSize === 0 && !bytesEqual(p.newRoot, EMPTY_ROOT)) throw invalid('an empty tree with the root of another')
}

/**
 * Checks that `hash` is that of the subtree `[start, end)` of the tree of `size` and `root`. Throws OUT_OF_RANGE
 * where `subtreePlan` does, INVALID_PROOF where the proof does not show it: too short, too long, or a hash that
 * differs. spec/log.md#subtree-proofs
 */
export function verifySubtree(p: {
  readonly start: number
  readonly end: number
  readonly hash: Uint8Array
  readonly size: number
  readonly proof: readonly Uint8Array[]
  readonly root: Uint8Array
}): void {
  const { whole, steps } = descend(p.start, p.end, p.size)
  if (p.proof.length !== steps.length + (whole ? 0 : 1)) throw invalid(`${p.proof.length} hashes`)
  checkLengths([p.hash, p.root, ...p.proof])
  const { subtree, tree } = climb(whole ? [p.hash, ...p.proof] : p.proof, steps)
  if (!bytesEqual(subtree, p.hash)) throw invalid('it leads to another subtree')
  if (!bytesEqual(tree, p.root)) throw invalid('it leads to another root')
}

/**
 * The root of the first `oldSize` entries of the tree of `newSize` and `newRoot`, 32 bytes, where a consistency proof
 * shows it: then an old checkpoint with another root is contradicted by the new one. null where the proof leads to
 * another new root, and where the old tree is a node of the new one, whose hash its proof leaves out. Throws
 * OUT_OF_RANGE unless 0 < oldSize <= newSize.
 */
export function impliedRoot(p: {
  readonly oldSize: number
  readonly newSize: number
  readonly newRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}): Uint8Array | null {
  const { whole, steps } = descend(0, p.oldSize, p.newSize)
  if (whole || p.proof.length !== steps.length + 1 || [p.newRoot, ...p.proof].some((hash) => hash.length !== HASH_BYTES)) return null
  const { subtree, tree } = climb(p.proof, steps)
  return bytesEqual(tree, p.newRoot) ? subtree : null
}

/** One step from a node of the tree to the child that is gone into. */
interface Step {
  /** The other child. */
  readonly sibling: Range
  /** Whether the other child is the left one. */
  readonly left: boolean
  /** Whether the other child is part of the subtree; it is a left one then. */
  readonly shared: boolean
}

/**
 * The way from the root of the tree to the last node in which the subtree's right end lies. `whole` where that node
 * is the subtree; else it is the last of the nodes that the subtree consists of, the others being shared siblings.
 */
function descend(start: number, end: number, size: number): { node: Range; whole: boolean; steps: readonly Step[] } {
  checkSubtree(start, end, size)
  const steps: Step[] = []
  let [lo, hi, from] = [0, size, start]
  while (lo !== from || hi !== end) {
    const middle = lo + largestPowerBelow(hi - lo)
    if (end <= middle) {
      steps.push({ sibling: { start: middle, end: hi }, left: false, shared: false })
      hi = middle
    } else {
      // An aligned range with entries on both sides begins where the node does: its left child is all shared.
      const shared = from < middle
      assert(!shared || from === lo, 'a subtree is aligned')
      steps.push({ sibling: { start: lo, end: middle }, left: true, shared })
      if (shared) from = middle
      lo = middle
    }
  }
  return { node: { start: lo, end: hi }, whole: from === start, steps }
}

/** The way back up: from a node, with the siblings on the way, to the hash of the subtree and to that of the tree. */
function climb([node, ...siblings]: readonly Uint8Array[], steps: readonly Step[]): { subtree: Uint8Array; tree: Uint8Array } {
  assert(node !== undefined && siblings.length === steps.length, 'a proof is as long as its plan')
  let subtree = node // the part of the subtree below the current node
  let tree = node // the current node
  for (const [i, step] of [...steps].reverse().entries()) {
    const sibling = siblings[i]
    assert(sibling !== undefined, 'a proof is as long as its plan')
    if (step.shared) subtree = nodeHash(sibling, subtree)
    tree = step.left ? nodeHash(sibling, tree) : nodeHash(tree, sibling)
  }
  return { subtree, tree }
}

function largestPowerBelow(n: number): number {
  let power = 1
  while (power * 2 < n) power *= 2
  return power
}

function checkSubtree(start: number, end: number, size: number): void {
  const ordered = Number.isSafeInteger(size) && Number.isInteger(end) && Number.isInteger(start) && 0 <= start && start < end && end <= size
  if (!ordered || start % powerNotBelow(end - start) !== 0) throw new DirectoryError('OUT_OF_RANGE', `[${start}, ${end}) of ${size}`)
}

function powerNotBelow(n: number): number {
  let power = 1
  while (power < n) power *= 2
  return power
}

function checkSizes(oldSize: number, newSize: number): void {
  const ordered = Number.isSafeInteger(newSize) && Number.isInteger(oldSize) && 0 <= oldSize && oldSize <= newSize
  if (!ordered) throw new DirectoryError('OUT_OF_RANGE', `${oldSize} of ${newSize}`)
}

function checkLengths(hashes: readonly Uint8Array[]): void {
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw invalid('a hash that is not 32 bytes')
}

function invalid(reason: string): DirectoryError {
  return new DirectoryError('INVALID_PROOF', reason)
}
