// A writer over a store in memory, with a clock that tests move and a guard in a folder of its own.

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeSigningKey, KEY_TYPES, type SigningKey } from '../../src/core/tlog/note.ts'
import { findSigner, type SignatureAnswer, type SignatureQuestion } from '../../src/core/plc/signature.ts'
import { createLog } from '../../src/log/create-log.ts'
import { openGuard, type Guard } from '../../src/log/guard.ts'
import { openLog } from '../../src/log/open-log.ts'
import { UNOBSERVED, type Clock } from '../../src/log/ports.ts'
import { SubmissionPool, type Accepted } from '../../src/log/pool.ts'
import { mergeCosignatures, publishOnce } from '../../src/log/publisher.ts'
import { runSequencer } from '../../src/log/sequencer.ts'
import type { Witnesses } from '../../src/log/witnesses.ts'
import { memoryStore, type FaultPoint } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import type { Tip } from '../../src/storage/tip.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { checkLog } from './check-log.ts'

/** Where a test's time begins. */
export const START_MS = 1_700_000_000_000

/** A clock that stands still until a test moves it; sleeping takes no time. */
export interface TestClock extends Clock {
  ms: number
}

/** What a crash leaves behind: the store, the guard's file, the key. */
export interface Remains {
  readonly store: Store
  readonly guardPath: string
  readonly keys: readonly SigningKey[]
  readonly clock: TestClock
  /** Faults to come, in order: each strikes when its point is reached next. */
  readonly faults: FaultPoint[]
  readonly log: string[]
  /** Stands between the writer and its guard. */
  readonly seenThrough?: (guard: Guard) => Guard
  /** The witnesses of a writer that has some. */
  readonly witnesses?: (store: Store, guard: Guard) => Witnesses
}

/** A writer at work. */
export interface Writer extends AsyncDisposable {
  readonly remains: Remains
  readonly tip: Tip
  readonly guard: Guard
  submit(did: string, operation: Operation, seenSize?: number): Promise<Accepted>
  /** Signs and publishes what is durable. */
  publish(): Promise<void>
  /** The whole log, checked: the oracle of every test. */
  check(store?: Store): Promise<void>
  /** How the sequencer ended. */
  readonly ended: Promise<void>
}

export const ORIGIN = 'writer.test/log'
export const TEST_KEY = makeSigningKey(ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(7))

/** A new, empty log and all that would survive a crash of its writer. Its folder goes with `dispose`. */
export async function newLog(): Promise<Remains & Disposable> {
  const folder = mkdtempSync(join(tmpdir(), 'stele-writer-'))
  const clock: TestClock = { ms: START_MS, now: () => clock.ms, timeOfDay: () => clock.ms, sleep: () => new Promise((resolve) => setTimeout(resolve, 1)) }
  const faults: FaultPoint[] = []
  const store = memoryStore({
    now: () => clock.ms,
    fault(point) {
      if (faults[0] !== point) return
      faults.shift()
      throw new Error(`fault: ${point}`)
    },
  })
  const guardPath = join(folder, 'guard.sqlite')
  const keys = [TEST_KEY]
  const guard = await createLog(store, { origin: ORIGIN, keys, guardPath, guardId: randomUUID() }, clock)
  guard[Symbol.dispose]()
  const log: string[] = []
  return { store, guardPath, keys, clock, faults, log, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

/** Opens the log over what is there, as at a start. `answer` answers the signature questions; by default it verifies. */
export async function openWriter(remains: Remains, answer: (question: SignatureQuestion) => SignatureAnswer = findSigner): Promise<Writer> {
  const { store, keys, clock, log } = remains
  const opened = openGuard(remains.guardPath, ORIGIN)
  const guard = remains.seenThrough?.(opened) ?? opened
  let tip: Tip
  try {
    tip = await openLog(store, keys, guard)
  } catch (error) {
    guard[Symbol.dispose]()
    throw error
  }
  const witnesses = remains.witnesses?.(store, guard) ?? null
  if (witnesses !== null) {
    witnesses.onCosigned = (size) => void mergeCosignatures({ store, keys, log: (_level, _fields, words) => log.push(words) }, witnesses, size)
    await witnesses.ask(await store.publication())
  }
  const pool = new SubmissionPool({ maxSubmissions: 100 })
  const verify: Parameters<typeof runSequencer>[0]['verify'] = (questions) =>
    Promise.resolve(questions.map((question) => (question === null ? undefined : answer(question))))
  const ended = runSequencer({ store, tip, pool, verify, clock, maxClockSkewMs: 10_000, observer: UNOBSERVED, log: (_level, _fields, words) => log.push(words) })
  ended.catch(() => undefined)
  let closed = false
  return {
    remains,
    tip,
    guard,
    ended,
    submit: (did, operation, seenSize = tip.durable) => pool.submit(did, operation, seenSize),
    publish: () => publishOnce({ store, tip, guard, keys, clock, observer: UNOBSERVED, witnesses }),
    check: (seen = store) => checkLog(seen, keys, answer),
    async [Symbol.asyncDispose]() {
      if (closed) return
      closed = true
      pool.close()
      await ended.catch(() => undefined)
      guard[Symbol.dispose]()
    },
  }
}
