import { afterEach, describe, expect, it } from 'vitest'
import { memoryCheckpoints } from '../../src/client/checkpoint-store.ts'
import { keysOfCursor, memoryCursor, type CursorStore } from '../../src/client/cursor.ts'
import { follow, followRuns, type Followed, type FollowOptions } from '../../src/client/follow.ts'
import { LogContradictionError } from '../../src/client/log-memory.ts'
import { followed, indexFollowed } from '../../src/client/latest.ts'
import { decodeFrame, encodeFrame } from '../../src/core/frame.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { formatEvidence, verifyEvidence } from '../../src/core/evidence.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { signKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { NOBODY_TO_ASK } from '../support/latest-question.ts'
import { fields, person, signer, type Person } from '../support/people.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, rememberingVerifier } from '../support/stored-log.ts'

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

async function serve(leaves: readonly Uint8Array[]): Promise<{ log: ServedLog; front: Front }> {
  const log = await serveLog(leaves)
  open.push(log)
  const front = await openFront(log)
  open.push(front)
  return { log, front }
}

const verifyAnswers = rememberingVerifier()

let later = FIRST_MS + 10_000_000
function leafOf({ did }: Person, operation: Operation, createdAt = (later += 1_000)): Uint8Array {
  return encodeEntry({ did, createdAt, operation, source: null })
}

/** Takes so many and leaves. */
async function take(options: FollowOptions, count: number, each: (one: Followed, taken: number) => void | Promise<void> = () => undefined): Promise<Followed[]> {
  const taken: Followed[] = []
  for await (const one of follow({ verifyAnswers, ...options })) {
    taken.push(one)
    await each(one, taken.length)
    if (taken.length === count) break
  }
  return taken
}

const indices = (followed: readonly Followed[]): number[] => followed.map(({ index }) => index)
const upTo = (end: number, start = 0): number[] => Array.from({ length: end - start }, (_, i) => start + i)

describe('a follower of every entry', () => {
  it('gives all that there was and all that comes, once and in order, over bundles and the stream', async () => {
    const { log, front } = await serve(identityLeaves(300))
    const options = { urls: [front.url], keys: [LOG_KEY] }
    const taken = await take(options, 320, async (_one, count) => {
      if (count !== 300) return
      await log.append(identityLeaves(320).slice(300))
      await log.publish()
    })
    expect(indices(taken)).toEqual(upTo(320))
    expect(taken[0]).toMatchObject({ type: 'operation', proof: null, checkpoint: { origin: LOG_KEY.name, size: 300 } })
    expect(taken[319]).toMatchObject({ checkpoint: { size: 320 } })
  })

  it('goes on where its cursor is: what was not taken comes again, and nothing is left out', async () => {
    const { log, front } = await serve(identityLeaves(300))
    const cursor = memoryCursor()
    const options = { urls: [front.url], keys: [LOG_KEY], cursor, runEntries: 100 }
    expect(indices(await take(options, 250))).toEqual(upTo(250))
    // Whether it was done with the last one nobody can know.
    expect(JSON.parse((await cursor.read()) ?? '')).toMatchObject({ next: 249, size: 200 })
    await log.append(identityLeaves(320).slice(300))
    await log.publish()
    expect(indices(await take(options, 71))).toEqual(upTo(320, 249))
  })

  it('begins at an index, or with what comes from now on', async () => {
    const { log, front } = await serve(identityLeaves(300))
    expect(indices(await take({ urls: [front.url], keys: [LOG_KEY], from: 270 }, 30))).toEqual(upTo(300, 270))
    const cursor = memoryCursor()
    const coming = take({ urls: [front.url], keys: [LOG_KEY], from: 'now', cursor }, 1)
    while ((await cursor.read()) === null) await new Promise((resolve) => setTimeout(resolve, 10))
    await log.append(identityLeaves(301).slice(300))
    await log.publish()
    expect(indices(await coming)).toEqual([300])
  })

  it('repairs what a stream leaves out or alters from bundles', async () => {
    const { log, front } = await serve(identityLeaves(10))
    front.frame = (bytes) => {
      const frame = decodeFrame(new Uint8Array(bytes))
      if (frame.type !== 'entries') return [bytes]
      return [Buffer.from(encodeFrame({ ...frame, entries: frame.entries.map((leaf) => leaf.map((byte, i) => (i === leaf.length - 1 ? byte ^ 1 : byte))) }))]
    }
    const taken = await take({ urls: [front.url], keys: [LOG_KEY] }, 20, async (_one, count) => {
      if (count !== 10) return
      await log.append(identityLeaves(20).slice(10))
      await log.publish()
    })
    expect(indices(taken)).toEqual(upTo(20))
    expect(taken.every(({ type }) => type === 'operation')).toBe(true)
  })

  it('goes on through a server that is gone, has no streams, or shows an older tree', async () => {
    const { log, front } = await serve(identityLeaves(5))
    const troubles: string[] = []
    const old = await log.store.publication()
    // What is wrong is mended once it was noticed.
    const noted = (_url: string, error: Error): void => {
      troubles.push(error.name)
      if (error.name === 'UnreachableError') front.gone = false
      if (error.name === 'MismatchError') front.answer = (_path, body) => body
    }
    const taken = await take({ urls: [front.url], keys: [LOG_KEY], onTrouble: noted }, 40, async (_one, count) => {
      if (count % 5 !== 0 || count === 40) return
      const size = Math.min(40, count + 5)
      await log.append(identityLeaves(size).slice(count))
      await log.publish()
      if (count === 10) {
        front.gone = true
        front.cut()
      }
      if (count === 20) {
        front.streams = false
        front.cut()
      }
      if (count === 30) front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(old?.note ?? '') : body)
    })
    expect(indices(taken)).toEqual(upTo(40))
    expect(new Set(troubles)).toEqual(new Set(['UnreachableError', 'StreamClosedError', 'MismatchError']))
  })

  it('leaves a stream that lacks what the checkpoint of its server covers', async () => {
    const { log, front } = await serve(identityLeaves(5))
    front.frame = () => []
    const troubles: string[] = []
    const taken = await take({ urls: [front.url], keys: [LOG_KEY], onTrouble: (_url, { message }) => troubles.push(message) }, 8, async (_one, count) => {
      if (count !== 5) return
      await log.append(identityLeaves(8).slice(5))
      await log.publish()
    })
    expect(indices(taken)).toEqual(upTo(8))
    expect(troubles).toEqual(['the stream ended: it lacks what the checkpoint covers'])
  })

  it.each([false, true])('leaves a server that stands still while another one of the log shows more, with a filter: %s', async (filtered) => {
    const still = await serve(identityLeaves(5))
    const { log, front } = await serve(identityLeaves(5))
    const { did } = person('resident 7', 1)
    const trouble: string[] = []
    const taken = follow({ urls: [still.front.url, front.url], keys: [LOG_KEY], from: 'now', verifyAnswers, onTrouble: (url) => trouble.push(url), ...(filtered ? { filter: { dids: [did] } } : {}) })
    const next = taken.next()
    await log.append(identityLeaves(8).slice(5))
    await log.publish()
    expect((await next).value.index).toBe(filtered ? 7 : 5)
    await taken.return(undefined as never)
    expect(trouble).toContain(still.front.url)
  })

  it('follows a log to its next key, which the one before has signed for, and to no other', async () => {
    const { log, front } = await serve(identityLeaves(5))
    const [next, stranger] = [8, 9].map((seed) => makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(seed + 50)))
    if (next === undefined || stranger === undefined) throw new Error('two keys')
    const [cursor, checkpoints] = [memoryCursor(), memoryCheckpoints()]
    const troubles: string[] = []
    const taken = await take({ urls: [front.url], keys: [LOG_KEY], cursor, checkpoints, onTrouble: (_url, { message }) => troubles.push(message) }, 10, async (_one, count) => {
      if (count !== 5) return
      await log.append(identityLeaves(10).slice(5))
      await log.publish([stranger])
      setTimeout(() => {
        const guardId = 'a guard'
        void log.store.setSigner(guardId, { guardId, vkeys: [formatVerifierKey(next)], statement: signKeyStatement({ origin: LOG_KEY.name, signing: [next], retired: [LOG_KEY] }, [next, LOG_KEY]) }).then(() => log.publish([next]))
      }, 500)
    })
    expect(indices(taken)).toEqual(upTo(10))
    expect(new Set(troubles)).toEqual(new Set(['No signature by a known key']))
    expect(keysOfCursor((await cursor.read()) ?? '').map(formatVerifierKey)).toEqual([LOG_KEY, next].map(formatVerifierKey))
    // What a key did not sign is not kept in its name, where nobody could open it.
    const newest = await Promise.all([LOG_KEY, next].map(async (key) => openCheckpoint((await checkpoints.newest(formatVerifierKey(key))) ?? '', [key]).checkpoint.size))
    expect(newest).toEqual([5, 10])
    expect(indices(await take({ urls: [front.url], keys: [LOG_KEY], cursor: memoryCursor(await cursor.read()), checkpoints }, 1))).toEqual([9])
    // The next start knows it from the cursor alone.
    expect(indices(await take({ urls: [front.url], keys: [LOG_KEY], cursor }, 1))).toEqual([9])
  })

  it('shows nobody that an operation is the newest by a history that a server shortened', async () => {
    const alice = person('a history that is told')
    const one = alice.update(alice.genesis, { handle: 'one' })
    const { log, front } = await serve([leafOf(alice, alice.genesis), leafOf(alice, one)])
    const cursor = memoryCursor()
    const index = indexFollowed()
    for (const found of await take({ urls: [front.url], keys: [LOG_KEY], cursor, runEntries: 1 }, 2)) index.add(found)
    await log.append([leafOf(alice, alice.update(one, { handle: 'two' }))])
    const note = await log.publish()
    // After a start it remembers nothing, and the server says that there was nothing before.
    front.answer = (path, body) => (path.endsWith('/log/audit') ? Buffer.from('[]') : body)
    for (const found of await take({ urls: [front.url], keys: [LOG_KEY], cursor: memoryCursor(await cursor.read()) }, 2)) index.add(found)
    const chain = { did: alice.did, links: [alice.genesis, one].map((operation) => ({ operation, createdAt: 0, signer: 0, nullified: false })) }
    const short = { server: front.url, chain, data: null, seen: { ...openCheckpoint(note, [LOG_KEY]), note, verified: [] }, indices: [0, 1], proved: [] }
    const question = { did: alice.did, all: () => Promise.resolve([short]), each: async function* () { yield await Promise.resolve(short) }, skip: () => undefined, ...NOBODY_TO_ASK }
    expect(await followed(index)(question)).toMatch(/^whether entry 2 is one of the identity depends on the word of the server/)
  })

  it('tells which operations an operation undid, and which entries break a rule', async () => {
    const alice = person('alice')
    const theft = alice.update(alice.genesis, { key: 2, handle: 'stolen' })
    const recovery = alice.update(alice.genesis, { key: 0, handle: 'back' })
    const forged = signOperation(operationValue(fields({ rotationKeys: [], prev: recovery.cid })), signer('mallory'))
    const { front } = await serve([leafOf(alice, alice.genesis), leafOf(alice, theft), leafOf(alice, recovery), leafOf(alice, forged), new Uint8Array([1, 2, 3])])
    const cursor = memoryCursor()
    for (const from of [0, 2]) {
      // The second follower knows nothing of what came before, and asks.
      const taken = await take({ urls: [front.url], keys: [LOG_KEY], from, cursor: from === 0 ? cursor : memoryCursor() }, 5 - from)
      expect(taken.slice(2 - from)).toMatchObject([
        { type: 'operation', index: 2, undid: [theft.cid] },
        { type: 'rejected', index: 3, verdict: { code: 'INVALID_SIGNATURE' } },
        { type: 'rejected', index: 4, entry: null, verdict: { code: 'MALFORMED_ENTRY' } },
      ])
    }
  })
})

