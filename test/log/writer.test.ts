import { copyFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { RECOVERY_WINDOW_MS } from '../../src/core/plc/chain.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { HeadBehindError } from '../../src/log/follow-head.ts'
import { UnavailableError } from '../../src/log/pool.ts'
import { MIRROR_GUARD } from '../../src/log/open-log.ts'
import { memoryStore, type FaultPoint } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { person, type Person } from '../support/people.ts'
import { newLog, openWriter, ORIGIN, START_MS, type Remains, type Writer } from '../support/writer.ts'

const HOUR_MS = 3_600_000

describe('the writer', () => {
  let remains: Remains & Disposable
  let writer: Writer
  beforeEach(async () => {
    remains = await newLog()
    writer = await openWriter(remains)
  })
  afterEach(async () => {
    await writer.check()
    await writer[Symbol.asyncDispose]()
    remains[Symbol.dispose]()
  })

  const refusal = async (answer: Promise<unknown>): Promise<string> => {
    const error: unknown = await answer.then(() => null, (error: unknown) => error)
    return error instanceof DirectoryError ? error.code : String(error)
  }

  it('gives every accepted operation its index, in one round or in many', async () => {
    const people = Array.from({ length: 20 }, (_, i) => person(`p${i}`))
    const first = await Promise.all(people.slice(0, 10).map((p) => writer.submit(p.did, p.genesis)))
    const second: number[] = []
    for (const p of people.slice(10)) second.push((await writer.submit(p.did, p.genesis)).index)
    expect([...first.map(({ index }) => index), ...second]).toEqual(people.map((_, i) => i))
    expect(writer.tip.durable).toBe(20)
  })

  it('takes an identity from genesis to tombstone within one round', async () => {
    const p = person('chain')
    const update = p.update(p.genesis)
    const end = p.tombstone(update)
    const places = await Promise.all([p.genesis, update, end].map((operation) => writer.submit(p.did, operation)))
    expect(places).toEqual([{ index: 0 }, { index: 1 }, { index: 2 }])
    const times = (await remains.store.entries(0, 3)).map((row) => row.createdAt)
    expect(times).toEqual([START_MS, START_MS + 1, START_MS + 2])
  })

  it('answers the same operation twenty times at once with one entry', async () => {
    const p = person('same')
    const places = await Promise.all(Array.from({ length: 20 }, () => writer.submit(p.did, p.genesis)))
    expect(places).toEqual(Array.from({ length: 20 }, () => ({ index: 0 })))
    expect(await writer.submit(p.did, p.genesis)).toEqual({ index: 0 })
    expect(writer.tip.durable).toBe(1)
  })

  it('accepts one of twenty different updates with the same prev and tells the others to look again', async () => {
    const p = person('rival')
    await writer.submit(p.did, p.genesis)
    const updates = Array.from({ length: 20 }, (_, i) => p.update(p.genesis, { key: i % 3, handle: `h${i}` }))
    const seen = writer.tip.durable
    const outcomes = await Promise.all(updates.map((update) => refusal(writer.submit(p.did, update, seen))))
    expect(outcomes.filter((code) => code === 'STALE_PREV')).toHaveLength(19)
    expect(writer.tip.durable).toBe(2)
  })

  it('nullifies for a stronger key within the window and refuses the nullified operation afterwards', async () => {
    const p = person('owner')
    await writer.submit(p.did, p.genesis)
    const theft = p.update(p.genesis, { key: 2, handle: 'thief' })
    await writer.submit(p.did, theft)
    remains.clock.ms += RECOVERY_WINDOW_MS
    const recovery = p.update(p.genesis, { key: 1, handle: 'owner' })
    expect(await writer.submit(p.did, recovery)).toEqual({ index: 2 })
    expect((await remains.store.entries(0, 3)).map((row) => row.nullified)).toEqual([false, true, false])
    expect(await refusal(writer.submit(p.did, theft))).toBe('MISORDERED')
    expect((await remains.store.newest(p.did))?.index).toBe(2)
  })

  it('refuses a recovery by the same key, and one that comes a millisecond late', async () => {
    const p = person('late')
    await writer.submit(p.did, p.genesis)
    await writer.submit(p.did, p.update(p.genesis, { key: 1 }))
    expect(await refusal(writer.submit(p.did, p.update(p.genesis, { key: 1, handle: 'x' })))).toBe('INVALID_SIGNATURE')
    remains.clock.ms += RECOVERY_WINDOW_MS + 2 // the update was stamped a millisecond after the genesis
    expect(await refusal(writer.submit(p.did, p.update(p.genesis, { key: 0, handle: 'x' })))).toBe('LATE_RECOVERY')
  })

  it('never stamps an entry before an earlier one, whatever the clock does', async () => {
    const [a, b] = [person('a'), person('b')]
    await writer.submit(a.did, a.genesis)
    remains.clock.ms -= 5_000
    await writer.submit(b.did, b.genesis)
    await writer.submit(a.did, a.update(a.genesis))
    const times = (await remains.store.entries(0, 3)).map((row) => row.createdAt - START_MS)
    expect(times).toEqual([0, 0, 1])
    remains.clock.ms -= HOUR_MS
    const answer = writer.submit(b.did, b.update(b.genesis))
    await expect(answer).rejects.toThrow(UnavailableError)
    expect(writer.tip.durable).toBe(3)
  })

  it('limits the updates of one identity and counts nobody else', async () => {
    const p = person('busy')
    let newest = p.genesis
    await writer.submit(p.did, newest)
    for (let i = 1; i < 10; i++) {
      newest = p.update(newest, { handle: `h${i}` })
      await writer.submit(p.did, newest)
    }
    const eleventh = p.update(newest, { handle: 'h10' })
    expect(await refusal(writer.submit(p.did, eleventh))).toBe('RATE_LIMITED')
    const other = person('other')
    await writer.submit(other.did, other.genesis)
    remains.clock.ms += HOUR_MS + 1000
    expect(await writer.submit(p.did, eleventh)).toEqual({ index: 11 })
  })

  it('refuses one operation more than the pool holds, and takes it later', async () => {
    const people = Array.from({ length: 101 }, (_, i) => person(`full${i}`, 1))
    const answers = people.map((p) => writer.submit(p.did, p.genesis).then(({ index }) => index, (error: unknown) => error))
    const outcomes = await Promise.all(answers)
    expect(outcomes.filter((outcome) => outcome instanceof UnavailableError)).toHaveLength(1)
    const [last] = people.slice(-1)
    expect(last && (await writer.submit(last.did, last.genesis))).toEqual({ index: 100 })
  })

  it('signs what is durable, covers it, and signs the same tree again when idle', async () => {
    const p = person('signed')
    await writer.submit(p.did, p.genesis)
    expect(writer.tip.published).toBe(0)
    await writer.publish()
    const first = await remains.store.publication()
    expect(first?.size).toBe(1)
    expect(writer.guard.last()).toEqual({ size: 1, root: first?.root })
    remains.clock.ms += 60_000
    await writer.publish()
    expect(await remains.store.publication()).toEqual({ ...first, publishedAt: START_MS + 60_000 })
  })

  const FAULTS: readonly { at: FaultPoint; survives: boolean }[] = [
    { at: 'begin', survives: false },
    { at: 'before commit', survives: false },
    { at: 'after commit', survives: true },
  ]
  for (const { at, survives } of FAULTS) {
    it(`keeps its word when a round fails at "${at}"`, async () => {
      const [a, b] = [person('a'), person('b')]
      await writer.submit(a.did, a.genesis)
      remains.faults.push(at)
      const answer = writer.submit(b.did, b.genesis)
      if (survives) expect(await answer).toEqual({ index: 1 })
      else await expect(answer).rejects.toThrow(UnavailableError)
      expect(writer.tip.durable).toBe(survives ? 2 : 1)
      expect(await writer.submit(b.did, b.genesis)).toEqual({ index: 1 })
    })
  }

  it('goes on after a database that failed while the outcome of a round was looked for', async () => {
    const p = person('twice unlucky')
    remains.faults.push('after commit', 'begin', 'begin')
    expect(await writer.submit(p.did, p.genesis)).toEqual({ index: 0 })
    expect(remains.faults).toEqual([])
    expect(await writer.submit(p.did, p.genesis)).toEqual({ index: 0 })
  })

  for (const at of ['before publish', 'after publish'] as const) {
    it(`signs no second root after a publication that failed at "${at}" and a restart`, async () => {
      const [a, b] = [person('a'), person('b')]
      await writer.submit(a.did, a.genesis)
      remains.faults.push(at)
      await expect(writer.publish()).rejects.toThrow(/fault/)
      const signed = writer.guard.last()
      expect(signed.size).toBe(1)
      await writer[Symbol.asyncDispose]()
      writer = await openWriter(remains)
      await writer.submit(b.did, b.genesis)
      await writer.publish()
      expect((await remains.store.publication())?.size).toBe(2)
      await writer.check()
    })
  }

  it('stops, and writes nothing, where the database has gone back behind its memory', async () => {
    const p = person('behind')
    writer.tip.advanceDurable(5)
    await expect(writer.submit(p.did, p.genesis)).rejects.toThrow(UnavailableError)
    await expect(writer.ended).rejects.toThrow(HeadBehindError)
    await expect(writer.submit(p.did, p.genesis)).rejects.toThrow(/stopping/)
    expect((await remains.store.head())?.size).toBe(0)
  })
})

describe('opening a log', () => {
  it("refuses yesterday's database, and one regrown to the same size, under today's guard", async () => {
    using remains = await newLog()
    copyFileSync(remains.guardPath, `${remains.guardPath}.first`)
    const guardId = (await remains.store.head())?.guardId ?? ''
    const [a, b, c] = [person('a'), person('b'), person('c')]
    const writer = await openWriter(remains)
    await writer.submit(a.did, a.genesis)
    await writer.submit(b.did, b.genesis)
    await writer.publish()
    await writer[Symbol.asyncDispose]()

    const grownWith = async (...people: readonly Person[]): Promise<Store> => {
      const store = memoryStore({ now: () => START_MS })
      await store.create({ origin: ORIGIN, guardId, vkeys: remains.keys.map(formatVerifierKey) })
      copyFileSync(`${remains.guardPath}.first`, `${remains.guardPath}.other`)
      await using other = await openWriter({ ...remains, store, guardPath: `${remains.guardPath}.other` })
      for (const p of people) await other.submit(p.did, p.genesis)
      return store
    }
    await expect(openWriter({ ...remains, store: await grownWith(a) })).rejects.toThrow(/restored from a backup/)
    await expect(openWriter({ ...remains, store: await grownWith(a, c) })).rejects.toThrow(/does not extend/)
    await expect(openWriter({ ...remains, store: await grownWith(a, c, b) })).rejects.toThrow(/does not extend/)
    await using again = await openWriter({ ...remains, store: await grownWith(a, b, c) })
    await again.publish()
    expect(again.tip.published).toBe(3)
  })

  it('refuses an empty database, and a database that names another guard', async () => {
    using remains = await newLog()
    await expect(openWriter({ ...remains, store: memoryStore() })).rejects.toThrow(/holds no log/)
    const store = memoryStore()
    await store.create({ origin: ORIGIN, guardId: 'another', vkeys: [] })
    await expect(openWriter({ ...remains, store })).rejects.toThrow(/names another guard/)
    const mirrored = memoryStore()
    await mirrored.create({ origin: ORIGIN, guardId: MIRROR_GUARD, vkeys: [] })
    await expect(openWriter({ ...remains, store: mirrored })).rejects.toThrow(/is that of a mirror of the log/)
  })

  it('refuses a guard that is older than the published checkpoint', async () => {
    using remains = await newLog()
    copyFileSync(remains.guardPath, `${remains.guardPath}.old`)
    const writer = await openWriter(remains)
    const p = person('a')
    await writer.submit(p.did, p.genesis)
    await writer.publish()
    await writer[Symbol.asyncDispose]()
    await expect(openWriter({ ...remains, guardPath: `${remains.guardPath}.old` })).rejects.toThrow(/guard was restored from a backup/)
  })

  it('refuses a second signer while the first is at work', async () => {
    using remains = await newLog()
    await using writer = await openWriter(remains)
    await expect(openWriter(remains)).rejects.toThrow(/in use/)
    await writer.check()
  })
})
