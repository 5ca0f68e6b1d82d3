import { describe, expect, it } from 'vitest'
import { openCounter, COUNTER_ORIGIN } from '../support/counter.ts'
import { START_MS } from '../support/writer.ts'

const broken = (): Promise<never> => Promise.reject(new Error('gone'))
const known = { version: '1.2.3', origin: COUNTER_ORIGIN }

describe('GET /_health', () => {
  it('says how far the log has come and how old its checkpoint is', async () => {
    await using counter = await openCounter()
    expect(JSON.parse((await counter.ask('/_health')).text)).toEqual({ ...known, size: 0, published: 0, checkpointAge: null })
    await counter.fill(3)
    await counter.publish()
    await counter.fill(2)
    counter.clock.ms += 12_900
    const reply = await counter.ask('/_health')
    expect(reply.status).toBe(200)
    expect(reply.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
    expect(reply.text).toBe(`{"version":"1.2.3","origin":"${COUNTER_ORIGIN}","size":5,"published":3,"checkpointAge":12}`)
  })

  it('is 503 once an entry has waited more than 30 seconds for a checkpoint', async () => {
    await using counter = await openCounter()
    await counter.publish()
    counter.clock.ms += 500_000
    expect((await counter.ask('/_health')).status).toBe(200)
    await counter.fill(1)
    counter.clock.ms += 30_999
    expect((await counter.ask('/_health')).status).toBe(200)
    counter.clock.ms += 1
    const reply = await counter.ask('/_health')
    expect(reply.status).toBe(503)
    expect(JSON.parse(reply.text)).toEqual({
      ...known, size: 1, published: 0, checkpointAge: 531, error: 'Service Unavailable', faults: ['an entry has waited 31 seconds for a checkpoint'],
    })
    await counter.publish()
    expect((await counter.ask('/_health')).status).toBe(200)
  })

  it('does not hold the age of imported entries against a checkpoint that came after them', async () => {
    await using counter = await openCounter()
    await counter.publish()
    await counter.fill(1)
    const old = async (start: number, end: number) => (await counter.store.entries(start, end)).map((row) => ({ ...row, createdAt: 0 }))
    await using other = await openCounter({ ports: { store: { ...counter.store, entries: old } } })
    expect((await other.ask('/_health')).status).toBe(200)
    other.clock.ms += 40_000
    expect((await other.ask('/_health')).status).toBe(503)
  })

  it('is 503 where the database says no, or nothing', async () => {
    await using sound = await openCounter()
    for (const ping of [broken, () => new Promise<never>(() => undefined)]) {
      await using counter = await openCounter({ ports: { store: { ...sound.store, ping } } })
      const reply = await counter.ask('/_health')
      expect(reply.status).toBe(503)
      expect(JSON.parse(reply.text)).toEqual({ ...known, size: 0, published: 0, error: 'Service Unavailable', faults: ['the database does not answer'] })
    }
  })

  it('is 503 with the words of whatever else keeps the process from its work, after its own', async () => {
    const faults: string[] = []
    await using sound = await openCounter()
    await using counter = await openCounter({ ports: { faults: () => faults } })
    expect((await counter.ask('/_health')).status).toBe(200)
    faults.push('the clock has jumped', 'the copy lags')
    const seen = { ...known, size: 0, published: 0, checkpointAge: null, error: 'Service Unavailable' }
    const reply = await counter.ask('/_health')
    expect(reply.status).toBe(503)
    expect(JSON.parse(reply.text)).toEqual({ ...seen, faults })
    await counter.fill(1)
    counter.clock.ms += 31_000
    expect(JSON.parse((await counter.ask('/_health')).text)).toMatchObject({ faults: ['an entry has waited 31 seconds for a checkpoint', ...faults] })
    await using both = await openCounter({ ports: { faults: () => faults, store: { ...sound.store, ping: broken } } })
    expect(JSON.parse((await both.ask('/_health')).text)).toMatchObject({ faults: ['the database does not answer', ...faults] })
  })

  it('names every witness of a process that asks some, and how it fares', async () => {
    const witnesses = [
      { name: 'alice', cosignedAt: START_MS + 1_000, latencyMs: 12.6, refusal: null },
      { name: 'bob', cosignedAt: null, latencyMs: null, refusal: 'it answered 500' },
    ]
    await using counter = await openCounter({ ports: { witnesses: () => ({ witnesses, quorumMissed: false, alarm: false }) } })
    counter.clock.ms = START_MS + 5_900
    const reply = await counter.ask('/_health')
    expect(reply.status, 'a witness that the quorum does without is no fault').toBe(200)
    expect(JSON.parse(reply.text)).toMatchObject({
      witnesses: [{ name: 'alice', cosignedAge: 4, latencyMs: 13, refusal: null }, { name: 'bob', cosignedAge: null, latencyMs: null, refusal: 'it answered 500' }],
    })
    await using none = await openCounter({ ports: { witnesses: () => null } })
    expect(JSON.parse((await none.ask('/_health')).text)).not.toHaveProperty('witnesses')
  })

  it('asks the database once for all who ask at once, and again for who asks later', async () => {
    await using sound = await openCounter()
    let asked = 0
    const ping = async (): Promise<void> => {
      asked++
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    await using counter = await openCounter({ ports: { store: { ...sound.store, ping } } })
    const replies = await Promise.all(Array.from({ length: 50 }, () => counter.ask('/_health')))
    expect(new Set(replies.map((reply) => reply.text)).size).toBe(1)
    expect(asked).toBe(1)
    await counter.ask('/_health')
    expect(asked).toBe(2)
  })
})
