// The upper part of the trie: what stands above buckets of keys that begin alike, so that one key changes one bucket and the way up from it.
// spec/map.md#storage

import { assert } from '../errors.ts'
import { portableSha256, type Sha256 } from './hash.ts'
import { bitOf, EMPTY_MAP_ROOT, innerHash, MAP_HASH_BYTES, type PathStep } from './trie.ts'

/** Bits of a key that name its bucket. */
export const BUCKET_BITS = 20

/** What some buckets make of the tree: hashes by their place, a map a level. */
export interface UpperChange {
  /** Of the whole map, 32 bytes. */
  readonly root: Uint8Array
  /** From the root's level to that of the buckets. */
  readonly levels: readonly ReadonlyMap<number, Uint8Array>[]
}

/** The bucket that a key belongs to: 0 to 2^20 - 1. */
export function bucketOf(key: Uint8Array): number {
  const [a = 0, b = 0, c = 0] = key
  return (a << 12) | (b << 4) | (c >> 4)
}

/**
 * The hashes of all buckets and of everything above them, 64 MB where every bucket has a key. A place with one side empty has the hash of the
 * other side. Keys never leave a map, so that a bucket never becomes empty again.
 */
export class UpperTree {
  // Seven levels of one subtree share a block, so that the way up from a bucket touches three: a small map has few. All zeros are no hash.
  readonly #blocks: (Uint8Array | undefined)[] = []
  readonly #sha256: Sha256

  constructor(sha256: Sha256 = portableSha256) {
    this.#sha256 = sha256
  }

  /** The root of the map, 32 bytes. */
  get root(): Uint8Array {
    return this.#at(0, 0)?.slice() ?? EMPTY_MAP_ROOT
  }

  /** The hash of a bucket, 32 bytes; null for an empty one. */
  bucket(bucket: number): Uint8Array | null {
    return this.#at(BUCKET_BITS, bucket)?.slice() ?? null
  }

  /** What the tree would be with these hashes of buckets, 32 bytes each. Changes nothing. */
  plan(buckets: ReadonlyMap<number, Uint8Array>): UpperChange {
    const levels: ReadonlyMap<number, Uint8Array>[] = [buckets]
    for (let level = BUCKET_BITS - 1; level >= 0; level--) {
      const [below] = levels
      assert(below !== undefined, 'the level below is known')
      const changed = new Map<number, Uint8Array>()
      for (const index of below.keys()) {
        const parent = index >> 1
        if (changed.has(parent)) continue
        const left = below.get(2 * parent) ?? this.#at(level + 1, 2 * parent)
        const right = below.get(2 * parent + 1) ?? this.#at(level + 1, 2 * parent + 1)
        const hash = left === null ? right : right === null ? left : innerHash(level, left, right, this.#sha256)
        assert(hash !== null, 'one of the children has changed')
        changed.set(parent, hash)
      }
      levels.unshift(changed)
    }
    return { root: levels[0]?.get(0) ?? this.root, levels }
  }

  /** Makes a change that was planned on the tree as it is. */
  apply({ levels }: UpperChange): void {
    for (const [level, hashes] of levels.entries()) {
      for (const [index, hash] of hashes) this.#set(level, index, hash)
    }
  }

  /** The steps of a key above the buckets, and the bucket that its way leads into, which is another than its own where that is empty; null in an empty map. */
  walk(key: Uint8Array): { readonly steps: readonly PathStep[]; readonly bucket: number | null } {
    if (this.#at(0, 0) === null) return { steps: [], bucket: null }
    const steps: PathStep[] = []
    let index = 0
    for (let bit = 0; bit < BUCKET_BITS; bit++) {
      const [left, right] = [this.#at(bit + 1, 2 * index), this.#at(bit + 1, 2 * index + 1)]
      let side = left === null ? 1 : 0
      if (left !== null && right !== null) {
        side = bitOf(key, bit)
        steps.push({ bit, sibling: (side === 1 ? left : right).slice() })
      }
      index = 2 * index + side
    }
    return { steps, bucket: index }
  }

  #at(level: number, index: number): Uint8Array | null {
    const { block, at } = placeOf(level, index)
    const hash = this.#blocks[block]?.subarray(at, at + MAP_HASH_BYTES)
    return hash === undefined || hash.every((byte) => byte === 0) ? null : hash
  }

  #set(level: number, index: number, hash: Uint8Array): void {
    const { block, at } = placeOf(level, index)
    const bytes = (this.#blocks[block] ??= new Uint8Array(BLOCK_HASHES * MAP_HASH_BYTES))
    bytes.set(hash, at)
  }
}

const BLOCK_LEVELS = 7
const BLOCK_HASHES = 2 ** BLOCK_LEVELS - 1
/** Where the blocks of the levels from 0, 7 and 14 on begin. */
const TIERS = [0, 1, 1 + 2 ** BLOCK_LEVELS]

// Indices stay below 2^20, where bit operators are safe.
function placeOf(level: number, index: number): { block: number; at: number } {
  const inner = level % BLOCK_LEVELS
  const block = (TIERS[Math.floor(level / BLOCK_LEVELS)] ?? 0) + (index >> inner)
  return { block, at: ((1 << inner) - 1 + (index & ((1 << inner) - 1))) * MAP_HASH_BYTES }
}
