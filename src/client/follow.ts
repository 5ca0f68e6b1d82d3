// Following a log from a cursor: entries that a signed checkpoint covers, in order, each at least once, until it is told to stop or the log has
// contradicted itself. Backfill, streams, gaps and servers that fail are its business. docs/following.md

import { bytesEqual } from '../core/encoding/text.ts'
import { decodeEntry } from '../core/entry.ts'
import { assert, DirectoryError, verdictOf } from '../core/errors.ts'
import type { CheckpointFrame, MatchFrame } from '../core/frame.ts'
import { grow } from '../core/growth.ts'
import { dataOf, type Operation } from '../core/plc/operation.ts'
import type { LogClock } from '../core/replay.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_EDGE, edgeRoot, type Edge } from '../core/tlog/edge.ts'
import { leafHash } from '../core/tlog/hash.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { rangeNodes, verifyConsistency, verifyInclusion } from '../core/tlog/proof.ts'
import type { CheckpointStore } from './checkpoint-store.ts'
import { answerAll, type VerifyAnswers } from './check-tree.ts'
import { firstPosition, formatCursor, memoryCursor, nameFilter, parseCursor, type CursorStore, type Position } from './cursor.ts'
import { FOLLOW_LIMITS } from './follow-limits.ts'
import { historyOf, Judge, operationBefore, type Broken, type Judged, type Kept, type ReadHistory } from './judge.ts'
import { isOfServer, LogMemory, type Signed } from './log-memory.ts'
import { proveConsistency, readProof } from './log-client.ts'
import { MismatchError } from './mismatch.ts'
import { leavesFrom, openProvenTree, type ProvenTree } from './proven-tree.ts'
import { sleep, type RequestOptions } from './request.ts'
import { logStream, StreamClosedError, type StreamFilter } from './stream-client.ts'
import { Tail } from './tail.ts'
import { httpTileReader, type TileReader } from './tile-reader.ts'

/** What is followed, and how. */
export interface FollowOptions {
  /** Servers of one log, directories or mirrors. One is followed, another one when it fails; the checkpoints of all are compared. */
  readonly urls: readonly string[]
  /** The log's. Later ones are learned from what these have signed. */
  readonly keys: readonly VerifierKey[]
  /** Default: one that ends with the process. */
  readonly cursor?: CursorStore
  /** Index of the first entry where the cursor store is empty, or `now` for what comes from now on. Default 0. */
  readonly from?: number | 'now'
  /** These identities, and those that come to, are at, or leave these services (their endpoints). Default: every entry. */
  readonly filter?: Pick<StreamFilter, 'dids' | 'services'>
  /** Reads every entry although there is a filter: no server can leave out a match then. */
  readonly complete?: boolean
  /** Beside these, what it says so of. Every entry is read then. */
  readonly wanted?: Wanted
  /** Most operations that are handed over together. Default 256. */
  readonly runEntries?: number
  /** Is told each checkpoint that was verified, and contradictions; gives the largest one known. */
  readonly checkpoints?: CheckpointStore
  /** Checks signatures. Default: the portable implementation. */
  readonly verifyAnswers?: VerifyAnswers
  /** Ends it. */
  readonly signal?: AbortSignal
  /** Told of every failure of a server; another attempt follows. */
  readonly onTrouble?: (url: string, error: Error) => void
  /** Told whenever a checkpoint of the log was verified, with the note that it came in. */
  readonly onLook?: (checkpoint: Checkpoint, url: string, note: string) => void
  /** From 0 up to 1, for the waits between attempts. Default: Math.random. */
  readonly random?: () => number
  /** Default: the machine's. */
  readonly clock?: FollowClock
  /** Default: the platform's. */
  readonly fetch?: RequestOptions['fetch']
  /** Default: the platform's. */
  readonly WebSocket?: typeof WebSocket
}

