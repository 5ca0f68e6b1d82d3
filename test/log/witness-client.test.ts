import { describe, expect, it } from 'vitest'
import { formatSignatureLine, KEY_TYPES, makeSigningKey, parseNote, parseSignatureLine } from '../../src/core/tlog/note.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { parseAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { WitnessClient, type SignedCheckpoint, type WitnessOutcome } from '../../src/log/witness-client.ts'
import type { Store } from '../../src/storage/store.ts'
import { askFakes, fakeWitness, FAULTS, handClock, type FakeWitness, type Fault, type HandClock } from '../support/fake-witness.ts'
import { appendLeaves, emptyLog, FIRST_MS, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'

const ORIGIN = LOG_KEY.name
const NEVER = new AbortController().signal

interface Bench {
  readonly store: Store
  readonly clock: HandClock
  readonly witness: FakeWitness
  readonly client: WitnessClient
  signed: number
  /** A checkpoint over `size` entries, which the store then holds. */
  grow(size: number): Promise<SignedCheckpoint>
  /** Grows and submits. */
  submit(size: number): Promise<WitnessOutcome>
}

async function bench(types?: readonly number[]): Promise<Bench> {
  const store = await emptyLog()
  const clock = handClock(FIRST_MS)
  const witness = fakeWitness('alice', [LOG_KEY], () => clock.timeOfDay(), types)
  let size = 0
  const self: Bench = {
    store, clock, witness, signed: 0,
    client: new WitnessClient({ store, ask: askFakes([witness]), clock, lastSigned: () => self.signed }, witness.url, witness.keys),
    async grow(to) {
      if (to > size) await appendLeaves(store, identityLeaves(to).slice(size))
      size = to
      await publishAll(store)
      self.signed = size
      const publication = await store.publication()
      if (publication === null) throw new Error('nothing is published')
      return { origin: ORIGIN, size, root: publication.root, note: publication.note, signedAt: clock.timeOfDay() }
    },
    submit: async (to) => self.client.submit(await self.grow(to), NEVER),
  }
  return self
}

/** `old` and the number of hashes of each request. */
function sent({ witness }: Bench): [number, number][] {
  return witness.requests.map((body) => {
    const { oldSize, proof } = parseAddCheckpoint(body)
    return [oldSize, proof.length]
  })
}

describe('the client of a witness', () => {
  it('learns from a 409 where the witness stands, and sends a proof from there ever after', async () => {
    const b = await bench()
    for (const size of [1, 3, 7, 7, 200, 300]) expect((await b.submit(size)).outcome).toBe('cosigned')
    expect(sent(b).map(([old]) => old)).toEqual([1, 0, 1, 3, 7, 7, 200])
    expect(b.witness.latest(ORIGIN)?.size).toBe(300)
    expect(sent(b)[4]?.[1], 'the same tree again needs no proof').toBe(0)
    for (const body of b.witness.requests) expect(body.length).toBeLessThan(16_384)
  })

  it('takes the cosignatures of both keys of one witness from one answer', async () => {
    const b = await bench([KEY_TYPES.cosignature, KEY_TYPES.mlDsa44])
    const outcome = await b.submit(2)
    expect(outcome.outcome === 'cosigned' && outcome.cosignatures.map(({ key }) => key.type)).toEqual([KEY_TYPES.cosignature, KEY_TYPES.mlDsa44])
  })

  it('ignores lines of others, and lines that are none', async () => {
    const b = await bench()
    const stranger = makeSigningKey('stranger.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(5))
    const checkpoint = await b.grow(2)
    const line = formatSignatureLine(cosign({ ...checkpoint }, stranger, 1))
    b.witness.faults.push(null, (answer) => {
      const sound = answer()
      return { ...sound, body: `hello\n${line}\n${sound.body}\n\u2014 x y\n` }
    })
    const outcome = await b.client.submit(checkpoint, NEVER)
    expect(outcome.outcome === 'cosigned' && outcome.cosignatures.map(({ key }) => key.name)).toEqual(['alice.test'])
  })

  for (const [words, fault] of [['reply', FAULTS.lostReply], ['request', FAULTS.lostRequest]] as const) {
    it(`sends the same checkpoint again without a proof after a lost ${words}`, async () => {
      const b = await bench()
      await b.submit(3)
      b.witness.faults.push(fault)
      expect((await b.submit(7)).outcome).toBe('cosigned')
      expect(sent(b).slice(2)).toEqual(words === 'reply' ? [[3, 4], [7, 0]] : [[3, 4], [7, 0], [3, 4]])
      expect((await b.submit(9)).outcome).toBe('cosigned')
    })
  }

  it('gives up after a second lost reply, and finds its way the next time', async () => {
    const b = await bench()
    await b.submit(3)
    b.witness.faults.push(FAULTS.lostReply, FAULTS.lostReply)
    expect(await b.submit(7)).toEqual({ outcome: 'refused', reason: 'it cannot be asked: ECONNRESET', knownSize: null })
    expect((await b.submit(9)).outcome).toBe('cosigned')
    expect(b.witness.latest(ORIGIN)?.size).toBe(9)
  })

  it('corrects itself once for a 409, and no more', async () => {
    const b = await bench()
    await b.submit(3)
    const liar = FAULTS.answers(409, 'text/x.tlog.size', '2\n')
    b.witness.always = liar
    const before = b.witness.requests.length
    expect(await b.submit(7)).toMatchObject({ outcome: 'refused', knownSize: 2 })
    expect(b.witness.requests.length - before).toBe(2)
    b.witness.always = null
    expect((await b.submit(8)).outcome).toBe('cosigned')
  })

  it('waits where the witness has seen a tree that was signed here and abandoned', async () => {
    const b = await bench()
    const small = await b.grow(3)
    await b.submit(7)
    expect(await new WitnessClient({ store: b.store, ask: askFakes([b.witness]), clock: b.clock, lastSigned: () => 7 }, b.witness.url, b.witness.keys).submit(small, NEVER)).toEqual({
      outcome: 'refused', reason: 'it has seen 7 entries, and 3 are to be cosigned', knownSize: 7,
    })
    expect(await b.client.submit(small, NEVER)).toMatchObject({ outcome: 'refused', knownSize: 7 })
    expect((await b.submit(9)).outcome).toBe('cosigned')
  })

  const ALARMS: readonly [string, Fault][] = [
    ['a size above all that was signed', FAULTS.answers(409, 'text/x.tlog.size; charset=utf-8', '8\n')],
    ['a 409 without the type of a size', FAULTS.answers(409, 'text/plain', '3\n')],
    ['a 409 without a type', FAULTS.answers(409, '', 'conflict')],
    ['a 409 whose size is no number', FAULTS.answers(409, 'text/x.tlog.size', '007\n')],
    ['a 422', FAULTS.answers(422, 'text/plain', 'The proof does not verify\n')],
  ]
  for (const [words, fault] of ALARMS) {
    it(`raises an alarm for ${words}, keeps the whole exchange, and does not try again`, async () => {
      const b = await bench()
      await b.submit(3)
      b.witness.always = fault
      const before = b.witness.requests.length
      const outcome = await b.submit(7)
      expect(b.witness.requests.length - before).toBe(1)
      expect(outcome).toEqual({ outcome: 'alarm', alarm: { reason: expect.any(String), request: b.witness.requests.at(-1), reply: await fault(() => ({ status: 0, type: '', body: '' }), NEVER) } })
    })
  }

  it('raises an alarm where the witness has really seen another tree', async () => {
    const b = await bench()
    await b.submit(3)
    const seen = b.witness.latest(ORIGIN)
    if (seen === null) throw new Error('it has seen nothing')
    b.witness.pretend(ORIGIN, { ...seen, root: new Uint8Array(32).fill(1) })
    const outcome = await b.submit(7)
    expect(outcome.outcome === 'alarm' && outcome.alarm.reply.status).toBe(422)
  })

  const REFUSALS: readonly [string, Fault, RegExp][] = [
    ['does not know the log', FAULTS.answers(404), /does not know this log/],
    ['does not know the key', FAULTS.answers(403), /\(403\): does it know this key/],
    ['fails', FAULTS.answers(500), /^it answered 500$/],
    ['is asked too often', FAULTS.answers(429), /rate of its own/],
    ['redirects', FAULTS.answers(307), /redirects \(307\), which is not followed/],
    ['says nothing', FAULTS.answers(200), /without a cosignature/],
    ['sends a note of its own', FAULTS.answers(200, 'text/plain', 'x'.repeat(60_000)), /without a cosignature/],
  ]
  for (const [words, fault, reason] of REFUSALS) {
    it(`says so, and no more, where the witness ${words}`, async () => {
      const b = await bench()
      await b.submit(3)
      b.witness.faults.push(fault)
      const outcome = await b.submit(7)
      expect(outcome.outcome === 'refused' && outcome.reason).toMatch(reason)
      expect((await b.submit(9)).outcome).toBe('cosigned')
    })
  }

  it('uses no cosignature that does not verify, by whatever key', async () => {
    const b = await bench()
    await b.submit(3)
    const [key] = b.witness.keys
    if (key === undefined) throw new Error('no key')
    const other = { ...makeSigningKey(key.name, key.type, new Uint8Array(32).fill(77)), id: key.id }
    const at = Math.floor(b.clock.timeOfDay() / 1000)
    const checkpoint = await b.grow(7)
    const spoils: readonly [string, RegExp][] = [
      [formatSignatureLine(cosign(checkpoint, other, at)), /does not verify \(INVALID_NOTE_SIGNATURE\)/],
      [formatSignatureLine(cosign({ ...checkpoint, size: 6 }, key, at)), /does not verify/],
      [formatSignatureLine(cosign(checkpoint, makeSigningKey('bob.test', key.type, new Uint8Array(32).fill(77)), at)), /without a cosignature/],
    ]
    for (const [line, reason] of spoils) {
      b.witness.faults.push(FAULTS.answers(200, 'text/plain', `${line}\n`))
      const outcome = await b.client.submit(checkpoint, NEVER)
      expect(outcome.outcome === 'refused' && outcome.reason).toMatch(reason)
    }
  })

  it('uses no cosignature without a time, with one that goes back, or far from the clock', async () => {
    const b = await bench()
    await b.submit(3)
    const [key] = b.witness.keys
    if (key === undefined) throw new Error('no key')
    await b.clock.pass(600_000)
    const checkpoint = await b.grow(7)
    const now = Math.floor(b.clock.timeOfDay() / 1000)
    const spoils: readonly [number, RegExp][] = [
      [0, /states no time/],
      [now - 700, /clock went back by 100 s/],
      [now - 301, /dated 300 s before this machine's clock/],
      [now + 302, /dated 302 s after this machine's clock/],
    ]
    for (const [timestamp, reason] of spoils) {
      b.witness.faults.push(FAULTS.answers(200, 'text/plain', `${formatSignatureLine(cosign(checkpoint, key, timestamp))}\n`))
      const outcome = await b.client.submit(checkpoint, NEVER)
      expect(outcome.outcome === 'refused' && outcome.reason).toMatch(reason)
    }
    expect((await b.submit(9)).outcome).toBe('cosigned')
  })

  it('tells the time of its witness, however slow the answer', async () => {
    const b = await bench()
    b.witness.clockOffsetS = 60
    await b.submit(3)
    expect(b.client.time).toEqual({ monotonic: 0, machine: FIRST_MS, witness: FIRST_MS + 60_000 })
    b.witness.clockOffsetS = -3
    b.witness.pretend(ORIGIN, null)
    const fresh = new WitnessClient({ store: b.store, ask: async (...request) => {
      const reply = await askFakes([b.witness])(...request)
      await b.clock.pass(4_000)
      return reply
    }, clock: b.clock, lastSigned: () => 7 }, b.witness.url, b.witness.keys)
    await fresh.submit(await b.grow(7), NEVER)
    expect(fresh.time?.witness).toBe(FIRST_MS + 8_000 - 2_001)
  })

  it('ends with its signal, in words', async () => {
    const b = await bench()
    b.witness.always = FAULTS.hang
    const late = new AbortController()
    const outcome = b.client.submit(await b.grow(3), late.signal)
    late.abort(new Error('no answer in 5 s'))
    expect(await outcome).toEqual({ outcome: 'refused', reason: 'it cannot be asked: no answer in 5 s', knownSize: null })
  })

  it('sends nothing but the checkpoint as its log signed it', async () => {
    const b = await bench()
    await b.submit(3)
    for (const body of b.witness.requests) {
      const { note } = parseAddCheckpoint(body)
      expect(note.signatures.map(({ name }) => name)).toEqual([ORIGIN])
      expect(parseSignatureLine(formatSignatureLine(parseNote((await b.grow(3)).note).signatures[0] ?? { name: '', id: '', signature: new Uint8Array() })).name).toBe(ORIGIN)
    }
  })
})
