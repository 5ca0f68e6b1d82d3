// Filtered streams, checked as a subscriber would: with the core, and nothing else fetched.

import { describe, expect, it } from 'vitest'
import { logStream, type StreamFilter } from '../../src/client/stream-client.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { openCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_ROOT, leafHash } from '../../src/core/tlog/hash.ts'
import { verifyConsistency, verifyInclusion } from '../../src/core/tlog/proof.ts'
import type { StreamLimits } from '../../src/stream/limits.ts'
import { COUNTER_KEY, openCounter, type TestCounter } from '../support/counter.ts'
import { fields, person, signer } from '../support/people.ts'
import { refusalOf, subscribe } from '../support/subscriber.ts'

/** What a filter gives: indices of verified matches, checkpoint by checkpoint, until one covers `size`. */
async function matches(counter: TestCounter, filter: StreamFilter, { from = 0, root = EMPTY_ROOT, size = counter.tip.published } = {}): Promise<number[][]> {
  const rounds: number[][] = []
  let known: Pick<Checkpoint, 'size' | 'root'> = { size: from, root }
  const verified = (async () => {
    for await (const frame of logStream(counter.url, from, { filter })) {
      if (frame.type === 'entries') throw new Error('a filter gives matches')
      if (frame.type === 'checkpoint') {
        if (known.size >= size && rounds.length > 0) return rounds
        const { checkpoint } = openCheckpoint(frame.note, [COUNTER_KEY])
        verifyConsistency({ oldSize: known.size, oldRoot: known.root, newSize: checkpoint.size, newRoot: checkpoint.root, proof: frame.consistency ?? [] })
        known = checkpoint
        rounds.push([])
        // The next checkpoint tells that this one has no more matches.
        if (checkpoint.size >= size) {
          await counter.fill(1)
          await counter.publish()
        }
        continue
      }
      verifyInclusion({ index: frame.index, size: known.size, leaf: leafHash(frame.entry), proof: frame.proof, root: known.root })
      decodeEntry(frame.entry)
      rounds.at(-1)?.push(frame.index)
    }
    return rounds
  })()
  return verified
}

const pds = (name: string): string => `https://${name}.example`
const key = signer('mover')

function at(name: string, server: string, prev: Operation | null): Operation {
  const services = new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: pds(server) }]])
  return signOperation(operationValue(fields({ rotationKeys: [key.did], alsoKnownAs: [`at://${name}.test`], services, prev: prev?.cid ?? null })), key)
}