describe('a follower with a filter', () => {
  async function town(): Promise<{ log: ServedLog; front: Front; alice: Person; bob: Person; moved: Operation }> {
    const [alice, bob] = [person('alice'), person('bob')]
    const moved = signOperation(
      operationValue(fields({ rotationKeys: bob.keys.map(({ did }) => did), services: new Map([['pds', { type: 'Pds', endpoint: 'https://a.test' }]]), prev: bob.genesis.cid })),
      signer('bob 1'),
    )
    return { ...(await serve([...identityLeaves(20), leafOf(alice, alice.genesis), leafOf(bob, bob.genesis), leafOf(bob, moved)])), alice, bob, moved }
  }

  it('gives the entries of identities with their inclusion proofs, now and later, and does not repeat them over restarts', async () => {
    const { log, front, alice } = await town()
    const cursor = memoryCursor()
    const options = { urls: [front.url], keys: [LOG_KEY], cursor, filter: { dids: [alice.did] } }
    const first = alice.update(alice.genesis)
    const taken = await take(options, 2, async (_one, count) => {
      if (count !== 1) return
      await log.append([...identityLeaves(30).slice(20), leafOf(alice, first)])
      await log.publish()
    })
    expect(indices(taken)).toEqual([20, 33])
    expect(taken[1]).toMatchObject({ type: 'operation', entry: { operation: { cid: first.cid } }, proof: expect.any(Array) as unknown })
    // The second was not taken when it left.
    await log.append([leafOf(alice, alice.update(first))])
    await log.publish()
    expect(indices(await take(options, 2))).toEqual([33, 34])
  })

  it('shows who comes to a service and who leaves it', async () => {
    const { log, front, bob, moved } = await town()
    const away = bob.update(moved)
    const taken = await take({ urls: [front.url], keys: [LOG_KEY], filter: { services: ['https://a.test'] } }, 2, async (_one, count) => {
      if (count !== 1) return
      await log.append([leafOf(bob, away)])
      await log.publish()
    })
    expect(indices(taken)).toEqual([22, 23])
  })

  it('finds the same by reading every entry, where there is no such stream and where it is told to', async () => {
    const { front, alice } = await town()
    const filter = { dids: [alice.did], services: ['https://a.test'] }
    expect(await take({ urls: [front.url], keys: [LOG_KEY], filter, complete: true }, 2)).toMatchObject([{ index: 20, proof: null }, { index: 22, proof: null }])
    front.streams = false
    expect(await take({ urls: [front.url], keys: [LOG_KEY], filter }, 2)).toMatchObject([{ index: 20, proof: null }, { index: 22, proof: null }])
  })

  it('takes no entry that the filter does not name and none without its proof', async () => {
    const { front, alice } = await town()
    const troubles: string[] = []
    let lies = 2
    front.frame = (bytes) => {
      const frame = decodeFrame(new Uint8Array(bytes))
      if (frame.type !== 'match' || lies === 0) return [bytes]
      lies--
      return [Buffer.from(encodeFrame(lies === 1 ? { ...frame, index: frame.index - 1 } : { ...frame, proof: frame.proof.slice(1) }))]
    }
    const taken = await take({ urls: [front.url], keys: [LOG_KEY], filter: { dids: [alice.did] }, onTrouble: (_url, error) => troubles.push(error.message) }, 1)
    expect(indices(taken)).toEqual([20])
    expect(troubles).toEqual([expect.stringContaining('Proof does not verify'), expect.stringContaining('Proof does not verify')])
  })
})

