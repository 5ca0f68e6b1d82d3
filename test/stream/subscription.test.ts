// The loops alone, over a store in memory: no sockets.

import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { decodeFrame, type Frame } from '../../src/core/frame.ts'
import { decodeBundle, encodeBundle } from '../../src/core/tlog/bundle.ts'
import { formatNote, parseNote } from '../../src/core/tlog/note.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { NOTHING_WITHHELD } from '../../src/storage/withheld.ts'
import { Blocks, type Block } from '../../src/stream/blocks.ts'
import { followFeed } from '../../src/stream/feed.ts'
import { STREAM_LIMITS, type StreamLimits } from '../../src/stream/limits.ts'
import { checkCursor, followExport, followLog, type Source } from '../../src/stream/subscription.ts'
import { COUNTER_KEY, openCounter } from '../support/counter.ts'
import { appendLeaves, emptyLog, identityLeaves } from '../support/stored-log.ts'
import { EdgeConsumer } from '../support/subscriber.ts'

interface Opened extends Disposable {
  readonly source: Source
  readonly signal: AbortSignal
}

function open(store: Store, tip: Tip, replaced: Partial<StreamLimits> = {}, shared = true): Opened {
  const stop = new AbortController()
  const limits = { ...STREAM_LIMITS, ...replaced }
  const feed = followFeed({ store, tip, log: () => undefined }, 20, stop.signal)
  return { source: { store, feed, limits, blocks: new Blocks(store, limits, NOTHING_WITHHELD, () => shared) }, signal: stop.signal, [Symbol.dispose]: () => stop.abort() }
}

/** The payloads of a block's messages. */
function payloadsOf({ bytes, messages, payload }: Block): Uint8Array[] {
  const payloads: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const width = short < 126 ? 0 : short === 126 ? 2 : 8
    const length = width === 0 ? short : Number(`0x${Buffer.from(bytes.subarray(at + 2, at + 2 + width)).toString('hex')}`)
    payloads.push(bytes.subarray(at + 2 + width, at + 2 + width + length))
    at += 2 + width + length
  }
  expect([payloads.length, payloads.reduce((sum, { length }) => sum + length, 0)]).toEqual([messages, payload])
  return payloads
}

const seqs = (block: Block): number[] => payloadsOf(block).map((payload) => (JSON.parse(Buffer.from(payload).toString()) as { seq: number }).seq)

async function nextFrame(stream: AsyncGenerator<Block, never>): Promise<Frame> {
  const { value } = await stream.next()
  const [payload = new Uint8Array()] = payloadsOf(value)
  return decodeFrame(payload)
}

describe('the export stream', () => {
  it('gives each accepted entry once, in order, whatever grows meanwhile, in blocks of bounded size', async () => {
    await using counter = await openCounter()
    using opened = open(counter.store, counter.tip, { blockBytes: 10_000 })
    const got: number[] = []
    await counter.fill(5)
    for await (const block of followExport(opened.source, 3, opened.signal)) {
      got.push(...seqs(block))
      expect(block.bytes.length).toBeLessThan(11_000)
      if (counter.tip.durable < 900) await counter.fill(37)
      else if (got.at(-1) === counter.tip.durable) break
    }
    expect(got).toEqual(Array.from({ length: counter.tip.durable - 3 }, (_, i) => i + 4))
  }, 30_000)

  it('leaves out what was rejected, which the log stream has', async () => {
    const store = await emptyLog()
    const leaves = identityLeaves(3)
    await appendLeaves(store, [...leaves.slice(0, 1), new Uint8Array([0xa0]), ...leaves.slice(1)])
    using opened = open(store, new Tip({ durable: 4, published: 0 }))
    const { value } = await followExport(opened.source, 0, opened.signal).next()
    expect(seqs(value)).toEqual([1, 3, 4])
    const frame = await nextFrame(followLog(opened.source, 0, opened.signal))
    expect(frame).toMatchObject({ type: 'entries', start: 0, provisional: true })
    expect(frame.type === 'entries' ? frame.entries.length : 0).toBe(4)
  })

  it('reads and encodes once for all who stand at the same entry', async () => {
    await using counter = await openCounter()
    await counter.fill(600)
    let reads = 0
    const store: Store = { ...counter.store, exportFrom: (...range) => (reads++, counter.store.exportFrom(...range)) }
    using opened = open(store, counter.tip)
    const blocks = await Promise.all(Array.from({ length: 20 }, async () => (await followExport(opened.source, 256, opened.signal).next()).value))
    expect(reads).toBe(1)
    expect(new Set(blocks.map(({ bytes }) => bytes)).size).toBe(1)
  })

  it('reads nothing twice for who is alone, and keeps nothing that he has had', async () => {
    await using counter = await openCounter()
    await counter.fill(3_000)
    let reads = 0
    const store: Store = { ...counter.store, exportFrom: (...range) => (reads++, counter.store.exportFrom(...range)) }
    for (const [shared, expected] of [[false, [3, 6]], [true, [3, 3]]] as const) {
      using opened = open(store, counter.tip, {}, shared)
      reads = 0
      for (const sofar of expected) {
        const got: number[] = []
        for await (const block of followExport(opened.source, 0, opened.signal)) {
          got.push(...seqs(block))
          if (got.length === 3_000) break
        }
        expect(got).toEqual(Array.from({ length: 3_000 }, (_, i) => i + 1))
        expect(reads).toBe(sofar)
      }
    }
  })

  it('leaves no listener behind on its signal, however often it waits', async () => {
    await using counter = await openCounter()
    using opened = open(counter.store, counter.tip)
    const stop = new AbortController()
    const streams = [followExport(opened.source, 0, stop.signal), followLog(opened.source, 0, stop.signal)]
    for (let i = 0; i < 30; i++) {
      const waiting = streams.map((stream) => stream.next())
      await counter.fill(1)
      await Promise.all(waiting)
    }
    expect(getEventListeners(stop.signal, 'abort').length).toBe(0)
    const waiting = streams.map((stream) => stream.next())
    stop.abort(new Error('enough'))
    for (const result of await Promise.allSettled(waiting)) expect(result).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    expect(getEventListeners(stop.signal, 'abort').length).toBe(0)
  })
})

