// Many proofs in one tree at once: each hash is computed once. spec/log.md#proofs

import { assert } from '../core/errors.ts'
import { HASH_BYTES, nodeHash } from '../core/tlog/hash.ts'
import { foldNodes, rangeNodes, type Range } from '../core/tlog/proof.ts'
import { planTiles, TILE_HEIGHT, TILE_WIDTH } from '../core/tlog/tile.ts'
import type { Store } from '../storage/store.ts'

/** The hashes of the ranges of each plan, in order: the proofs. The tree of `size` must be durable. */
export async function readProofs(store: Pick<Store, 'tiles'>, plans: readonly (readonly Range[])[], size: number): Promise<Uint8Array[][]> {
  const ranges = new Map(plans.flat().map((range) => [keyOf(range.start, range.end), range]))
  const asked = planTiles([...ranges.values()], size)
  const stored = await store.tiles(asked)
  const tiles = new Map(asked.map(({ level, index }, at) => [keyOf(level, index), stored[at] ?? new Uint8Array()]))
  const nodes = new Map<string, Uint8Array>()

  function node(level: number, index: number): Uint8Array {
    if (level % TILE_HEIGHT === 0) {
      const tile = tiles.get(keyOf(level / TILE_HEIGHT, Math.floor(index / TILE_WIDTH)))
      const at = (index % TILE_WIDTH) * HASH_BYTES
      assert(tile !== undefined && tile.length >= at + HASH_BYTES, `a durable tile is missing: ${level / TILE_HEIGHT}/${Math.floor(index / TILE_WIDTH)}`)
      return tile.subarray(at, at + HASH_BYTES)
    }
    const key = keyOf(level, index)
    const known = nodes.get(key)
    if (known !== undefined) return known
    const hash = nodeHash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))
    nodes.set(key, hash)
    return hash
  }

  const hashes = new Map([...ranges].map(([key, range]) => [key, foldNodes(rangeNodes(range).map(({ level, index }) => node(level, index)))]))
  return plans.map((plan) =>
    plan.map(({ start, end }) => {
      const hash = hashes.get(keyOf(start, end))
      assert(hash !== undefined, 'every range was hashed')
      return hash
    }),
  )
}

function keyOf(a: number, b: number): string {
  return `${a}/${b}`
}
