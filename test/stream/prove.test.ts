import { describe, expect, it } from 'vitest'
import { consistencyPlan, inclusionPlan } from '../../src/core/tlog/proof.ts'
import { planTiles, proofFromTileList } from '../../src/core/tlog/tile.ts'
import { readProofs } from '../../src/stream/prove.ts'
import { openCounter } from '../support/counter.ts'

describe('many proofs at once', () => {
  it('are the same as each alone, in every tree', async () => {
    await using counter = await openCounter()
    const { store } = counter
    await counter.fill(1_200)
    for (const size of [1, 2, 3, 255, 256, 257, 512, 700, 1_023, 1_200]) {
      const indices = [0, 1, 2, 255, 256, 511, size - 1].filter((index) => index < size)
      const plans = [...indices.map((index) => inclusionPlan(index, size)), ...indices.map((old) => consistencyPlan(old, size))]
      const alone = await Promise.all(plans.map(async (plan) => proofFromTileList(plan, size, await store.tiles(planTiles(plan, size)))))
      expect(await readProofs(store, plans, size)).toEqual(alone)
    }
    expect(await readProofs(store, [], 5)).toEqual([])
  })
})
