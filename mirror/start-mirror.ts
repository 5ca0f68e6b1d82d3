// The composition root of a mirror: the directory's house with another writer. spec/mirror.md

import packageJson from '../package.json' with { type: 'json' }
import { UsageError, type Config } from '../src/config.ts'
import { openCounter } from '../src/counter.ts'
import { findBrokenRule } from '../src/client/fork.ts'
import { MismatchError } from '../src/client/mismatch.ts'
import { alarmPart } from '../src/core/alarm.ts'
import { DirectoryError } from '../src/core/errors.ts'
import { mapOrigin } from '../src/core/map/map-leaf.ts'
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import { AnswerCache } from '../src/http/answer-cache.ts'
import { createApp } from '../src/http/app.ts'
import { forwardTo } from '../src/http/forward.ts'
import type { ForwardPort, MirrorStanding, Submitted } from '../src/http/ports.ts'
import { followHead } from '../src/log/follow-head.ts'
import { MIRROR_GUARD } from '../src/log/open-log.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import { HeldMap } from '../src/map/held-map.ts'
import { curveFinder } from '../src/native/find-signer.ts'
import { chooseBackEnds } from '../src/native/self-test.ts'
import { openStorage } from '../src/open-storage.ts'
import { openVerifier } from '../src/open-verifier.ts'
import type { Head, RejectedRow, Store } from '../src/storage/store.ts'
import { Tip } from '../src/storage/tip.ts'
import { randomOrigin } from '../src/state-files.ts'
import { firstFailure, openLogLines, systemClock } from '../src/system.ts'
import { watch } from '../src/watch.ts'
import { readWithheld } from '../src/withheld-file.ts'
import { untilArrived } from './arrival.ts'
import { Dates } from './dates.ts'
import { EvidenceFolder } from './evidence-folder.ts'
import { MapFollowing } from './follow-map.ts'
import { mapSource } from './map-source.ts'
import { openCosigner, type Signed } from './cosigner.ts'
import { tilesOf } from './checkpoints.ts'
import { Following } from './follow.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readShownKeys, readStatement } from './log-keys.ts'
import { Replica } from './replica.ts'
import { Standing } from './standing.ts'
import { Upstreams } from './upstreams.ts'

/** What a mirror is told. */
export interface MirrorConfig extends Pick<Config, 'port' | 'host' | 'dataDir' | 'databaseUrl' | 'clientIpHeader' | 'readRate' | 'writeRate' | 'maxCursorAgeMs' | 'logLevel'> {
  /** Addresses of one log, without a slash at the end: at least one. */
  readonly upstreams: readonly string[]
  /** The log's keys; null to believe those that an upstream shows first. */
  readonly vkeys: readonly VerifierKey[] | null
  /** The keys of its map; null, the default, to believe those that an upstream shows first. */
  readonly mapVkeys?: readonly VerifierKey[] | null
  readonly forwardWrites: boolean
  /** Names entries whose bytes are not shown; null, the default, for none. */
  readonly withheldFile?: string | null
  /** Of `GET /metrics`; null, the default, for none. */
  readonly metricsPort?: number | null
  /** Whether it cosigns, and under which name, null for that of its keys or one that nobody else has. Default: it does not. */
  readonly cosign?: { readonly name: string | null } | null
}

/** What a composition root may be given in place of what it would open. */
export interface MirrorParts {
  readonly store?: Store
  readonly log?: LogLine
  readonly clock?: Clock
  /** Told how far the way to the first checkpoint has come. */
  readonly onProgress?: (done: number, of: number) => void
  /** Words for the operator that must not be missed. */
  readonly say?: (words: string) => void
}

/** A mirror that serves. Disposing it ends everything that it opened. */
export interface RunningMirror extends AsyncDisposable {
  readonly url: string
  readonly origin: string
  /** The log's verifier keys, one a line. */
  readonly vkey: string
  /** Its own verifier keys, under which it cosigns; none where it does not. */
  readonly cosignerVkeys: readonly string[]
  /** Resolves, with the reason in words, where the mirror cannot go on. */
  readonly failed: Promise<Error>
}

/**
 * Starts a mirror, and resolves once it serves: when it has reached its first checkpoint, or at once where it had reached one
 * before. Throws UsageError where what it was told and what it holds do not belong together, and the signal's reason.
 */
