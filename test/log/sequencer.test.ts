import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { findSigner } from '../../src/core/plc/signature.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { UNOBSERVED } from '../../src/log/ports.ts'
import { SubmissionPool, UnavailableError } from '../../src/log/pool.ts'
import { HeadBehindError } from '../../src/log/follow-head.ts'
import { runSequencer } from '../../src/log/sequencer.ts'
import type { Append, EntryRow, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { interfereStore, Life } from '../support/interfere.ts'
import { person } from '../support/people.ts'
import { newLog, openWriter, START_MS, type Remains, type Writer } from '../support/writer.ts'

const people = Array.from({ length: 9 }, (_, i) => person(`sequenced ${i}`, 1))

describe('a round with long histories', () => {
  let remains: Remains & Disposable
  let writer: Writer
  let rounds: number[]
  beforeEach(async () => {
    remains = await newLog()
    rounds = []
  })
  afterEach(async () => {
    await writer.check(remains.store)
    await writer[Symbol.asyncDispose]()
    remains[Symbol.dispose]()
  })

  // A store that has too much history for more than `most` identities at once, and counts the identities of each round.
  async function open(most: number): Promise<void> {
    const store: Store = {
      ...interfereStore(remains.store, new Life(), {}),
      async history(dids, from, limit) {
        const [row] = await remains.store.entries(0, 1)
        if (dids.length > most && row !== undefined) return Array.from({ length: (limit ?? 0) + 1 }, () => row)
        expect(limit).toBe(dids.length === 1 ? undefined : WRITER_LIMITS.maxHistory)
        rounds.push(dids.length)
        return remains.store.history(dids, from, limit)
      },
    }
    writer = await openWriter({ ...remains, store })
    const [first] = people
    if (first !== undefined) await writer.submit(first.did, first.genesis)
    rounds = []
  }

  const submitAll = () => Promise.all(people.map((p) => writer.submit(p.did, p.genesis).then(({ index }) => index)))

  it('takes fewer operations, and the others in their order', async () => {
    await open(3)
    expect(await submitAll()).toEqual(people.map((_, i) => i))
    expect(rounds).toEqual([3, 3, 3])
  })

  it('takes one identity alone however long its history is', async () => {
    await open(1)
    expect(await submitAll()).toEqual(people.map((_, i) => i))
    expect(rounds).toEqual(people.map(() => 1))
  })

  it('keeps operations of one identity in their order over the rounds that it makes', async () => {
    await open(1)
    const [p = person('p'), q = person('q')] = people.slice(1)
    const update = p.update(p.genesis)
    const answers = await Promise.all([p.genesis, q.genesis, update].map((operation) => writer.submit(operation === q.genesis ? q.did : p.did, operation)))
    expect(answers).toEqual([{ index: 1 }, { index: 2 }, { index: 3 }])
  })

  it('still takes what was put back after the pool has closed', async () => {
    await open(2)
    const answers = submitAll()
    await writer[Symbol.asyncDispose]()
    expect(await answers).toEqual(people.map((_, i) => i))
    await expect(writer.submit('', (people[0] ?? person('nobody')).genesis)).rejects.toThrow(UnavailableError)
  })
})

describe('while a round is written', () => {
  const [p = person('p'), q = person('q')] = people

  // A sequencer whose first commit takes until it is let go, what it asks of the database from then on, and how many signatures it has checked.
  async function start(remains: Remains, commit: () => Promise<void> = () => Promise.resolve()) {
    const [held, letGo] = gate()
    const [begun, begin] = gate()
    const calls: string[] = []
    let commits = 0
    const store = interfereStore(remains.store, new Life(), {
      before: (call) => void calls.push(call),
      async commit() {
        calls.push('commit')
        if (++commits > 1) return
        begin()
        await held
        await commit()
      },
    })
    const pool = new SubmissionPool({ maxSubmissions: 10 })
    const tip = new Tip()
    const counts = { checked: 0 }
    const verify: Parameters<typeof runSequencer>[0]['verify'] = async (questions) => {
      counts.checked += questions.filter((question) => question !== null).length
      return questions.map((question) => (question === null ? undefined : findSigner(question)))
    }
    const ended = runSequencer({ store, tip, pool, verify, clock: remains.clock, maxClockSkewMs: 10_000, observer: UNOBSERVED, log: () => undefined })
    ended.catch(() => undefined)
    const first = pool.submit(p.did, p.genesis, 0)
    await begun
    calls.length = 0
    return { pool, tip, counts, calls, ended, first, letGo }
  }

  // Everything goes on that can.
  async function settled(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  }

  it('prepares the next one, and writes it when the first is durable', async () => {
    using remains = await newLog()
    const { pool, calls, first, letGo, ended } = await start(remains)
    const second = pool.submit(q.did, q.genesis, 0)
    await settled()
    expect(calls).toEqual(['history'])
    letGo()
    expect([await first, await second]).toEqual([{ index: 0 }, { index: 1 }])
    // What the first has written is known, and is not read again.
    expect(calls).toEqual(['history', 'appendNext', 'commit'])
    pool.close()
    await ended
  })

  it('prepares an operation that follows one of that round, and checks its signature as any other', async () => {
    using remains = await newLog()
    const { pool, counts, calls, first, letGo, ended } = await start(remains)
    const second = pool.submit(p.did, p.update(p.genesis), 0)
    const other = pool.submit(p.did, p.update(p.genesis, { handle: 'other' }), 0)
    await settled()
    expect(counts.checked).toBe(1)
    letGo()
    expect([await first, await second]).toEqual([{ index: 0 }, { index: 1 }])
    await expect(other).rejects.toThrow(/does not match the most recent operation/)
    expect(counts.checked).toBe(3)
    expect(calls).toEqual(['history', 'underHead', 'locked history', 'locked now', 'append', 'commit'])
    pool.close()
    await ended
  })

  it('refuses what was prepared where that round finds that the database has gone back', async () => {
    using remains = await newLog()
    const { pool, tip, letGo, first, ended } = await start(remains, () => Promise.reject(new HeadBehindError('gone back')))
    const second = pool.submit(q.did, q.genesis, 0)
    await settled()
    letGo()
    await expect(first).rejects.toThrow('ask again')
    await expect(second).rejects.toThrow('the directory is stopping')
    await expect(ended).rejects.toThrow(HeadBehindError)
    expect([tip.durable, (await remains.store.head())?.size]).toEqual([0, 0])
  })

  it('writes what was prepared where that round fails', async () => {
    using remains = await newLog()
    const { pool, letGo, first, ended } = await start(remains, () => Promise.reject(new Error('no room')))
    const second = pool.submit(q.did, q.genesis, 0)
    await settled()
    letGo()
    await expect(first).rejects.toThrow('ask again')
    expect(await second).toEqual({ index: 0 })
    pool.close()
    await ended
  })
})

describe('a round that follows another', () => {
  const [p, q] = [person('before'), person('after')]
  let remains: Remains & Disposable
  /** What the machine's clock, and the database's, are ahead. */
  let ahead: { machine: number; database: number }
  let calls: string[]
  /** How long it takes until the database gets to a round in one step, milliseconds. */
  let late: number
  let order: string[]
  /** What was read of a database that is lost since. */
  let phantoms: EntryRow[]
  let faults: (string | null)[]
  let pool: SubmissionPool
  let tip: Tip
  let ended: Promise<void>

  beforeEach(async () => {
    remains = await newLog()
    ahead = { machine: 0, database: 0 }
    calls = []
    order = []
    phantoms = []
    late = 0
    faults = []
    const clock = { ...remains.clock, now: () => remains.clock.ms, timeOfDay: () => remains.clock.ms + ahead.machine }
    const inner = interfereStore(remains.store, new Life(), { before: (call) => void calls.push(call), after: (call) => void (call === 'history' && order.push('chains are read')) })
    const store: Store = {
      ...inner,
      history: async (dids, from, most) => [...(await inner.history(dids, from, most)), ...phantoms.filter(({ did }) => dids.includes(did))],
      underHead: (work) => inner.underHead((locked) => work({ ...locked, now: async () => (await locked.now()) + ahead.database })),
      async appendNext(append, latest) {
        remains.clock.ms += late
        const now = await inner.appendNext(append, latest)
        return now === null ? null : now + ahead.database
      },
    }
    pool = new SubmissionPool({ maxSubmissions: 10 })
    tip = new Tip()
    const verify: Parameters<typeof runSequencer>[0]['verify'] = async (questions) => {
      order.push(`${questions.filter((question) => question !== null).length} asked`)
      return questions.map((question) => (question === null ? undefined : findSigner(question)))
    }
    const observer = { ...UNOBSERVED, clockFault: (words: string | null) => void faults.push(words) }
    ended = runSequencer({ store, tip, pool, verify, clock, maxClockSkewMs: 10_000, observer, log: () => undefined })
    await pool.submit(p.did, p.genesis, 0)
    calls.length = order.length = 0
  })
  afterEach(async () => {
    pool.close()
    await ended
    remains[Symbol.dispose]()
  })

  const UNDER_THE_ROW = ['underHead', 'locked now', 'append']
  const stamps = async (): Promise<number[]> => (await remains.store.entries(0, 9)).map((row) => row.createdAt - START_MS)

  it('is written in one step, with the time that has passed since', async () => {
    remains.clock.ms += 700
    expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
    expect(calls).toEqual(['history', 'appendNext'])
    // Of its own identity too.
    expect(await pool.submit(p.did, p.update(p.genesis), 2)).toEqual({ index: 2 })
    expect(calls).toEqual(['history', 'appendNext', 'history', 'appendNext'])
    expect(await stamps()).toEqual([0, 700, 700])
  })

  it('asks for the signature of what begins an identity while chains are read, and for any other when they are', async () => {
    const update = p.update(p.genesis)
    await Promise.all([pool.submit(q.did, q.genesis, 1), pool.submit(q.did, q.update(q.genesis), 1), pool.submit(p.did, update, 1)])
    expect(order).toEqual(['2 asked', 'chains are read', '1 asked'])
    order.length = 0
    await pool.submit(p.did, p.update(update), 4)
    expect(order).toEqual(['chains are read', '1 asked'])
  })

  it('takes the row to refuse, and to say of an operation that it is there', async () => {
    await expect(pool.submit(q.did, q.update(q.genesis), 1)).rejects.toThrow(DirectoryError)
    expect(calls).toEqual(['history', 'underHead', 'locked now'])
    calls.length = 0
    expect(await pool.submit(p.did, p.genesis, 1)).toEqual({ index: 0 })
    expect(calls).toEqual(['history', 'underHead', 'locked now'])
  })

  it('takes the row where the clock was read too long ago', async () => {
    remains.clock.ms += WRITER_LIMITS.knownClockMs + 1
    expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
    expect(calls).toEqual(['history', ...UNDER_THE_ROW])
  })

  it('takes the row where another process has written, whether it has heard of that or not', async () => {
    for (const heard of [false, true]) {
      await using writer = await openWriter(remains)
      const r = person(`another, ${heard ? 'heard' : 'unheard'}`)
      const { index } = await writer.submit(r.did, r.genesis)
      if (heard) tip.advanceDurable(index + 1)
      calls.length = 0
      const s = person(`next, ${heard ? 'heard' : 'unheard'}`)
      expect(await pool.submit(s.did, s.genesis, tip.durable)).toEqual({ index: index + 1 })
      expect(calls).toEqual(heard ? ['history', ...UNDER_THE_ROW] : ['history', 'appendNext', 'underHead', 'locked history', 'locked now', 'append'])
      await writer.check()
    }
  })

  for (const way of ['in one step', 'under the row']) {
    it(`is not misled by chains of a database that was lost before it is written ${way}`, async () => {
      using twin = await newLog()
      await using writer = await openWriter(twin)
      for (const each of [p, q]) await writer.submit(each.did, each.genesis)
      phantoms = await twin.store.entries(1, 2)
      if (way === 'under the row') remains.clock.ms += WRITER_LIMITS.knownClockMs + 1
      // Not there, whatever was read; and there once it is written.
      expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
      expect(calls.slice(0, 2)).toEqual(['history', 'underHead'])
      expect((await remains.store.entries(0, 9)).map((row) => row.did)).toEqual([p.did, q.did])
    })
  }

  it('takes the row where the database is slower than its clock may be old', async () => {
    late = 2 * WRITER_LIMITS.knownClockMs
    expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
    expect(calls).toEqual(['history', 'appendNext', ...UNDER_THE_ROW])
    expect(await stamps()).toEqual([0, late])
  })

  it('decides anew under the row what another process has decided meanwhile', async () => {
    await using writer = await openWriter(remains)
    const [update, recovery] = [p.update(p.genesis, { key: 2 }), p.update(p.genesis, { key: 1 })]
    expect(await writer.submit(p.did, update)).toEqual({ index: 1 })
    await expect(pool.submit(p.did, recovery, 1)).rejects.toThrow(/does not match the most recent operation/)
    expect(await pool.submit(p.did, update, 1)).toEqual({ index: 1 })
    await writer.check()
  })

  it('is refused while the machine disagrees with what the database said, and not any more when it agrees', async () => {
    ahead.machine = 60_000
    await expect(pool.submit(q.did, q.genesis, 1)).rejects.toThrow('the clock cannot be trusted')
    expect(faults.at(-1)).toContain('60')
    ahead.machine = 0
    expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
    expect(faults.at(-1)).toBeNull()
  })

  it('has the time from before, and the next one is refused, where the database has jumped', async () => {
    ahead.database = 60_000
    expect(await pool.submit(q.did, q.genesis, 1)).toEqual({ index: 1 })
    expect(await stamps()).toEqual([0, 0])
    await expect(pool.submit(p.did, p.update(p.genesis), 2)).rejects.toThrow('the clock cannot be trusted')
    expect(await stamps()).toEqual([0, 0])
  })
})

function gate(): [Promise<void>, () => void] {
  const { promise, resolve } = Promise.withResolvers<void>()
  return [promise, resolve]
}

describe('several processes on one database', () => {
  let remains: Remains & Disposable
  let second: SubmissionPool
  let secondTip: Tip
  let ended: Promise<void>
  let told: unknown[]
  beforeEach(async () => {
    remains = await newLog()
    told = []
    // A second one without the guard: it accepts and does not sign.
    second = new SubmissionPool({ maxSubmissions: 10 })
    secondTip = new Tip()
    const verify: Parameters<typeof runSequencer>[0]['verify'] = async (questions) => questions.map((question) => (question === null ? undefined : findSigner(question)))
    const appended = ({ from, to, entries }: Append): unknown => told.push({ from: from.size, to: to.size, dids: entries.map((row) => row.did), known: secondTip.durable })
    ended = runSequencer({ store: remains.store, tip: secondTip, pool: second, verify, clock: remains.clock, maxClockSkewMs: 10_000, appended, observer: UNOBSERVED, log: () => undefined })
  })
  afterEach(async () => {
    second.close()
    await ended
    remains[Symbol.dispose]()
  })

  it('accept what belongs together though each knows only half of it', async () => {
    await using writer = await openWriter(remains)
    const p = person('shared')
    const update = p.update(p.genesis, { key: 2 })
    const recovery = p.update(p.genesis, { key: 1 })
    expect(await writer.submit(p.did, p.genesis)).toEqual({ index: 0 })
    expect(await second.submit(p.did, update, secondTip.durable)).toEqual({ index: 1 })
    expect(secondTip.durable).toBe(2)
    // The first has not seen the update: for all that it knows this is one too.
    await expect(writer.submit(p.did, recovery)).rejects.toThrow(/does not match the most recent operation/)
    expect(await writer.submit(p.did, recovery)).toEqual({ index: 2 })
    await writer.check()
  })

  it('say what they wrote, and nothing else, before the tip moves and before anybody is answered', async () => {
    const p = person('told')
    const answered = second.submit(p.did, p.genesis, 0).then((accepted) => told.push(accepted))
    await answered
    const wrote = { from: 0, to: 1, dids: [p.did], known: 0 }
    expect([told, secondTip.durable]).toEqual([[wrote, { index: 0 }], 1])
    await second.submit(p.did, p.genesis, 1)
    await expect(second.submit(p.did, p.update(p.update(p.genesis)), 1)).rejects.toThrow(DirectoryError)
    expect(told).toHaveLength(2)
  })

  it('are not mistaken for a database that went back by one that looks for its round meanwhile', async () => {
    const [p = person('p'), q = person('q')] = people
    let transactions = 0
    const store = interfereStore(remains.store, new Life(), {
      // The first reply is lost. While that of the search is on its way the other process writes, and this one hears of it.
      async after(call) {
        if (call !== 'underHead') return
        if (++transactions === 1) throw new Error('lost')
        if (transactions > 2) return
        const { index } = await second.submit(q.did, q.genesis, secondTip.durable)
        writer.tip.advanceDurable(index + 1)
      },
    })
    await using writer = await openWriter({ ...remains, store })
    expect(await writer.submit(p.did, p.genesis)).toEqual({ index: 0 })
    expect(writer.tip.durable).toBe(2)
    expect(await writer.submit(p.did, p.update(p.genesis))).toEqual({ index: 2 })
    await writer.check()
  })
})
