// Entries that are withheld, in the streams: `/export/stream` goes on without them, `/log/stream` ends before them and says why.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { logStream, StreamClosedError } from '../../src/client/stream-client.ts'
import { decodeFrame } from '../../src/core/frame.ts'
import type { Withheld } from '../../src/storage/withheld.ts'
import { openCounter, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'
import { seqsOf, subscribe } from '../support/subscriber.ts'

const [alice, bob] = [person('alice'), person('bob')]
const WITHHELD: Withheld = new Map([[2, 'an order'], [300, null]])
const SIZE = 603

describe('the streams, where entries are withheld', () => {
  let open: TestCounter
  let counter: TestCounter

  beforeAll(async () => {
    open = await openCounter()
    for (const { did, genesis } of [alice, bob]) await open.submit(did, genesis)
    await open.submit(alice.did, alice.update(alice.genesis))
    await open.fill(SIZE - 3)
    await open.publish()
    const { store, tip } = open
    counter = await openCounter({ ports: { store, tip, withheld: WITHHELD } })
  })
  afterAll(async () => {
    await counter[Symbol.asyncDispose]()
    await open[Symbol.asyncDispose]()
  })

  it('leave them out of /export/stream, with a gap in its numbers', async () => {
    using stream = await subscribe(counter.url, '/export/stream?cursor=0')
    await stream.until(SIZE - 2)
    expect(seqsOf(stream.messages)).toEqual(Array.from({ length: SIZE }, (_, i) => i + 1).filter((seq) => !WITHHELD.has(seq - 1)))
  })

  it('end /log/stream before one, and can be taken up behind it', async () => {
    for (const [from, end] of [[0, 2], [1, 2], [2, 2], [3, 300], [260, 300], [300, 300]] as const) {
      using stream = await subscribe(counter.url, `/log/stream?from=${from}`)
      expect(await stream.closed).toEqual({ code: 1000, reason: 'Withheld' })
      const frames = stream.messages.map((message) => decodeFrame(message as Uint8Array))
      const indices = frames.flatMap((frame) => (frame.type === 'entries' ? frame.entries.map((_, i) => frame.start + i) : []))
      expect(indices).toEqual(Array.from({ length: end - from }, (_, i) => from + i))
    }
    expect(counter.observed).toContain('closed log Withheld')
    using rest = await subscribe(counter.url, '/log/stream?from=301')
    await rest.until(3)
    const frames = rest.messages.map((message) => decodeFrame(message as Uint8Array))
    expect(frames.flatMap((frame) => (frame.type === 'entries' ? frame.entries : []))).toHaveLength(SIZE - 301)
    expect(frames.at(-1)).toMatchObject({ type: 'checkpoint' })
  })

  it('tell a client why they end', async () => {
    const ended = (async () => {
      for await (const frame of logStream(counter.url, 0)) expect(frame.type).toBe('entries')
    })()
    await expect(ended).rejects.toThrow(StreamClosedError)
    await expect(ended).rejects.toMatchObject({ reason: 'Withheld' })
  })

  it('end a filtered stream at one that it would show, and no other', async () => {
    using hers = await subscribe(counter.url, `/log/stream?from=0&did=${alice.did}`)
    expect(await hers.closed).toEqual({ code: 1000, reason: 'Withheld' })
    expect(hers.messages.map((message) => decodeFrame(message as Uint8Array).type)).toEqual(['checkpoint', 'match'])
    using his = await subscribe(counter.url, `/log/stream?from=0&did=${bob.did}`)
    await his.until(2)
    expect(decodeFrame(his.messages[1] as Uint8Array)).toMatchObject({ type: 'match', index: 1 })
    using service = await subscribe(counter.url, '/log/stream?from=0&service=https%3A%2F%2Fpds.example')
    await service.until(1)
    expect(service.socket.readyState).toBe(service.socket.OPEN)
  })
})
