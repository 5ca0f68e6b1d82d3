// What a witness decides: which checkpoints and subtrees it cosigns. Each decision is one synchronous step, from
// reading the state to writing it, so that no two of them can mix. spec/witness.md

import { base64, bytesEqual } from '../core/encoding/text.ts'
import { DirectoryError } from '../core/errors.ts'
import { formatCheckpoint, isLogKeyType, parseCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_ROOT } from '../core/tlog/hash.ts'
import { formatNote, formatSignatureLine, verifyNote, type Note, type NoteSignature, type VerifierKey } from '../core/tlog/note.ts'
import { impliedRoot, verifyConsistency, verifySubtree } from '../core/tlog/proof.ts'
import { parseAddCheckpoint, parseSignSubtree } from '../core/tlog/witness-request.ts'
import { Throttle } from '../net/throttle.ts'
import type { Cosigner } from './cosigner.ts'
import { WITNESS_LIMITS } from './limits.ts'
import { WitnessRefusal, type RefusalParts, type WitnessRefusalCode } from './refusal.ts'
import { StateFullError, type Cosigned, type Suspect, type WitnessState } from './state.ts'

/** One log line: fields first, words last. */
export type LogLine = (level: 'debug' | 'info' | 'warn' | 'error', fields: Record<string, unknown>, words: string) => void

/** What a witness works with. */
export interface WitnessPorts {
  readonly state: WitnessState
  /** In the order in which they sign. */
  readonly cosigners: readonly Cosigner[]
  /** The keys of the logs that are witnessed; each vouches for the origin that is its name. */
  readonly logKeys: readonly VerifierKey[]
  /** Cosignatures a second for one log, 0 for any number. Default: the limit of that name. */
  readonly logRate?: number
  /** Shows what is kept of a log as files; returns in words where the newest is. Default: no files. */
  readonly show?: (origin: string, keys: readonly VerifierKey[]) => string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Milliseconds, never going back. */
  readonly elapsed: () => number
  readonly log: LogLine
}

/** A witness. Its methods throw WitnessRefusal, and StateFailure where it must be started anew. */
export interface Witness {
  /** The signature lines for the body of a request, each with its newline; what they say is on disk. */
  addCheckpoint(body: string): string
  /** What `addCheckpoint` would sign now, with the log's signatures alone; nothing is signed, nor counted towards its rate. */
  examine(body: string): { readonly checkpoint: Checkpoint; readonly note: string }
  /** The signature lines for the body of a request. */
  signSubtree(body: string): string
  /** The checkpoint cosigned last, with the log's signatures and ours, of the log with this id (`logId`). */
  checkpoint(id: string): string
}

