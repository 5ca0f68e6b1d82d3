import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SETTINGS } from '../../src/config.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { Throttle } from '../../src/net/throttle.ts'
import { openCounter, postJson } from '../support/counter.ts'
import { person } from '../support/people.ts'

/** The textbook: a bucket of tokens for every key there ever was. */
class NaiveBuckets {
  readonly rate: number
  readonly burst: number
  readonly buckets = new Map<string, { tokens: number; at: number }>()

  constructor(rate: number, burst: number) {
    this.rate = rate
    this.burst = burst
  }

  tokens(key: string, now: number): number {
    const { tokens, at } = this.buckets.get(key) ?? { tokens: this.burst, at: now }
    return Math.min(this.burst, tokens + ((now - at) * this.rate) / 1000)
  }

  take(key: string, now: number): void {
    this.buckets.set(key, { tokens: this.tokens(key, now) - 1, at: now })
  }
}

// Rates that divide a second, so that neither side has to round.
const options = fc.record({ rate: fc.constantFrom(1, 2, 5, 10, 100, 1000), burst: fc.integer({ min: 1, max: 8 }) })
const asks = (keys: number): fc.Arbitrary<{ key: string; pause: number }[]> =>
  fc.array(fc.record({ key: fc.nat(keys - 1).map(String), pause: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(1_500)) }), { maxLength: 120 })

describe('a throttle', () => {
  it('decides as one bucket of tokens for each key does, and says exactly how long to wait', () => {
    fc.assert(fc.property(options, asks(5), ({ rate, burst }, asked) => {
      const throttle = new Throttle({ rate, burst, addresses: 5 })
      const naive = new NaiveBuckets(rate, burst)
      let now = 1_000
      for (const { key, pause } of asked) {
        now += pause
        const waitMs = throttle.take(key, now)
        const tokens = naive.tokens(key, now)
        expect(waitMs).toBeCloseTo(Math.max(0, ((1 - tokens) * 1000) / rate), 6)
        if (waitMs === 0) naive.take(key, now)
      }
    }), { numRuns: 500 })
  })

  it('counts several at once as that many one after the other, or none', () => {
    const throttle = new Throttle({ rate: 10, burst: 8, addresses: 5 })
    expect(throttle.take('a', 0, 6)).toBe(0)
    expect(throttle.take('a', 0, 3)).toBeCloseTo(100, 6)
    expect(throttle.take('a', 0, 2)).toBe(0)
    expect(throttle.take('a', 0)).toBeCloseTo(100, 6)
    expect(throttle.take('a', 800, 8)).toBe(0)
    expect(throttle.take('b', 800, 8)).toBe(0)
  })

  it('never gives anybody more than that where there are more keys than it can hold, and holds no more', () => {
    fc.assert(fc.property(options, fc.integer({ min: 1, max: 4 }), asks(12), ({ rate, burst }, addresses, asked) => {
      const throttle = new Throttle({ rate, burst, addresses })
      const naive = new NaiveBuckets(rate, burst)
      let now = 1_000
      for (const { key, pause } of asked) {
        now += pause
        const served = throttle.take(key, now) === 0
        expect(throttle.size).toBeLessThanOrEqual(addresses)
        if (!served) continue
        expect(naive.tokens(key, now)).toBeGreaterThanOrEqual(1 - 1e-9)
        naive.take(key, now)
      }
    }), { numRuns: 500 })
  })

  it('forgets those who owe nothing', () => {
    const throttle = new Throttle({ rate: 10, burst: 5, addresses: 1_000 })
    for (let key = 0; key < 1_000; key++) throttle.take(`early ${key}`, 0)
    expect(throttle.size).toBe(1_000)
    for (let key = 0; key < 600; key++) throttle.take(`late ${key}`, 1_000)
    expect(throttle.size).toBe(600)
  })

  it('lets nobody wash off a debt, nor lock newcomers out, with many addresses', () => {
    const throttle = new Throttle({ rate: 10, burst: 50, addresses: 100 })
    for (let i = 0; i < 50; i++) expect(throttle.take('greedy', 0)).toBe(0)
    expect(throttle.take('greedy', 0)).toBeGreaterThan(0)
    for (let key = 0; key < 10_000; key++) throttle.take(`borrowed ${key}`, 0)
    expect(throttle.size).toBe(100)
    expect(throttle.take('greedy', 0)).toBeGreaterThan(0)
    // Each of the others has asked a hundred times or less: a newcomer finds a bucket, if not a full one, a moment later.
    expect(throttle.take('newcomer', 5_000)).toBe(0)
    const fresh = new Throttle({ rate: 10, burst: 50, addresses: 100 })
    for (let i = 0; i < 50; i++) fresh.take('greedy', 0)
    for (let key = 0; key < 99; key++) fresh.take(`once ${key}`, 0)
    for (let i = 0; i < 49; i++) expect(fresh.take('newcomer', 0)).toBe(0)
  })

  it('takes the same time for a million addresses as for few', () => {
    const throttle = new Throttle({ rate: 1_000, burst: 5_000, addresses: 10_000 })
    const started = performance.now()
    for (let i = 0; i < 300_000; i++) throttle.take(`address ${i}`, i / 1_000)
    expect(throttle.size).toBeLessThanOrEqual(10_000)
    expect(performance.now() - started).toBeLessThan(10_000)
  })
})

