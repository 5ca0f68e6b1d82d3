// The composition root of a directory: opens what it needs, in order, and closes it in the opposite one.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import packageJson from '../package.json' with { type: 'json' }
import { UsageError, type Config } from './config.ts'
import { formatVerifierKey, KEY_TYPES, type SigningKey } from './core/tlog/note.ts'
import { parsePolicy } from './core/tlog/policy.ts'
import { DirectoryError } from './core/errors.ts'
import { AnswerCache } from './http/answer-cache.ts'
import { createApp } from './http/app.ts'
import { forwardTo } from './http/forward.ts'
import { listen } from './http/listen.ts'
import { createMetrics, type Metrics, type MetricsSources } from './http/metrics.ts'
import { LIMITS } from './http/limits.ts'
import type { RequestFacts, Submitted } from './http/ports.ts'
import { createLog } from './log/create-log.ts'
import { followHead, type FollowPorts } from './log/follow-head.ts'
import { openGuard, type Guard } from './log/guard.ts'
import { WRITER_LIMITS } from './log/limits.ts'
import { openLog, refuseMirror } from './log/open-log.ts'
import type { LogLine, WriterObserver } from './log/ports.ts'
import { SubmissionPool } from './log/pool.ts'
import { PublishedTimes } from './log/published-times.ts'
import { publishOnce, runPublisher } from './log/publisher.ts'
import { runSequencer, type SequencerPorts } from './log/sequencer.ts'
import { submitTo } from './log/submit.ts'
import { askWitness } from './log/witness-request.ts'
import { PolicyError, Witnesses, type WitnessesReport } from './log/witnesses.ts'
import type { BackEnds } from './native/back-ends.ts'
import { curveFinder } from './native/find-signer.ts'
import { chooseBackEnds } from './native/self-test.ts'
import { createVerifier, type Verifier } from './native/verifier.ts'
import { clientKey } from './net/client-address.ts'
import { Throttle } from './net/throttle.ts'
import { logOfDataFolder, noteDataFolder, randomGuardId, randomOrigin, readKeys, readOrMakeKeys, stateFiles, type StateFiles } from './state-files.ts'
import { startEmbedded } from './storage/embedded.ts'
import { migrateToLatest } from './storage/migrate.ts'
import { openPostgres } from './storage/postgres.ts'
import type { Append, Head, Store } from './storage/store.ts'
import { Tip } from './storage/tip.ts'
import type { StreamObserver } from './stream/ports.ts'
import { openStreams } from './stream/upgrade.ts'
import { firstFailure, openLogLines, systemClock } from './system.ts'