/** A witness over its ports. */
export function createWitness(ports: WitnessPorts): Witness {
  const { state, cosigners, logKeys, logRate = WITNESS_LIMITS.logRate, show = () => 'both checkpoints are kept', now, elapsed, log } = ports
  const keysOf = Map.groupBy(logKeys.filter((key) => isLogKeyType(key.type)), (key) => key.name)
  const throttle = logRate === 0 ? null : new Throttle({ rate: logRate, burst: logRate * WITNESS_LIMITS.logBurstSeconds, addresses: keysOf.size })

  /** The checkpoint of a note's text, and the keys of its log. */
  const logOf = (text: string): { checkpoint: Checkpoint; keys: readonly VerifierKey[] } => {
    const checkpoint = refuse('MALFORMED', () => parseCheckpoint(text))
    const keys = keysOf.get(checkpoint.origin)
    if (keys === undefined) throw new WitnessRefusal('UNKNOWN_LOG')
    return { checkpoint, keys }
  }

  const admit = (origin: string): void => {
    const waitMs = throttle?.take(origin, elapsed()) ?? 0
    if (waitMs > 0) throw new WitnessRefusal('TOO_MANY_REQUESTS', { retryAfterS: Math.ceil(waitMs / 1000) })
  }

  const suspect = (found: Suspect, keys: readonly VerifierKey[]): void => {
    const { origin, size, known, submitted, oldSize, proof } = found
    let where = 'the disk is full, and both checkpoints are in this line alone'
    try {
      if (!state.keep(found)) return
      where = show(origin, keys)
    } catch (error) {
      // What was found is said at least, and the request refused for what it is.
      if (!(error instanceof StateFullError)) throw error
    }
    const fields = { origin, size, known, submitted, oldSize, proof: proof.map((hash) => base64.encode(hash)) }
    if (found.kind === 'contradiction') log('error', fields, `THE LOG CONTRADICTS ITSELF: it signed two trees that cannot both be true; ${where}`)
    else log('warn', fields, `a checkpoint that its log signed came without a proof that it continues the one cosigned last; ${where}`)
  }

  const timestampAfter = (last: number): number => {
    const seconds = Math.floor(now() / 1000)
    const timestamp = Math.max(seconds, last)
    if (seconds < 1 || timestamp - seconds > WITNESS_LIMITS.clockBackSeconds) {
      log('error', { clock: seconds, last }, 'the clock stands before what was cosigned last: nothing is cosigned until it is right')
      throw new WitnessRefusal('CLOCK_BEHIND', { retryAfterS: WITNESS_LIMITS.retrySeconds })
    }
    return timestamp
  }

  /** Everything that stands between a request and its signature. */
  const decide = (body: string, counts: boolean): Decision => {
    const { oldSize, proof, note } = refuse('MALFORMED', () => parseAddCheckpoint(body))
    if (note.signatures.length > WITNESS_LIMITS.signatures) throw new WitnessRefusal('TOO_MANY_SIGNATURES')
    const { checkpoint, keys } = logOf(note.text)
    const signatures = signaturesBy(keys, note)
    const { origin, size, root } = checkpoint
    if (oldSize > size) throw new WitnessRefusal('OLD_ABOVE_SIZE')
    if (counts) admit(origin)

    const last = state.latest(origin)
    const { size: lastSize, root: lastRoot } = last ?? { size: 0, root: EMPTY_ROOT }
    const submitted = formatNote({ text: note.text, signatures })
    const found = { origin, at: now(), size, root, submitted, oldSize, proof }
    const isEmptyWithRoot = size === 0 && !bytesEqual(root, EMPTY_ROOT)
    const contradicts = isEmptyWithRoot || (last !== null && size === lastSize && !bytesEqual(root, lastRoot))
    if (contradicts) suspect({ ...found, kind: 'contradiction', known: last?.note ?? null }, keys)
    if (oldSize !== lastSize) throw new WitnessRefusal('STALE', { body: `${lastSize}\n`, type: 'text/x.tlog.size' })
    if (contradicts) throw new WitnessRefusal(isEmptyWithRoot ? 'NOT_EMPTY' : 'CONTRADICTION')
    refuse('INCONSISTENT', () => verifyConsistency({ oldSize, oldRoot: lastRoot, newSize: size, newRoot: root, proof }), () => {
      if (last === null || size <= lastSize || lastSize === 0) return
      // A proof that leads from another root to the one that was signed convicts the log; one that leads nowhere, nobody.
      const convicts = impliedRoot({ oldSize, newSize: size, newRoot: root, proof }) !== null
      suspect({ ...found, kind: convicts ? 'contradiction' : 'unproven', known: last.note }, keys)
    })
    return { checkpoint, signatures, submitted, last }
  }

  return {
    examine(body) {
      const { checkpoint, submitted } = decide(body, false)
      return { checkpoint, note: submitted }
    },

    addCheckpoint(body) {
      const { checkpoint, signatures, last } = decide(body, true)
      const timestamp = timestampAfter(last?.timestamp ?? 0)
      const cosignatures = cosigners.map((cosigner) => cosigner.cosign(checkpoint, timestamp))
      const text = formatCheckpoint(checkpoint)
      const next: Cosigned = { ...checkpoint, timestamp, note: formatNote({ text, signatures: [...signatures, ...cosignatures] }) }
      // Nothing that was signed leaves before this returns.
      unlessFull(() => state.advance(last, next))
      log('debug', { origin: checkpoint.origin, size: checkpoint.size, timestamp }, 'cosigned')
      return lines(cosignatures)
    },

    signSubtree(body) {
      const { start, end, hash, proof, text, signatures } = refuse('MALFORMED', () => parseSignSubtree(body))
      const { checkpoint } = logOf(text)
      const { origin, size, root } = checkpoint
      checkRange(start, end, size)
      admit(origin)
      checkCosigned({ text, signatures }, origin)
      refuse('INCONSISTENT', () => verifySubtree({ start, end, hash, size, proof, root }))
      const cosignatures = cosigners.map((cosigner) => cosigner.cosignSubtree({ origin, start, end, hash })).filter((signature) => signature !== null)
      if (cosignatures.length === 0) throw new WitnessRefusal('NO_SUCH_RESOURCE')
      return lines(cosignatures)
    },

    checkpoint(id) {
      const last = state.latestById(id)
      if (last === null) throw new WitnessRefusal('NEVER_COSIGNED')
      return last.note
    },
  }

  // Our own cosignature says so, or our memory of the last one.
  function checkCosigned(note: Note, origin: string): void {
    const ours = cosigners.map((cosigner) => cosigner.key)
    if (note.signatures.some(({ name, id }) => ours.some((key) => key.name === name && key.id === id))) {
      signaturesBy(ours, note)
      return
    }
    const last = state.latest(origin)
    if (last !== null && formatCheckpoint(last) === note.text) return
    if (note.signatures.length > 0) throw new WitnessRefusal('UNTRUSTED')
    if (last === null) throw new WitnessRefusal('NEVER_COSIGNED')
    throw new WitnessRefusal('UNKNOWN_CHECKPOINT', { body: last.note })
  }
}

interface Decision {
  readonly checkpoint: Checkpoint
  /** Those of the log. */
  readonly signatures: readonly NoteSignature[]
  /** The note with these alone. */
  readonly submitted: string
  readonly last: Cosigned | null
}

/** The signatures of a note by these keys, the first of each, at least one. Throws UNTRUSTED where there is none, or one that does not verify. */
function signaturesBy(keys: readonly VerifierKey[], note: Note): readonly NoteSignature[] {
  const verified = refuse('UNTRUSTED', () => verifyNote(note, keys))
  return verified.filter(({ key }, i) => verified.findIndex((other) => other.key === key) === i).map(({ signature }) => signature)
}

function checkRange(start: number, end: number, size: number): void {
  let width = 1
  while (width < end - start) width *= 2
  if (start >= end || end > size || start % width !== 0) throw new WitnessRefusal('NO_SUCH_SUBTREE')
}

function lines(signatures: readonly NoteSignature[]): string {
  return signatures.map((signature) => `${formatSignatureLine(signature)}\n`).join('')
}

/** What `work` returns. A verdict of it is the refusal `code`; `first` is done before that is thrown. */
function refuse<T>(code: WitnessRefusalCode, work: () => T, first: () => void = () => undefined): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
    first()
    const parts: RefusalParts = code === 'MALFORMED' ? { detail: error.message } : {}
    throw new WitnessRefusal(code, parts)
  }
}

function unlessFull<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof StateFullError) throw new WitnessRefusal('UNAVAILABLE', { retryAfterS: WITNESS_LIMITS.retrySeconds })
    throw error
  }
}

