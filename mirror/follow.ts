// Following a log: its stream while it comes, its tiles and bundles whenever it does not, and the decision to stop. Nothing
// is taken before it is led back to a signed root. spec/mirror.md#following

import { findFork } from '../src/client/fork.ts'
import { readRoot } from '../src/client/log-client.ts'
import { MismatchError } from '../src/client/mismatch.ts'
import { leavesFrom, openProvenTree } from '../src/client/proven-tree.ts'
import { ServerError, UnreachableError } from '../src/client/request.ts'
import { logStream, StreamClosedError } from '../src/client/stream-client.ts'
import { Tail } from '../src/client/tail.ts'
import { NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { alarmPart } from '../src/core/alarm.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { DirectoryError } from '../src/core/errors.ts'
import type { Evidence } from '../src/core/evidence.ts'
import type { CheckpointFrame } from '../src/core/frame.ts'
import { grow } from '../src/core/growth.ts'
import { openCheckpoint, type Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { HASH_BYTES } from '../src/core/tlog/hash.ts'
import { formatVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import type { Store } from '../src/storage/store.ts'
import { Growing } from '../src/storage/tip.ts'
import { fullerNote, type MirrorCosigner, type Signed } from './cosigner.ts'
import type { EvidenceFolder } from './evidence-folder.ts'
import { readStatement } from './log-keys.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { cutIntoRuns, type Replica } from './replica.ts'
import type { Standing } from './standing.ts'
import { isLie, type Upstream, type Upstreams } from './upstreams.ts'

/** What following stands on. */
export interface FollowingPorts {
  readonly store: Store
  readonly replica: Replica
  readonly upstreams: Upstreams
  readonly standing: Standing
  readonly folder: EvidenceFolder
  /** Cosigns what is published; null for nobody. */
  readonly cosigner: MirrorCosigner | null
  /** The log's keys that are known so far. */
  readonly keys: readonly VerifierKey[]
  readonly clock: Clock
  /** From 0 up to 1. */
  readonly random: () => number
  readonly log: LogLine
  /** Told of each checkpoint that is reached and published. */
  readonly onPublished: (checkpoint: Checkpoint, note: string) => Promise<void>
  /** Told how far a long way has come. */
  readonly onProgress: (done: number, of: number) => void
}

/** The log has contradicted itself: nothing that it signs can be followed any more. */
class ContradictionFound extends Error {
  override readonly name = 'ContradictionFound'
}

/** The stream lacks what the checkpoint covers. */
class StreamBehindError extends Error {
  override readonly name = 'StreamBehindError'
}

/** A stream that is open. */
interface OpenStream {
  readonly upstream: Upstream
  readonly tail: Tail
  /** Ends it, for a reason that following then sees. */
  readonly leave: (reason: unknown) => void
}

/** Following one log. */
export class Following {
  readonly #ports: FollowingPorts
  readonly #signal: AbortSignal
  #keys: readonly VerifierKey[]
  #retryMs: number = MIRROR_LIMITS.firstRetryMs
  /** The newest checkpoint whose tree entries were taken from, beside the published one. */
  #target: Signed | null = null
  /** The newest note that was verified: it comes again with every poll. */
  #opened: Signed | null = null
  #stream: OpenStream | null = null
  /** What changes the tail of the stream, or appends while there is one, is done one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Grows with everything that may bring a tree nearer. */
  readonly #moves = new Growing(0)

  constructor(ports: FollowingPorts, signal: AbortSignal) {
    this.#ports = ports
    this.#signal = signal
    this.#keys = ports.keys
  }

  /** The log's keys, those that have signed before among them. */
  get keys(): readonly VerifierKey[] {
    return this.#keys
  }

  /** Follows the log until the signal is aborted, or for ever stands still where the log has contradicted itself. Throws nothing. */
  async run(): Promise<void> {
    const { upstreams, standing, clock, random, log, replica } = this.#ports
    while (!this.#signal.aborted && standing.halted === null) {
      const [upstream] = upstreams.ordered()
      if (upstream === undefined) return
      try {
        await this.#once(upstream)
      } catch (error) {
        if (this.#signal.aborted) return
        await this.#fail(upstream, error)
      }
      standing.waiting(0)
      await clock.sleep(this.#retryMs * (1 - random() / 2), this.#signal)
      this.#retryMs = Math.min(this.#retryMs * 2, MIRROR_LIMITS.longestRetryMs)
      // Whatever failed may have been done all the same: the store alone knows.
      await replica.refresh().then(
        (head) => standing.verified(head.size),
        (error: unknown) => log('warn', { error }, 'the store does not answer'),
      )
    }
  }

  /**
   * Resolves with whether the tree of a signed checkpoint is verified and durable here, once it is or when `signal` aborts. Entries of the
   * stream that lead to its root are taken for that, though the upstream has not published it. Where the tree that is held
   * here is another, following ends as for any contradiction. Throws incidents of the store.
   */
  async reaches(signed: Signed, signal: AbortSignal): Promise<boolean> {
    for (const either = AbortSignal.any([signal, this.#signal]); ; ) {
      const moves = this.#moves.value
      if (await this.#inTurn(() => this.#take(signed))) return true
      try {
        await this.#moves.past(moves, either)
      } catch (error) {
        if (!either.aborted) throw error
        this.#leaveFor(signed)
        return false
      }
    }
  }

  // A mirror that is followed may have been told of no entries that are not published: the directory itself has them.
  #leaveFor({ checkpoint }: Signed): void {
    const { upstreams, replica } = this.#ports
    const stream = this.#stream
    if (stream === null || upstreams.ordered().length === 1 || checkpoint.size <= replica.head.size + stream.tail.leaves.length) return
    upstreams.stale(stream.upstream, `its stream lacks entries that the log has signed, up to ${checkpoint.size}`)
    stream.leave(new StreamBehindError('the stream lacks what the log has signed: it is left, and another upstream asked'))
  }

  async #take(signed: Signed): Promise<boolean> {
    const { replica, standing, log } = this.#ports
    const { size, root } = signed.checkpoint
    const { head } = replica
    const stream = this.#stream
    if (standing.halted !== null) return false
    try {
      if (size <= head.size) {
        await this.#judge(signed)
        return true
      }
      if (stream === null || size > head.size + stream.tail.leaves.length) return false
      const covered = stream.tail.leaves.slice(0, size - head.size)
      if (!bytesEqual(grow(head.edge, covered).root, root)) {
        log('warn', { size, note: signed.note }, 'the entries of the stream do not lead to the root of a checkpoint that was to be cosigned')
        throw new StreamBehindError('the stream is opened again after it did not fit a signed checkpoint')
      }
      await this.#append(stream.tail, covered)
      return true
    } catch (error) {
      stream?.leave(error)
      if (error instanceof StreamBehindError || error instanceof ContradictionFound) return false
      throw error
    }
  }

  // Entries at the beginning of the tail that lead to a signed root.
  async #append(tail: Tail, covered: readonly Uint8Array[]): Promise<void> {
    const { replica, standing } = this.#ports
    await replica.append(cutIntoRuns(covered, MIRROR_LIMITS))
    standing.verified(replica.head.size)
    tail.cut(replica.head.size)
    standing.waiting(tail.leaves.length)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  #moved(): void {
    this.#moves.advance(this.#moves.value + 1)
  }

  async #fail(upstream: Upstream, error: unknown): Promise<void> {
    const { upstreams, standing, log } = this.#ports
    if (error instanceof ContradictionFound) return
    if (error instanceof StreamBehindError) {
      log('info', { upstream: upstream.url }, error.message)
    } else if (error instanceof StreamClosedError) {
      // Its checkpoint is asked for at once: whether it is there at all shows then.
      if (error.reason === 'FutureCursor') upstreams.stale(upstream, 'its stream ends before what is verified here')
      log('debug', { upstream: upstream.url, reason: error.reason }, 'the stream ended')
    } else if (isLie(error) || isAbsence(error)) {
      upstreams.failed(upstream, error)
    } else {
      standing.trouble = `entries cannot be stored: ${error instanceof Error ? error.message : String(error)}`
      log('error', { error }, standing.trouble)
    }
  }

  // One upstream: its checkpoint, the way there, then its stream for as long as that lasts.
  async #once(upstream: Upstream): Promise<void> {
    const { upstreams, standing } = this.#ports
    const signed = await this.#readCheckpoint(upstream)
    const relation = await this.#judge(signed)
    if (relation === 'older') return upstreams.stale(upstream, `its newest checkpoint is of ${signed.checkpoint.size} entries, and ${await this.#publishedSize()} are known to be signed`)
    if (relation === 'newer') await this.#advance(signed)
    else await this.#publish(signed)
    upstreams.good(upstream, relation === 'newer' && upstreams.ordered().length === 1)
    standing.current = upstream
    standing.trouble = null
    await this.#followStream(upstream)
  }

  /** Reads and verifies what an upstream shows as its newest checkpoint. Throws MismatchError where it is not the log's. */
  async #readCheckpoint(upstream: Upstream): Promise<Signed> {
    const note = await this.#ports.upstreams.checkpoint(upstream)
    const signed = await this.#open(note, upstream)
    upstream.size = signed.checkpoint.size
    this.#ports.standing.heard(signed.checkpoint.size)
    return signed
  }

  async #open(note: string, upstream: Upstream): Promise<Signed> {
    if (this.#opened?.note === note) return this.#opened
    try {
      return (this.#opened = { checkpoint: openCheckpoint(note, this.#keys).checkpoint, note })
    } catch (error) {
      if (!(error instanceof DirectoryError)) throw error
      if (error.code === 'UNTRUSTED_NOTE' && (await this.#learnKeys(upstream))) return { checkpoint: openCheckpoint(note, this.#keys).checkpoint, note }
      throw new MismatchError(`its checkpoint is not the log's: ${error.message}`, { checkpoint: note }, { cause: error })
    }
  }

  // A log that changes its key says so with the one that is known. spec/log.md#key-statements
  async #learnKeys(upstream: Upstream): Promise<boolean> {
    const { store, log, replica } = this.#ports
    try {
      const read = await readStatement(upstream.url, this.#keys, this.#signal, this.#ports.upstreams.reach)
      if (read === null) return false
      const { signing, retired } = read.statement
      const known = this.#keys.map(formatVerifierKey)
      const fresh = signing.filter((key) => !known.includes(formatVerifierKey(key)))
      if (fresh.length === 0) return false
      const vkeys = signing.map(formatVerifierKey)
      await store.setSigner(replica.head.guardId, { guardId: replica.head.guardId, vkeys, statement: read.note })
      this.#keys = [...signing, ...retired]
      this.#ports.cosigner?.setKeys(this.#keys)
      log('warn', { vkeys }, 'the log has changed its keys, and the key that was known has signed that it did: the new ones count from now on')
      return true
    } catch (error) {
      if (error instanceof DirectoryError || isAbsence(error)) return false
      throw error
    }
  }

  /**
   * How a signed checkpoint stands to what is held here. Throws ContradictionFound where its tree is not the one that is held here.
   */
  async #judge(signed: Signed): Promise<'older' | 'known' | 'newer'> {
    const { replica, store } = this.#ports
    const { checkpoint } = signed
    const { head } = replica
    if (checkpoint.size > head.size) return 'newer'
    if (!bytesEqual(await readRoot(tilesOf(store), checkpoint.size, head.size), checkpoint.root)) await this.#contradicted(signed, tilesOf(store))
    return checkpoint.size < (await this.#publishedSize()) ? 'older' : 'known'
  }

  async #publishedSize(): Promise<number> {
    return (await this.#ports.store.publication())?.size ?? 0
  }

  // To a checkpoint by tiles and bundles, whichever upstream has them.
  async #advance(signed: Signed): Promise<void> {
    const { replica, upstreams, standing, onProgress } = this.#ports
    const { checkpoint } = signed
    const { head } = replica
    const tree = await openProvenTree(upstreams.any(this.#signal), checkpoint)
    if (!bytesEqual(await readRoot(tree, head.size, checkpoint.size), head.root)) await this.#contradicted(signed, tree)
    this.#target = signed
    const runs = leavesFrom(tree, head.size, this.#signal, MIRROR_LIMITS)
    await replica.append(watched(runs, () => {
      standing.verified(replica.head.size)
      onProgress(replica.head.size, checkpoint.size)
    }))
    onProgress(replica.head.size, checkpoint.size)
    standing.verified(replica.head.size)
    standing.trouble = null
    this.#moved()
    await this.#publish(signed)
  }

  async #publish(signed: Signed): Promise<void> {
    const { checkpoint } = signed
    const { replica, store, standing, cosigner, onPublished } = this.#ports
    const { head } = replica
    if (checkpoint.size > head.size || (checkpoint.size === head.size && !bytesEqual(head.root, checkpoint.root))) throw new Error('a checkpoint was about to be published whose tree is not held')
    const known = await store.publication()
    if (known !== null && known.size > checkpoint.size) return
    const best = fullerNote(known !== null && known.size === checkpoint.size ? known.note : null, signed.note, cosigner)
    const note = cosigner === null ? best : await this.#cosign(cosigner, { checkpoint, note: best })
    if (known?.note === note) return
    await replica.publish(checkpoint, note)
    this.#retryMs = MIRROR_LIMITS.firstRetryMs
    standing.trouble = null
    await onPublished(checkpoint, note)
  }

  async #publishAgain(checkpoint: Checkpoint): Promise<void> {
    const known = await this.#ports.store.publication()
    if (known?.size === checkpoint.size) await this.#publish({ checkpoint, note: known.note })
  }

  // What was cosigned must be a prefix of what is cosigned next, also where the database has gone back in between.
  async #cosign(cosigner: MirrorCosigner, signed: Signed): Promise<string> {
    const tiles = tilesOf(this.#ports.store)
    const { origin, size } = signed.checkpoint
    const last = cosigner.last(origin)
    if (last !== null && last.size > 0 && last.size <= size) {
      if (!bytesEqual(await readRoot(tiles, last.size, size), last.root)) await this.#contradicted(signed, tiles)
    }
    return cosigner.vouch(signed)
  }

  // Two checkpoints, both signed by the log, and two trees. What shows it to a stranger is kept, where there is something.
  async #contradicted(signed: Signed, larger: Pick<TileReader, 'tile'>): Promise<never> {
    const { store, folder, replica, cosigner } = this.#ports
    const { origin, size } = signed.checkpoint
    const publication = await store.publication()
    const kept = [publication?.note, this.#target?.note, cosigner?.last(origin)?.note].filter((note) => note !== undefined)
    for (const note of kept) {
      const evidence = await this.#findFork(larger, note, signed.note)
      if (evidence === null) continue
      const file = folder.keepEvidence(`${evidence.kind}-${size}`, evidence)
      this.#halt(`the log has signed two trees that contradict each other, the one held here and one of ${size} entries: the evidence is in ${file}`)
    }
    const words = `the log has signed a tree of ${size} entries that contradicts the ${replica.head.size} entries held here`
    const file = folder.keepAlarm(words, [...kept, signed.note].map((note) => alarmPart('checkpoint', note)))
    this.#halt(`${words}; what was seen is in ${file ?? 'the log lines alone'}`)
  }

  #halt(words: string): never {
    this.#ports.standing.halted = words
    this.#ports.log('error', {}, `following stops: ${words}`)
    throw new ContradictionFound(words)
  }

  async #findFork(larger: Pick<TileReader, 'tile'>, one: string, other: string): Promise<Evidence | null> {
    try {
      return await findFork(larger, one, other, this.#keys)
    } catch (error) {
      if (error instanceof DirectoryError) return null
      throw error
    }
  }

  async #followStream(upstream: Upstream): Promise<void> {
    const over = new AbortController()
    const either = AbortSignal.any([this.#signal, over.signal])
    this.#watch(upstream, either).catch((error: unknown) => over.abort(error))
    const tail = new Tail(this.#ports.replica.head.size, MIRROR_LIMITS, () => new StreamBehindError('too many entries of the stream wait for a checkpoint: it is left, and the log read from its bundles'))
    this.#stream = { upstream, tail, leave: (reason) => over.abort(reason) }
    try {
      for await (const frame of logStream(upstream.url, tail.start, { signal: either, ...this.#ports.upstreams.reach })) {
        await this.#inTurn(async () => {
          if (frame.type === 'entries') tail.add(frame)
          if (frame.type === 'checkpoint') await this.#cover(upstream, tail, frame)
          this.#ports.standing.waiting(tail.leaves.length)
        })
        this.#moved()
      }
    } catch (error) {
      if (error instanceof DirectoryError) throw new MismatchError(`its stream: ${error.message}`, {}, { cause: error })
      throw error
    } finally {
      over.abort()
      // Whatever is under way ends first.
      await this.#inTurn(() => Promise.resolve((this.#stream = null)))
    }
  }

  // A checkpoint of the stream covers what waits, or what waits is dropped and read again from bundles.
  async #cover(upstream: Upstream, tail: Tail, { note }: CheckpointFrame): Promise<void> {
    const { replica, upstreams, standing, log } = this.#ports
    const signed = await this.#open(note, upstream)
    const { size, root } = signed.checkpoint
    standing.heard(size)
    const relation = await this.#judge(signed)
    if (relation === 'older') return
    if (relation === 'known') return this.#publish(signed)
    const { head } = replica
    if (size > head.size + tail.leaves.length) throw new MismatchError(`its stream has a checkpoint of ${size} entries before these entries`, { checkpoint: note })
    const covered = tail.leaves.slice(0, size - head.size)
    if (bytesEqual(grow(head.edge, covered).root, root)) {
      await this.#append(tail, covered)
      upstreams.good(upstream, true)
      await this.#publish(signed)
    } else {
      log('warn', { upstream: upstream.url, size }, 'the entries of the stream do not lead to the root of the checkpoint: they are dropped, and read again from bundles')
      await this.#advance(signed)
      throw new StreamBehindError('the stream is opened again after what it lacked')
    }
  }

  // Beside a stream: whether what it shows is what all upstreams show, and whether it still comes.
  async #watch(followed: Upstream, signal: AbortSignal): Promise<void> {
    const { upstreams, clock, standing, cosigner } = this.#ports
    for (;;) {
      await clock.sleep(MIRROR_LIMITS.pollMs, signal)
      if (signal.aborted) return
      const upstream = upstreams.leastAsked()
      try {
        const signed = await this.#readCheckpoint(upstream)
        const relation = await this.#judge(signed)
        if (relation === 'older') upstreams.stale(upstream, `its newest checkpoint is of ${signed.checkpoint.size} entries`)
        else upstreams.good(upstream, false)
        // A log that stands still is cosigned again all the same.
        if (relation === 'known' && cosigner !== null) await this.#inTurn(() => this.#publishAgain(signed.checkpoint))
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof ContradictionFound || !(isLie(error) || isAbsence(error))) throw error
        upstreams.failed(upstream, error)
        if (isLie(error) && upstream === followed) throw error
      }
      if (standing.behindMs > MIRROR_LIMITS.streamLagMs) throw new StreamBehindError('the stream lacks what a checkpoint covers: it is left, and the log read from its bundles')
    }
  }
}

/** Tells of each run when it was taken, which is when those before it are on their way. */
async function* watched<T>(runs: AsyncIterable<T>, taken: () => void): AsyncGenerator<T> {
  for await (const run of runs) {
    taken()
    yield run
  }
}

/** The tree that is held in a store, to read proofs from. */
export function tilesOf(store: Pick<Store, 'tiles'>): Pick<TileReader, 'tile'> {
  return {
    async tile(tile) {
      const [stored = new Uint8Array()] = await store.tiles([tile])
      return stored.subarray(0, tile.width * HASH_BYTES)
    },
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof ServerError || error instanceof UnreachableError || error instanceof NotServedError || error instanceof StreamClosedError
}
