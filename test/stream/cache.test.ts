import { describe, expect, it } from 'vitest'
import { SharedCache } from '../../src/stream/cache.ts'

describe('work that is shared', () => {
  it('is done once for all who ask while it is under way, and afterwards', async () => {
    const cache = new SharedCache(100)
    let made = 0
    const make = async (): Promise<{ weight: number }> => ({ weight: ++made })
    const results = await Promise.all([cache.get('a', make), cache.get('a', make)])
    expect([...results, await cache.get('a', make)]).toEqual([{ weight: 1 }, { weight: 1 }, { weight: 1 }])
  })

  it('is kept up to so many bytes, what was not used for the longest time going first', async () => {
    const cache = new SharedCache(100)
    const made: string[] = []
    const get = (key: string, weight = 40): Promise<unknown> => cache.get(key, async () => (made.push(key), { weight }))
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await get(key)
    expect(made).toEqual(['a', 'b', 'c', 'b'])
    expect(cache.bytes).toBe(80)
    await get('large', 1_000)
    expect(cache.bytes).toBe(0)
  })

  it('is done again where it failed', async () => {
    const cache = new SharedCache(100)
    await expect(cache.get('a', () => Promise.reject(new Error('gone')))).rejects.toThrow('gone')
    expect(await cache.get('a', async () => ({ weight: 1 }))).toEqual({ weight: 1 })
    expect(cache.bytes).toBe(1)
  })
})
