// Following a log: its stream while it comes, its tiles and bundles whenever it does not. Nothing is taken before it is led back to a
// signed root. spec/mirror.md#following

import { setImmediate } from 'node:timers/promises'
import { keysBeyond } from '../src/client/keys.ts'
import { readRoot } from '../src/client/log-client.ts'
import { MismatchError } from '../src/client/mismatch.ts'
import { leavesFrom, openProvenTree } from '../src/client/proven-tree.ts'
import { ServerError, UnreachableError } from '../src/client/request.ts'
import { logStream, StreamClosedError } from '../src/client/stream-client.ts'
import { Tail } from '../src/client/tail.ts'
import { NotServedError } from '../src/client/tile-reader.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { DirectoryError } from '../src/core/errors.ts'
import type { CheckpointFrame } from '../src/core/frame.ts'
import { grow } from '../src/core/growth.ts'
import { openCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import type { Clock } from '../src/log/ports.ts'
import { Growing } from '../src/storage/tip.ts'
import { Checkpoints, ContradictionFound, type CheckpointPorts } from './checkpoints.ts'
import { fullerNote, type Signed } from './cosigner.ts'
import { readStatement } from './log-keys.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { cutIntoRuns } from './replica.ts'
import { isLie, type Upstream, type Upstreams } from './upstreams.ts'

/** What following stands on. */
export interface FollowingPorts extends CheckpointPorts {
  readonly upstreams: Upstreams
  /** The log's keys that are known so far. */
  readonly keys: readonly VerifierKey[]
  readonly clock: Clock
  /** From 0 up to 1. */
  readonly random: () => number
  /** Told how far a long way has come. */
  readonly onProgress: (done: number, of: number) => void
}

/** The stream lacks what the checkpoint covers. */
class StreamBehindError extends Error {
  override readonly name = 'StreamBehindError'
}

/** A stream that is open. */
interface OpenStream {
  readonly upstream: Upstream
  readonly tail: Tail
  /** The newest checkpoint that was seen to cover what waits in the tail, and is not published yet. */
  due: Signed | null
  /** Ends it, for a reason that following then sees. */
  readonly leave: (reason: unknown) => void
}

/** Following one log. */
export class Following {
  readonly #ports: FollowingPorts
  readonly #signal: AbortSignal
  readonly #checkpoints: Checkpoints
  #keys: readonly VerifierKey[]
  #retryMs: number = MIRROR_LIMITS.firstRetryMs
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
    this.#checkpoints = new Checkpoints({
      ...ports,
      keys: () => this.#keys,
      onPublished: (checkpoint, note) => {
        this.#retryMs = MIRROR_LIMITS.firstRetryMs
        return ports.onPublished(checkpoint, note)
      },
    })
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
        await this.#checkpoints.judge(signed)
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
    const relation = await this.#checkpoints.judge(signed)
    if (relation === 'older') return upstreams.stale(upstream, `its newest checkpoint is of ${signed.checkpoint.size} entries, and ${await this.#checkpoints.publishedSize()} are known to be signed`)
    if (relation === 'newer') await this.#advance(signed)
    else await this.#checkpoints.publish(signed)
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
      if (keysBeyond(this.#keys, signing).length === 0) return false
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

  // To a checkpoint by tiles and bundles, whichever upstream has them.
  async #advance(signed: Signed): Promise<void> {
    const { replica, upstreams, standing, onProgress } = this.#ports
    const { checkpoint } = signed
    const { head } = replica
    const tree = await openProvenTree(upstreams.any(this.#signal), checkpoint)
    if (!bytesEqual(await readRoot(tree, head.size, checkpoint.size), head.root)) await this.#checkpoints.contradicted(signed, tree)
    this.#checkpoints.target = signed
    const runs = leavesFrom(tree, head.size, this.#signal, MIRROR_LIMITS)
    await replica.append(watched(runs, () => {
      standing.verified(replica.head.size)
      onProgress(replica.head.size, checkpoint.size)
    }))
    onProgress(replica.head.size, checkpoint.size)
    standing.verified(replica.head.size)
    standing.trouble = null
    this.#moved()
    await this.#checkpoints.publish(signed)
  }

  async #followStream(upstream: Upstream): Promise<void> {
    const over = new AbortController()
    const either = AbortSignal.any([this.#signal, over.signal])
    this.#watch(upstream, either).catch((error: unknown) => over.abort(error))
    const tail = new Tail(this.#ports.replica.head.size, MIRROR_LIMITS, () => new StreamBehindError('too many entries of the stream wait for a checkpoint: it is left, and the log read from its bundles'))
    const stream: OpenStream = { upstream, tail, due: null, leave: (reason) => over.abort(reason) }
    this.#stream = stream
    try {
      for await (const frame of logStream(upstream.url, tail.start, { signal: either, ...this.#ports.upstreams.reach })) {
        await this.#inTurn(async () => {
          if (frame.type === 'entries') tail.add(frame)
          if (frame.type === 'checkpoint') await this.#cover(stream, frame)
          this.#ports.standing.waiting(tail.leaves.length)
        })
        this.#moved()
        if (frame.type === 'checkpoint') this.#settle(stream).catch((error: unknown) => over.abort(error))
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
  async #cover(stream: OpenStream, frame: CheckpointFrame): Promise<void> {
    const { replica, standing, cosigner, log } = this.#ports
    const { upstream, tail, due } = stream
    const signed = await this.#open(frame.note, upstream)
    const { size, root } = signed.checkpoint
    standing.heard(size)
    const relation = await this.#checkpoints.judge(signed)
    if (relation === 'older') return
    if (relation === 'known') return this.#checkpoints.publish(signed)
    const { head } = replica
    if (size > head.size + tail.leaves.length) throw new MismatchError(`its stream has a checkpoint of ${size} entries before these entries`, { checkpoint: frame.note })
    if (bytesEqual(grow(head.edge, tail.leaves.slice(0, size - head.size)).root, root)) {
      if (due === null || size > due.checkpoint.size) stream.due = signed
      else if (size === due.checkpoint.size) stream.due = { ...due, note: fullerNote(due.note, signed.note, cosigner) }
    } else if (due !== null) {
      // It is held against what the one before it covers, which is evidence once it is held here.
      await this.#takeDue(stream)
      await this.#cover(stream, frame)
    } else {
      log('warn', { upstream: upstream.url, size }, 'the entries of the stream do not lead to the root of the checkpoint: they are dropped, and read again from bundles')
      await this.#advance(signed)
      throw new StreamBehindError('the stream is opened again after what it lacked')
    }
  }

  // Once all that has come by now is read: who is behind takes many checkpoints' entries together, and publishes the last.
  async #settle(stream: OpenStream): Promise<void> {
    await setImmediate()
    await this.#inTurn(async () => {
      if (this.#stream === stream) await this.#takeDue(stream)
    })
    this.#moved()
  }

  async #takeDue(stream: OpenStream): Promise<void> {
    const { replica, upstreams } = this.#ports
    const { upstream, tail, due } = stream
    if (due === null) return
    stream.due = null
    const { head } = replica
    if (due.checkpoint.size > head.size) await this.#append(tail, tail.leaves.slice(0, due.checkpoint.size - head.size))
    else await this.#checkpoints.judge(due)
    upstreams.good(upstream, true)
    await this.#checkpoints.publish(due)
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
        const relation = await this.#checkpoints.judge(signed)
        if (relation === 'older') upstreams.stale(upstream, `its newest checkpoint is of ${signed.checkpoint.size} entries`)
        else upstreams.good(upstream, false)
        // A log that stands still is cosigned again all the same.
        if (relation === 'known' && cosigner !== null) await this.#inTurn(() => this.#checkpoints.publishAgain(signed.checkpoint))
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

function isAbsence(error: unknown): boolean {
  return error instanceof ServerError || error instanceof UnreachableError || error instanceof NotServedError || error instanceof StreamClosedError
}
