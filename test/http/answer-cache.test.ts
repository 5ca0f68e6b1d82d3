import { describe, expect, it } from 'vitest'
import type { EntryRow } from '../../src/core/replay.ts'
import { AnswerCache, type AnswerCacheLimits, type ReadyAnswer } from '../../src/http/answer-cache.ts'
import { createApp } from '../../src/http/app.ts'
import { listen } from '../../src/http/listen.ts'
import { followHead } from '../../src/log/follow-head.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { ask, COUNTER_ORIGIN, openCounter, submitTo } from '../support/counter.ts'
import { interfereStore, Life, type StoreCall } from '../support/interfere.ts'
import { person } from '../support/people.ts'

const didNamed = (letter: string): string => `did:plc:${letter.repeat(24)}`
const [A, B, C] = [didNamed('a'), didNamed('b'), didNamed('c')]

/** A log in which only the DIDs count; its documents are what `version` says. */
function open(limits: Partial<AnswerCacheLimits> = {}) {
  const tip = new Tip()
  const log: string[] = []
  const asked: [number, number][] = []
  let failing = false
  const store: Pick<Store, 'entries'> = {
    entries(start, end) {
      asked.push([start, end])
      if (failing) return Promise.reject(new Error('the database is gone'))
      return Promise.resolve(log.slice(start, end).map((did, i) => ({ did, index: start + i }) as EntryRow))
    },
  }
  const cache = new AnswerCache({ store, tip }, { keptAnswers: 10, keptBytes: 1_000, followedEntries: 100, ...limits })
  const version = (did: string): number => log.filter((other) => other === did).length
  let made = 0
  const answer = (did: string, body = String(version(did))): ReadyAnswer => ({ route: '/:did', type: 'text', body, length: body.length, tag: body, lastModified: 0 })
  return {
    cache, tip, asked, answer,
    made: () => made,
    fail: (fails: boolean) => (failing = fails),
    /** Entries of these DIDs become durable, and the tip knows. */
    append: (...dids: string[]) => {
      log.push(...dids)
      tip.advanceDurable(log.length)
    },
    log: (...dids: string[]) => log.push(...dids),
    read: (did: string, body?: string) =>
      cache.read(`/${did}`, () => {
        made++
        return Promise.resolve(answer(did, body))
      }).then((ready) => ready.body),
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('kept answers', () => {
  it('are made once, and found until their identity changes', async () => {
    const { cache, append, read, made } = open()
    append(A, B)
    await cache.follow(2)
    expect([await read(A), await read(A), await read(B), made()]).toEqual(['1', '1', '1', 2])
    append(A)
    await cache.follow(3)
    expect(cache.get(`/${A}`)).toBeUndefined()
    expect(cache.get(`/${B}`)?.body).toBe('1')
    expect([await read(A), made()]).toEqual(['2', 3])
  })

  it('are not shown while the tip is ahead of what is known, and nobody has to say so', async () => {
    const { cache, append, read, asked } = open()
    await read(A)
    await read(B)
    append(A)
    expect(cache.get(`/${B}`)).toBeUndefined()
    expect(await read(A)).toBe('1')
    await settled()
    expect(cache.get(`/${B}`)?.body).toBe('0')
    expect(asked).toEqual([[0, 1]])
  })

  it('are known without a question where somebody says what changed', async () => {
    const { cache, append, read, asked } = open()
    await read(A)
    await read(B)
    cache.changed(0, 1, [A])
    append(A)
    expect([cache.get(`/${A}`), cache.get(`/${B}`)?.body, asked]).toEqual([undefined, '0', []])
  })

  it('are looked through from where they were known, also where somebody says what changed further on', async () => {
    const { cache, log, append, read, asked } = open()
    await read(A)
    await read(B)
    log(B)
    cache.changed(1, 2, [A])
    append(A)
    expect(cache.get(`/${B}`)).toBeUndefined()
    await settled()
    expect([asked, cache.get(`/${B}`), await read(B)]).toEqual([[[0, 2]], undefined, '1'])
  })

  it('go for all paths of an identity', async () => {
    const { cache, append, answer } = open()
    for (const path of ['', '/data', '/log/last']) await cache.read(`/${A}${path}`, () => Promise.resolve(answer(A)))
    expect(cache.size.answers).toBe(3)
    append(A)
    await cache.follow(1)
    expect(cache.size).toEqual({ answers: 0, bytes: 0 })
  })

  it('are all forgotten where more is new than is looked at', async () => {
    const { cache, append, read, asked } = open({ followedEntries: 2 })
    await read(A)
    append(B, B, B)
    await cache.follow(3)
    expect([cache.size, asked]).toEqual([{ answers: 0, bytes: 0 }, []])
    await read(A)
    append(B, B)
    await cache.follow(5)
    expect([cache.size.answers, asked]).toEqual([1, [[3, 5]]])
  })

  it('stay within their bounds, those that were asked for lately', async () => {
    const { cache, read } = open({ keptAnswers: 2, keptBytes: 10 })
    await read(A)
    await read(B)
    await read(A)
    await read(C)
    expect([A, B, C].map((did) => cache.get(`/${did}`) !== undefined)).toEqual([true, false, true])
    // Both were asked for just now: each gets another turn, but not two.
    await read(B, 'x'.repeat(10))
    expect(cache.size).toEqual({ answers: 2, bytes: 2 })
    await read(B, 'x'.repeat(10))
    expect(cache.size).toEqual({ answers: 1, bytes: 10 })
    expect(await read(A, 'x'.repeat(11))).toHaveLength(11)
    expect(cache.size).toEqual({ answers: 0, bytes: 0 })
  })

  it('are none of what cannot be made', async () => {
    const { cache, read } = open()
    await expect(cache.read(`/${A}`, () => Promise.reject(new Error('not registered')))).rejects.toThrow('not registered')
    expect(await read(A)).toBe('0')
  })

  it('come back after the database has failed', async () => {
    const { cache, append, read, fail } = open()
    await read(A)
    fail(true)
    append(B)
    expect(cache.get(`/${A}`)).toBeUndefined()
    await expect(cache.follow(1)).rejects.toThrow('the database is gone')
    await settled()
    fail(false)
    expect(cache.get(`/${A}`)).toBeUndefined()
    await settled()
    expect(cache.get(`/${A}`)?.body).toBe('0')
  })
})

describe('an answer that takes its time', () => {
  const slow = (answer: ReadyAnswer) => {
    const { promise, resolve } = Promise.withResolvers<ReadyAnswer>()
    return { make: () => promise, finish: () => resolve(answer) }
  }

  it('is made once for all who ask meanwhile', async () => {
    const { cache, read, answer, made } = open()
    const { make, finish } = slow(answer(A, 'slow'))
    const first = cache.read(`/${A}`, make)
    const second = read(A)
    finish()
    expect([(await first).body, await second, made()]).toEqual(['slow', 'slow', 0])
  })

  it('is not kept, and not shared with later ones, where its identity has changed since', async () => {
    for (const how of ['said', 'looked at', 'too much'] as const) {
      const { cache, append, read, answer } = open({ followedEntries: how === 'too much' ? 0 : 1 })
      const { make, finish } = slow(answer(A, 'old'))
      const first = cache.read(`/${A}`, make)
      if (how === 'said') cache.changed(0, 1, [A])
      append(A)
      // Before and after it is known that it changed.
      const second = read(A)
      await cache.follow(1)
      const third = read(A)
      finish()
      expect([(await first).body, await second, await third], how).toEqual(['old', '1', '1'])
      expect(cache.get(`/${A}`)?.body, how).toBe('1')
    }
  })
})

describe('two processes on one database, each with its slow connections, many writers and readers', () => {
  const SEEDS = [1, 2]
  const WRITERS = 6
  const UPDATES = 8

  it.each(SEEDS)('show nobody an older document than the process has answered for or knows of (%i)', async (seed) => {
    const random = prng(seed)
    const counter = await openCounter()
    await using stack = new AsyncDisposableStack()
    stack.use(counter)
    const stop = new AbortController()
    stack.defer(() => stop.abort())

    // Turns of the event loop, on the way there and on the way back: a document may well arrive after its next change.
    const travel = async (call: StoreCall): Promise<void> => {
      for (let turns = Math.floor(random() * (call === 'newest' ? 100 : 5)); turns > 0; turns--) await settled()
    }
    const openProcess = async (hooked: boolean) => {
      const tip = new Tip()
      const store = interfereStore(counter.store, new Life(), { before: travel, after: travel })
      const answers = new AnswerCache({ store, tip })
      const log = (): void => undefined
      followHead({ store, tip, log, ...(hooked ? { ahead: (size: number) => answers.follow(size) } : {}) }, stop.signal).catch(() => undefined)
      const submit = submitTo(store, tip)
      const app = createApp({ store, tip, answers, submit, origin: COUNTER_ORIGIN, version: '1', now: () => counter.clock.ms, faults: () => [], log }, { readRate: 0, writeRate: 0 })
      return { tip, submit, url: stack.use(await listen(app, { host: '127.0.0.1', port: 0 })).url }
    }
    const processes = [await openProcess(true), await openProcess(false)]

    const people = Array.from({ length: WRITERS }, (_, i) => person(`stale ${seed} ${i}`, 1))
    /** For each person, the index of each version. */
    const indices = people.map((): number[] => [])
    const writing = new Set(people)
    let reads = 0
    const stale: string[] = []

    const write = async (who: number): Promise<void> => {
      const p = people[who] ?? person('nobody')
      let newest = p.genesis
      for (let version = 0; version <= UPDATES; version++) {
        const process = processes[Math.floor(random() * processes.length)]
        if (version > 0) newest = p.update(newest, { handle: `v${version}` })
        // So that no identity changes too often for the rules.
        counter.clock.ms += 3_600_000
        const submitted = await process?.submit(p.did, newest)
        if (submitted?.outcome !== 'accepted') throw new Error('refused')
        indices[who]?.push(submitted.index)
        await readAll(who, process === undefined ? [] : [process], version)
      }
      writing.delete(p)
    }
    const readAll = async (who: number, where: typeof processes, atLeast: number): Promise<void> => {
      for (const { tip, url } of where) {
        const known = tip.durable
        const needed = Math.max(atLeast, (indices[who] ?? []).findLastIndex((index) => index < known))
        if (needed < 0) continue
        const { text } = await ask(url, `/${people[who]?.did}`)
        const shown = Number(/at:\/\/v(\d+)/.exec(text)?.[1] ?? 0)
        reads++
        if (shown < needed) stale.push(`version ${shown} of ${who} where ${needed} was known`)
      }
    }
    const read = async (): Promise<void> => {
      while (writing.size > 0) {
        await readAll(Math.floor(random() * WRITERS), processes, -1)
        await settled()
      }
    }
    await Promise.all([...people.map((_, who) => write(who)), ...Array.from({ length: 8 }, read)])
    expect(stale).toEqual([])
    expect(reads).toBeGreaterThan(WRITERS * UPDATES)
  })
})

function prng(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
