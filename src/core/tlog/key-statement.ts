// Statements about a log's keys: which sign for it, and which did before. spec/log.md#key-statements

import { DirectoryError } from '../errors.ts'
import { isLogKeyType } from './checkpoint.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, parseNote, parseVerifierKey, type SigningKey, signText, type VerifierKey, verifyNote } from './note.ts'
import { readAs } from './strict.ts'

/** What a log says of its keys. */
export interface KeyStatement {
  readonly origin: string
  /** The keys that sign every checkpoint: 1 to 4, Ed25519 first, at least one and at most two of that type, at most two of ML-DSA-44. */
  readonly signing: readonly VerifierKey[]
  /** Keys that signed before, the newest last; 0 to 16. */
  readonly retired: readonly VerifierKey[]
}

/** Most keys of one type that sign for a log at a time: the one that comes and the one that goes. */
export const MAX_LOG_KEYS_OF_TYPE = 2

/** Most retired keys that a statement names. */
export const MAX_RETIRED_KEYS = 16

/** First line of a statement. No checkpoint has it: its second line would be a size. */
const MAGIC = 'stele keys v1'
const SIGNS = 'signs '
const RETIRED = 'retired '

/**
 * The statement as a note that these keys of type 0x01 sign; a key of type 0x06 signs trees and nothing else. Throws MALFORMED_NOTE where the
 * statement would not be read back, MALFORMED_NOTE_KEY for a key of another type.
 */
export function signKeyStatement(statement: KeyStatement, keys: readonly SigningKey[]): string {
  const text = formatText(statement)
  return formatNote({ text, signatures: keys.map((key) => signText(text, key)) })
}

/**
 * The statement in a note. Throws MALFORMED_NOTE for a note that is none, WRONG_ORIGIN where no known key is named like its origin,
 * and unless each Ed25519 key that it says to sign, and one of the known keys at least, has signed it: UNTRUSTED_NOTE,
 * or INVALID_NOTE_SIGNATURE.
 */
export function openKeyStatement(note: string, known: readonly VerifierKey[]): KeyStatement {
  const parsed = parseNote(note)
  const statement = parseText(parsed.text)
  const ours = known.filter((key) => key.name === statement.origin && key.type === KEY_TYPES.ed25519)
  if (ours.length === 0) throw new DirectoryError('WRONG_ORIGIN', statement.origin)
  verifyNote(parsed, ours)
  const signing = statement.signing.filter((key) => key.type === KEY_TYPES.ed25519)
  const signed = verifyNote(parsed, signing)
  if (!signing.every((key) => signed.some((signature) => signature.key === key))) throw new DirectoryError('UNTRUSTED_NOTE', 'a key that it names has not signed it')
  return statement
}

/** Keys in the order of their signatures: Ed25519 before ML-DSA-44, else as they are. */
export function inSigningOrder<T extends VerifierKey>(keys: readonly T[]): T[] {
  return [...keys].sort((a, b) => a.type - b.type)
}

function formatText({ origin, signing, retired }: KeyStatement): string {
  const ofType = (type: number): number => signing.filter((key) => key.type === type).length
  const all = [...signing, ...retired]
  if (ofType(KEY_TYPES.ed25519) < 1 || ofType(KEY_TYPES.ed25519) > MAX_LOG_KEYS_OF_TYPE || ofType(KEY_TYPES.mlDsa44) > MAX_LOG_KEYS_OF_TYPE) throw malformed('which keys sign')
  if (retired.length > MAX_RETIRED_KEYS || new Set(all.map(formatVerifierKey)).size !== all.length) throw malformed('a key that stands twice, or too many')
  if (all.some((key) => key.name !== origin || !isLogKeyType(key.type))) throw malformed("a key that is not the log's")
  if (inSigningOrder(signing).some((key, i) => key !== signing[i])) throw malformed('order')
  const lines = [MAGIC, origin, ...signing.map((key) => SIGNS + formatVerifierKey(key)), ...retired.map((key) => RETIRED + formatVerifierKey(key))]
  return `${lines.join('\n')}\n`
}

function parseText(text: string): KeyStatement {
  const [, origin = '', ...lines] = text.slice(0, -1).split('\n')
  if (lines.length > 2 * MAX_LOG_KEYS_OF_TYPE + MAX_RETIRED_KEYS) throw malformed('too long')
  const keysAfter = (word: string): VerifierKey[] =>
    lines.filter((line) => line.startsWith(word)).map((line) => readAs('MALFORMED_NOTE', () => parseVerifierKey(line.slice(word.length))))
  const statement = { origin, signing: keysAfter(SIGNS), retired: keysAfter(RETIRED) }
  if (formatText(statement) !== text) throw malformed('not a statement about keys in its one form')
  return statement
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_NOTE', reason)
}