/** What a follower waits and measures by. */
export interface FollowClock {
  /** Milliseconds that never go back. */
  now(): number
  /** Resolves after so many milliseconds; throws the signal's reason once it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** A filter that no server knows. */
export interface Wanted {
  /** Kept with the cursor, which is good for this one alone. */
  readonly name: string
  /** Whether an operation is wanted; `before` is the one that it follows, null for a genesis. */
  readonly test: (operation: Operation, before: Operation | null) => boolean
}

/** What was proved of every entry that is handed over. docs/following.md#what-is-proved */
export interface CoveredEntry {
  readonly index: number
  /** It covers the entry, is signed by the log, and continues every checkpoint before it. */
  readonly checkpoint: Checkpoint
  /** The same, as it was signed. */
  readonly note: string
  /** The inclusion proof in its tree, where a filter was asked; null where every entry was read and leads to its root. */
  readonly proof: readonly Uint8Array[] | null
}

/** An operation that the log holds and that keeps the rules. */
export interface FollowedOperation extends CoveredEntry, Omit<Kept, 'verdict' | 'leaf'> {
  readonly type: 'operation'
}

/** An entry that the log holds and that breaks a rule: it changes no identity. */
export interface FollowedRejection extends CoveredEntry, Omit<Broken, 'leaf'> {
  readonly type: 'rejected'
}

export type Followed = FollowedOperation | FollowedRejection

/**
 * Operations as they come, in the order of the log. To ask for the next one is to be done with the one before. The cursor is kept when it
 * ends and after each run of them, so that after a crash some come again. Throws LogContradictionError, CursorError, what the stores throw, and the
 * signal's reason; failures of servers are told and tried again for ever.
 */
export async function* follow(options: FollowOptions): AsyncGenerator<Followed, never> {
  const follower = new Follower(options)
  try {
    for await (const run of follower.run()) {
      for (const one of run) {
        follower.reachedEntry(one.index)
        yield one
      }
    }
    throw new Error('following does not end')
  } finally {
    await follower.keep()
  }
}

/** As `follow`, with operations that came together in one array, never empty and all under one checkpoint: the cursor moves when the next is asked for. */
export async function* followRuns(options: FollowOptions): AsyncGenerator<readonly Followed[], never> {
  const follower = new Follower(options)
  try {
    return yield* follower.run()
  } finally {
    await follower.keep()
  }
}

const MACHINE: FollowClock = { now: () => performance.now(), sleep }

/** What of a position is not what is known of the log. */
type Place = Omit<Position, 'note' | 'keys'>

/** One server, as it is being asked. */
interface Server {
  readonly url: string
  readonly reader: TileReader
}

/** The stream lacks what the checkpoint covers, or was left for bundles: nothing is wrong with the server. */
class GapError extends Error {}

class Follower {
  readonly #options: FollowOptions
  readonly #servers: readonly Server[]
  readonly #cursor: CursorStore
  readonly #asked: string
  readonly #filter: Pick<StreamFilter, 'dids' | 'services'> | null
  readonly #judge: Judge
  /** The DIDs that alone are of interest; null where that is not all there is to know of an entry. */
  readonly #dids: ReadonlySet<string> | null
  readonly #services: ReadonlySet<string>
  readonly #request: RequestOptions
  readonly #clock: FollowClock
  #memory: LogMemory
  #place: Place
  /** Of the tree of the position's size; null where it has to be derived from tiles. */
  #edge: Edge | null = null
  #kept = ''
  #keptAt = 0
  #retryMs: number = FOLLOW_LIMITS.firstRetryMs
  /** Whether somebody works on what was handed over. */
  #waits = false

  constructor(options: FollowOptions) {
    const { urls, keys, filter = {}, complete = false, wanted, cursor = memoryCursor(), verifyAnswers = answerAll, signal, fetch, clock = MACHINE } = options
    if (urls.length === 0 || keys.length === 0) throw new RangeError('an address and a key of the log are needed')
    this.#options = options
    this.#clock = clock
    const request: RequestOptions = { attempts: 1, timeoutMs: FOLLOW_LIMITS.requestMs, sleep: (ms, ended) => clock.sleep(ms, ended), ...(signal === undefined ? {} : { signal }), ...(fetch === undefined ? {} : { fetch }) }
    this.#servers = urls.map((url) => ({ url, reader: httpTileReader(url, request) }))
    this.#request = request
    const { dids = [], services = [] } = filter
    this.#services = new Set(services)
    const some = dids.length + services.length > 0
    this.#dids = some && services.length === 0 && wanted === undefined ? new Set(dids) : null
    const fits = dids.length <= FOLLOW_LIMITS.filterDids && services.length <= FOLLOW_LIMITS.filterServices
    this.#filter = some && fits && !complete && wanted === undefined ? { dids, services } : null
    this.#asked = nameFilter(filter, wanted?.name)
    this.#judge = new Judge(verifyAnswers, services.length === 0)
    this.#cursor = cursor
    const position = firstPosition(keys)
    this.#place = position
    this.#memory = this.#memoryOf(position)
  }

