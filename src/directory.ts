// The composition root of a directory: opens what it needs, in order, and closes it in the opposite one.

import { dirname } from 'node:path'
import packageJson from '../package.json' with { type: 'json' }
import { UsageError, type Config } from './config.ts'
import { openCounter } from './counter.ts'
import { formatVerifierKey, KEY_TYPES } from './core/tlog/note.ts'
import { AnswerCache } from './http/answer-cache.ts'
import { createApp } from './http/app.ts'
import { forwardTo } from './http/forward.ts'
import type { Submitted } from './http/ports.ts'
import { followHead, type FollowPorts } from './log/follow-head.ts'
import { openGuard } from './log/guard.ts'
import { WRITER_LIMITS } from './log/limits.ts'
import { refuseMirror, refuseNotary } from './log/open-log.ts'
import type { LogLine, WriterObserver } from './log/ports.ts'
import { SubmissionPool } from './log/pool.ts'
import { PublishedTimes } from './log/published-times.ts'
import { runSequencer, type SequencerPorts } from './log/sequencer.ts'
import { submitTo } from './log/submit.ts'
import type { WitnessesReport } from './log/witnesses.ts'
import { curveFinder } from './native/find-signer.ts'
import { chooseBackEnds } from './native/self-test.ts'
import type { Verifier } from './native/verifier.ts'
import { keepMap, readMap } from './mapping.ts'
import { openStorage } from './open-storage.ts'
import { openVerifier } from './open-verifier.ts'
import { checkOrigin, newLog, signFor, writeVkey, type OpenedLog, type Signer } from './signing.ts'
import { logOfDataFolder, noteDataFolder, randomOrigin, readKeys, stateFiles, type StateFiles } from './state-files.ts'
import type { Append, Store } from './storage/store.ts'
import { Tip } from './storage/tip.ts'
import { firstFailure, openLogLines, systemClock } from './system.ts'
import { watch } from './watch.ts'
import { readWithheld } from './withheld-file.ts'

/** A directory that serves. Disposing it answers what is under way, publishes what is durable, and closes everything. */
export interface RunningDirectory extends AsyncDisposable {
  readonly url: string
  readonly origin: string
  /** The log's verifier keys, one a line. */
  readonly vkey: string
  /** Resolves, with the reason in words, where the directory cannot go on. */
  readonly failed: Promise<Error>
}

/** A log that was created. */
export interface CreatedLog extends StateFiles {
  readonly origin: string
  /** Its verifier keys, one a line. */
  readonly vkey: string
}

