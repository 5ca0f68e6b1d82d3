// A mirror's word for what it holds: a witness of the one log that it mirrors and of that log's map, which cosigns a tree only once
// all of it is verified, or derived, here. spec/mirror.md#cosigning

import { existsSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { readProof } from '../src/client/log-client.ts'
import type { TileReader } from '../src/client/tile-reader.ts'
import { mapOrigin } from '../src/core/map/map-leaf.ts'
import type { Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { RULES_NAME } from '../src/core/tlog/cosignature.ts'
import { formatNote, formatSignatureLine, MAX_NOTE_SIGNATURES, parseNote, parseVerifierKey, type NoteSignature, type VerifierKey } from '../src/core/tlog/note.ts'
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
  /** The log's. */
  readonly origin: string
  /** The keys of the log. */
  readonly logKeys: readonly VerifierKey[]
  /** The tree of a log that is held here, by its origin. */
  readonly tilesOf: (origin: string) => Pick<TileReader, 'tile'>
  readonly clock: Clock
  readonly clientIpHeader: string | null
  readonly log: LogLine
}

/** What following a log does for a cosigner. */
export interface Verifying {
  /** Resolves with whether the tree of a signed checkpoint is verified here, once it is or when the signal aborts. */
  reaches(signed: Signed, signal: AbortSignal): Promise<boolean>
  /** Whether the log was seen to contradict itself, or what it is derived from. */
  readonly halted: boolean
}

/** Who verifies which log. */
export interface VerifyingBoth {
  readonly log: Verifying
  readonly map: Verifying
}

/** The cosigner of a mirror. */
export interface MirrorCosigner extends Disposable {
  /** Ed25519, then ML-DSA-44. */
  readonly vkeys: readonly string[]
  /** What was cosigned last of the log of an origin; null before the first. */
  last(origin: string): Cosigned | null
  /** The note of a checkpoint whose tree is held here, with cosignatures of this mirror that are at most `cosignAgainSeconds` old. Without them, and health says why, where they cannot be made. */
  vouch(signed: Signed): Promise<string>
  /** Whether a signature names one of its keys. */
  isOwn(signature: NoteSignature): boolean
  /** The signature lines for the body of a request, once what it asks for is verified. Throws WitnessRefusal where it is not cosigned, and StateFailure. */
  addCheckpoint(body: string, verifying: VerifyingBoth): Promise<string>
  /** Says which keys the log has from now on, or its map, whichever they are named after. */
  setKeys(keys: readonly VerifierKey[]): void
  /** Serves the endpoints of a witness before those of `app`. */
  before(app: RequestListener, verifying: VerifyingBoth): RequestListener
  /** What keeps it from cosigning, in words; none where all is well. `held` are the sizes of the log and of the map's log here, null where that is not known yet. */
  faults(held: { readonly log: number; readonly map: number | null }): readonly string[]
}

/** Of two notes of one checkpoint the one that is shown now, unless it adds nothing to the one that is known: how many signatures there are says nothing of their worth. Those of `cosigner` do not count. */
export function fullerNote(known: string | null, shown: string, cosigner: MirrorCosigner | null): string {
  const linesOf = (note: string): readonly string[] => parseNote(note).signatures.filter((signature) => cosigner?.isOwn(signature) !== true).map(formatSignatureLine)
  if (known === null) return shown
  const before = linesOf(known)
  return linesOf(shown).every((line) => before.includes(line)) ? known : shown
}

/** Where keys and memory of the cosigner are in the data folder. */
export const COSIGNER_FOLDER = 'cosigner'

/** Opens the cosigner of a mirror, and begins one where there is none. Throws WitnessError in words for the operator. */
export function openCosigner({ dataDir, name, freshName, origin, logKeys, tilesOf, clock, clientIpHeader, log }: CosignerPorts): MirrorCosigner {
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
  const faults = new Map<string, string>()
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

  async function addCheckpoint(body: string, { log, map }: VerifyingBoth): Promise<string> {
    checkMay(log)
    // What can never be cosigned is refused at once, and a wrong old size told.
    const signed = witness.examine(body)
    const verifying = signed.checkpoint.origin === origin ? log : map
    checkMay(verifying)
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
      const last = state.latest(checkpoint.origin)
      if (last !== null && last.size >= checkpoint.size && (last.size > checkpoint.size || now() / 1000 - last.timestamp < MIRROR_LIMITS.cosignAgainSeconds)) return
      const oldSize = last?.size ?? 0
      const proof = await readProof(tilesOf(checkpoint.origin), consistencyPlan(oldSize, checkpoint.size), checkpoint.size)
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
    addCheckpoint,
    last: (origin) => (ended === null ? state.latest(origin) : null),
    async vouch(signed) {
      if (ended !== null) return signed.note
      try {
        await cosignOwn(signed)
        faults.delete(signed.checkpoint.origin)
      } catch (error) {
        if (error instanceof StateFailure) failed(error)
        else if (!(error instanceof WitnessRefusal)) throw error
        else faults.set(signed.checkpoint.origin, `this mirror does not cosign ${signed.checkpoint.origin}: ${error.message}`)
        return signed.note
      }
      const last = state.latest(signed.checkpoint.origin)
      const { text, signatures } = parseNote(signed.note)
      const own = last !== null && last.size === signed.checkpoint.size ? parseNote(last.note).signatures.filter(isOwn) : []
      // Where there are too many, never the log's: it comes first.
      const others = signatures.filter((signature) => !isOwn(signature)).sort((a, b) => Number(isOfLog(b)) - Number(isOfLog(a)))
      return formatNote({ text, signatures: [...others.slice(0, MAX_NOTE_SIGNATURES - own.length), ...own] })
    },
    setKeys(keys) {
      known = [...known.filter((key) => !keys.some(({ name }) => name === key.name)), ...keys]
      witness = folder.witnessOf(known)
    },
    before(app, verifying) {
      const serve = createWitnessApp({
        witness: {
          addCheckpoint: (body) => addCheckpoint(body, verifying),
          signSubtree(body) {
            checkMay(verifying.log)
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
      const cosigned = (origin: string): number => (ended === null ? (state.latest(origin)?.size ?? 0) : 0)
      const of = { log: cosigned(origin), map: cosigned(mapOrigin(origin)) }
      const lost = held.log < of.log ? [`this mirror has cosigned ${of.log} entries and holds ${held.log}: its database was lost or went back, and is filled again`] : []
      // What is cosigned of the map is held a moment later, once it is published.
      const lostMap = held.map !== null && held.map + 1 < of.map ? [`this mirror has cosigned ${of.map} versions of the map and holds ${held.map}: its database was lost or went back, and is filled again`] : []
      return [...lost, ...lostMap, ...(ended === null ? [] : [ended]), ...faults.values()]
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  }
}
