import { describe, expect, it } from 'vitest'
import { memoryStore, type FaultPoint } from '../../src/storage/memory.ts'
import { UnknownOutcomeError } from '../../src/storage/store.ts'
import { storeContract } from './contract.ts'
import { plain, round } from './rows.ts'

describe('a store in memory', () => {
  storeContract(async () => {
    const store = memoryStore()
    return { store, again: async () => store }
  })

  it('reads the clock that it is given', async () => {
    const store = memoryStore({ now: () => 42 })
    await store.create({ origin: 'o', guardId: 'g', vkeys: [] })
    expect(await store.underHead((held) => held.now())).toBe(42)
  })

  it('plays faults: before the commit nothing is durable, after it the outcome is unknown and the change is there', async () => {
    let next: FaultPoint | null = null
    const store = memoryStore({
      fault(point) {
        if (point === next) throw new Error(`fault: ${point}`)
      },
    })
    await store.create({ origin: 'o', guardId: 'g', vkeys: [] })
    const append = () => store.underHead((held) => held.append(round(held.head, plain(1))))
    const sizes: (number | undefined)[] = []
    for (const point of ['begin', 'before commit', 'after commit', null] as const) {
      next = point
      const outcome = await append().catch((error: unknown) => error)
      if (point === null) expect(outcome).toBeUndefined()
      else if (point === 'after commit') expect(outcome).toBeInstanceOf(UnknownOutcomeError)
      else expect(outcome).toEqual(new Error(`fault: ${point}`))
      sizes.push((await store.head())?.size)
    }
    expect(sizes).toEqual([0, 0, 1, 2])
  })

  it('plays faults around a publication', async () => {
    let next: FaultPoint | null = null
    const store = memoryStore({
      fault(point) {
        if (point === next) throw new Error(`fault: ${point}`)
      },
    })
    const publication = { size: 1, root: new Uint8Array(32), note: 'n\n', publishedAt: 1 }
    next = 'before publish'
    await expect(store.publish(publication)).rejects.toThrow('fault: before publish')
    expect(await store.publication()).toBeNull()
    next = 'after publish'
    await expect(store.publish(publication)).rejects.toThrow('fault: after publish')
    expect(await store.publication()).toEqual(publication)
  })
})