  /** Keeps the cursor where it has moved. Throws what the store throws. */
  async keep(): Promise<void> {
    const { note, keys } = this.#memory
    const text = formatCursor(this.#asked, { ...this.#place, note, keys })
    if (note === null || text === this.#kept) return
    await this.#cursor.write(text)
    this.#kept = text
    this.#keptAt = this.#clock.now()
  }

  /** All entries before this one were taken. */
  reachedEntry(index: number): void {
    this.#place = { ...this.#place, next: Math.max(this.#place.next, index) }
  }

  async *run(): AsyncGenerator<readonly Followed[], never> {
    const { signal, onTrouble, random = Math.random } = this.#options
    const text = await this.#cursor.read()
    if (text !== null) {
      const position = parseCursor(text, this.#asked, this.#options.keys)
      this.#place = position
      this.#memory = this.#memoryOf(position)
    }
    this.#kept = text ?? ''
    await this.#memory.recall()
    for (let turn = 0; ; turn++) {
      const server = this.#servers[turn % this.#servers.length]
      assert(server !== undefined, 'there is a server')
      try {
        await this.#begin(server)
        yield* this.#filter === null ? this.#everyEntry(server) : this.#matches(server, this.#filter)
      } catch (error) {
        signal?.throwIfAborted()
        if (!passes(error)) throw error
        if (error instanceof GapError) turn--
        else onTrouble?.(server.url, error)
      }
      await this.#clock.sleep(this.#retryMs * (1 - random() / 2), signal)
      this.#retryMs = Math.min(this.#retryMs * 2, FOLLOW_LIMITS.longestRetryMs)
    }
  }

  #memoryOf(position: Position): LogMemory {
    return new LogMemory(position, this.#options.checkpoints ?? null, this.#request)
  }

  // The first time: where to begin.
  async #begin({ url, reader }: Server): Promise<void> {
    const { from = 0 } = this.#options
    if (this.#kept !== '' || this.#place.size > 0 || from === 0) return
    const signed = await this.#memory.open(await reader.checkpoint(), url)
    await this.#memory.judge(signed, reader)
    const start = from === 'now' ? signed.checkpoint.size : from
    if (start > signed.checkpoint.size) throw new MismatchError(`the log has ${signed.checkpoint.size} entries, and what comes from entry ${start} on was asked for`, {})
    this.#edge = await edgeOf(await openProvenTree((use) => use(reader), signed.checkpoint), start)
    await this.#memory.reached(signed)
    this.#place = { ...this.#place, next: start, size: start, root: edgeRoot(this.#edge) }
    await this.keep()
  }

  // ---- every entry

  async *#everyEntry(server: Server): AsyncGenerator<readonly Followed[], never> {
    yield* this.#catchUp(server)
    const tail = new Tail(this.#place.size, FOLLOW_LIMITS, () => new GapError())
    const watched = this.#watch(server, () => tail.end)
    try {
      for await (const frame of logStream(server.url, tail.start, this.#streamOptions(watched.signal))) {
        if (frame.type === 'entries') tail.add(frame)
        if (frame.type === 'checkpoint') yield* this.#cover(server, tail, frame)
      }
    } catch (error) {
      throw watched.reasonFor(error)
    } finally {
      watched.stop()
    }
    throw new StreamClosedError(1006, '')
  }

  // To the server's newest checkpoint, by tiles and bundles.
  async *#catchUp({ url, reader }: Server): AsyncGenerator<readonly Followed[]> {
    const signed = await this.#memory.open(await reader.checkpoint(), url)
    const relation = await this.#memory.judge(signed, reader)
    this.#looked(signed, url)
    if (relation === 'older') throw new MismatchError(`its newest checkpoint is of ${signed.checkpoint.size} entries, and ${this.#memory.newest()?.checkpoint.size ?? 0} are known to be signed`, {})
    if (signed.checkpoint.size > this.#place.size || this.#edge === null) yield* this.#advance(url, reader, signed)
  }

  async *#advance(url: string, reader: TileReader, signed: Signed): AsyncGenerator<readonly Followed[]> {
    const tree = await openProvenTree((use) => use(reader), signed.checkpoint)
    await this.#memory.requireContinued(tree, signed, this.#place)
    await this.#reached(signed)
    this.#edge ??= await edgeOf(tree, this.#place.size)
    const { signal = new AbortController().signal } = this.#options
    for await (const leaves of leavesFrom(tree, this.#place.size, signal, FOLLOW_LIMITS)) yield* this.#take(url, leaves, signed)
  }

  // A checkpoint of the stream covers what waits, or what waits is dropped and read again from bundles.
  async *#cover(server: Server, tail: Tail, { note }: CheckpointFrame): AsyncGenerator<readonly Followed[]> {
    const { url, reader } = server
    const signed = await this.#memory.open(note, url)
    const { size, root } = signed.checkpoint
    const relation = await this.#memory.judge(signed, reader)
    if (relation === 'older') return
    this.#looked(signed, url)
    if (size > tail.end) throw new MismatchError(`its stream has a checkpoint of ${size} entries before these entries`, { checkpoint: note })
    const covered = tail.leaves.slice(0, size - tail.start)
    const edge: Edge | null = this.#edge
    assert(edge !== null && edge.size === tail.start, 'a stream is followed from the edge')
    if (!bytesEqual(grow(edge, covered).root, root) || !this.#passesKnown(edge, covered)) {
      yield* this.#advance(url, reader, signed)
      throw new GapError()
    }
    await this.#reached(signed)
    yield* this.#take(url, covered, signed)
    tail.cut(size)
  }

  // Whether leaves that lead on from the edge lead through the largest checkpoint that is known, where that lies among them.
  #passesKnown(edge: Edge, leaves: readonly Uint8Array[]): boolean {
    const known = this.#memory.newest()?.checkpoint
    if (known === undefined || known.size < edge.size || known.size > edge.size + leaves.length) return true
    return bytesEqual(grow(edge, leaves.slice(0, known.size - edge.size)).root, known.root)
  }

  // Leaves that are known to be the next of the signed tree: judged, handed over, and left behind.
  async *#take(url: string, leaves: readonly Uint8Array[], { checkpoint, note }: Signed): AsyncGenerator<readonly Followed[]> {
    const { runEntries = FOLLOW_LIMITS.runEntries } = this.#options
    for (let at = 0; at < leaves.length; at += runEntries) {
      const some = leaves.slice(at, at + runEntries)
      const first = this.#place.size
      const placed = some.map((leaf, i) => ({ index: first + i, leaf }))
      const dids = this.#dids
      const asked = dids === null ? placed : placed.filter(({ leaf }) => mentions(leaf, dids))
      const clock: LogClock | null = dids === null ? { lastNative: this.#place.lastNative } : null
      const { judged, clock: after } = await this.#judge.judge(asked, clock, this.#historyOf(url))
      const followed = judged.filter((one) => one.index >= this.#place.next && this.#isWanted(one)).map((one) => followedOf(one, { checkpoint, note, proof: null }))
      if (followed.length > 0) yield* this.#handOver(followed)
      assert(this.#edge !== null, 'leaves are taken from the edge on')
      const { edge, root } = grow(this.#edge, some)
      this.#edge = edge
      this.#place = { ...this.#place, next: Math.max(this.#place.next, edge.size), size: edge.size, root, lastNative: after?.lastNative ?? null }
      if (followed.length > 0 || this.#clock.now() - this.#keptAt > FOLLOW_LIMITS.keepMs) await this.keep()
    }
  }

  async *#handOver(followed: readonly Followed[]): AsyncGenerator<readonly Followed[]> {
    this.#waits = true
    yield followed
    this.#waits = false
  }

  // ---- a filter

  async *#matches(server: Server, filter: Pick<StreamFilter, 'dids' | 'services'>): AsyncGenerator<readonly Followed[], never> {
    this.#edge = null
    let current: Signed | null = null
    let last = -1
    const watched = this.#watch(server, () => current?.checkpoint.size ?? this.#place.size)
    try {
      for await (const frame of logStream(server.url, this.#place.size, { ...this.#streamOptions(watched.signal), filter })) {
        if (frame.type === 'entries') throw new MismatchError('its filtered stream has entries that were not asked for', {})
        if (frame.type === 'checkpoint') {
          // All matches under the one before have come.
          if (current !== null) await this.#passed(current)
          current = await this.#continued(server, frame)
        } else {
          if (current === null || frame.index < this.#place.size || frame.index <= last || frame.index >= current.checkpoint.size) throw new MismatchError(`its filtered stream has entry ${frame.index} where it has no place`, {})
          last = frame.index
          if (frame.index >= this.#place.next) yield* this.#match(server.url, frame, current)
        }
      }
    } catch (error) {
      const reason = watched.reasonFor(error)
      watched.stop()
      if (!(reason instanceof StreamClosedError) || current !== null) throw reason
      // There is no such stream, or not from here: the entries themselves are read.
      const { size } = (await this.#memory.open(await server.reader.checkpoint(), server.url)).checkpoint
      if (size - this.#place.size > FOLLOW_LIMITS.filterGapEntries && !['OutdatedCursor', 'TooManyMatches'].includes(reason.reason)) throw reason
      yield* this.#catchUp(server)
      throw reason.reason === '' ? reason : new GapError()
    } finally {
      watched.stop()
    }
    throw new StreamClosedError(1006, '')
  }

  async #continued(server: Server, { note, consistency }: CheckpointFrame): Promise<Signed> {
    const signed = await this.#memory.open(note, server.url)
    const { size, root } = signed.checkpoint
    const relation = await this.#memory.judge(signed, server.reader)
    if (relation === 'older') throw new MismatchError(`its stream shows a checkpoint of ${size} entries, and more are known to be signed`, {})
    // A stream that shows a checkpoint again proves that it continues itself.
    const before = this.#place
    const proof = consistency ?? []
    const known = this.#memory.newest()?.checkpoint
    try {
      verifyConsistency({ oldSize: before.size, oldRoot: before.root, newSize: size, newRoot: root, proof })
      if (known !== undefined && known.size !== before.size) await proveConsistency(server.reader, known, signed.checkpoint)
    } catch (error) {
      if (!(error instanceof DirectoryError)) throw error
      await this.#memory.requireContinued(await openProvenTree((use) => use(server.reader), signed.checkpoint), signed, this.#place)
      throw new MismatchError('its stream does not prove that the log only grew', { checkpoint: note }, { cause: error })
    }
    this.#looked(signed, server.url)
    await this.#reached(signed)
    return signed
  }

  async *#match(url: string, { index, entry, proof }: MatchFrame, { checkpoint, note }: Signed): AsyncGenerator<readonly Followed[]> {
    verifyInclusion({ index, size: checkpoint.size, leaf: leafHash(entry), proof, root: checkpoint.root })
    const { judged } = await this.#judge.judge([{ index, leaf: entry }], null, this.#historyOf(url))
    const followed = judged.map((one) => {
      if (!this.#isWanted(one)) throw new MismatchError(`its filtered stream has entry ${index}, which was not asked for`, {})
      return followedOf(one, { checkpoint, note, proof })
    })
    yield* this.#handOver(followed)
    this.#place = { ...this.#place, next: index + 1 }
    await this.keep()
  }

  async #passed({ checkpoint: { size, root } }: Signed): Promise<void> {
    if (size === this.#place.size) return
    this.#place = { ...this.#place, next: Math.max(this.#place.next, size), size, root, lastNative: null }
    if (this.#clock.now() - this.#keptAt > FOLLOW_LIMITS.keepMs) await this.keep()
  }

  // ---- checkpoints

  // A checkpoint that continues all before it.
  async #reached(signed: Signed): Promise<void> {
    if (await this.#memory.reached(signed)) this.#retryMs = FOLLOW_LIMITS.firstRetryMs
    if (this.#clock.now() - this.#keptAt > FOLLOW_LIMITS.keepMs) await this.keep()
  }

  #looked({ checkpoint, note }: Signed, url: string): void {
    this.#options.onLook?.(checkpoint, url, note)
  }

  // ---- beside a stream

  // Reads the checkpoints of all servers: whether they show one log, and whether what they cover still comes. A connection that is dead says nothing, and
  // a server that is behind the others says nothing wrong.
  #watch(followed: Server, reached: () => number): { readonly signal: AbortSignal; readonly stop: () => void; readonly reasonFor: (error: unknown) => unknown } {
    const over = new AbortController()
    const { signal: outer, onTrouble } = this.#options
    const signal = outer === undefined ? over.signal : AbortSignal.any([outer, over.signal])
    const isBehind = (size: number): boolean => !this.#waits && size > reached()
    const watch = async (server: Server): Promise<void> => {
      for (;;) {
        await this.#clock.sleep(FOLLOW_LIMITS.pollMs, signal)
        try {
          const signed = await this.#memory.open(await server.reader.checkpoint(), server.url)
          // What is known is the followed server's tree.
          const relation = await this.#memory.judge(signed, followed.reader)
          if (relation === 'newer' && server !== followed) await this.#memory.compareNewer(signed, server.reader)
          if (relation !== 'older') this.#looked(signed, server.url)
          this.#retryMs = FOLLOW_LIMITS.firstRetryMs
          const { size } = signed.checkpoint
          if (!isBehind(size)) continue
          await this.#clock.sleep(server === followed ? FOLLOW_LIMITS.streamLagMs : FOLLOW_LIMITS.serverLagMs, signal)
          if (isBehind(size)) over.abort(new StreamClosedError(1006, server === followed ? 'it lacks what the checkpoint covers' : `it lacks what ${server.url} shows`))
        } catch (error) {
          if (signal.aborted) return
          if (!passes(error) || server === followed) throw error
          onTrouble?.(server.url, error)
        }
      }
    }
    for (const server of this.#servers) watch(server).catch((error: unknown) => over.abort(error))
    return { signal, stop: () => over.abort(new GapError()), reasonFor: (error) => (over.signal.aborted && outer?.aborted !== true ? over.signal.reason : error) }
  }

  #streamOptions(signal: AbortSignal): { readonly signal: AbortSignal; readonly WebSocket?: typeof WebSocket } {
    const { WebSocket } = this.#options
    return { signal, ...(WebSocket === undefined ? {} : { WebSocket }) }
  }

  #historyOf(url: string): ReadHistory {
    return historyOf(url, { ...this.#request, attempts: 3 })
  }

  #isWanted(one: Judged): boolean {
    const { filter: { dids = [] } = {}, wanted } = this.#options
    if (one.entry !== null && dids.includes(one.entry.did)) return true
    const operation = one.entry?.operation ?? null
    const before = one.verdict === null ? operationBefore(one) : null
    if (wanted !== undefined && operation !== null && wanted.test(operation, before)) return true
    if (namesService(operation, this.#services) || namesService(before, this.#services)) return true
    return dids.length + this.#services.size === 0 && wanted === undefined
  }
}

function followedOf(one: Judged, proved: Omit<CoveredEntry, 'index'>): Followed {
  const { index, entry } = one
  return one.verdict === null
    ? { type: 'operation', ...proved, index, entry: one.entry, chain: one.chain, undid: one.undid }
    : { type: 'rejected', ...proved, index, entry, verdict: one.verdict, told: one.told }
}

function mentions(leaf: Uint8Array, dids: ReadonlySet<string>): boolean {
  const { value } = verdictOf(() => decodeEntry(leaf))
  return value !== null && dids.has(value.did)
}

async function edgeOf(tree: ProvenTree, size: number): Promise<Edge> {
  if (size === 0) return EMPTY_EDGE
  const ranges = rangeNodes({ start: 0, end: size }).map(({ level, index }) => ({ start: index * 2 ** level, end: (index + 1) * 2 ** level }))
  return { size, hashes: await readProof(tree, ranges, tree.size) }
}

function namesService(operation: Operation | null, services: ReadonlySet<string>): boolean {
  const data = operation === null || services.size === 0 ? null : dataOf(operation)
  return data !== null && [...data.services.values()].some(({ endpoint }) => services.has(endpoint))
}

// Nothing that ends the following.
function passes(error: unknown): error is Error {
  return isOfServer(error) || error instanceof StreamClosedError || error instanceof GapError
}
