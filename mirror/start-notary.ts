// The composition root of a notary: a signer's house, whose writer follows a plain did:plc directory. spec/mirror.md#notary

import { existsSync } from 'node:fs'
import packageJson from '../package.json' with { type: 'json' }
import { UsageError, type Config } from '../src/config.ts'
import { openCounter } from '../src/counter.ts'
import { MAX_SOURCE_LENGTH } from '../src/core/entry.ts'
import { KEY_TYPES } from '../src/core/tlog/note.ts'
import { AnswerCache } from '../src/http/answer-cache.ts'
import { createApp } from '../src/http/app.ts'
import { forwardTo } from '../src/http/forward.ts'
import type { Submitted } from '../src/http/ports.ts'
import { followHead } from '../src/log/follow-head.ts'
import { openGuard } from '../src/log/guard.ts'
import { refuseMirror } from '../src/log/open-log.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import { keepMap } from '../src/mapping.ts'
import { curveFinder } from '../src/native/find-signer.ts'
import { chooseBackEnds } from '../src/native/self-test.ts'
import { openStorage } from '../src/open-storage.ts'
import { openVerifier } from '../src/open-verifier.ts'
import { checkOrigin, newLog, signFor, type Signer } from '../src/signing.ts'
import { logOfDataFolder, readKeys, stateFiles } from '../src/state-files.ts'
import type { Store, UpstreamPosition } from '../src/storage/store.ts'
import { firstFailure, openLogLines, systemClock } from '../src/system.ts'
import { watch } from '../src/watch.ts'
import { readWithheld } from '../src/withheld-file.ts'
import { untilArrived } from './arrival.ts'
import { followPlain } from './follow-plain.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { Notary } from './notary.ts'
import { NotaryStanding } from './notary-standing.ts'
import { PlainUpstream } from './plain-upstream.ts'

/** What a notary is told. Of its settings `forwardWrites` is not looked at: a notary's only upstream takes the writes. */
export interface NotaryConfig extends Config {
  /** A plain did:plc directory, without a slash at the end. */
  readonly upstream: string
  /** Its name, which stands in every entry; null for the host of its address. */
  readonly source: string | null
  /** Whether submissions are passed on to it. */
  readonly passOn: boolean
  /** Requests that are made of it in a minute, 0 for any number. */
  readonly requestsPerMinute: number
  /** What was set aside or diverged before, milliseconds since 1970, is no fault any more: the operator knows. */
  readonly acknowledged: number
}

/** What a composition root may be given in place of what it would open. */
export interface NotaryParts {
  readonly store?: Store
  readonly log?: LogLine
  readonly clock?: Clock
  /** From 0 up to 1. */
  readonly random?: () => number
}

/** A notary that serves. Disposing it ends everything that it opened. */
export interface RunningNotary extends AsyncDisposable {
  readonly url: string
  readonly origin: string
  /** The log's verifier keys, one a line. */
  readonly vkey: string
  /** Resolves, with the reason in words, where the notary cannot go on. */
  readonly failed: Promise<Error>
}