describe('a contradiction', () => {
  const other = [...identityLeaves(8), ...identityLeaves(20).slice(12)]

  async function seen(options: Partial<FollowOptions>, turn: (front: Front, forked: ServedLog) => void): Promise<LogContradictionError> {
    const { log, front } = await serve(identityLeaves(10))
    const forked = await serveLog(other)
    open.push(forked)
    let error: unknown = null
    try {
      await take({ urls: [front.url], keys: [LOG_KEY], ...options }, 50, async (_one, count) => {
        if (count !== 1) return
        turn(front, forked)
        await log.publish()
      })
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(LogContradictionError)
    return error as LogContradictionError
  }

  it('ends it with evidence that convinces a stranger: by every entry and by a filter, after a cut and from another server', async () => {
    const { did } = person('resident 0', 1)
    for (const options of [{}, { filter: { dids: [did] } }]) {
      const { evidence } = await seen(options, (front, forked) => {
        front.target = forked
        front.cut()
      })
      expect(verifyEvidence(Buffer.from(formatEvidence(evidence)), [LOG_KEY]).evidence.kind).toBe('fork')
    }
  })

  it('is seen by the next start, from the cursor alone', async () => {
    const { front } = await serve(identityLeaves(10))
    const cursor = memoryCursor()
    await take({ urls: [front.url], keys: [LOG_KEY], cursor, runEntries: 2 }, 7)
    const forked = await serveLog(other)
    open.push(forked)
    await expect(take({ urls: [forked.url], keys: [LOG_KEY], cursor }, 20)).rejects.toBeInstanceOf(LogContradictionError)
  })

  it('is found between two servers, and by what other clients have verified; a store remembers it', async () => {
    const { front } = await serve(identityLeaves(10))
    const forked = await serveLog(other)
    open.push(forked)
    const checkpoints = memoryCheckpoints()
    await expect(take({ urls: [front.url, forked.url], keys: [LOG_KEY], checkpoints }, 11)).rejects.toBeInstanceOf(LogContradictionError)
    await expect(take({ urls: [front.url], keys: [LOG_KEY], checkpoints }, 1)).rejects.toBeInstanceOf(LogContradictionError)

    const seen = memoryCheckpoints()
    await take({ urls: [forked.url], keys: [LOG_KEY], checkpoints: seen }, 1)
    expect(await seen.newest(formatVerifierKey(LOG_KEY))).toContain('\n16\n')
    await log20().then(({ url }) => expect(take({ urls: [url], keys: [LOG_KEY], checkpoints: seen }, 20)).rejects.toBeInstanceOf(LogContradictionError))
  })

  async function log20(): Promise<ServedLog> {
    const served = await serveLog(identityLeaves(20))
    open.push(served)
    return served
  }

  it('is no word for a server that only lies', async () => {
    const { front } = await serve(identityLeaves(300))
    const troubles: string[] = []
    let lies = 4
    front.answer = (path, body) => {
      if (!path.startsWith('/tile/') || lies === 0) return body
      lies--
      return Buffer.from(body.map((byte, i) => (i === 40 ? byte ^ 1 : byte)))
    }
    expect(indices(await take({ urls: [front.url], keys: [LOG_KEY], onTrouble: (_url, { name }) => troubles.push(name) }, 300))).toEqual(upTo(300))
    expect(troubles.length).toBeGreaterThan(0)
  })
})

describe('a cursor', () => {
  it('is refused where it was kept for something else, for another log, or is damaged', async () => {
    const { front } = await serve(identityLeaves(3))
    const cursor = memoryCursor()
    await take({ urls: [front.url], keys: [LOG_KEY], cursor, runEntries: 1 }, 2)
    const refusal = (given: Partial<FollowOptions>): Promise<unknown> => expect(take({ urls: [front.url], keys: [LOG_KEY], cursor, ...given }, 1)).rejects.toMatchObject({ name: 'CursorError' })
    await refusal({ filter: { dids: [person('alice').did] } })
    await refusal({ keys: [makeSigningKey('another.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))] })
    await refusal({ cursor: memoryCursor('{}') })
    await refusal({ cursor: memoryCursor(((await cursor.read()) ?? '').replace('"root":"', '"root":"A')) })
  })

  it('moves when the next run is asked for, not before', async () => {
    const { front } = await serve(identityLeaves(30))
    const written: number[] = []
    const cursor: CursorStore = {
      read: () => Promise.resolve(null),
      write: (text) => {
        written.push((JSON.parse(text) as { next: number }).next)
        return Promise.resolve()
      },
    }
    let runs = 0
    for await (const run of followRuns({ urls: [front.url], keys: [LOG_KEY], cursor, runEntries: 10 })) {
      expect(Math.max(0, ...written)).toBe(runs * 10)
      expect(run).toHaveLength(10)
      if (++runs === 3) break
    }
    expect(Math.max(...written)).toBe(20)
  })
})
