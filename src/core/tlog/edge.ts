// The right edge of a tree: all that is needed to append to it and to know its root. spec/log.md#edge

import { concatBytes } from '../encoding/text.ts'
import { assert } from '../errors.ts'
import { EMPTY_ROOT, HASH_BYTES, nodeHash } from './hash.ts'
import { foldNodes } from './proof.ts'

/** A tree's size and the roots, 32 bytes each, of its perfect subtrees, largest first: one for every 1 in the binary form of the size. */
export interface Edge {
  readonly size: number
  readonly hashes: readonly Uint8Array[]
}

/** The edge of the tree without entries. */
export const EMPTY_EDGE: Edge = { size: 0, hashes: [] }

/**
 * The edge after one more leaf, given its leaf hash (32 bytes). `completed[h]` is the root of the perfect subtree
 * of height h that ends with this leaf: `completed[0]` is the leaf itself, the last one the new edge's last.
 */
export function appendLeaf(edge: Edge, leaf: Uint8Array): { readonly edge: Edge; readonly completed: readonly Uint8Array[] } {
  assert(leaf.length === HASH_BYTES, 'a leaf hash has 32 bytes')
  assert(edge.size < Number.MAX_SAFE_INTEGER, 'the log is full')
  const hashes = [...edge.hashes]
  const completed = [leaf]
  let root = leaf
  for (let rest = edge.size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
    const left = hashes.pop()
    assert(left !== undefined, 'an edge has a hash for every 1 of its size')
    root = nodeHash(left, root)
    completed.push(root)
  }
  hashes.push(root)
  return { edge: { size: edge.size + 1, hashes }, completed }
}

/** The tree's root, 32 bytes. */
export function edgeRoot(edge: Edge): Uint8Array {
  return edge.size === 0 ? EMPTY_ROOT : foldNodes(edge.hashes)
}

/** The edge's hashes joined, largest subtree first: 32 bytes for every 1 in the binary form of the size. */
export function encodeEdge(edge: Edge): Uint8Array {
  return concatBytes(...edge.hashes)
}

/**
 * The edge of a tree of `size` from its joined hashes. They are a store's own bytes and nobody's input: other than
 * 32 for every 1 in the binary form of the size is an incident (`Error`), not a verdict.
 */
export function decodeEdge(size: number, bytes: Uint8Array): Edge {
  assert(Number.isSafeInteger(size) && size >= 0, 'a size is a safe integer')
  let count = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2
  assert(bytes.length === count * HASH_BYTES, 'an edge has a hash for every 1 of its size')
  const hashes = Array.from({ length: count }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES))
  return { size, hashes }
}