export async function startMirror(config: MirrorConfig, { log = openLogLines(config.logLevel), clock = systemClock, onProgress = () => undefined, say = () => undefined, ...parts }: MirrorParts = {}, signal?: AbortSignal): Promise<RunningMirror> {
  const { entries: withheld } = readWithheld(config.withheldFile ?? null)
  const stop = new AbortController()
  const ends = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  await using stack = new AsyncDisposableStack()
  const backEnds = chooseBackEnds()
  const opening = openVerifier(stack, backEnds, log)
  // Whatever the environment says of a directory's role: a mirror writes.
  const store = parts.store ?? stack.use(await openStorage({ databaseUrl: config.databaseUrl, dataDir: config.dataDir }, log)).store
  const { head, keys } = await openLog(store, config, { clock, say }, ends)
  const { origin } = head
  const mapKeys = await namedMapKeys(store, origin, config.mapVkeys ?? null, say)
  const timeOfDay = (): number => clock.timeOfDay()
  const folder = new EvidenceFolder(config.dataDir, origin, timeOfDay)
  const publication = await store.publication()
  const tip = new Tip({ durable: head.size, published: publication?.size ?? 0 })
  const answers = new AnswerCache({ store, tip })
  const verifier = await opening

  const upstreams = new Upstreams(config.upstreams, clock, ends, ({ url, standing: now, words }, error) => {
    if (now === 'good') return log('info', { url }, 'the upstream serves what fits')
    const file = now === 'lying' ? folder.keepAlarm(`${url}: ${words}`, [alarmPart('url', url), ...(error instanceof MismatchError ? error.parts : [])]) : null
    log(now === 'lying' ? 'error' : 'warn', { url, standing: now, ...(file === null ? {} : { alarm: file }) }, words)
  })
  const standing = new Standing(clock, upstreams, head.size)
  standing.rejected = (await store.rejected(0, head.size, REJECTED_COUNT)).length
  standing.halted = folder.contradiction(keys)?.words ?? null
  const replica = new Replica(
    {
      store, tip,
      verify: (questions) => verifier.answer(questions),
      appended(from, to, dids, what) {
        answers.changed(from, to, dids)
        dates.appended(what)
      },
      rejected(rows) {
        standing.rejected += rows.length
        for (const { index, did, cid, rejected: code } of rows) log('error', { index, did, cid, code }, 'an entry of the log breaks its rules: it stays in the tree and changes nothing')
      },
      now: timeOfDay,
    },
    head,
  )

  const first = Promise.withResolvers<void>()
  if (publication !== null || standing.halted !== null) first.resolve()
  let looked = 0
  const onPublished = async ({ size }: { readonly size: number }, note: string): Promise<void> => {
    log('debug', { size }, 'a checkpoint is reached')
    dates.published(note)
    if (standing.rejected > 0) looked = await keepBrokenRules({ store, folder, keys, log }, note, looked, size)
    first.resolve()
  }
  const { clientIpHeader, readRate, writeRate } = config
  const cosigner =
    config.cosign === undefined || config.cosign === null
      ? null
      : stack.use(openCosigner({ dataDir: config.dataDir, name: config.cosign.name, freshName: randomOrigin, origin, logKeys: keys, tilesOf: (name) => tilesOf(name === origin ? store : store.map), clock, clientIpHeader, log }))
  const dates = new Dates({ clock, folder, isOwn: (signature) => cosigner?.isOwn(signature) === true, log }, publication?.note ?? null)
  const following = new Following({ store, replica, upstreams, standing, folder, cosigner, keys, clock, random: Math.random, log, onPublished, onProgress }, ends)
  const followed = following.run()
  const end = (): void => stop.abort(new Error('the mirror stops'))
  stack.defer(() => {
    end()
    return followed
  })
  await Promise.race([first.promise, followed])
  ends.throwIfAborted()

  const reads = followHead({ store, tip, ahead: (size) => answers.follow(size), log }, ends)
  stack.defer(() => {
    end()
    return reads.catch(() => undefined)
  })
  // Whatever becomes of the map, the log is followed and served.
  const held = new HeldMap(store, clock)
  const map = new MapFollowing(
    { store, tip, held, origin, guardId: MIRROR_GUARD, keys: mapKeys, logKeys: () => following.keys, sources: () => upstreams.ordered().map(({ url }) => mapSource(url, ends)), folder, cosigner, clock, log, say },
    ends,
  )
  const mapped = map.run()
  stack.defer(() => {
    end()
    return mapped
  })
  const report = (): MirrorStanding => ({ ...standing.report(), alarm: standing.report().alarm ?? map.halted ?? dates.alarm() })
  const watched = watch({ host: config.host, metricsPort: config.metricsPort ?? null })
  const metrics = await watched.serve(stack, { tip, store, queue: () => 0, verifier: verifier.name, version: packageJson.version, origin, now: timeOfDay, mirror: report })
  const app = createApp(
    {
      store, withheld, tip, answers, origin, log,
      curveOf: curveFinder(backEnds),
      submit: refuseWrites,
      forward: config.forwardWrites ? untilArrived(forwardToCurrent(standing, config.upstreams), { store, tip, waitMs: MIRROR_LIMITS.arrivalSeconds * 1000 }) : null,
      version: packageJson.version,
      now: timeOfDay,
      faults: () => [
        ...standing.faults(),
        ...(map.halted === null ? [] : [`the map is followed no more, the log is: ${map.halted}`]),
        ...dates.faults(),
        ...(cosigner?.faults({ log: tip.durable, map: map.leaves }) ?? []),
      ],
      mirror: report,
      map: { prove: (did) => held.prove(did), standing: () => ({ size: held.shown?.leaf.size ?? null, leaves: held.shown?.leaves ?? 0, fault: map.trouble }) },
    },
    { clientIpHeader, readRate, writeRate, onRequest: watched.onRequest },
  )
  const verifying = {
    log: { reaches: (signed: Signed, ended: AbortSignal) => following.reaches(signed, ended), get halted() { return standing.halted !== null } },
    map: { reaches: (signed: Signed, ended: AbortSignal) => map.reaches(signed, ended), get halted() { return map.halted !== null } },
  }
  const handle = cosigner === null ? app : cosigner.before(app, verifying)
  const server = await openCounter(stack, config, { app: handle, store, withheld, tip, clock, log, observer: watched.streams })
  log('info', { url: server.url, metrics, origin, size: tip.durable, published: tip.published, store: store.kind, verifier: verifier.name, upstreams: config.upstreams }, 'the mirror listens')

  const failed = firstFailure([reads, followed])
  const owned = stack.move()
  return { url: server.url, origin, vkey: head.vkeys.join('\n'), cosignerVkeys: cosigner?.vkeys ?? [], failed, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Rejected entries that are counted at the start. */
const REJECTED_COUNT = 100_000

interface OpenedLog {
  readonly head: Head
  /** Those that sign now, and those that have. */
  readonly keys: readonly VerifierKey[]
}

// The log that is mirrored: as the database has it, or begun with the keys that are named or, at worst, seen first.
async function openLog(store: Store, config: MirrorConfig, { clock, say }: { readonly clock: Clock; readonly say: (words: string) => void }, signal: AbortSignal): Promise<OpenedLog> {
  const known = await store.head()
  if (known !== null) {
    if (known.guardId !== MIRROR_GUARD) throw new UsageError(`the database holds the log ${known.origin} of a directory, which signs it: a mirror needs a database of its own (--data or --database-url)`)
    const keys = known.vkeys.map(parseVerifierKey)
    if (config.vkeys === null) return { head: known, keys }
    return { head: known, keys: await checkKeys(store, known, keys, config.vkeys, say) }
  }
  const keys = config.vkeys ?? (await firstKeys(config.upstreams, clock, say, signal))
  const [key] = keys
  if (key === undefined) throw new UsageError('--upstream-vkey names no key')
  if (keys.some(({ name }) => name !== key.name)) throw new UsageError('--upstream-vkey: the keys are of more than one log, and a mirror is of one')
  await store.create({ origin: key.name, guardId: MIRROR_GUARD, vkeys: keys.map(formatVerifierKey) })
  const head = await store.head()
  if (head === null) throw new Error('the log that was created is gone')
  await keepStatement(store, config.upstreams, head, keys, signal)
  return { head, keys }
}

// Those that the operator names count from now on. Until there is a map here they are kept for it.
async function namedMapKeys({ map }: Store, origin: string, named: readonly VerifierKey[] | null, say: (words: string) => void): Promise<readonly VerifierKey[] | null> {
  if (named === null) return null
  const name = mapOrigin(origin)
  const stranger = named.find((key) => key.name !== name)
  if (stranger !== undefined) throw new UsageError(`--map-vkey is a key of ${stranger.name}, but the map of the log ${origin} is ${name}`)
  const head = await map.head()
  const vkeys = named.map(formatVerifierKey)
  if (head !== null && head.vkeys.join() !== vkeys.join()) {
    say(`the keys of the map ${name} are from now on those that --map-vkey names`)
    await map.setSigner(head.guardId, { guardId: head.guardId, vkeys })
  }
  return named
}

// What the operator names counts, as long as it is a key of the same log.
async function checkKeys(store: Store, head: Head, known: readonly VerifierKey[], named: readonly VerifierKey[], say: (words: string) => void): Promise<readonly VerifierKey[]> {
  const stranger = named.find(({ name }) => name !== head.origin)
  if (stranger !== undefined) throw new UsageError(`--upstream-vkey is a key of ${stranger.name}, but the database mirrors the log ${head.origin}`)
  const vkeys = known.map(formatVerifierKey)
  const fresh = named.filter((key) => !vkeys.includes(formatVerifierKey(key)))
  if (fresh.length === 0) return known
  say(`the keys of the log ${head.origin} are from now on those that --upstream-vkey names`)
  await store.setSigner(head.guardId, { guardId: head.guardId, vkeys: named.map(formatVerifierKey) })
  return named
}

async function firstKeys(urls: readonly string[], clock: Clock, say: (words: string) => void, signal: AbortSignal): Promise<readonly VerifierKey[]> {
  for (let attempt = 0; ; attempt++) {
    const url = urls[attempt % urls.length] ?? ''
    try {
      const keys = await readShownKeys(url, signal)
      if (keys.length === 0) throw new UsageError(`${url}/log/vkey names no key: name the log's key with --upstream-vkey`)
      say(
        `WARNING: no --upstream-vkey was given, so the key that ${url} shows is believed, now and from now on: ${keys.map(formatVerifierKey).join(' ')}. ` +
          'Whoever answers there could be anybody: compare it with what the directory says elsewhere',
      )
      return keys
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof UsageError) throw error
      if (error instanceof DirectoryError) throw new UsageError(`${url} shows no key of a log (${error.message}): is it a directory with a log? --upstream-vkey names the key`)
      if (attempt === 0) say(`the log's key cannot be read from ${url} yet: ${error instanceof Error ? error.message : String(error)}`)
      await clock.sleep(MIRROR_LIMITS.longestRetryMs, signal)
    }
  }
}

// For those who ask this mirror. Without it nothing is missing but their convenience.
async function keepStatement(store: Store, urls: readonly string[], head: Head, keys: readonly VerifierKey[], signal: AbortSignal): Promise<void> {
  for (const url of urls) {
    const read = await readStatement(url, keys, signal).catch(() => null)
    signal.throwIfAborted()
    if (read === null) continue
    await store.setSigner(head.guardId, { guardId: head.guardId, vkeys: head.vkeys, statement: read.note })
    return
  }
}

// For rejected entries below `size`, from `from` on: what proves to a stranger that they break a rule. Returns where to go on.
async function keepBrokenRules({ store, folder, keys, log }: { readonly store: Store; readonly folder: EvidenceFolder; readonly keys: readonly VerifierKey[]; readonly log: LogLine }, note: string, from: number, size: number): Promise<number> {
  if (from >= size) return from
  const rows = await store.rejected(from, size, MIRROR_LIMITS.rejectedEvidence)
  for (const row of rows) {
    const name = `rejected-${row.index}`
    if (folder.has(name)) continue
    try {
      const [leaf] = await store.leaves(row.index, row.index + 1)
      if (leaf === undefined) continue
      const evidence = await findBrokenRule(tilesOf(store), note, keys, { index: row.index, entry: leaf }, await leavesAbout(store, row))
      if (evidence !== null) log('error', { index: row.index, evidence: folder.keepEvidence(name, evidence) }, 'there is evidence that the log signed an entry that breaks its rules')
    } catch (error) {
      log('warn', { index: row.index, error }, 'no evidence can be made of a rejected entry')
    }
  }
  return rows.length < MIRROR_LIMITS.rejectedEvidence ? size : (rows.at(-1)?.index ?? size) + 1
}

// What may show that an entry breaks a rule: the accepted entries of its DID, and the newest native entry before it.
async function leavesAbout(store: Store, { index, did }: RejectedRow): Promise<{ index: number; entry: Uint8Array }[]> {
  const own = did === '' ? [] : await store.history([did], 0, 1_000)
  const before = (await store.entries(Math.max(0, index - 256), index)).filter((row) => row.rejected === null).slice(-1)
  const rows = new Map([...own.filter((row) => row.rejected === null && row.index !== index), ...before].map((row) => [row.index, row]))
  return [...rows.values()].sort((a, b) => a.index - b.index).map(({ index, entry }) => ({ index, entry }))
}

function forwardToCurrent(standing: Standing, urls: readonly string[]): ForwardPort {
  const ports = new Map(urls.map((url) => [url, forwardTo(url)]))
  return (submission, signal) => {
    const forward = ports.get(standing.current?.url ?? '') ?? [...ports.values()][0]
    if (forward === undefined) throw new Error('there is no upstream')
    return forward(submission, signal)
  }
}

function refuseWrites(): Promise<Submitted> {
  return Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'this is a mirror, which takes no operations' })
}
