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
import { HeldMap } from '../../src/map/held-map.ts'
import { runMap } from '../../src/map/run-map.ts'
import type { SignedLog, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { interfereGuard, Life } from '../support/interfere.ts'
import { recall } from './catalog.ts'
import type { Database } from './database.ts'
import type { GuardDisk } from './guard-disk.ts'
import type { MapOracle } from './map-oracle.ts'
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
  /** null for a log without a map. */
  readonly map: MapPlace | null
  /** Aborted when the simulation is over: whoever waits then, such as a process that has crashed, would wait for ever, and keep all that it knows. */
  readonly ends: AbortController[]
  /** Answers signature questions. Default: from memory. */
  readonly verify?: SequencerPorts['verify']
}

/** What a map is signed with, and who looks on. */
export interface MapPlace {
  readonly oracle: MapOracle
  readonly keys: readonly SigningKey[]
  readonly disk: GuardDisk
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
  /** The map that it writes; null where it writes none. */
  readonly map: HeldMap | null
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
const MAP_INTERVAL_MS = 5_000
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
  const mapGuard = opened === null ? null : (site.map?.disk.open() ?? null)
  let map: RunningMap | null = null

  function crash(): void {
    life.end()
    network.detach(name)
    site.web?.stop(name)
    opened?.[Symbol.dispose]()
    mapGuard?.[Symbol.dispose]()
  }

  try {
    const stopPublisher = new AbortController()
    const stopFollower = new AbortController()
    site.ends.push(stopPublisher, stopFollower)
    const tip = guard === null ? await readTip(store) : await openLog(store, keys, guard)
    const endings: Promise<void>[] = []
    let witnesses: Witnesses | null = null
    if (guard !== null) {
      witnesses = opened === null || site.witnesses === null ? null : openWitnesses(site, site.witnesses, { store, keys, guard, signed: (note) => oracle.signed(note, opened.last()) }, clock, life)
      const ports = { store, tip, guard, keys, intervalMs: CHECKPOINT_INTERVAL_MS, clock, observer: UNOBSERVED, log, witnesses }
      if (witnesses === null) await publishOnce(ports)
      else await witnesses.ask(await store.publication())
      endings.push(runPublisher(ports, stopPublisher.signal))
      if (site.map !== null && mapGuard !== null) map = startMap(site, site.map, mapGuard, store, tip, clock, life, onCall)
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
      map: map?.held ?? null,
      ended,
      crash,
      doom: (calls) => (callsLeft = calls),
      async stop() {
        await map?.stop()
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

interface RunningMap {
  readonly held: HeldMap
  stop(): Promise<void>
}

// Whatever befalls the map, the log goes on; but nothing that befalls it here is a reason to stop.
function startMap(site: Site, { oracle, keys }: MapPlace, opened: Guard, store: Store, tip: Tip, clock: Clock, life: Life, onCall: () => void): RunningMap {
  const guard = interfereGuard(opened, life, { before: onCall, after: onCall })
  const signed = (note: string): Promise<void> => oracle.signed(note, opened.last())
  const written: Store = {
    ...store,
    map: {
      ...store.map,
      async publish(publication, change) {
        await signed(publication.note)
        // As long as a quorum may take: mirrors are asked to cosign what nobody has published.
        if (site.web !== null && site.world.random.oneIn(2)) await site.world.sleep(site.world.random.below(2_000)).then(() => life.go())
        await store.map.publish(publication, change)
      },
    },
  }
  const held = new HeldMap(written, clock)
  const witnesses = site.witnesses === null ? null : openWitnesses(site, site.witnesses.ofMap, { store: written.map, keys, guard, signed }, clock, life)
  const stop = new AbortController()
  site.ends.push(stop)
  const ports = { store: written, tip, held, guard, keys, witnesses, intervalMs: MAP_INTERVAL_MS, checkpointIntervalMs: CHECKPOINT_INTERVAL_MS, clock, log: () => site.oracle.saw('map incidents') }
  const running = runMap(ports, stop.signal).catch((error: unknown) => {
    if (!life.ended) site.oracle.violation ??= new Violation(`the map is not written any more: ${String(error)}`)
  })
  return {
    held,
    async stop() {
      stop.abort()
      await running
      await witnesses?.stop()
    },
  }
}

interface Signing {
  readonly store: SignedLog
  readonly keys: readonly SigningKey[]
  readonly guard: Guard
  /** Told of every note that leaves the signer. */
  readonly signed: (note: string) => Promise<void>
}

// What is sent to a witness has left the signer, whatever becomes of it.
function openWitnesses({ oracle }: Site, { policy, ask }: Pick<WitnessTown, 'policy' | 'ask'>, { store, keys, guard, signed }: Signing, clock: Clock, life: Life): Witnesses {
  return new Witnesses({
    policy, keys, rates: new Map(), failOpen: false, store, clock, lastSigned: () => guard.last().size,
    async ask(url, body, signal) {
      await life.go()
      if (body !== null) await signed(formatNote(parseAddCheckpoint(body).note))
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
