// Checkpoints: a log's signed promise about its tree. spec/log.md#checkpoints

import { assert, DirectoryError } from '../errors.ts'
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from './checkpoint-text.ts'
import {
  formatNote,
  KEY_TYPES,
  type Note,
  parseNote,
  type SigningKey,
  signText,
  type VerifiedSignature,
  type VerifierKey,
  verifyNote,
} from './note.ts'

export { type Checkpoint, formatCheckpoint, MAX_CHECKPOINT_LENGTH, MAX_ORIGIN_BYTES, parseCheckpoint } from './checkpoint-text.ts'

/** A checkpoint whose log is known to have signed it. */
export interface OpenedCheckpoint {
  readonly checkpoint: Checkpoint
  readonly note: Note
  /** Signatures by the log's own keys, at least one. */
  readonly verified: readonly VerifiedSignature[]
}

/**
 * The checkpoint as a note signed by its log: with keys of type 0x01, 0x06 or both, named like the origin.
 * `timestamp`, in seconds since 1970, is what a key of type 0x06 states; 0 states nothing. Throws WRONG_ORIGIN for a
 * key of another name, MALFORMED_NOTE_KEY for one of another type, MALFORMED_CHECKPOINT where a field does not fit.
 */
export function signCheckpoint(checkpoint: Checkpoint, keys: readonly SigningKey[], timestamp = 0): string {
  assert(keys.length > 0, 'a log has a key')
  const text = formatCheckpoint(checkpoint)
  const signatures = keys.map((key) => {
    if (key.name !== checkpoint.origin) throw new DirectoryError('WRONG_ORIGIN', key.name)
    if (!isLogKeyType(key.type)) throw new DirectoryError('MALFORMED_NOTE_KEY', `type ${key.type} does not sign for a log`)
    return signText(text, key, key.type === KEY_TYPES.ed25519 ? null : timestamp)
  })
  return formatNote({ text, signatures })
}

/**
 * Opens a note as a checkpoint of one of the logs whose keys are given. Throws MALFORMED_NOTE, MALFORMED_CHECKPOINT,
 * WRONG_ORIGIN where no key is named like the origin, and what `verifyNote` throws with the keys that are: another
 * log's key never vouches for a checkpoint. Where one of them is an Ed25519 key, so must be one that signed (UNTRUSTED_NOTE): a
 * second key of another type makes nothing acceptable that was not before.
 */
export function openCheckpoint(note: string, logKeys: readonly VerifierKey[]): OpenedCheckpoint {
  const opened = openByAnyKey(note, logKeys)
  const isClassic = (key: VerifierKey): boolean => key.name === opened.checkpoint.origin && key.type === KEY_TYPES.ed25519
  if (logKeys.some(isClassic) && !opened.verified.some(({ key }) => isClassic(key))) throw new DirectoryError('UNTRUSTED_NOTE', 'no known Ed25519 key has signed it')
  return opened
}

/** As `openCheckpoint`, for what the log is held to and not for what it is believed: a signature by any one of the keys is enough. */
export function openByAnyKey(note: string, logKeys: readonly VerifierKey[]): OpenedCheckpoint {
  const parsed = parseNote(note)
  const checkpoint = parseCheckpoint(parsed.text)
  const keys = logKeys.filter((key) => key.name === checkpoint.origin && isLogKeyType(key.type))
  if (keys.length === 0) throw new DirectoryError('WRONG_ORIGIN', checkpoint.origin)
  return { checkpoint, note: parsed, verified: verifyNote(parsed, keys) }
}

/** Whether keys of a type sign for a log: 0x01, and 0x06 as the log's cosignature of itself. */
export function isLogKeyType(type: number): boolean {
  return type === KEY_TYPES.ed25519 || type === KEY_TYPES.mlDsa44
}
