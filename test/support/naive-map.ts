// The trie of spec/map.md as its text defines it: bit by bit over all keys, without any cleverness. An oracle: it shares no code with
// what it checks.

import { createHash } from 'node:crypto'

export interface NaiveEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

export interface NaivePath {
  readonly steps: readonly { readonly bit: number; readonly sibling: Uint8Array }[]
  readonly leaf: NaiveEntry | null
}

/** The root of the trie of these entries, in any order. */
export function naiveMapRoot(entries: readonly NaiveEntry[], bit = 0): Uint8Array {
  const [first] = entries
  if (first === undefined) return sha256()
  if (entries.length === 1) return sha256(Uint8Array.of(0), first.key, first.value)
  const [left, right] = sides(entries, bit)
  if (left.length === 0 || right.length === 0) return naiveMapRoot(entries, bit + 1)
  return sha256(Uint8Array.of(1, bit), naiveMapRoot(left, bit + 1), naiveMapRoot(right, bit + 1))
}

/** The way of a key from the root of that trie. */
export function naiveMapPath(entries: readonly NaiveEntry[], key: Uint8Array, bit = 0): NaivePath {
  if (entries.length <= 1) return { steps: [], leaf: entries[0] ?? null }
  const [left, right] = sides(entries, bit)
  if (left.length === 0 || right.length === 0) return naiveMapPath(entries, key, bit + 1)
  const [own, other] = naiveBit(key, bit) === 0 ? [left, right] : [right, left]
  const below = naiveMapPath(own, key, bit + 1)
  return { ...below, steps: [{ bit, sibling: naiveMapRoot(other, bit + 1) }, ...below.steps] }
}

function sides(entries: readonly NaiveEntry[], bit: number): [NaiveEntry[], NaiveEntry[]] {
  return [entries.filter(({ key }) => naiveBit(key, bit) === 0), entries.filter(({ key }) => naiveBit(key, bit) === 1)]
}

function naiveBit(key: Uint8Array, bit: number): number {
  const byte = key[Math.floor(bit / 8)] ?? 0
  return Number(byte.toString(2).padStart(8, '0')[bit % 8])
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