describe('a filter', () => {
  it('by DID gives the entries of these DIDs, proved, and each checkpoint proved to continue the one before', async () => {
    await using counter = await openCounter()
    const [alice, bob] = [person('alice'), person('bob')]
    await counter.fill(5)
    await counter.submit(alice.did, alice.genesis)
    await counter.fill(300)
    await counter.submit(bob.did, bob.genesis)
    await counter.publish()
    const seen = matches(counter, { dids: [alice.did, bob.did] }, { size: 312 })
    await counter.fill(3)
    await counter.submit(alice.did, alice.update(alice.genesis))
    await counter.fill(1)
    await counter.publish()
    const rounds = await seen
    expect(rounds.flat()).toEqual([5, 306, 310])
    expect(await matches(counter, { dids: [bob.did] })).toEqual([[306]])
    const publication = await counter.store.publication()
    if (publication === null) throw new Error('there is one')
    await counter.submit(bob.did, bob.update(bob.genesis))
    await counter.publish()
    expect((await matches(counter, { dids: [bob.did] }, { from: publication.size, root: publication.root })).flat()).toEqual([publication.size])
  }, 30_000)

  it('by service gives what names it, and what leaves it', async () => {
    await using counter = await openCounter({ streams: { blockEntries: 2, matchEntries: 1 } })
    const [first, other] = [at('one', 'a', null), at('two', 'b', null)]
    const [one, two] = [didOf(first.bytes), didOf(other.bytes)]
    await counter.submit(one, first)
    await counter.submit(two, other)
    const moved = at('one', 'b', first)
    await counter.submit(one, moved)
    const again = at('one.renamed', 'b', moved)
    await counter.submit(one, again)
    await counter.submit(two, at('two', 'c', other))
    await counter.publish()
    expect(await matches(counter, { services: [pds('a')] })).toEqual([[0, 2]])
    expect((await matches(counter, { services: [pds('b')] })).flat()).toEqual([1, 2, 3, 4])
    expect((await matches(counter, { services: [pds('c'), pds('nobody')] })).flat()).toEqual([4])
    expect((await matches(counter, { services: [pds('a')], dids: [two] })).flat()).toEqual([0, 1, 2, 4])
  }, 30_000)

  it('gives the earlier entries of the DIDs that match where that is asked for', async () => {
    await using counter = await openCounter()
    const first = at('one', 'a', null)
    const did = didOf(first.bytes)
    await counter.submit(did, first)
    const second = at('one', 'b', first)
    await counter.submit(did, second)
    await counter.submit(did, at('one', 'c', second))
    await counter.fill(3)
    await counter.publish()
    expect((await matches(counter, { services: [pds('c')] })).flat()).toEqual([2])
    expect((await matches(counter, { services: [pds('c')], history: true })).flat()).toEqual([0, 1, 2])
    const publication = await counter.store.publication()
    if (publication === null) throw new Error('there is one')
    const [{ size }] = [publication]
    const third = (await counter.store.history([did], 0))[2]
    if (third === undefined) throw new Error('there is one')
    await counter.submit(did, at('one', 'd', decodeEntry(third.entry).operation))
    await counter.publish()
    expect((await matches(counter, { dids: [did], history: true }, { from: size, root: publication.root })).flat()).toEqual([0, 1, 2, size])
  }, 30_000)

  it('takes a thousand DIDs in a message, and no more; a query has room for fewer', async () => {
    await using counter = await openCounter()
    await counter.fill(1_001)
    await counter.publish()
    const dids = (await counter.store.entries(0, 1_001)).map(({ did }) => did)
    expect((await matches(counter, { dids: dids.slice(0, 1_000) })).flat()).toHaveLength(1_000)
    using stream = await subscribe(counter.url, '/log/stream?from=0&filter=message')
    stream.socket.send(dids.map((did) => `did=${did}`).join('&'))
    expect(await stream.closed).toEqual({ code: 1008, reason: 'InvalidMessage' })
    using some = await subscribe(counter.url, `/log/stream?from=0&${dids.slice(0, 300).map((did) => `did=${did}`).join('&')}`)
    await some.until(301)
    expect((await refusalOf(counter.url, `/log/stream?${dids.map((did) => `did=${did}`).join('&')}`)).status).toBe(431)
  }, 30_000)

  it.each<[string, string, Partial<StreamLimits>, string]>([
    ['a filter that never comes', 'filter=message', { filterSeconds: 0.1, sweepMs: 20 }, '1008 InvalidMessage'],
    ['a search that begins too far back', 'from=0&service=a', { scanEntries: 9 }, '1000 OutdatedCursor'],
  ])('is ended: %s', async (_, query, streams, end) => {
    await using counter = await openCounter({ streams })
    await counter.fill(10)
    await counter.publish()
    using stream = await subscribe(counter.url, `/log/stream?${query}`)
    const { code, reason } = await stream.closed
    expect(`${code} ${reason}`).toBe(end)
  })

  it('is ended where more matches are found at once than are read', async () => {
    await using counter = await openCounter({ streams: { matchEntries: 2 } })
    const alice = person('alice')
    await counter.submit(alice.did, alice.genesis)
    const second = alice.update(alice.genesis)
    await counter.submit(alice.did, second)
    await counter.submit(alice.did, alice.update(second, { handle: 'newer' }))
    await counter.publish()
    using stream = await subscribe(counter.url, `/log/stream?from=0&did=${alice.did}`)
    expect(await stream.closed).toEqual({ code: 1000, reason: 'TooManyMatches' })
    using last = await subscribe(counter.url, `/log/stream?from=2&did=${alice.did}`)
    await last.until(2)
  })
})
