import { afterEach, describe, expect, it } from 'vitest'
import { isAlarm, parseAlarm } from '../../src/core/alarm.ts'
import { EMPTY_ROOT } from '../../src/core/tlog/hash.ts'
import { parseNote, verifyNote } from '../../src/core/tlog/note.ts'
import { openUnderPolicy } from '../../src/core/tlog/policy.ts'
import { UNOBSERVED } from '../../src/log/ports.ts'
import { runPublisher } from '../../src/log/publisher.ts'
import type { WitnessReply } from '../../src/log/witness-request.ts'
import { SplitViewError, Witnesses, type WitnessSettings } from '../../src/log/witnesses.ts'
import type { Publication, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { askFakes, fakeWitness, FAULTS, handClock, policyOf, type FakeWitness, type HandClock } from '../support/fake-witness.ts'
import { appendLeaves, emptyLog, FIRST_MS, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'
import { guardDisk, type GuardDisk } from '../simulation/guard-disk.ts'

const ORIGIN = LOG_KEY.name
const TWO_OF_THREE = 'group all 2 alice bob carol\nquorum all'
const INTERVAL_MS = 1_000

interface Site {
  readonly store: Store
  readonly clock: HandClock
  readonly disk: GuardDisk
  readonly fakes: readonly FakeWitness[]
  readonly alarms: Map<string, string>
  readonly words: string[]
  witnesses: Witnesses
  tip: Tip
  /** Every publication, in order. */
  readonly published: Publication[]
  grow(size: number): Promise<void>
  /** Starts a publisher, as at a start of the process; throws what the first question to the witnesses throws. */
  start(given?: Partial<WitnessSettings>): Promise<void>
  stop(): Promise<void>
  newest(): Promise<{ size: number; by: string[] }>
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

// A log whose empty tree is published, and witnesses that have seen nothing.
async function site(rest: string, given: Partial<WitnessSettings> = {}, names: readonly string[] = ['alice', 'bob', 'carol']): Promise<Site> {
  const inner = await emptyLog()
  await publishAll(inner)
  const clock = handClock(FIRST_MS)
  const fakes = names.map((name) => fakeWitness(name, [LOG_KEY], () => clock.timeOfDay()))
  const policy = policyOf([LOG_KEY], fakes, rest)
  const disk = guardDisk('memory', ORIGIN, 'a guard', { size: 0, root: EMPTY_ROOT })
  const published: Publication[] = []
  const store: Store = {
    ...inner,
    async publish(publication) {
      await inner.publish(publication)
      published.push(publication)
    },
  }
  let size = 0
  let stop: () => Promise<void> = () => Promise.resolve()
  const self: Site = {
    store, clock, disk, fakes, published,
    alarms: new Map(),
    words: [],
    tip: new Tip(),
    witnesses: open(),
    async grow(to) {
      await appendLeaves(inner, identityLeaves(to).slice(size))
      size = to
      self.tip.advanceDurable(to)
    },
    async start(more = {}) {
      const guard = disk.open()
      try {
        self.tip = new Tip({ durable: size, published: (await store.publication())?.size ?? 0 })
        self.witnesses = open({ lastSigned: () => guard.last().size, ...more })
        const asked = self.witnesses.ask(await store.publication())
        asked.catch(() => undefined)
        await clock.pass(5_000)
        await asked
      } catch (error) {
        guard[Symbol.dispose]()
        throw error
      }
      const aborting = new AbortController()
      const { tip, witnesses } = self
      const running = runPublisher({ store, tip, guard, keys: [LOG_KEY], intervalMs: INTERVAL_MS, clock, observer: UNOBSERVED, log, witnesses }, aborting.signal)
      stop = async () => {
        stop = () => Promise.resolve()
        aborting.abort()
        await Promise.all([running, clock.pass(10_000)])
        await witnesses.stop()
        guard[Symbol.dispose]()
      }
    },
    stop: () => stop(),
    async newest() {
      const publication = await store.publication()
      const [, ...by] = parseNote(publication?.note ?? '').signatures.map(({ name }) => name.replace('.test', ''))
      return { size: publication?.size ?? 0, by }
    },
  }
  function open(more: Partial<WitnessSettings> = {}): Witnesses {
    const keepAlarm = (name: string, text: string): string => {
      self.alarms.set(name, text)
      return `alarms/${name}`
    }
    return new Witnesses({
      policy, keys: [LOG_KEY], rates: new Map(), failOpen: false, store: inner, ask: askFakes(fakes), clock, lastSigned: () => 0, keepAlarm, log, ...given, ...more,
    })
  }
  function log(_level: string, _fields: object, words: string): void {
    self.words.push(words)
  }
  stops.push(() => self.stop())
  return self
}

const [ALICE, BOB, CAROL] = [0, 1, 2]
const spoil = ({ fakes }: Site, who: number, fault: FakeWitness['always']): void => {
  const fake = fakes[who]
  if (fake !== undefined) fake.always = fault
}

describe('a publisher with witnesses', () => {
  it('publishes nothing but what the quorum has seen, and adds who comes later', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    for (const size of [1, 2, 300]) {
      await s.grow(size)
      await s.clock.pass(INTERVAL_MS)
      expect(await s.newest()).toEqual({ size, by: ['alice', 'bob', 'carol'] })
    }
    const policy = policyOf([LOG_KEY], s.fakes, TWO_OF_THREE)
    for (const { note } of s.published) openUnderPolicy(note, policy)
    expect(s.tip.published).toBe(300)
    expect(s.witnesses.faults()).toEqual([])
  })

  it('does not wait for a witness that the quorum does not need, and takes its cosignature when it comes', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    const held = Promise.withResolvers<void>()
    s.fakes[ALICE]?.faults.push(async (answer) => {
      await held.promise
      return answer()
    })
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    expect(await s.newest()).toEqual({ size: 1, by: ['bob', 'carol'] })
    const before = await s.store.publication()
    held.resolve()
    await s.clock.pass(0)
    expect(await s.newest()).toEqual({ size: 1, by: ['alice', 'bob', 'carol'] })
    expect((await s.store.publication())?.publishedAt).toBe(before?.publishedAt)
  })

  it('goes on with one witness of three gone, waits with two, and recovers by itself', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    spoil(s, ALICE, FAULTS.lostRequest)
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    expect(await s.newest()).toEqual({ size: 1, by: ['bob', 'carol'] })
    expect(s.witnesses.faults()).toEqual([])
    expect(s.witnesses.report().witnesses[ALICE]).toMatchObject({ name: 'alice', refusal: 'it cannot be asked: ECONNRESET' })
    spoil(s, BOB, FAULTS.lostRequest)
    await s.grow(2)
    await s.clock.pass(20_000)
    expect(s.tip).toMatchObject({ durable: 2, published: 1 })
    expect(s.witnesses.faults()).toEqual([expect.stringMatching(/^the quorum all of witnesses is not met, checkpoints wait \(alice: it cannot be asked: ECONNRESET; bob: /)])
    await s.grow(3)
    spoil(s, ALICE, null)
    spoil(s, BOB, null)
    await s.clock.pass(3_000)
    expect(await s.newest()).toEqual({ size: 3, by: ['alice', 'bob', 'carol'] })
    expect(s.witnesses.faults()).toEqual([])
    expect(s.words).toContain('the quorum of witnesses is met again')
  })

  it('abandons a checkpoint at its deadline and signs the newest tree instead', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    spoil(s, ALICE, FAULTS.hang)
    spoil(s, BOB, FAULTS.hang)
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    await s.grow(2)
    await s.clock.pass(3_900)
    expect(s.witnesses.faults()).toEqual([])
    await s.clock.pass(200)
    expect(s.witnesses.faults()).toHaveLength(1)
    spoil(s, ALICE, null)
    spoil(s, BOB, null)
    await s.clock.pass(6_000)
    expect(s.published.map(({ size }) => size).filter((size) => size === 1)).toEqual([])
    expect((await s.newest()).size).toBe(2)
    expect(s.fakes[CAROL]?.latest(ORIGIN)?.size).toBe(2)
  })

  it('publishes at its deadline without a quorum where the operator has chosen so, and says it', async () => {
    const s = await site(TWO_OF_THREE, { failOpen: true })
    for (const who of [ALICE, BOB, CAROL]) spoil(s, who, FAULTS.hang)
    await s.start()
    await s.grow(1)
    await s.clock.pass(4_000)
    expect(s.tip.published).toBe(0)
    await s.clock.pass(7_000)
    expect(await s.newest()).toEqual({ size: 1, by: [] })
    expect(s.witnesses.faults()).toEqual([expect.stringMatching(/published without \(alice: it cannot be asked: no answer in 5 s; bob/)])
  })

  it('publishes at once where no quorum is set, and adds cosignatures as they come, never to a smaller tree', async () => {
    const s = await site('quorum none')
    await s.start()
    await s.clock.pass(INTERVAL_MS)
    const held = Promise.withResolvers<void>()
    for (const [who, wait] of [[ALICE, s.clock.sleep(1_100)], [BOB, s.clock.sleep(1_200)], [CAROL, held.promise]] as const) {
      s.fakes[who]?.faults.push(async (answer) => {
        await wait
        return answer()
      })
    }
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    expect(await s.newest()).toEqual({ size: 1, by: [] })
    await s.clock.pass(300)
    expect(await s.newest()).toEqual({ size: 1, by: ['alice', 'bob'] })
    expect(s.published.find(({ size }) => size === 1)?.note.match(/^\u2014/gm), 'the first was published before anybody had cosigned').toHaveLength(1)
    await s.grow(2)
    await s.clock.pass(INTERVAL_MS)
    held.resolve()
    await s.clock.pass(0)
    expect(await s.newest()).toEqual({ size: 2, by: ['alice', 'bob', 'carol'] })
    const sizes = s.published.map(({ size }) => size)
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
  })

  it('has an idle log cosigned anew every minute, and keeps what is older of those who are silent', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    const first = await s.store.publication()
    spoil(s, ALICE, FAULTS.answers(500))
    await s.clock.pass(61_000)
    const second = await s.store.publication()
    expect(second?.publishedAt).toBe((first?.publishedAt ?? 0) + 60_000)
    expect(await s.newest()).toEqual({ size: 1, by: ['alice', 'bob', 'carol'] })
    const lines = (note = ''): string[] => note.split('\n').filter((line) => line.startsWith('\u2014'))
    const [before, after] = [lines(first?.note), lines(second?.note)]
    expect(after.map((line, i) => line === before[i])).toEqual([true, true, false, false])
    spoil(s, BOB, FAULTS.answers(500))
    await s.clock.pass(120_000)
    expect((await s.store.publication())?.publishedAt, 'what is old does not meet a quorum again').toBe(second?.publishedAt)
    expect(s.witnesses.faults()).toHaveLength(1)
  })

  it('asks a witness with a rate at its own pace, and adds its cosignature to what it signed', async () => {
    const s = await site('group prompt all alice bob\nquorum prompt', { rates: new Map([['carol', 1_440]]) })
    await s.start()
    await s.clock.pass(60_000)
    const before = s.fakes[CAROL]?.requests.length ?? 0
    for (let size = 1; size <= 18; size++) {
      await s.grow(size)
      await s.clock.pass(10_000)
    }
    expect(s.fakes[ALICE]?.requests.length).toBeGreaterThanOrEqual(18)
    expect((s.fakes[CAROL]?.requests.length ?? 0) - before).toBeGreaterThanOrEqual(2)
    expect((s.fakes[CAROL]?.requests.length ?? 0) - before).toBeLessThanOrEqual(4)
    expect(new Set(s.published.flatMap(({ size, note }) => (size > 0 && note.includes('carol.test') ? [size] : []))).size).toBeGreaterThanOrEqual(2)
  })

  it('keeps what a witness with a rate has cosigned after the log has gone on, for monitors', async () => {
    const s = await site('group prompt all alice bob\nquorum prompt', { rates: new Map([['carol', 86_400 / 5]]) })
    await s.start()
    for (let size = 1; size <= 32; size++) {
      await s.grow(size)
      await s.clock.pass(INTERVAL_MS)
    }
    const kept = await s.store.keptCheckpoints()
    expect(kept.length).toBeGreaterThanOrEqual(5)
    expect(kept.length).toBeLessThanOrEqual(9)
    expect(kept.map(({ size }) => size)).toEqual([...new Set(kept.map(({ size }) => size))].sort((a, b) => a - b))
    for (const { size, note } of kept) {
      expect(parseNote(note).signatures.map(({ name }) => name)).toEqual([ORIGIN, 'alice.test', 'bob.test', 'carol.test'])
      expect(verifyNote(parseNote(note), [LOG_KEY, ...s.fakes.flatMap(({ keys }) => keys)])).toHaveLength(4)
      expect(note.split('\n')[1]).toBe(`${size}`)
      expect(s.published.some((publication) => publication.size === size)).toBe(true)
    }
    expect(kept.at(-1)?.size, 'the newest that it has cosigned').toBe(s.fakes[CAROL]?.latest(ORIGIN)?.size)
  })

  it('keeps a cosignature that comes after the checkpoint was followed by another, but shows no abandoned one', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    const slow = async (answer: () => WitnessReply): Promise<WitnessReply> => {
      await s.clock.sleep(3_000)
      return answer()
    }
    spoil(s, CAROL, slow)
    for (let size = 1; size <= 9; size++) {
      await s.grow(size)
      await s.clock.pass(INTERVAL_MS)
    }
    const kept = await s.store.keptCheckpoints()
    expect(kept.length).toBeGreaterThanOrEqual(2)
    expect(kept.at(-1)?.size).toBe(s.fakes[CAROL]?.latest(ORIGIN)?.size)
    expect(kept.every(({ note }) => note.includes('carol.test'))).toBe(true)
    spoil(s, ALICE, FAULTS.answers(500))
    spoil(s, BOB, FAULTS.answers(500))
    await s.grow(20)
    await s.clock.pass(10_000)
    expect(s.fakes[CAROL]?.latest(ORIGIN)?.size).toBe(20)
    expect((await s.newest()).size).toBe(9)
    expect((await s.store.keptCheckpoints()).every(({ size }) => size <= 9)).toBe(true)
  })

  it('begins to sign only when a quorum has said how much it has seen', async () => {
    const s = await site(TWO_OF_THREE)
    spoil(s, ALICE, FAULTS.lostRequest)
    spoil(s, BOB, FAULTS.lostRequest)
    await s.start()
    await s.grow(1)
    await s.clock.pass(10_000)
    const guard = s.disk
    expect(s.tip.published).toBe(0)
    expect(s.fakes[CAROL]?.latest(ORIGIN)?.size, 'nothing new was signed').toBe(0)
    spoil(s, BOB, null)
    await s.clock.pass(5_000)
    expect(await s.newest()).toMatchObject({ size: 1 })
    expect(guard.id).toBe('a guard')
  })

  it('refuses to start where a witness has seen more than was ever signed here, and keeps the exchange', async () => {
    const s = await site(TWO_OF_THREE)
    const other = await site(TWO_OF_THREE)
    await other.start()
    await other.grow(5)
    await other.clock.pass(INTERVAL_MS)
    await other.stop()
    const seen = other.fakes[BOB]?.latest(ORIGIN) ?? null
    s.fakes[BOB]?.pretend(ORIGIN, seen)
    await expect(s.start()).rejects.toThrow(/^the witness bob contradicts this log: it has seen 5 entries signed by this log's key, but only 0 were ever signed here\. .* The exchange is in alarms\/[0-9a-f]{16}$/)
    const [text = ''] = s.alarms.values()
    expect(isAlarm(Buffer.from(text))).toBe(true)
    const { origin, parts } = parseAlarm(text)
    expect(origin).toBe(ORIGIN)
    const part = (name: string): string => Buffer.from(parts.find((part) => part.name === name)?.bytes ?? []).toString()
    expect(part('request')).toBe(s.fakes[BOB]?.requests[0])
    expect(part('response')).toBe('409 text/x.tlog.size\n\n5\n')
    expect(part('witness-checkpoint'), 'what the witness shows to others').toBe(seen?.note)
    await expect(s.start(), 'the same again').rejects.toThrow(SplitViewError)
    expect(s.alarms.size).toBe(1)
  })

  it('signs nothing more once a witness contradicts the log, whatever the others say', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    s.fakes[CAROL]?.faults.push(FAULTS.answers(422))
    await s.grow(2)
    await s.clock.pass(INTERVAL_MS)
    const { size } = await s.newest()
    await s.grow(3)
    await s.clock.pass(120_000)
    expect((await s.newest()).size).toBe(size)
    expect(s.fakes[ALICE]?.latest(ORIGIN)?.size).toBeLessThanOrEqual(2)
    expect(s.witnesses.faults()).toEqual([expect.stringMatching(/^the witness carol contradicts this log: it refuses the checkpoint of size 2 .*Nothing is signed/)])
    expect(s.witnesses.report().alarm).toBe(true)
    expect(s.alarms.size).toBe(1)
  })

  it('goes on after a restart with witnesses that have seen a checkpoint which was abandoned', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    await s.grow(1)
    await s.clock.pass(INTERVAL_MS)
    spoil(s, ALICE, FAULTS.lostReply)
    spoil(s, BOB, FAULTS.lostReply)
    await s.grow(2)
    await s.clock.pass(INTERVAL_MS)
    await s.stop()
    expect(s.fakes.map((fake) => fake.latest(ORIGIN)?.size)).toEqual([2, 2, 2])
    expect((await s.newest()).size).toBe(1)
    spoil(s, ALICE, null)
    spoil(s, BOB, null)
    await s.start()
    await s.grow(3)
    await s.clock.pass(INTERVAL_MS)
    expect(await s.newest()).toEqual({ size: 3, by: ['alice', 'bob', 'carol'] })
    expect(s.alarms.size).toBe(0)
  })

  it('publishes what is durable when it stops, as far as the quorum lets it', async () => {
    const s = await site(TWO_OF_THREE)
    await s.start()
    await s.clock.pass(INTERVAL_MS)
    await s.grow(1)
    await s.stop()
    expect((await s.newest()).size).toBe(1)
    for (const who of [ALICE, BOB]) spoil(s, who, FAULTS.hang)
    await s.start()
    await s.grow(2)
    await s.stop()
    expect((await s.newest()).size).toBe(1)
  })

  it('serves at most 16 signatures, those first that the policy names first, and never less than the quorum', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `w${i}`)
    const last = await site('quorum w19', {}, names)
    await last.start()
    await last.grow(1)
    await last.clock.pass(INTERVAL_MS)
    expect((await last.newest()).by).toEqual([...names.slice(0, 14), 'w19'])
    const none = await site('quorum none', {}, names)
    await none.start()
    await none.grow(1)
    await none.clock.pass(INTERVAL_MS)
    expect((await none.newest()).by).toEqual(names.slice(0, 15))
  })
})
