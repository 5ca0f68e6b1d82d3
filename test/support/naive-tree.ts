// The tree of RFC 6962 section 2.1 as its text defines it: recursive, on leaf hashes, without any cleverness.
// An oracle: it shares no code with what it checks.

import { createHash } from 'node:crypto'

/** SHA-256(0x00 || entry), 32 bytes. */
export function naiveLeafHash(entry: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(0), entry)
}

/** SHA-256(0x01 || left || right), 32 bytes. */
export function naiveNodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(1), left, right)
}

/** MTH(D[n]) of leaf hashes: the root. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves
  if (first === undefined) return sha256()
  if (leaves.length === 1) return first
  const k = split(leaves.length)
  return naiveNodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

/** PATH(m, D[n]): the inclusion proof of leaf m. */
export function naivePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  const n = leaves.length
  if (n <= 1) return []
  const k = split(n)
  if (m < k) return [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
  return [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))]
}

/** PROOF(m, D[n]): the consistency proof from the first m leaves, 0 < m <= n. */
export function naiveConsistency(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  return naiveSubproof(m, leaves, true)
}

/** The subtree proof of [start, end), relative to these leaves. */
export function naiveSubtreeProof(start: number, end: number, leaves: readonly Uint8Array[], known = true): Uint8Array[] {
  const n = leaves.length
  if (start === 0 && end === n) return known ? [] : [naiveRoot(leaves)]
  const k = split(n)
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)]
  if (end <= k) return [...naiveSubtreeProof(start, end, left, known), naiveRoot(right)]
  if (start >= k) return [...naiveSubtreeProof(start - k, end - k, right, known), naiveRoot(left)]
  return [...naiveSubtreeProof(0, end - k, right, false), naiveRoot(left)]
}

/** Distinct leaf hashes, the same on every run: of the entries `leaf 0`, `leaf 1`, ... */
export function naiveLeaves(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => naiveLeafHash(Buffer.from(`leaf ${i}`)))
}

function naiveSubproof(m: number, leaves: readonly Uint8Array[], known: boolean): Uint8Array[] {
  const n = leaves.length
  if (m === n) return known ? [] : [naiveRoot(leaves)]
  const k = split(n)
  if (m <= k) return [...naiveSubproof(m, leaves.slice(0, k), known), naiveRoot(leaves.slice(k))]
  return [...naiveSubproof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))]
}

/** The largest power of two below n. */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