describe('the log stream', () => {
  it('lets a consumer that holds an edge re-derive every root, from any index, while the log grows', async () => {
    await using counter = await openCounter()
    using opened = open(counter.store, counter.tip, { blockBytes: 5_000 })
    await counter.fill(300)
    await counter.publish()
    const consumer = new EdgeConsumer([COUNTER_KEY])
    const edges = new Map([[0, consumer.edge]])
    const steps = [1, 2, 50, 256, 300, 0, 7]
    for await (const block of followLog(opened.source, 0, opened.signal)) {
      for (const payload of payloadsOf(block)) consumer.take(decodeFrame(payload))
      edges.set(consumer.edge.size, consumer.edge)
      if (consumer.next < counter.tip.durable) continue
      if (counter.tip.published < counter.tip.durable) await counter.publish()
      else if (consumer.edge.size === counter.tip.durable) {
        const step = steps.shift()
        if (step === undefined) break
        await counter.fill(step)
        if (step === 0) break
      }
    }
    expect(consumer.checked).toBeGreaterThan(4)
    expect(edges.size).toBeGreaterThan(20)
    for (const [from, edge] of edges) {
      const again = new EdgeConsumer([COUNTER_KEY], edge)
      for await (const block of followLog(opened.source, from, opened.signal)) {
        for (const payload of payloadsOf(block)) again.take(decodeFrame(payload))
        if (again.checked > 0) break
      }
      expect(again.edge).toEqual(consumer.edge)
    }
  }, 60_000)

  it('says of each entry whether the next checkpoint covers it', async () => {
    await using counter = await openCounter()
    using opened = open(counter.store, counter.tip)
    await counter.fill(10)
    await counter.publish()
    await counter.fill(5)
    const stream = followLog(opened.source, 4, opened.signal)
    expect(await nextFrame(stream)).toMatchObject({ start: 4, provisional: false, entries: { length: 6 } })
    expect(await nextFrame(stream)).toMatchObject({ type: 'checkpoint', consistency: null })
    expect(await nextFrame(stream)).toMatchObject({ start: 10, provisional: true, entries: { length: 5 } })
    const next = nextFrame(stream)
    await counter.publish()
    expect(await next).toMatchObject({ type: 'checkpoint', note: (await counter.store.publication())?.note })
  })

  it('sends a checkpoint again when its note has changed, as by a cosignature, and not otherwise', async () => {
    await using counter = await openCounter()
    await counter.fill(3)
    await counter.publish()
    using opened = open(counter.store, counter.tip)
    const stream = followLog(opened.source, 3, opened.signal)
    const first = await nextFrame(stream)
    const publication = await counter.store.publication()
    if (publication === null || first.type !== 'checkpoint') throw new Error('there is a checkpoint')
    const next = nextFrame(stream)
    const parsed = parseNote(publication.note)
    const note = formatNote({ ...parsed, signatures: [...parsed.signatures, { name: 'other', id: '01020304', signature: new Uint8Array(64) }] })
    await counter.store.publish({ ...publication, note })
    expect(await next).toEqual({ type: 'checkpoint', note, consistency: null })
  })

  it('carries entries of any size', async () => {
    const leaves = Array.from({ length: 20 }, (_, i) => new Uint8Array(60_000).fill(i))
    expect(decodeBundle(encodeBundle(leaves), 20)).toHaveLength(20)
    const store = await emptyLog()
    await appendLeaves(store, leaves)
    using opened = open(store, new Tip({ durable: 20, published: 0 }))
    const got: number[] = []
    for await (const block of followLog(opened.source, 0, opened.signal)) {
      const [frame] = payloadsOf(block).map(decodeFrame)
      if (frame?.type !== 'entries') throw new Error('entries come')
      got.push(...frame.entries.map((entry) => entry[0] ?? -1))
      expect(block.bytes.length).toBeLessThanOrEqual(STREAM_LIMITS.blockBytes + 1_000)
      if (got.length === 20) break
    }
    expect(got).toEqual(leaves.map((_, i) => i))
  })
})

describe('a cursor', () => {
  it('may be as old as the rule allows, and not ahead of the log', async () => {
    await using counter = await openCounter()
    await counter.fill(2)
    const started = counter.clock.ms
    counter.clock.ms += 10_000
    await counter.fill(1)
    const check = (cursor: number, maxAgeMs: number | null): Promise<void> => checkCursor(counter.store, counter.tip, cursor, { maxAgeMs, now: () => counter.clock.ms })
    expect(counter.clock.ms - started).toBe(10_000)
    await expect(check(0, null)).resolves.toBeUndefined()
    await expect(check(0, 10_000)).resolves.toBeUndefined()
    await expect(check(1, 9_999)).rejects.toMatchObject({ reason: 'OutdatedCursor' })
    for (const cursor of [2, 3]) await expect(check(cursor, 0)).resolves.toBeUndefined()
    for (const cursor of [4, Infinity]) await expect(check(cursor, null)).rejects.toMatchObject({ reason: 'FutureCursor' })
  })
})
