// A mirror's word for what it holds: a witness of the one log that it mirrors, which cosigns a tree only once all of it is
// verified and served here. spec/mirror.md#cosigning

import { existsSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { readProof } from '../src/client/log-client.ts'
import type { TileReader } from '../src/client/tile-reader.ts'
import type { Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { formatNote, MAX_NOTE_SIGNATURES, parseNote, parseVerifierKey, type NoteSignature, type VerifierKey } from '../src/core/tlog/note.ts'
import { consistencyPlan } from '../src/core/tlog/proof.ts'
import { formatAddCheckpoint } from '../src/core/tlog/witness-request.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import { createWitnessApp, isForWitness } from '../src/witness/app.ts'
import { openWitnessFolder, STATE_FILE } from '../src/witness/open-folder.ts'
import { WitnessRefusal } from '../src/witness/refusal.ts'
import { StateFailure, type Cosigned } from '../src/witness/state.ts'
import { WitnessError } from '../src/witness/witness-error.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** A checkpoint that the log has signed. */
export interface Signed {
  readonly checkpoint: Checkpoint
  readonly note: string
}

/** What a cosigner stands on. */
export interface CosignerPorts {
  /** The mirror's data folder. */
  readonly dataDir: string
  /** Without its end; null for that of keys that exist. */
  readonly name: string | null
  /** A name that no other has, for where none was given and there are no keys. */
  readonly freshName: () => string
  readonly origin: string
  /** The keys of the log. */
  readonly logKeys: readonly VerifierKey[]
  /** The tree that is held here. */
  readonly tiles: Pick<TileReader, 'tile'>
  readonly clock: Clock
  readonly clientIpHeader: string | null
  readonly log: LogLine
}

/** What following does for a cosigner. */
export interface Verifying {
  /** Resolves with whether the tree of a signed checkpoint is verified and durable here, once it is or when the signal aborts. */
  reaches(signed: Signed, signal: AbortSignal): Promise<boolean>
  /** Whether the log was seen to contradict itself. */
  readonly halted: boolean
}

/** The cosigner of a mirror. */
export interface MirrorCosigner extends Disposable {
  /** Ed25519, then ML-DSA-44. */
  readonly vkeys: readonly string[]
  /** What was cosigned last; null before the first. */
  last(): Cosigned | null
  /** The note of a checkpoint whose tree is held here, with cosignatures of this mirror that are at most `cosignAgainSeconds` old. Without them, and health says why, where they cannot be made. */
  vouch(signed: Signed): Promise<string>
  /** Whether a signature names one of its keys. */
  isOwn(signature: NoteSignature): boolean
  /** Says that the log has other keys from now on. */
  setLogKeys(keys: readonly VerifierKey[]): void
  /** Serves the endpoints of a witness before those of `app`. */
  before(app: RequestListener, verifying: Verifying): RequestListener
  /** What keeps it from cosigning, in words; none where all is well. */
  faults(held: number): readonly string[]
}

/** How the name of a key ends that cosigns only what was judged by these rules. spec/log.md#replay */
export const RULES_NAME = '/rules-v1'

/** Where keys and memory of the cosigner are in the data folder. */
export const COSIGNER_FOLDER = 'cosigner'

/** Opens the cosigner of a mirror, and begins one where there is none. Throws WitnessError in words for the operator. */
export function openCosigner({ dataDir, name, freshName, origin, logKeys, tiles, clock, clientIpHeader, log }: CosignerPorts): MirrorCosigner {
  const path = join(dataDir, COSIGNER_FOLDER)
  const begun = existsSync(join(path, STATE_FILE))
  const given = name ?? (begun ? null : freshName())
  const whole = given === null || given.endsWith(RULES_NAME) ? given : given + RULES_NAME
  const now = (): number => clock.timeOfDay()
  const elapsed = (): number => clock.now()
  const folder = openWitnessFolder({ dataDir: path, name: whole, now, elapsed, log })
  const keys = folder.vkeys.map(parseVerifierKey)
  const { state, vkeys } = folder
  if (!keys.every((key) => key.name.endsWith(RULES_NAME))) {
    folder[Symbol.dispose]()
    throw new WitnessError(`the cosigner in ${path} is ${keys[0]?.name}, and this program applies the rules of keys whose names end in ${RULES_NAME}: it needs a data folder of its own`)
  }
  let known = logKeys
  let witness = folder.witnessOf(logKeys)
  let waiting = 0
  let fault: string | null = null
  let ended: string | null = null

  const failed = (error: Error): void => {
    ended ??= `nothing is cosigned until this mirror is started again: what its cosigner remembers cannot be written (${error.message})`
    log('error', { error }, ended)
  }
  const checkMay = ({ halted }: Pick<Verifying, 'halted'>): void => {
    if (halted || ended !== null) throw new WitnessRefusal('NO_MORE')
  }
  const isOwn = ({ name, id }: NoteSignature): boolean => keys.some((key) => key.name === name && key.id === id)

  const isOfLog = ({ name, id }: NoteSignature): boolean => known.some((key) => key.name === name && key.id === id)

  async function addCheckpoint(body: string, verifying: Verifying): Promise<string> {
    checkMay(verifying)
    // What can never be cosigned is refused at once, and a wrong old size told.
    const signed = witness.examine(body)
    if (waiting >= MIRROR_LIMITS.cosignWaiting) throw new WitnessRefusal('NOT_VERIFIED', { retryAfterS: 1 })
    waiting++
    const verified = await verifying.reaches(signed, AbortSignal.timeout(MIRROR_LIMITS.cosignWaitMs)).finally(() => waiting--)
    checkMay(verifying)
    if (!verified) throw new WitnessRefusal('NOT_VERIFIED', { retryAfterS: 1 })
    // The old size and all else once more: another checkpoint may have been cosigned meanwhile.
    return witness.addCheckpoint(body)
  }

  async function cosignOwn({ checkpoint, note }: Signed): Promise<void> {
    for (;;) {
      const last = state.latest(origin)
      if (last !== null && last.size >= checkpoint.size && (last.size > checkpoint.size || now() / 1000 - last.timestamp < MIRROR_LIMITS.cosignAgainSeconds)) return
      const oldSize = last?.size ?? 0
      const proof = await readProof(tiles, consistencyPlan(oldSize, checkpoint.size), checkpoint.size)
      const { text, signatures } = parseNote(note)
      // Others may have added lines in the log's name.
      const signing = known.flatMap((key) => signatures.find(({ name, id }) => key.name === name && key.id === id) ?? [])
      try {
        witness.addCheckpoint(formatAddCheckpoint({ oldSize, proof, note: { text, signatures: signing } }))
        return
      } catch (error) {
        // Somebody had another one cosigned meanwhile.
        if (!(error instanceof WitnessRefusal) || error.code !== 'STALE') throw error
      }
    }
  }

  return {
    vkeys,
    isOwn,
    last: () => (ended === null ? state.latest(origin) : null),
    async vouch(signed) {
      if (ended !== null) return signed.note
      try {
        await cosignOwn(signed)
        fault = null
      } catch (error) {
        if (error instanceof StateFailure) failed(error)
        else if (!(error instanceof WitnessRefusal)) throw error
        else fault = `this mirror does not cosign: ${error.message}`
        return signed.note
      }
      const last = state.latest(origin)
      const { text, signatures } = parseNote(signed.note)
      const own = last !== null && last.size === signed.checkpoint.size ? parseNote(last.note).signatures.filter(isOwn) : []
      // Where there are too many, never the log's: it comes first.
      const others = signatures.filter((signature) => !isOwn(signature)).sort((a, b) => Number(isOfLog(b)) - Number(isOfLog(a)))
      return formatNote({ text, signatures: [...others.slice(0, MAX_NOTE_SIGNATURES - own.length), ...own] })
    },
    setLogKeys(keys) {
      known = keys
      witness = folder.witnessOf(keys)
    },
    before(app, verifying) {
      const serve = createWitnessApp({
        witness: {
          addCheckpoint: (body) => addCheckpoint(body, verifying),
          signSubtree(body) {
            checkMay(verifying)
            return witness.signSubtree(body)
          },
          checkpoint(id) {
            checkMay({ halted: false })
            return witness.checkpoint(id)
          },
        },
        vkeys, clientIpHeader, elapsed, log, onFailure: failed,
      })
      return (request, response) => (isForWitness(request) ? serve : app)(request, response)
    },
    faults(held) {
      const cosigned = ended === null ? (state.latest(origin)?.size ?? 0) : 0
      const lost = held < cosigned ? [`this mirror has cosigned ${cosigned} entries and holds ${held}: its database was lost or went back, and is filled again`] : []
      return [...lost, ...[ended, fault].filter((words) => words !== null)]
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  }
}
