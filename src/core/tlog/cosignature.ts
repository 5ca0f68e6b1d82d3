// Cosignatures: a witness's or mirror's own statement about another's checkpoint. spec/log.md#cosignatures

import { DirectoryError } from '../errors.ts'
import { type Checkpoint, formatCheckpoint } from './checkpoint-text.ts'
import { KEY_TYPES, type NoteSignature, type SigningKey, signText } from './note.ts'

/** How the name of a mirror's key ends: it cosigns only what it holds and has judged by these rules itself. spec/mirror.md#cosigning */
export const RULES_NAME = '/rules-v1'

/**
 * Cosigns a checkpoint with a key of type 0x04 or 0x06 at `timestamp`, in seconds since 1970 (a witness's is never 0).
 * Throws MALFORMED_NOTE_KEY for a key of another type, MALFORMED_CHECKPOINT where a field does not fit.
 */
export function cosign(checkpoint: Checkpoint, key: SigningKey, timestamp: number): NoteSignature {
  if (!isCosignerKeyType(key.type)) throw new DirectoryError('MALFORMED_NOTE_KEY', `type ${key.type} does not cosign`)
  return signText(formatCheckpoint(checkpoint), key, timestamp)
}

/** Whether keys of a type make cosignatures. */
export function isCosignerKeyType(type: number): boolean {
  return type === KEY_TYPES.cosignature || type === KEY_TYPES.mlDsa44
}
