// One process of a simulated directory, composed of the real parts: pool, sequencer, follower and, for the signer, publisher.

import { DirectoryError } from '../../src/core/errors.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { ContradictionError } from '../../src/log/consistency.ts'
import { followHead, HeadBehindError } from '../../src/log/follow-head.ts'
import { GuardError, type Guard } from '../../src/log/guard.ts'
import { OpenLogError, openLog } from '../../src/log/open-log.ts'
import { UNOBSERVED, type Clock, type WriterObserver } from '../../src/log/ports.ts'
import { SubmissionPool } from '../../src/log/pool.ts'
import { PublishedTimes } from '../../src/log/published-times.ts'
import { publishOnce, runPublisher } from '../../src/log/publisher.ts'
import { runSequencer, type SequencerPorts } from '../../src/log/sequencer.ts'
import { submitTo } from '../../src/log/submit.ts'
import { parseAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { formatNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { Witnesses } from '../../src/log/witnesses.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { interfereGuard, Life } from '../support/interfere.ts'
import { recall } from './catalog.ts'
import type { Database } from './database.ts'
import type { GuardDisk } from './guard-disk.ts'
import type { Network } from './network.ts'
import { MAX_SKEW_MS, Violation, type Oracle } from './oracle.ts'
import type { Web } from './web.ts'
import type { WitnessTown } from './witnesses.ts'
import type { World } from './world.ts'

/** A machine's clock: how far it is ahead, milliseconds. */
export interface Machine {
  clockOffsetMs: number
}

/** Where a process runs. */
export interface Site {
  readonly world: World
  readonly database: Database
  readonly network: Network
  readonly oracle: Oracle
  readonly keys: readonly SigningKey[]
  /** null for a log without witnesses. */
  readonly witnesses: WitnessTown | null
  /** Where it can be read; null where nobody reads. */
  readonly web: Web | null
  /** Answers signature questions. Default: from memory. */
  readonly verify?: SequencerPorts['verify']
}

/** What a client sends. */
export interface Post {
  readonly did: string
  readonly operation: Operation
}

/** What it is answered. */
export type Reply =
  | { readonly outcome: 'accepted'; readonly index: number }
  | { readonly outcome: 'refused'; readonly code: string }
  | { readonly outcome: 'unavailable'; readonly reason: string }

/** A process at work. */
export interface DirectoryProcess {
  readonly name: string
  readonly life: Life
  readonly tip: Tip
  /** Resolves, with the reason, when it ends by itself. */
  readonly ended: Promise<Error>
  /** Ends it at once, wherever it is. */
  crash(): void
  /** Ends it in the midst of what it does: when so many of its calls have been made or answered. */
  doom(calls: number): void
  /** Ends it as a service manager does: what waits is answered first. */
  stop(): Promise<void>
}

const CHECKPOINT_INTERVAL_MS = 1_000
const MAX_SUBMISSIONS = 12
/** After so long nothing of a trouble is left. */
const CALM_MS = 120_000

/** Starts a process; with a guard it is the signer. Throws what a start throws; incidents of a rough database are among it. */
export async function startProcess(site: Site, name: string, machine: Machine, disk: GuardDisk | null): Promise<DirectoryProcess> {
  const { world, database, network, keys } = site
  const oracle: Oracle = site.oracle
  const life = new Life()
  const bornAt = world.now
  const clock: Clock = {
    now: () => world.now - bornAt,
    timeOfDay: () => world.now + machine.clockOffsetMs,
    sleep: (ms, signal) => world.sleep(ms, signal).then(() => life.go()),
  }
  let callsLeft = Infinity
  const onCall = (): void => {
    if (--callsLeft === 0) crash()
  }
  const connected = database.connect(life, { onCall, onAppend: (append, reading) => oracle.appending(append, reading, clock.timeOfDay()) })
  const opened = disk?.open() ?? null
  const guard = opened === null ? null : interfereGuard(opened, life, { before: onCall, after: onCall })
  const store: Store = {
    ...connected,
    async publish(publication) {
      if (opened === null) throw new Violation('a process without a guard has signed')
      await oracle.signed(publication.note, opened.last())
      await connected.publish(publication)
    },
  }
  const log = (): void => undefined

  function crash(): void {
    life.end()
    network.detach(name)
    site.web?.stop(name)
    opened?.[Symbol.dispose]()
  }

  try {
    const stopPublisher = new AbortController()
    const stopFollower = new AbortController()
    const tip = guard === null ? await readTip(store) : await openLog(store, keys, guard)
    const endings: Promise<void>[] = []
    let witnesses: Witnesses | null = null
    if (guard !== null) {
      witnesses = opened === null || site.witnesses === null ? null : openWitnesses(site, site.witnesses, store, guard, opened, clock, life)
      const ports = { store, tip, guard, keys, intervalMs: CHECKPOINT_INTERVAL_MS, clock, observer: UNOBSERVED, log, witnesses }
      if (witnesses === null) await publishOnce(ports)
      else await witnesses.ask(await store.publication())
      endings.push(runPublisher(ports, stopPublisher.signal))
    }
    const pool = new SubmissionPool({ maxSubmissions: MAX_SUBMISSIONS })
    const observer: WriterObserver = {
      ...UNOBSERVED,
      outcomeUnknown: () => oracle.saw('unknown outcomes'),
      roundFailed: () => oracle.saw('failed rounds'),
      clockFault: (words) => words !== null && oracle.saw('clock faults'),
    }
    const verify: SequencerPorts['verify'] =
      site.verify ??
      (async (questions) => {
        if (world.random.oneIn(3)) await world.sleep(world.random.below(40))
        return questions.map((question) => (question === null ? undefined : recall(question)))
      })
    const published = new PublishedTimes(clock)
    const sequenced = runSequencer({ store, tip, pool, verify, clock, maxClockSkewMs: MAX_SKEW_MS, witnessTimes: () => (witnesses ?? published).times(), observer, log })
    endings.push(sequenced, followHead({ store, tip, seen: (publication) => published.see(publication), log }, stopFollower.signal))

    site.web?.serve(name, { store: connected, tip, life, isMirror: false })
    const submit = submitTo(pool, tip, clock)
    network.attach(name, async (message) => {
      const { did, operation } = message as Post
      oracle.arrived(operation.cid, tip.durable)
      const reply = await submit(did, operation).catch((error: unknown): Reply => {
        if (error instanceof DirectoryError) return { outcome: 'refused', code: error.code }
        throw error
      })
      await life.go()
      const forgotten = reply.outcome === 'unavailable' && reply.reason.includes('too long')
      oracle.check(!forgotten || database.calmForMs < CALM_MS, 'an operation has waited too long though nothing was wrong')
      return reply
    })
    // A sequencer or publisher that has been told to stop ends well: only a failure is an end by itself.
    const ended = Promise.race(endings.map((ending) => ending.then(() => new Promise<never>(() => undefined)))).catch((error: unknown) => asError(error))
    return {
      name,
      life,
      tip,
      ended,
      crash,
      doom: (calls) => (callsLeft = calls),
      async stop() {
        pool.close()
        await sequenced.catch(() => undefined)
        stopPublisher.abort()
        stopFollower.abort()
        await Promise.allSettled(endings)
        await witnesses?.stop()
        crash()
      },
    }
  } catch (error) {
    crash()
    throw error
  }
}

// What is sent to a witness has left the signer, whatever becomes of it.
function openWitnesses({ oracle, keys }: Site, { policy, ask }: WitnessTown, store: Store, guard: Guard, opened: Guard, clock: Clock, life: Life): Witnesses {
  return new Witnesses({
    policy, keys, rates: new Map(), failOpen: false, store, clock, lastSigned: () => guard.last().size,
    async ask(url, body, signal) {
      await life.go()
      if (body !== null) await oracle.signed(formatNote(parseAddCheckpoint(body).note), opened.last())
      try {
        const reply = await ask(url, body, signal)
        oracle.saw(`witnesses answered ${reply.status}`)
        return reply
      } finally {
        await life.go()
      }
    },
    keepAlarm() {
      oracle.saw('alarms')
      return 'nowhere'
    },
    log: () => undefined,
  })
}

/** A reason to stop for ever that this simulation never gives: its database never goes back, its guard is never old. */
export function isAlarm(error: unknown): boolean {
  return error instanceof HeadBehindError || error instanceof ContradictionError || error instanceof OpenLogError || error instanceof GuardError || error instanceof Violation
}

async function readTip(store: Store): Promise<Tip> {
  const publication = await store.publication()
  const head = await store.head()
  if (head === null) throw new Violation('the log is gone')
  return new Tip({ durable: head.size, published: publication?.size ?? 0 })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
