// The signatures of a checkpoint in words: who made them, and when.

import type { MapReport } from '../client/check-map.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { KEY_TYPES, type Note, type VerifiedSignature, type VerifierKey } from '../core/tlog/note.ts'
import { escapeLine } from './terminal.ts'

/** A key by name, id and kind: `log.example+1cc758f9 (Ed25519)`. */
export function describeNoteKey(key: VerifierKey): string {
  const kind = key.type === KEY_TYPES.mlDsa44 ? 'ML-DSA-44' : 'Ed25519'
  return `by ${escapeLine(key.name)}+${key.id} (${kind})`
}

/** `at 2027-01-15T08:00:00.000Z`, from seconds since 1970; `at a time that it does not state` for 0. */
export function describeSeconds(seconds: number | null): string {
  return seconds === null || seconds === 0 ? 'at a time that it does not state' : `at ${formatTimestamp(seconds * 1000)}`
}

/** A line for each signature in `told`, and one for those of the note that none of `verified` is: nobody has checked them. */
export function describeSignatures(note: Note, told: readonly VerifiedSignature[], verified: readonly VerifiedSignature[]): string[] {
  const lines = told.map(({ key, timestamp }) => `cosigned ${describeNoteKey(key)} ${describeSeconds(timestamp)}`)
  const unknown = note.signatures.filter((signature) => !verified.some((known) => known.signature === signature)).map(({ name }) => escapeLine(name))
  return unknown.length === 0 ? lines : [...lines, `not checked, by keys that were not named: ${unknown.join(', ')}`]
}

/** What was checked of a map, in one line. */
export function describeMap({ checkpoint, from, versions, derived }: MapReport): string {
  const how = derived ? 'each derived from the log again' : 'each of a tree of the log; their roots were not derived'
  return `map        ${checkpoint === null ? 'no checkpoint' : `${versions} versions${from === 0 ? '' : ` after the ${from} of the last audit`}, ${how}`}`
}
