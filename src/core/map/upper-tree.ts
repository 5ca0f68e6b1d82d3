// The upper part of the trie: what stands above keys that begin alike, so that one key changes one bucket, its block, and the way up from that.
// spec/map.md#storage

import { assert } from '../errors.ts'
import { portableSha256, type Sha256 } from './hash.ts'
import { bitOf, EMPTY_MAP_ROOT, innerHash, MAP_HASH_BYTES, type PathStep } from './trie.ts'

/** Bits of a key that name its bucket: what is stored together. */
export const BUCKET_BITS = 20

/** Bits of a key that name its block: buckets side by side, whose common hash is the lowest that is kept in memory. */
export const BLOCK_BITS = 16

/** Buckets of a block. */
export const BLOCK_BUCKETS = 2 ** (BUCKET_BITS - BLOCK_BITS)

/** The bucket that a key belongs to: 0 to 2^20 - 1. */
export function bucketOf(key: Uint8Array): number {
  const [a = 0, b = 0, c = 0] = key
  return (a << 12) | (b << 4) | (c >> 4)
}

/** The block that a key belongs to: 0 to 2^16 - 1. */
export function blockOf(key: Uint8Array): number {
  const [a = 0, b = 0] = key
  return (a << 8) | b
}

/** The hash of a block, 32 bytes, from those of its buckets one after the other, all zeros for an empty one; null where all are empty. */
export function blockRoot(hashes: Uint8Array, sha256: Sha256 = portableSha256): Uint8Array | null {
  return rootOf(hashes, 0, BLOCK_BUCKETS, sha256)
}

/**
 * The steps of a key within a block, given as for `blockRoot`, and which of its buckets, 0 to 15, the key's way leads into, which is another than its
 * own where that is empty. The block has a key.
 */
export function walkBlock(hashes: Uint8Array, key: Uint8Array, sha256: Sha256 = portableSha256): { readonly steps: readonly PathStep[]; readonly bucket: number } {
  const steps: PathStep[] = []
  let [start, end] = [0, BLOCK_BUCKETS]
  for (let bit = BLOCK_BITS; bit < BUCKET_BITS; bit++) {
    const middle = (start + end) / 2
    const side = chooseSide(key, bit, rootOf(hashes, start, middle, sha256), rootOf(hashes, middle, end, sha256), steps)
    if (side === 1) start = middle
    else end = middle
  }
  return { steps, bucket: start }
}

/** Hashes of one level, 32 bytes each, and their places in it, as many. */
export interface UpperLevel {
  readonly places: readonly number[]
  readonly hashes: readonly Uint8Array[]
}

/** What some blocks make of the tree. */
export interface UpperChange {
  /** Of the whole map, 32 bytes. */
  readonly root: Uint8Array
  /** From the root's level to that of the blocks. Where a place stands twice, the later hash counts. */
  readonly levels: readonly UpperLevel[]
}

/** What several changes, each planned on the tree that the one before it makes, make together; null for none. */
export function joinChanges(changes: readonly UpperChange[]): UpperChange | null {
  const last = changes.at(-1)
  if (last === undefined) return null
  const levels = last.levels.map((_, level) => ({
    places: changes.flatMap(({ levels }) => levels[level]?.places ?? []),
    hashes: changes.flatMap(({ levels }) => levels[level]?.hashes ?? []),
  }))
  return { root: last.root, levels }
}

/**
 * The hashes of all blocks and of everything above them: 4 MiB, whatever the number of keys. A place with one side empty has the hash of the
 * other side. Keys never leave a map, so that a block never becomes empty again.
 */
export class UpperTree {
  // From the root on, level by level, from the second place on. All zeros are no hash.
  readonly #hashes = new Uint8Array(2 ** (BLOCK_BITS + 1) * MAP_HASH_BYTES)
  readonly #sha256: Sha256

  constructor(sha256: Sha256 = portableSha256) {
    this.#sha256 = sha256
  }

  /** The root of the map, 32 bytes. */
  get root(): Uint8Array {
    return this.#at(0, 0)?.slice() ?? EMPTY_MAP_ROOT
  }

  /** The hash of a block, 32 bytes; null for an empty one. */
  block(block: number): Uint8Array | null {
    return this.#at(BLOCK_BITS, block)?.slice() ?? null
  }