/** This program's version. */
export const VERSION: string = packageJson.version

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
  const log = openLogLines(config.logLevel)
  await using stack = new AsyncDisposableStack()
  const { store } = stack.use(await openStorage(config, log))
  const backEnds = chooseBackEnds()
  const verifier = config.role === 'reader' ? null : stack.use(await openVerifier(backEnds, log))
  const watched = observe(config)
  const opened = config.role === 'signer' ? await openAsSigner(stack, store, config, watched.observer, log) : await openWithoutKey(store, config)
  const { tip, origin, vkeys, witnesses } = opened
  const answers = new AnswerCache({ store, tip })
  const published = new PublishedTimes(systemClock)
  const ended: Promise<void>[] = [...opened.ended, follow(stack, { store, tip, ahead: (size) => answers.follow(size), seen: (publication) => published.see(publication), log })]

  const pool = new SubmissionPool({ maxSubmissions: WRITER_LIMITS.maxSubmissions })
  const appended = ({ from, to, entries }: Append): void => answers.changed(from.size, to.size, entries.map((row) => row.did))
  if (verifier !== null) ended.push(accept(stack, verifier, { store, tip, pool, appended, maxClockSkewMs: config.maxClockSkewMs, witnessTimes: () => (witnesses ?? published).times(), observer: watched.observer, log }))
  const now = (): number => systemClock.timeOfDay()
  const faults = (): readonly string[] => [...watched.faults(), ...(witnesses?.faults() ?? [])]
  const report = (): WitnessesReport | null => witnesses?.report() ?? null
  const metrics = await watched.serve(stack, { tip, store, queue: () => pool.waiting, verifier: verifier?.name ?? 'none', version: VERSION, origin, now, witnesses: report })

  const submit = config.role === 'reader' ? refuseWrites : submitTo(pool, tip, systemClock)
  const forward = config.forwardWrites === null ? null : forwardTo(config.forwardWrites)
  const ports = { store, tip, answers, curveOf: curveFinder(backEnds), submit, forward, origin, version: VERSION, now, faults, witnesses: report, log }
  const { rateLimitStatus, writeRate, readRate, clientIpHeader } = config
  const app = createApp(ports, { rateLimitStatus, writeRate, readRate, clientIpHeader, onRequest: watched.onRequest })
  // Behind a proxy every connection has the proxy's address.
  const limits = clientIpHeader === null ? {} : { connectionsPerAddress: Infinity }
  // Streams are opened at the rate of reads, counted apart.
  const openings = readRate === 0 ? null : new Throttle({ rate: readRate, burst: readRate * LIMITS.readBurstSeconds, addresses: LIMITS.addresses })
  const streams = stack.use(
    openStreams({
      store, tip, now, log,
      clientKey: (request) => clientKey(request, clientIpHeader),
      admit: (key) => openings?.take(key, systemClock.now()) ?? 0,
      maxCursorAgeMs: config.maxCursorAgeMs,
      observer: watched.streams,
    }),
  )
  const server = stack.use(await listen(app, { host: config.host, port: config.port, limits, upgrades: streams }))
  log('info', { url: server.url, metrics, origin, role: config.role, size: tip.durable, published: tip.published, store: store.kind, verifier: verifier?.name ?? 'none' }, 'listening')

  const failed = firstFailure(ended)
  const owned = stack.move()
  return { url: server.url, origin, vkey: vkeys.join('\n'), failed, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

interface Watched {
  readonly observer: WriterObserver
  readonly faults: () => readonly string[]
  readonly onRequest: (facts: RequestFacts) => void
  readonly streams: StreamObserver
  /** Opens the port of the metrics where one is asked for; resolves with its address. */
  readonly serve: (stack: AsyncDisposableStack, sources: MetricsSources) => Promise<string | null>
}

// Metrics know the log's tip, which is known after the log is opened, which is observed already: until then there is
// nothing to count.
function observe({ host, metricsPort }: Config): Watched {
  let fault: string | null = null
  let metrics: Metrics | null = null
  const observer: WriterObserver = {
    round: (facts) => metrics?.observer.round(facts),
    roundFailed: () => metrics?.observer.roundFailed(),
    outcomeUnknown: () => metrics?.observer.outcomeUnknown(),
    published: (size) => metrics?.observer.published(size),
    clockFault(words) {
      fault = words
      metrics?.observer.clockFault(words)
    },
  }
  return {
    observer,
    faults: () => (fault === null ? [] : [fault]),
    onRequest: (facts) => metrics?.onRequest(facts),
    streams: {
      opened: (stream) => metrics?.streams.opened(stream),
      closed: (stream, reason) => metrics?.streams.closed(stream, reason),
      sent: (stream, messages, bytes) => metrics?.streams.sent(stream, messages, bytes),
    },
    async serve(stack, sources) {
      if (metricsPort === null) return null
      metrics = createMetrics(sources)
      return stack.use(await listen(metrics.app, { host, port: metricsPort })).url
    },
  }
}

function openVerifier(backEnds: BackEnds, log: LogLine): Promise<Verifier> {
  return createVerifier({ backEnds, onIncident: (error) => log('error', { error }, 'a thread that checks signatures failed; its work is done all the same') })
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

interface OpenedLog {
  readonly tip: Tip
  readonly origin: string
  readonly vkeys: readonly string[]
  /** Work in the background: each rejects where the directory cannot go on. */
  readonly ended: readonly Promise<void>[]
  readonly witnesses: Witnesses | null
}

// The one process that holds the guard: it publishes from the start to the end of its stack.
async function openAsSigner(stack: AsyncDisposableStack, store: Store, config: Config, observer: WriterObserver, log: LogLine): Promise<OpenedLog> {
  const { keys, guard, origin } = await openSigner(store, config, log)
  stack.use(guard)
  const tip = await openLog(store, keys, guard)
  const vkeys = keys.map(formatVerifierKey)
  writeVkey(config, vkeys)
  noteDataFolder(config, origin)
  const witnesses = openWitnesses(store, config, guard, keys, log)
  stack.defer(() => witnesses?.stop())
  const publisher = { store, tip, guard, keys, intervalMs: config.checkpointIntervalMs, clock: systemClock, observer, log, witnesses }
  if (witnesses === null) await publishOnce(publisher)
  else await witnesses.ask(await store.publication())
  const stop = new AbortController()
  const published = runPublisher(publisher, stop.signal)
  stack.defer(async () => {
    stop.abort()
    await published.catch(() => undefined)
  })
  return { tip, origin, vkeys, ended: [published], witnesses }
}

/** The witnesses of the policy that the settings name; null for none. What they say against the log is kept beside the guard. Throws UsageError for a policy that cannot be used. */
export function openWitnesses(store: Store, config: Config, guard: Guard, keys: readonly SigningKey[], log: LogLine): Witnesses | null {
  if (config.policyFile === null) return null
  const folder = join(dirname(stateFiles(config, guard.origin).guardFile), 'alarms')
  const keepAlarm = (name: string, text: string): string => {
    const file = join(folder, `${name}.alarm`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(file, text, { flush: true })
    return file
  }
  try {
    const policy = parsePolicy(readFileSync(config.policyFile, 'utf8'))
    const { witnessRates: rates, witnessFailOpen: failOpen } = config
    return new Witnesses({ policy, keys, rates, failOpen, store, ask: askWitness, clock: systemClock, lastSigned: () => guard.last().size, keepAlarm, log })
  } catch (error) {
    if (!(error instanceof DirectoryError) && !(error instanceof PolicyError)) throw error
    throw new UsageError(`--policy ${config.policyFile}: ${error.message}`)
  }
}

async function openWithoutKey(store: Store, config: Config): Promise<OpenedLog> {
  const head = await store.head()
  if (head === null) throw new UsageError('the database holds no log. Create it where its key shall be: stele init --origin NAME')
  if (config.role !== 'reader') refuseMirror(head)
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

/** Opens the database that the settings name, embedded or not, with the newest schema. */
export async function openStorage(config: Config, log: LogLine): Promise<AsyncDisposable & { readonly store: Store }> {
  await using stack = new AsyncDisposableStack()
  const connection = config.databaseUrl ?? stack.use(await startEmbedded({ dataDir: config.dataDir, log })).connection
  // A copy cannot be migrated; it is refused, with words, while its original is older than this program.
  if (config.role !== 'reader') await migrateToLatest({ connection })
  const onIncident = (error: Error): void => log('warn', { error }, `the database: ${error.message}`)
  const store = stack.use(await openPostgres({ connection, onIncident }))
  const owned = stack.move()
  return { store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

interface Signer {
  readonly origin: string
  readonly keys: readonly SigningKey[]
  readonly guard: Guard
}

async function openSigner(store: Store, config: Config, log: LogLine): Promise<Signer> {
  const head = await store.head()
  if (head === null) return createDefaultLog(store, config, log)
  refuseMirror(head)
  checkOrigin(config, head)
  const files = stateFiles(config, head.origin)
  return { origin: head.origin, keys: readKeys(files.keyFile, head.origin), guard: openGuard(files.guardFile, head.origin) }
}

// Only where the key is made in the same act can no log of that key exist elsewhere.
async function createDefaultLog(store: Store, config: Config, log: LogLine): Promise<Signer> {
  if (config.databaseUrl !== null || config.keyFile !== null || config.guardFile !== null || config.origin !== null) {
    throw new UsageError('the database holds no log. If it should, bring it back; if this is a new log, create it: stele init --origin NAME (with the same --database-url or --data, --key and --guard)')
  }
  const lost = logOfDataFolder(config)
  if (lost !== null) {
    throw new UsageError(
      `the database in ${config.dataDir} is empty, but the log ${lost} was there. Bring the folder back (is its volume mounted?), or name another with --data. ` +
        `Only where that log shall be given up for ever: move ${dirname(stateFiles(config, lost).keyFile)} away`,
    )
  }
  const origin = randomOrigin()
  const files = stateFiles(config, origin)
  const signer = await newLog(store, origin, files, [KEY_TYPES.ed25519])
  log('info', { origin, ...files }, 'created a log with a name and a key of its own; keep the key and the guard')
  return signer
}

async function newLog(store: Store, origin: string, { keyFile, guardFile }: StateFiles, types: readonly number[]): Promise<Signer> {
  const keys = readOrMakeKeys(keyFile, origin, types)
  const guard = await createLog(store, { origin, keys, guardPath: guardFile, guardId: randomGuardId() }, systemClock)
  return { origin, keys, guard }
}

function checkOrigin({ origin }: Config, head: Head): void {
  if (origin !== null && origin !== head.origin) throw new UsageError(`--origin is ${origin}, but the database holds the log ${head.origin}`)
}

function writeVkey(config: Config, vkeys: readonly string[]): void {
  mkdirSync(config.dataDir, { recursive: true })
  writeFileSync(join(config.dataDir, 'log.vkey'), vkeys.map((vkey) => `${vkey}\n`).join(''))
}
