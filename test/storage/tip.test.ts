import { describe, expect, it } from 'vitest'
import { getEventListeners } from 'node:events'
import { Tip } from '../../src/storage/tip.ts'

describe('the tip', () => {
  it('never goes back', () => {
    const tip = new Tip({ durable: 10, published: 4 })
    tip.advanceDurable(7)
    tip.advancePublished(3)
    expect([tip.durable, tip.published]).toEqual([10, 4])
    tip.advanceDurable(12)
    tip.advancePublished(11)
    expect([tip.durable, tip.published]).toEqual([12, 11])
  })

  it('takes what is published to be durable', () => {
    const tip = new Tip({ durable: 3, published: 5 })
    expect(tip.durable).toBe(5)
    tip.advancePublished(9)
    expect(tip.durable).toBe(9)
  })

  it('answers at once where the size is passed already', async () => {
    const tip = new Tip({ durable: 10, published: 4 })
    const { signal } = new AbortController()
    expect(await tip.pastDurable(9, signal)).toBe(10)
    expect(await tip.pastPublished(0, signal)).toBe(4)
  })

  it('wakes exactly those whose size is passed', async () => {
    const tip = new Tip()
    const { signal } = new AbortController()
    const woken: string[] = []
    const wait = async (name: string, past: Promise<number>) => {
      woken.push(`${name} ${await past}`)
    }
    const waits = [wait('a', tip.pastDurable(0, signal)), wait('b', tip.pastDurable(5, signal)), wait('c', tip.pastPublished(0, signal))]
    tip.advanceDurable(5)
    await waits[0]
    expect(woken).toEqual(['a 5'])
    tip.advanceDurable(6)
    await waits[1]
    expect(woken).toEqual(['a 5', 'b 6'])
    tip.advancePublished(2)
    await waits[2]
    expect(woken).toEqual(['a 5', 'b 6', 'c 2'])
  })

  it('rejects with the reason when the signal aborts, before or during the wait', async () => {
    const tip = new Tip()
    const aborted = AbortSignal.abort(new Error('gone before'))
    await expect(tip.pastDurable(0, aborted)).rejects.toThrow('gone before')
    tip.advanceDurable(1)
    await expect(tip.pastDurable(0, aborted)).rejects.toThrow('gone before')
    const controller = new AbortController()
    const wait = tip.pastDurable(1, controller.signal)
    controller.abort(new Error('gone during'))
    await expect(wait).rejects.toThrow('gone during')
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  it('leaves no listener on a signal after thousands of waits', async () => {
    const tip = new Tip()
    const { signal } = new AbortController()
    for (let size = 0; size < 5_000; size++) {
      const wait = tip.pastDurable(size, signal)
      tip.advanceDurable(size + 1)
      expect(await wait).toBe(size + 1)
    }
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('gives a loop over a cursor every size exactly once, in order', async () => {
    const tip = new Tip()
    const controller = new AbortController()
    const seen: number[] = []
    const loop = async () => {
      for (let cursor = 0; cursor < 1_000; ) {
        const size = await tip.pastDurable(cursor, controller.signal)
        while (cursor < size) seen.push(cursor++)
      }
    }
    const done = loop()
    for (let size = 0; size <= 1_000; size += 1 + (size % 7)) {
      tip.advanceDurable(size)
      if (size % 3 === 0) await Promise.resolve()
    }
    tip.advanceDurable(1_000)
    await done
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, index) => index))
  })
})