  /** Another tree of the same hashes. */
  copy(): UpperTree {
    const copy = new UpperTree(this.#sha256)
    copy.#hashes.set(this.#hashes)
    return copy
  }

  /** What the tree would be with these hashes of blocks, 32 bytes each. Changes nothing. */
  plan(blocks: ReadonlyMap<number, Uint8Array>): UpperChange {
    const places = [...Uint32Array.from(blocks.keys()).sort()]
    let below: UpperLevel = { places, hashes: places.map((place) => blocks.get(place) ?? EMPTY_MAP_ROOT) }
    const levels = [below]
    for (let level = BLOCK_BITS - 1; level >= 0; level--) {
      below = this.#above(level, below)
      levels.unshift(below)
    }
    return { root: below.hashes[0] ?? this.root, levels }
  }

  // What hashes of the level below, their places in order, make of a level.
  #above(level: number, { places, hashes }: UpperLevel): UpperLevel {
    const above = { places: [] as number[], hashes: [] as Uint8Array[] }
    for (let i = 0; i < places.length; i++) {
      const place = places[i] ?? 0
      const isRight = place % 2 === 1
      const hasSibling = !isRight && places[i + 1] === place + 1
      const own = hashes[i] ?? null
      const left = isRight ? this.#at(level + 1, place - 1) : own
      const right = isRight ? own : hasSibling ? (hashes[i + 1] ?? null) : this.#at(level + 1, place + 1)
      const hash = joined(level, left, right, this.#sha256)
      assert(hash !== null, 'one of the children has changed')
      above.places.push(place >> 1)
      above.hashes.push(hash)
      if (hasSibling) i++
    }
    return above
  }

  /** Makes a change that was planned on the tree as it is. */
  apply({ levels }: UpperChange): void {
    for (const [level, { places, hashes }] of levels.entries()) {
      for (const [i, hash] of hashes.entries()) this.#hashes.set(hash, placeOf(level, places[i] ?? 0))
    }
  }

  /** The steps of a key above the blocks, and the block that its way leads into, which is another than its own where that is empty; null in an empty map. */
  walk(key: Uint8Array): { readonly steps: readonly PathStep[]; readonly block: number | null } {
    if (this.#at(0, 0) === null) return { steps: [], block: null }
    const steps: PathStep[] = []
    let index = 0
    for (let bit = 0; bit < BLOCK_BITS; bit++) index = 2 * index + chooseSide(key, bit, this.#at(bit + 1, 2 * index), this.#at(bit + 1, 2 * index + 1), steps)
    return { steps, block: index }
  }

  #at(level: number, index: number): Uint8Array | null {
    return hashAt(this.#hashes, placeOf(level, index))
  }
}

// The side that the way of a key takes, 0 or 1. Where both have keys, that is a step.
function chooseSide(key: Uint8Array, bit: number, left: Uint8Array | null, right: Uint8Array | null, steps: PathStep[]): number {
  if (left === null || right === null) return left === null ? 1 : 0
  const side = bitOf(key, bit)
  steps.push({ bit, sibling: (side === 1 ? left : right).slice() })
  return side
}

function rootOf(hashes: Uint8Array, start: number, end: number, sha256: Sha256): Uint8Array | null {
  if (end - start === 1) return hashAt(hashes, start * MAP_HASH_BYTES)
  const middle = (start + end) / 2
  return joined(BUCKET_BITS - Math.log2(end - start), rootOf(hashes, start, middle, sha256), rootOf(hashes, middle, end, sha256), sha256)
}

function joined(bit: number, left: Uint8Array | null, right: Uint8Array | null, sha256: Sha256): Uint8Array | null {
  return left === null ? right : right === null ? left : innerHash(bit, left, right, sha256)
}

function hashAt(hashes: Uint8Array, at: number): Uint8Array | null {
  const end = at + MAP_HASH_BYTES
  for (let i = at; i < end; i++) if (hashes[i] !== 0) return hashes.subarray(at, end)
  return null
}

// Indices stay below 2^20, where bit operators are safe.
function placeOf(level: number, index: number): number {
  return ((1 << level) + index) * MAP_HASH_BYTES
}