describe('a counter that is asked too much', () => {
  const { did, genesis } = person('alice')
  const body = renderJson(genesis.value)

  it('says 429 and when to come again, counting reads and writes apart', async () => {
    const elapsed = { ms: 0 }
    await using counter = await openCounter({ options: { readRate: 1, writeRate: 0.5, elapsed: () => elapsed.ms } })
    for (let i = 0; i < LIMITS.readBurstSeconds; i++) expect((await counter.ask(`/${did}`)).status).toBe(404)
    const reply = await counter.ask(`/${did}`)
    expect(reply).toMatchObject({ status: 429, text: '{"message":"Too many requests"}' })
    expect(reply.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store', 'access-control-allow-origin': '*', 'content-type': 'application/json; charset=utf-8' })
    for (const [method, path] of [['GET', '/checkpoint'], ['HEAD', '/'], ['OPTIONS', '/x'], ['PUT', '/x'], ['GET', '/tile/0/000'], ['GET', '/nothing/here']] as const) {
      expect((await counter.ask(path, { method })).status, path).toBe(429)
    }
    for (let i = 0; i < 5; i++) expect((await postJson(counter, did, body)).status).toBe(200)
    const refused = await postJson(counter, did, body)
    expect(refused).toMatchObject({ status: 429, text: '{"message":"Too many requests"}' })
    expect(refused.headers['retry-after']).toBe('2')
    elapsed.ms += 1_000
    expect((await counter.ask(`/${did}`)).status).toBe(200)
    expect((await postJson(counter, did, body)).status).toBe(429)
    elapsed.ms += 1_000
    expect((await postJson(counter, did, body)).status).toBe(200)
  })

  it('goes on telling its health', async () => {
    await using counter = await openCounter({ options: { readRate: 1, elapsed: () => 0 } })
    for (let i = 0; i < 20; i++) expect((await counter.ask('/_health')).status).toBe(200)
    for (let i = 0; i < 5; i++) expect((await counter.ask('/')).status).toBe(200)
    expect((await counter.ask('/')).status).toBe(429)
    expect((await counter.ask('/_health')).status).toBe(200)
  })

  it('counts the clients that a trusted proxy names, one by one', async () => {
    await using counter = await openCounter({ options: { readRate: 1, clientIpHeader: 'x-forwarded-for', elapsed: () => 0 } })
    const from = async (value: string): Promise<number> => (await counter.ask('/', { headers: { 'X-Forwarded-For': value } })).status
    for (let i = 0; i < 5; i++) expect(await from('192.0.2.1')).toBe(200)
    expect(await from('192.0.2.1')).toBe(429)
    expect(await from('192.0.2.2')).toBe(200)
    expect(await from('192.0.2.3, 192.0.2.1')).toBe(429)
    for (let i = 0; i < 5; i++) expect(await from(`192.0.2.1, unknown ${i}`)).toBe(200)
    expect(await from('nonsense')).toBe(429)
  })

  it('has the rates of its limits where none are set, and the settings name the same', async () => {
    expect([SETTINGS['read-rate'].fallback, SETTINGS['write-rate'].fallback]).toEqual([String(LIMITS.readRate), String(LIMITS.writeRate)])
    expect([LIMITS.readBurstSeconds, LIMITS.writeBurstSeconds]).toEqual([5, 10])
    expect(SETTINGS['read-rate'].help).toContain('five times')
    expect(SETTINGS['write-rate'].help).toContain('ten times')
  })
})
