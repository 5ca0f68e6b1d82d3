// What somebody who goes on looking at a log knows of it: its keys, the largest checkpoint that was verified, and that none contradicts another.
// docs/following.md#what-is-proved

import { bytesEqual } from '../core/encoding/text.ts'
import { assert, DirectoryError } from '../core/errors.ts'
import { formatEvidence, parseEvidence, type Evidence } from '../core/evidence.ts'
import { openByAnyKey, openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { formatVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import type { CheckpointStore } from './checkpoint-store.ts'
import type { Position } from './cursor.ts'
import { findFork } from './fork.ts'
import { keysBeyond, readKeyStatement } from './keys.ts'
import { readRoot } from './log-client.ts'
import { MismatchError } from './mismatch.ts'
import type { ProvenTree } from './proven-tree.ts'
import { ServerError, UnreachableError, type RequestOptions } from './request.ts'
import { NotServedError, type TileReader } from './tile-reader.ts'

/** The log has signed what contradicts itself: nothing of it can be followed any more. */
export class LogContradictionError extends Error {
  override readonly name = 'LogContradictionError'
  /** What convinces a stranger. */
  readonly evidence: Evidence

  constructor(words: string, evidence: Evidence) {
    super(words)
    this.evidence = evidence
  }
}

/** A checkpoint that a key of the log has signed, and the note that it came in. */
export interface Signed {
  readonly checkpoint: Checkpoint
  readonly note: string
}

/** Whether an error says something of a server, and nothing of the log. */
export function isOfServer(error: unknown): error is Error {
  return [MismatchError, DirectoryError, ServerError, UnreachableError, NotServedError].some((kind) => error instanceof kind)
}

/** Begins with what a position says, and with what its owner's other clients verified, once that is recalled. Whatever contradicts itself is LogContradictionError. */
export class LogMemory {
  readonly #checkpoints: CheckpointStore | null
  readonly #request: RequestOptions
  #keys: readonly VerifierKey[]
  #note: string | null
  /** The checkpoint that the position was kept with. */
  readonly #earlier: string | null
  /** A smaller checkpoint that was found to be of the same log. */
  #lastOlder = ''

  constructor({ keys, note }: Pick<Position, 'keys' | 'note'>, checkpoints: CheckpointStore | null, request: RequestOptions) {
    this.#keys = keys
    this.#note = note
    this.#earlier = note
    this.#checkpoints = checkpoints
    this.#request = request
  }

  /** Those given, and those learned since. */
  get keys(): readonly VerifierKey[] {
    return this.#keys
  }

  /** The note of the largest checkpoint that was verified; null for none. */
  get note(): string | null {
    return this.#note
  }

  /** The largest checkpoint that was verified. */
  newest(): Signed | null {
    return this.#note === null ? null : { note: this.#note, checkpoint: openByAnyKey(this.#note, this.#keys).checkpoint }
  }

  /** What the owner's other clients verified counts here, too. Throws what the store throws. */
  async recall(): Promise<void> {
    if (this.#checkpoints === null) return
    for (const key of this.#keys) {
      const evidence = await this.#checkpoints.evidence(formatVerifierKey(key))
      if (evidence !== null) throw new LogContradictionError(CONTRADICTED, parseEvidence(evidence))
      const note = await this.#checkpoints.newest(formatVerifierKey(key))
      if (note === null) continue
      const { size } = openByAnyKey(note, [key]).checkpoint
      if (size > (this.newest()?.checkpoint.size ?? -1)) this.#note = note
    }
  }

  /** A checkpoint by a key of the log, also by one that the log goes over to and says so of at `url`. Throws DirectoryError. spec/log.md#key-statements */
  async open(note: string, url: string): Promise<Signed> {
    try {
      return { note, checkpoint: openCheckpoint(note, this.#keys).checkpoint }
    } catch (error) {
      if (!(error instanceof DirectoryError) || error.code !== 'UNTRUSTED_NOTE') throw error
      const { signing } = await readKeyStatement(url, this.#keys, this.#request).catch(() => ({ signing: [] }))
      const fresh = keysBeyond(this.#keys, signing)
      if (fresh.length === 0) throw error
      const { checkpoint } = openCheckpoint(note, signing)
      this.#keys = [...this.#keys, ...fresh]
      return { note, checkpoint }
    }
  }

  /** How a checkpoint stands to the largest one that was verified, of which `reader` shows the tree. A newer one is not compared. */
  async judge({ checkpoint, note }: Signed, reader: TileReader): Promise<'older' | 'known' | 'newer'> {
    const known = this.newest()
    if (known === null || checkpoint.size > known.checkpoint.size) return 'newer'
    if (checkpoint.size === known.checkpoint.size) {
      if (!bytesEqual(checkpoint.root, known.checkpoint.root)) await this.#contradicted(reader, note, known.note)
      return 'known'
    }
    if (note === this.#lastOlder) return 'older'
    // Whoever serves it may not have the larger tree: then nothing is shown.
    const evidence = await findFork(reader, note, known.note, this.#keys).catch((error: unknown) => {
      if (isOfServer(error)) return null
      throw error
    })
    if (evidence !== null) await this.#convict(evidence)
    this.#lastOlder = note
    return 'older'
  }

  /** Compares a newer checkpoint with the largest one that was verified, by the tiles of whoever shows it. Throws what reading throws. */
  async compareNewer({ note }: Signed, reader: TileReader): Promise<void> {
    const known = this.newest()
    const evidence = known === null ? null : await findFork(reader, known.note, note, this.#keys)
    if (evidence !== null) await this.#convict(evidence)
  }

  /** The tree of a checkpoint continues what was verified, and that of the position it is followed from. Throws what reading throws. */
  async requireContinued(tree: ProvenTree, { checkpoint, note }: Signed, { size, root }: Pick<Position, 'size' | 'root'>): Promise<void> {
    const known = this.newest()
    if (known !== null && known.checkpoint.size <= checkpoint.size && !bytesEqual(await readRoot(tree, known.checkpoint.size, tree.size), known.checkpoint.root)) {
      await this.#contradicted(tree, note, known.note)
    }
    if (bytesEqual(await readRoot(tree, size, tree.size), root)) return
    if (this.#earlier !== null) await this.#contradicted(tree, note, this.#earlier)
    assert(false, 'the cursor is of another tree than the checkpoint that it was kept with')
  }

  /** A checkpoint continues all before it: it is remembered where it is not smaller. Gives whether it is larger. Throws what the store throws. */
  async reached({ checkpoint: { size }, note }: Signed): Promise<boolean> {
    const before = this.newest()?.checkpoint.size ?? 0
    if (size < before) return false
    this.#note = note
    if (this.#checkpoints !== null) {
      // By the names of those keys alone that signed it: a log may have gone over to another.
      const names = new Set(openByAnyKey(note, this.#keys).verified.map(({ key }) => formatVerifierKey(key)))
      for (const name of names) await this.#checkpoints.keep(name, size, note)
    }
    return size > before
  }

  async #contradicted(reader: Pick<TileReader, 'tile'>, note: string, known: string): Promise<never> {
    const evidence = await findFork(reader, known, note, this.#keys)
    if (evidence === null) throw new MismatchError('its checkpoint and its tiles do not go together', { checkpoint: note })
    return this.#convict(evidence)
  }

  async #convict(evidence: Evidence): Promise<never> {
    for (const key of this.#checkpoints === null ? [] : this.#keys) await this.#checkpoints?.convict(formatVerifierKey(key), formatEvidence(evidence))
    throw new LogContradictionError(CONTRADICTED, evidence)
  }
}

const CONTRADICTED = 'the log has signed two trees that contradict each other: nothing that it signs can be followed any more'
