// The fault table: every write of the writer, lost, applied without a reply, applied twice, applied late, and a death
// between every two of its steps. After each of them every promise is kept.

import { writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatNote } from '../../src/core/tlog/note.ts'
import { openUnderPolicy } from '../../src/core/tlog/policy.ts'
import { parseAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { createLog } from '../../src/log/create-log.ts'
import { openGuard } from '../../src/log/guard.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { Witnesses } from '../../src/log/witnesses.ts'
import { LogExistsError, StalePublicationError, type Store } from '../../src/storage/store.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { interfereStore, Life, type GuardCall, type StoreCall } from '../support/interfere.ts'
import { person } from '../support/people.ts'
import { checkNotes, newScene, type Scene, type Trouble } from '../support/scene.ts'
import { newLog, openWriter, ORIGIN, START_MS, TEST_KEY } from '../support/writer.ts'
import { askFakes, fakeWitness, handClock, policyOf, settle, type FakeWitness } from '../support/fake-witness.ts'
import { naiveLeafHash } from '../support/naive-tree.ts'

const [a, b, c, d] = [person('fault a'), person('fault b'), person('fault c'), person('fault d')]
const theft = a.update(a.genesis, { key: 2, handle: 'thief' })
const recovery = a.update(a.genesis, { key: 1, handle: 'owner' })
const update = b.update(b.genesis)

/** How a round is written. */
const WAYS = ['under the row', 'in one step'] as const

/** One fault, armed when the scene has reached it. `late` lets a write through that was held back. */
interface Cell {
  readonly write: string
  readonly fault: string
  readonly make: (strike: () => boolean, held: Promise<void>) => Trouble
}

const CELLS: readonly Cell[] = [
  { write: 'the commit of a round', fault: 'is lost', make: (strike) => ({ store: { commit: () => fail(strike()) } }) },
  {
    write: 'the commit of a round',
    fault: 'is lost without a word',
    make: (strike) => ({
      store: {
        commit(hangUp) {
          if (!strike()) return
          hangUp()
          fail(true)
        },
      },
    }),
  },
  { write: 'the commit of a round', fault: 'is applied but reported lost', make: (strike) => ({ store: { after: (call) => fail((call === 'underHead' || call === 'appendNext') && strike()) } }) },
  {
    write: 'the commit of a round',
    fault: 'is applied twice by a retry',
    make: (strike) => ({
      wrapStore: (store) => ({
        ...store,
        async underHead(work) {
          if (strike()) await store.underHead(work)
          return store.underHead(work)
        },
        async appendNext(append, latest) {
          if (strike()) await store.appendNext(append, latest)
          return store.appendNext(append, latest)
        },
      }),
    }),
  },
  {
    write: 'the commit of a round',
    fault: 'is reported lost and applied late',
    make: (strike, held) => ({
      store: {
        async commit(hangUp) {
          if (!strike()) return
          hangUp()
          await held
        },
      },
    }),
  },
  { write: 'the write of the guard', fault: 'is lost', make: (strike) => ({ guard: { before: (call) => fail(call === 'record' && strike()) } }) },
  { write: 'the write of the guard', fault: 'is applied but reported lost', make: (strike) => ({ guard: { after: (call) => fail(call === 'record' && strike()) } }) },
  {
    write: 'the write of the guard',
    fault: 'is applied twice by a retry',
    make: (strike) => ({
      wrapGuard: (guard) => ({
        ...guard,
        record(head) {
          if (strike()) guard.record(head)
          guard.record(head)
        },
      }),
    }),
  },
  { write: 'a publication', fault: 'is lost', make: (strike) => ({ store: { before: (call) => fail(call === 'publish' && strike()) } }) },
  { write: 'a publication', fault: 'is applied but reported lost', make: (strike) => ({ store: { after: (call) => fail(call === 'publish' && strike()) } }) },
  {
    write: 'a publication',
    fault: 'is applied twice by a retry',
    make: (strike) => ({
      wrapStore: (store) => ({
        ...store,
        async publish(publication) {
          if (strike()) await store.publish(publication)
          await store.publish(publication)
        },
      }),
    }),
  },
  {
    write: 'a publication',
    fault: 'is reported lost and applied late',
    make: (strike, held) => ({
      wrapStore: (store) => ({
        ...store,
        async publish(publication) {
          if (!strike()) return store.publish(publication)
          void held.then(() => store.publish(publication)).catch((error: unknown) => expect(error).toBeInstanceOf(StalePublicationError))
          fail(true)
        },
      }),
    }),
  },
]

describe('the fault table', () => {
  let scene: Scene
  beforeEach(async () => {
    scene = await newScene()
  })
  afterEach(() => scene[Symbol.dispose]())

  // Before: a theft, published. Then, in one round: its recovery, and a chain of two. Whoever has not written for a while takes the row.
  async function begin(trouble: Trouble, way: (typeof WAYS)[number]): Promise<void> {
    await scene.restart(trouble)
    expect(await scene.submit(a.did, a.genesis)).toBe(0)
    expect(await scene.submit(a.did, theft)).toBe(1)
    expect(await scene.publish()).toBeNull()
    await scene.check()
    if (way === 'under the row') scene.remains.clock.ms += WRITER_LIMITS.knownClockMs + 1
  }

  const round = (): Promise<(number | string)[]> => Promise.all([scene.submit(a.did, recovery), scene.submit(b.did, b.genesis), scene.submit(b.did, update)])

  async function finish(): Promise<void> {
    expect(await round()).toEqual([2, 3, 4])
    await scene.check()
    expect(await scene.publish()).toBeNull()
    expect(await scene.submit(c.did, c.genesis)).toBe(5)
    expect(await scene.publish()).toBeNull()
    await scene.check()
    expect((await scene.remains.store.entries(0, 9)).map((row) => row.nullified)).toEqual([false, true, false, false, false, false])
    expect((await scene.remains.store.publication())?.size).toBe(6)
  }

  const cells = CELLS.flatMap((cell) => (cell.write === 'the commit of a round' ? WAYS.map((way) => ({ ...cell, way, words: `${cell.write}, ${way},` })) : [{ ...cell, way: WAYS[1], words: cell.write }]))
  for (const { write, fault, make, way, words } of cells) {
    for (const restarts of [false, true]) {
      it(`keeps every promise when ${words} ${fault} and the process ${restarts ? 'starts again' : 'goes on'}`, async () => {
        let armed = false
        const strike = (): boolean => {
          const strikes = armed
          armed = false
          return strikes
        }
        const held = Promise.withResolvers<void>()
        await begin(make(strike, held.promise), way)
        armed = true
        const outcomes = round()
        if (restarts && write === 'the commit of a round') await pause()
        else {
          if (fault.includes('late')) setTimeout(held.resolve, 5)
          const codes = await outcomes
          expect(codes.filter((code) => typeof code === 'string' && code !== 'unavailable')).toEqual([])
          await scene.check()
          const refused = await scene.publish()
          expect(refused === null).toBe(write === 'the commit of a round' || fault.includes('twice'))
        }
        expect(armed).toBe(false)
        await scene.check()
        if (restarts) await scene.restart()
        held.resolve()
        await finish()
      })
    }
  }

  it('refuses a late publication that a larger one has overtaken', async () => {
    const held = Promise.withResolvers<void>()
    const late: Promise<void>[] = []
    let armed = false
    await begin({
      wrapStore: (store) => ({
        ...store,
        async publish(publication) {
          if (!armed) return store.publish(publication)
          late.push(held.promise.then(() => store.publish(publication)))
          fail(true)
        },
      }),
    }, 'in one step')
    expect(await scene.submit(d.did, d.genesis)).toBe(2)
    armed = true
    expect(await scene.publish()).not.toBeNull()
    armed = false
    expect(await scene.submit(c.did, c.genesis)).toBe(3)
    expect(await scene.publish()).toBeNull()
    held.resolve()
    await expect(Promise.all(late)).rejects.toThrow(StalePublicationError)
    await scene.check()
    expect((await scene.remains.store.publication())?.size).toBe(4)
  })

  const PUBLICATION_STEPS = [
    'before guard last',
    'after guard last',
    'before head',
    'after head',
    'before tiles',
    'after tiles',
    'before guard record',
    'after guard record',
    'before publish',
    'after publish',
  ]
  const ROUND_STEPS = {
    'under the row': ['before history', 'after history', 'before underHead', 'before locked now', 'after locked now', 'before append', 'after append', 'commit', 'after underHead'],
    'in one step': ['before history', 'after history', 'before appendNext', 'commit', 'after appendNext'],
  }

  const trace = (onStep: (step: string) => void): Trouble => ({
    store: {
      before: (call: StoreCall) => onStep(`before ${call}`),
      after: (call: StoreCall) => onStep(`after ${call}`),
      commit: () => onStep('commit'),
    },
    guard: {
      before: (call: GuardCall) => onStep(`before guard ${call}`),
      after: (call: GuardCall) => onStep(`after guard ${call}`),
    },
  })

  for (const way of WAYS) {
    it(`knows every step of a round ${way}, and of a publication`, async () => {
      let steps: string[] = []
      await begin(trace((step) => steps.push(step)), way)
      steps = []
      await round()
      expect(steps).toEqual(ROUND_STEPS[way])
      steps = []
      await scene.publish()
      expect(steps).toEqual(PUBLICATION_STEPS)
    })
  }

  const acts = [...WAYS.map((way) => ({ act: 'a round', words: `a round ${way}`, way, steps: ROUND_STEPS[way] })), { act: 'a publication', words: 'a publication', way: WAYS[1], steps: PUBLICATION_STEPS }]
  for (const { act, words, way, steps } of acts) {
    for (const fatal of steps) {
      it(`keeps every promise when its process dies in ${words}: ${fatal}`, async () => {
        let armed = false
        const { promise: death, resolve: died } = Promise.withResolvers<void>()
        await begin(
          trace((step) => {
            if (!armed || step !== fatal) return
            armed = false
            scene.life.end()
            died()
          }),
          way,
        )
        if (act === 'a publication') await round()
        armed = true
        void (act === 'a round' ? round() : scene.publish())
        await death
        await scene.check()
        await scene.restart()
        await finish()
      })
    }
  }
})

describe('a publication that witnesses have to see', () => {
  const STEPS = [
    'before guard last',
    'after guard last',
    'before head',
    'after head',
    'before tiles',
    'after tiles',
    'before guard record',
    'after guard record',
    'before tiles', // for alice's proof
    'before tiles', // for bob's
    'after tiles',
    'after tiles',
    'before alice is asked',
    'before bob is asked',
    'after alice is asked',
    'before publish',
    'after publish',
    'after bob is asked', // late: his cosignature joins what is published
    'before publication',
    'after publication',
    'before publish',
    'after publish',
  ]
  let onStep: (step: string) => void
  let fakes: FakeWitness[]
  let merged: Promise<void>
  let scene: Scene

  beforeEach(async () => {
    onStep = () => undefined
    fakes = ['alice', 'bob'].map((name) => fakeWitness(name, [TEST_KEY], () => START_MS))
    const policy = policyOf([TEST_KEY], fakes, 'group all any alice bob\nquorum all')
    const ask = askFakes(fakes)
    scene = await newScene(
      (store, guard, life) =>
        new Witnesses({
          policy, keys: [TEST_KEY], rates: new Map(), failOpen: false, store, clock: handClock(START_MS), lastSigned: () => guard.last().size, keepAlarm: () => 'a file', log: () => undefined,
          async ask(url, body, signal) {
            const name = /alice|bob/.exec(url)?.[0] ?? ''
            onStep(`before ${name} is asked`)
            await life.go()
            const reply = await ask(url, body, signal)
            if (name === 'bob') await merged
            onStep(`after ${name} is asked`)
            await life.go()
            return reply
          },
        }),
    )
    merged = Promise.resolve()
  })
  afterEach(() => scene[Symbol.dispose]())

  const trouble: Trouble = {
    store: { before: (call) => onStep(`before ${call}`), after: (call) => onStep(`after ${call}`) },
    guard: { before: (call) => onStep(`before guard ${call}`), after: (call) => onStep(`after guard ${call}`) },
  }

  async function begin(): Promise<void> {
    await scene.restart(trouble)
    expect(await scene.submit(a.did, a.genesis)).toBe(0)
    expect(await scene.publish()).toBeNull()
    await settle()
    await check()
    expect(await scene.submit(b.did, b.genesis)).toBe(1)
  }

  // What is published has been seen by somebody; what anybody has seen is of the one log that there is.
  async function check(): Promise<void> {
    await scene.check()
    const notes = fakes.flatMap(({ requests }) => requests.map((body) => formatNote(parseAddCheckpoint(body).note)))
    const rows = await scene.remains.store.entries(0, Number.MAX_SAFE_INTEGER)
    checkNotes(notes, scene.remains, rows.map((row) => naiveLeafHash(row.entry)))
    const publication = await scene.remains.store.publication()
    const policy = policyOf([TEST_KEY], fakes, 'group all any alice bob\nquorum all')
    if (publication !== null && publication.size > 0) openUnderPolicy(publication.note, policy)
  }

  // Bob answers when the checkpoint is published already, and the publication ends when his cosignature is there.
  async function publish(steps: string[], each: (step: string, n: number) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    merged = promise
    onStep = (step) => {
      if (step === 'after publish') resolve()
      steps.push(step)
      each(step, steps.length - 1)
    }
    void scene.publish()
    await settle()
    resolve()
    await settle()
    onStep = () => undefined
  }

  it('has no other steps', async () => {
    await begin()
    const steps: string[] = []
    await publish(steps, () => undefined)
    expect(steps).toEqual(STEPS)
    expect((await scene.remains.store.publication())?.note.match(/^\u2014/gm)).toHaveLength(3)
  })

  for (const [fatal, step] of STEPS.entries()) {
    it(`keeps every promise when its process dies ${step} (step ${fatal + 1})`, async () => {
      await begin()
      await publish([], (_step, n) => n === fatal && scene.life.end())
      expect(scene.life.ended).toBe(true)
      await check()
      await scene.restart(trouble)
      expect(await scene.submit(c.did, c.genesis)).toBe(2)
      expect(await scene.publish()).toBeNull()
      await settle()
      await check()
      expect(fakes.map((fake) => fake.latest(ORIGIN)?.size)).toEqual([3, 3])
      expect((await scene.remains.store.publication())?.note.match(/^\u2014/gm)).toHaveLength(3)
    })

    it(`keeps every promise when it fails ${step} (step ${fatal + 1}) and its process goes on`, async () => {
      await begin()
      await publish([], (_step, n) => fail(n === fatal))
      await check()
      expect(await scene.submit(c.did, c.genesis)).toBe(2)
      expect(await scene.publish()).toBeNull()
      await settle()
      await check()
      expect(fakes.map((fake) => fake.latest(ORIGIN)?.size)).toEqual([3, 3])
    })
  }
})

describe('the creation of a log', () => {
  const STEPS = ['before head', 'after head', 'before create', 'after create', 'before head', 'after head', 'before publish', 'after publish']

  async function create(store: Store, guardPath: string, onStep: (step: string) => void, guardId: string): Promise<void> {
    const { keys, clock } = remains
    const seen = interfereStore(store, new Life(), { before: (call) => onStep(`before ${call}`), after: (call) => onStep(`after ${call}`) })
    const guard = await createLog(seen, { origin: ORIGIN, keys, guardPath, guardId }, clock)
    guard[Symbol.dispose]()
  }

  let remains: Awaited<ReturnType<typeof newLog>>
  beforeEach(async () => {
    remains = await newLog()
  })
  afterEach(() => remains[Symbol.dispose]())

  it('has no other steps', async () => {
    const steps: string[] = []
    await create(memoryStore(), `${remains.guardPath}.new`, (step) => steps.push(step), 'one')
    expect(steps).toEqual(STEPS)
  })

  for (const [position, step] of STEPS.entries()) {
    it(`can be cut short ${step} (step ${position + 1}), and begun again or simply started`, async () => {
      const store = memoryStore({ now: () => START_MS })
      const guardPath = `${remains.guardPath}.new`
      let left = position
      await expect(create(store, guardPath, () => fail(left-- === 0), 'one')).rejects.toThrow('lost')
      const created = (await store.head()) !== null
      const again = await create(store, guardPath, () => undefined, 'two').catch((error: unknown) => error)
      if (created) expect(again).toBeInstanceOf(LogExistsError)
      else expect(again).toBeUndefined()
      await using writer = await openWriter({ ...remains, store, guardPath })
      await writer.publish()
      expect((await store.publication())?.size).toBe(0)
      await writer.submit(a.did, a.genesis)
      await writer.publish()
      await writer.check()
    })
  }

  it('can be cut short while the guard is made', async () => {
    const guardPath = `${remains.guardPath}.new`
    writeFileSync(guardPath, '')
    const store = memoryStore({ now: () => START_MS })
    await create(store, guardPath, () => undefined, 'one')
    const guard = openGuard(guardPath, ORIGIN)
    expect(guard.id).toBe('one')
    guard[Symbol.dispose]()
  })
})

function fail(strikes: boolean): void {
  if (strikes) throw new Error('lost')
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20))
}