/** Starts a notary, and resolves once it serves. Throws in words for the operator where something is missing or does not belong together. */
export async function startNotary(config: NotaryConfig, { log = openLogLines(config.logLevel), clock = systemClock, random = Math.random, ...parts }: NotaryParts = {}): Promise<RunningNotary> {
  const { entries: withheld, ...withheldViews } = readWithheld(config.withheldFile)
  const stop = new AbortController()
  const end = (): void => stop.abort(new Error('the notary stops'))
  await using stack = new AsyncDisposableStack()
  const backEnds = chooseBackEnds()
  const opening = openVerifier(stack, backEnds, log)
  const store = parts.store ?? stack.use(await openStorage(config, log)).store
  const signer = await openSigner(store, config, log)
  const watched = watch(config)
  const opened = await signFor(stack, store, config, signer, watched.observer, log)
  const { tip, origin, vkeys, ended, witnesses } = opened
  const map = config.map ? keepMap(stack, store, config, opened, log) : null
  const begun = await beginUpstream(store, config)
  const timeOfDay = (): number => clock.timeOfDay()
  const verifier = await opening
  const answers = new AnswerCache({ store, tip })

  const { kept } = await store.notary.setAsideCounts(0)
  const notary = new Notary({ store, tip, verify: (questions) => verifier.answer(questions), appended: (from, to, dids) => answers.changed(from, to, dids), now: timeOfDay }, begun, kept)
  const standing = new NotaryStanding(config.upstream, clock, () => notary.position, () => tip.durable, config.acknowledged)
  await Promise.all([standing.countRefused(store), standing.countDivergent(store)])
  const upstream = new PlainUpstream(config.upstream, config.requestsPerMinute, clock, stop.signal)
  const followed = followPlain({ store, notary, upstream, standing, clock, random, log }, stop.signal)
  stack.defer(() => {
    end()
    return followed
  })
  const reads = followHead({ store, tip, ahead: (size) => answers.follow(size), log }, stop.signal)
  stack.defer(() => {
    end()
    return reads.catch(() => undefined)
  })

  const { clientIpHeader, readRate, writeRate } = config
  const app = createApp(
    {
      store, withheld, withheldViews, tip, answers, origin, log,
      curveOf: curveFinder(backEnds),
      submit: refuseWrites,
      forward: config.passOn ? untilArrived(forwardTo(config.upstream), { store, tip, waitMs: MIRROR_LIMITS.arrivalSeconds * 1000 }) : null,
      version: packageJson.version,
      now: timeOfDay,
      faults: () => [...standing.faults(), ...watched.faults(), ...(witnesses?.faults() ?? [])],
      map,
      witnesses: () => witnesses?.report() ?? null,
      notary: () => standing.report(),
    },
    { clientIpHeader, readRate, writeRate, onRequest: watched.onRequest },
  )
  const metrics = await watched.serve(stack, { tip, store, queue: () => 0, verifier: verifier.name, version: packageJson.version, origin, now: timeOfDay, witnesses: () => witnesses?.report() ?? null, notary: () => standing.report() })
  const server = await openCounter(stack, config, { app, store, withheld, tip, clock, log, observer: watched.streams })
  log('info', { url: server.url, metrics, origin, size: tip.durable, published: tip.published, store: store.kind, verifier: verifier.name, upstream: config.upstream, source: begun.source }, 'the notary listens')

  const failed = firstFailure([reads, followed, ...ended])
  const owned = stack.move()
  return { url: server.url, origin, vkey: vkeys.join('\n'), failed, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function openSigner(store: Store, config: NotaryConfig, log: LogLine): Promise<Signer> {
  const head = await store.head()
  if (head === null) return createOwnLog(store, config, log)
  refuseMirror(head)
  if (head.clock.lastNative !== null) throw new UsageError(`the database holds the log ${head.origin} of a directory, which has accepted operations itself: a notary needs a database of its own (--data or --database-url)`)
  checkOrigin(config, head)
  const files = stateFiles(config, head.origin)
  return { origin: head.origin, keys: readKeys(files.keyFile, head.origin), guard: openGuard(files.guardFile, head.origin) }
}

// Only where the key is made in the same act can no log of that key exist elsewhere.
async function createOwnLog(store: Store, config: NotaryConfig, log: LogLine): Promise<Signer> {
  const { origin } = config
  if (origin === null) throw new UsageError('a notary has a log of its own, which needs a name for ever: --origin NAME, such as notary.example.com/plc')
  const files = stateFiles(config, origin)
  const there = [files.keyFile, files.guardFile].find((file) => existsSync(file))
  if (there !== undefined) {
    throw new UsageError(
      `the database holds no log, but ${there} is that of the log ${origin}. If the database should hold it, bring it back (--data, --database-url). ` +
        `Where its creation was cut short, or the key was made beforehand: stele init --origin ${origin}`,
    )
  }
  const lost = config.databaseUrl === null ? logOfDataFolder(config) : null
  if (lost !== null) throw new UsageError(`the database in ${config.dataDir} is empty, but the log ${lost} was there. Bring the folder back (is its volume mounted?), or name another with --data`)
  const signer = await newLog(store, origin, files, [KEY_TYPES.ed25519])
  log('info', { origin, ...files }, 'created a log with a key of its own; keep the key and the guard')
  return signer
}

// A store is a notary of one directory for ever: numbers of another would mean other operations.
async function beginUpstream(store: Store, { upstream, source }: NotaryConfig): Promise<UpstreamPosition> {
  const name = source ?? new URL(upstream).host
  if (name.length > MAX_SOURCE_LENGTH) throw new UsageError(`--source: a name has 1 to ${MAX_SOURCE_LENGTH} characters`)
  await store.notary.begin(name)
  const position = await store.notary.upstream()
  if (position === null) throw new Error('what was begun is gone')
  if (position.source !== name) {
    throw new UsageError(`the database is that of a notary of ${position.source}, not of ${name}: give this one a database and an origin of its own. Where ${position.source} has only moved: --source ${position.source}`)
  }
  return position
}

function refuseWrites(): Promise<Submitted> {
  return Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'this is a notary, which takes no operations' })
}
