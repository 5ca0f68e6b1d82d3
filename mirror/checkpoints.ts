// The checkpoints that a log has signed, against the tree that is held here: which are new, which are published, and the decision to
// stop where one contradicts it. spec/mirror.md#following

import { findFork } from '../src/client/fork.ts'
import { readRoot } from '../src/client/log-client.ts'
import type { TileReader } from '../src/client/tile-reader.ts'
import { alarmPart } from '../src/core/alarm.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { DirectoryError } from '../src/core/errors.ts'
import type { Evidence } from '../src/core/evidence.ts'
import type { Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { HASH_BYTES } from '../src/core/tlog/hash.ts'
import type { VerifierKey } from '../src/core/tlog/note.ts'
import type { LogLine } from '../src/log/ports.ts'
import type { Store } from '../src/storage/store.ts'
import { fullerNote, type MirrorCosigner, type Signed } from './cosigner.ts'
import type { EvidenceFolder } from './evidence-folder.ts'
import type { Replica } from './replica.ts'
import type { Standing } from './standing.ts'

/** What checkpoints are held against, and who is told. */
export interface CheckpointPorts {
  readonly store: Store
  readonly replica: Replica
  readonly standing: Standing
  readonly folder: EvidenceFolder
  /** Cosigns what is published; null for nobody. */
  readonly cosigner: MirrorCosigner | null
  readonly log: LogLine
  /** Told of each checkpoint that is reached and published. */
  readonly onPublished: (checkpoint: Checkpoint, note: string) => Promise<void>
}

/** The log has contradicted itself: nothing that it signs can be followed any more. */
export class ContradictionFound extends Error {
  override readonly name = 'ContradictionFound'
}

/** The checkpoints of one log. */
export class Checkpoints {
  readonly #ports: CheckpointPorts & { readonly keys: () => readonly VerifierKey[] }
  /** The newest checkpoint whose tree entries were taken from, beside the published one. */
  target: Signed | null = null

  /** `keys` are the log's that are known so far. */
  constructor(ports: CheckpointPorts & { readonly keys: () => readonly VerifierKey[] }) {
    this.#ports = ports
  }

  /**
   * How a signed checkpoint stands to what is held here. Throws ContradictionFound where its tree is not the one that is held here.
   */
  async judge(signed: Signed): Promise<'older' | 'known' | 'newer'> {
    const { replica, store } = this.#ports
    const { checkpoint } = signed
    const { head } = replica
    if (checkpoint.size > head.size) return 'newer'
    if (!bytesEqual(await readRoot(tilesOf(store), checkpoint.size, head.size), checkpoint.root)) await this.contradicted(signed, tilesOf(store))
    return checkpoint.size < (await this.publishedSize()) ? 'older' : 'known'
  }

  /** Entries that the newest published checkpoint covers. */
  async publishedSize(): Promise<number> {
    return (await this.#ports.store.publication())?.size ?? 0
  }

  /** Publishes a checkpoint whose tree is held here, with this mirror's own cosignatures, unless a newer one is published. Throws ContradictionFound where another tree was cosigned, and incidents. */
  async publish(signed: Signed): Promise<void> {
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
    standing.trouble = null
    await onPublished(checkpoint, note)
  }

  /** Publishes what is published once more, where it is this checkpoint: its cosignatures grow old. Throws as `publish`. */
  async publishAgain(checkpoint: Checkpoint): Promise<void> {
    const known = await this.#ports.store.publication()
    if (known?.size === checkpoint.size) await this.publish({ checkpoint, note: known.note })
  }

  // What was cosigned must be a prefix of what is cosigned next, also where the database has gone back in between.
  async #cosign(cosigner: MirrorCosigner, signed: Signed): Promise<string> {
    const tiles = tilesOf(this.#ports.store)
    const { origin, size } = signed.checkpoint
    const last = cosigner.last(origin)
    if (last !== null && last.size > 0 && last.size <= size) {
      if (!bytesEqual(await readRoot(tiles, last.size, size), last.root)) await this.contradicted(signed, tiles)
    }
    return cosigner.vouch(signed)
  }

  /** Two checkpoints, both signed by the log, and two trees: what shows it to a stranger is kept, where there is something, and the log is followed no more. Throws ContradictionFound. */
  async contradicted(signed: Signed, larger: Pick<TileReader, 'tile'>): Promise<never> {
    const { store, folder, replica, cosigner } = this.#ports
    const { origin, size } = signed.checkpoint
    const publication = await store.publication()
    const kept = [publication?.note, this.target?.note, cosigner?.last(origin)?.note].filter((note) => note !== undefined)
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
      return await findFork(larger, one, other, this.#ports.keys())
    } catch (error) {
      if (error instanceof DirectoryError) return null
      throw error
    }
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