/** Starts a directory. Throws in words for the operator where something is missing or does not belong together. */
export async function startDirectory(config: Config): Promise<RunningDirectory> {
  const { entries: withheld } = readWithheld(config.withheldFile)
  const log = openLogLines(config.logLevel)
  await using stack = new AsyncDisposableStack()
  const backEnds = chooseBackEnds()
  const opening = config.role === 'reader' ? null : openVerifier(stack, backEnds, log)
  const { store } = stack.use(await openStorage(config, log))
  const verifier = await opening
  const watched = watch(config)
  const opened = config.role === 'signer' ? await openAsSigner(stack, store, config, watched.observer, log) : await openWithoutKey(store, config)
  const { tip, origin, vkeys, witnesses } = opened
  const map = !config.map ? null : config.role === 'signer' ? keepMap(stack, store, config, opened, log) : readMap(store, log)
  const answers = new AnswerCache({ store, tip })
  const published = new PublishedTimes(systemClock)
  const ended: Promise<void>[] = [...opened.ended, follow(stack, { store, tip, ahead: (size) => answers.follow(size), seen: (publication) => published.see(publication), log })]

  const pool = new SubmissionPool({ maxSubmissions: WRITER_LIMITS.maxSubmissions })
  const appended = ({ from, to, entries }: Append): void => answers.changed(from.size, to.size, entries.map((row) => row.did))
  if (verifier !== null) ended.push(accept(stack, verifier, { store, tip, pool, appended, maxClockSkewMs: config.maxClockSkewMs, witnessTimes: () => (witnesses ?? published).times(), observer: watched.observer, log }))
  const now = (): number => systemClock.timeOfDay()
  const faults = (): readonly string[] => [...watched.faults(), ...(witnesses?.faults() ?? [])]
  const report = (): WitnessesReport | null => witnesses?.report() ?? null
  const metrics = await watched.serve(stack, { tip, store, queue: () => pool.waiting, verifier: verifier?.name ?? 'none', version: packageJson.version, origin, now, witnesses: report })

  const submit = config.role === 'reader' ? refuseWrites : submitTo(pool, tip, systemClock)
  const forward = config.forwardWrites === null ? null : forwardTo(config.forwardWrites)
  const ports = { store, withheld, tip, answers, curveOf: curveFinder(backEnds), submit, forward, origin, version: packageJson.version, now, faults, map, witnesses: report, log }
  const { rateLimitStatus, writeRate, readRate, clientIpHeader } = config
  const app = createApp(ports, { rateLimitStatus, writeRate, readRate, clientIpHeader, onRequest: watched.onRequest })
  const server = await openCounter(stack, config, { app, store, withheld, tip, clock: systemClock, log, observer: watched.streams })
  log('info', { url: server.url, metrics, origin, role: config.role, size: tip.durable, published: tip.published, store: store.kind, verifier: verifier?.name ?? 'none' }, 'listening')

  const failed = firstFailure(ended)
  const owned = stack.move()
  return { url: server.url, origin, vkey: vkeys.join('\n'), failed, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

// Takes operations into the log until its stack ends.
function accept(stack: AsyncDisposableStack, verifier: Verifier, ports: Omit<SequencerPorts, 'verify' | 'clock'>): Promise<void> {
  const sequenced = runSequencer({ ...ports, verify: (questions) => verifier.answer(questions), clock: systemClock })
  stack.defer(async () => {
    ports.pool.close()
    await sequenced.catch(() => undefined)
  })
  return sequenced
}

async function openAsSigner(stack: AsyncDisposableStack, store: Store, config: Config, observer: WriterObserver, log: LogLine): Promise<OpenedLog> {
  return signFor(stack, store, config, await openSigner(store, config, log), observer, log)
}

async function openWithoutKey(store: Store, config: Config): Promise<OpenedLog> {
  const head = await store.head()
  if (head === null) throw new UsageError('the database holds no log. Create it where its key shall be: stele init --origin NAME')
  if (config.role !== 'reader') {
    refuseMirror(head)
    await refuseNotary(store)
  }
  checkOrigin(config, head)
  const publication = await store.publication()
  return { tip: new Tip({ durable: head.size, published: publication?.size ?? 0 }), origin: head.origin, vkeys: head.vkeys, ended: [], witnesses: null }
}

function follow(stack: AsyncDisposableStack, ports: FollowPorts): Promise<void> {
  const stop = new AbortController()
  const followed = followHead(ports, stop.signal)
  stack.defer(async () => {
    stop.abort()
    await followed.catch(() => undefined)
  })
  return followed
}

function refuseWrites(): Promise<Submitted> {
  return Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'this is a read-only copy' })
}

/** `stele init`: creates the log that the settings name, with a key of each of the types unless it has its key file already. Throws UsageError without an origin, LogExistsError where there is a log. */
export async function createNamedLog(config: Config, types: readonly number[]): Promise<CreatedLog> {
  const { origin } = config
  if (origin === null) throw new UsageError('a log needs a name for ever: --origin NAME, such as plc.example.com/log')
  await using storage = await openStorage(config, openLogLines(config.logLevel))
  const files = stateFiles(config, origin)
  const { guard, keys } = await newLog(storage.store, origin, files, types)
  guard[Symbol.dispose]()
  const vkeys = keys.map(formatVerifierKey)
  writeVkey(config, vkeys)
  noteDataFolder(config, origin)
  return { origin, vkey: vkeys.join('\n'), ...files }
}

async function openSigner(store: Store, config: Config, log: LogLine): Promise<Signer> {
  const head = await store.head()
  if (head === null) return createDefaultLog(store, config, log)
  refuseMirror(head)
  await refuseNotary(store)
  checkOrigin(config, head)
  const files = stateFiles(config, head.origin)
  return { origin: head.origin, keys: readKeys(files.keyFile, head.origin), guard: openGuard(files.guardFile, head.origin) }
}

// Only where the key is made in the same act can no log of that key exist elsewhere.
async function createDefaultLog(store: Store, config: Config, log: LogLine): Promise<Signer> {
  if (config.databaseUrl !== null || config.keyFile !== null || config.guardFile !== null || config.origin !== null) {
    throw new UsageError('the database holds no log. If it should, bring it back, or take the log from a mirror (stele recover-log --from URL --origin NAME); if this is a new log, create it: stele init --origin NAME (with the same --database-url or --data, --key and --guard)')
  }
  const lost = logOfDataFolder(config)
  if (lost !== null) {
    throw new UsageError(
      `the database in ${config.dataDir} is empty, but the log ${lost} was there. Bring the folder back (is its volume mounted?), take the log from a mirror (stele recover-log --from URL), or name another folder with --data. ` +
        `Only where that log shall be given up for ever: move ${dirname(stateFiles(config, lost).keyFile)} away`,
    )
  }
  const origin = randomOrigin()
  const files = stateFiles(config, origin)
  const signer = await newLog(store, origin, files, [KEY_TYPES.ed25519])
  log('info', { origin, ...files }, 'created a log with a name and a key of its own; keep the key and the guard')
  return signer
}
