import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { followHead, HeadBehindError } from '../../src/log/follow-head.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Publication, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { interfereStore, Life, type StoreInterference } from '../support/interfere.ts'
import { person } from '../support/people.ts'
import { newLog, openWriter, type Remains, type Writer } from '../support/writer.ts'

const WAIT = { timeout: 30_000, interval: 5 }

describe('following a database', () => {
  let remains: Remains & Disposable
  let writer: Writer
  let stop: AbortController
  let lines: string[]
  let notice: (() => void) | null
  beforeEach(async () => {
    remains = await newLog()
    writer = await openWriter(remains)
    stop = new AbortController()
    lines = []
    notice = null
  })
  afterEach(async () => {
    stop.abort()
    await writer[Symbol.asyncDispose]()
    remains[Symbol.dispose]()
  })

  // Follows with notices that the test gives: at the beginning there is none.
  function follow(tip: Tip, interference: StoreInterference = {}, store: Store = remains.store, told: (publication: Publication) => void = () => undefined): Promise<void> {
    const seen: Store = {
      ...interfereStore(store, new Life(), interference),
      watch(onMove) {
        notice = onMove
        return {
          async [Symbol.asyncDispose]() {
            notice = null
          },
        }
      },
    }
    const ended = followHead({ store: seen, tip, seen: told, log: (_level, _fields, words) => lines.push(words) }, stop.signal)
    ended.catch(() => undefined)
    return ended
  }

  const grow = async (name: string): Promise<void> => {
    const p = person(`follow ${name}`)
    await writer.submit(p.did, p.genesis)
  }

  it('tells of the published checkpoint at every look, whether or not it has changed', async () => {
    const looks: number[] = []
    await writer.publish()
    void follow(new Tip(), {}, remains.store, ({ size }) => looks.push(size))
    await settled()
    notice?.()
    await settled()
    await grow('a')
    await writer.publish()
    notice?.()
    await settled()
    expect(looks).toEqual([0, 0, 1])
  })

  it('reads the tip at the beginning and at every notice', async () => {
    await grow('a')
    const tip = new Tip()
    const ended = follow(tip)
    await settled()
    expect([tip.durable, tip.published]).toEqual([1, 0])
    await grow('b')
    await writer.publish()
    await grow('c')
    await settled()
    expect(tip.durable).toBe(1)
    notice?.()
    await settled()
    expect([tip.durable, tip.published]).toEqual([3, 2])
    stop.abort()
    await ended
    expect(notice).toBeNull()
  })

  it('reads again where a notice comes while it reads', async () => {
    const tip = new Tip()
    let reads = 0
    const ended = follow(tip, {
      async after(call) {
        if (call !== 'head' || reads++ > 0) return
        await grow('late')
        notice?.()
      },
    })
    await settled(20)
    expect(reads).toBe(2)
    expect(tip.durable).toBe(1)
    stop.abort()
    await ended
  })

  it('says an incident and tries again at the next notice', async () => {
    await grow('a')
    const tip = new Tip()
    let fails = true
    void follow(tip, {
      before() {
        if (fails) throw new Error('the database is gone')
      },
    })
    await settled()
    expect(tip.durable).toBe(0)
    expect(lines).toEqual(['the head of the log cannot be read'])
    fails = false
    notice?.()
    await settled()
    expect(tip.durable).toBe(1)
  })

  it('stops where the database has fewer entries than it had, or no log any more', async () => {
    await expect(follow(new Tip({ durable: 1, published: 0 }))).rejects.toThrow(HeadBehindError)
    expect(notice).toBeNull()
    await expect(follow(new Tip(), {}, memoryStore())).rejects.toThrow(HeadBehindError)
  })

  it('lets somebody look ahead before the tip moves, and does not move it where that fails', async () => {
    await grow('a')
    const tip = new Tip()
    const seen: [number, number][] = []
    let fails = true
    const ahead = async (size: number): Promise<void> => {
      seen.push([size, tip.durable])
      if (fails) throw new Error('not now')
    }
    const ended = followHead({ store: remains.store, tip, ahead, log: (_level, _fields, words) => lines.push(words) }, stop.signal)
    await expect.poll(() => lines[0], WAIT).toBe('the head of the log cannot be read')
    expect([seen[0], tip.durable]).toEqual([[1, 0], 0])
    fails = false
    await grow('b')
    await expect.poll(() => tip.durable, WAIT).toBe(2)
    expect(seen.find(([size]) => size === 2)?.[1]).toBeLessThan(2)
    stop.abort()
    await ended
  })

  it('does not mistake an answer that was on its way for a database that went back', async () => {
    const tip = new Tip()
    const ended = follow(tip, {
      after(call) {
        if (call === 'head') tip.advanceDurable(5)
      },
    })
    await settled()
    expect(tip.durable).toBe(5)
    stop.abort()
    await ended
  })

  it('follows the notices of a store, until it is told to stop', async () => {
    const tip = new Tip()
    const ended = followHead({ store: remains.store, tip, log: () => undefined }, stop.signal)
    await grow('watched')
    await writer.publish()
    await settled()
    expect([tip.durable, tip.published]).toEqual([1, 1])
    stop.abort()
    await ended
  })
})

function settled(ms = 5): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
