// The text form of an offline proof: an index, its inclusion proof, and the checkpoint that it leads to. spec/log.md#tlog-proofs

import { base64, parseDecimal } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { parseCheckpoint } from './checkpoint-text.ts'
import { HASH_BYTES } from './hash.ts'
import { MAX_NOTE_LENGTH, parseNote } from './note.ts'
import { MAX_PROOF_HASHES } from './proof.ts'
import { readAs } from './strict.ts'

/** A proof that an entry is in a log. Nothing in it is trusted before `checkpoint` is opened and `proof` verified. */
export interface TlogProof {
  /** Data of the application, which nothing authenticates; null where there is none. */
  readonly extra: Uint8Array | null
  readonly index: number
  /** Inclusion proof, 32 bytes each, the leaf's sibling first. */
  readonly proof: readonly Uint8Array[]
  /** The signed note, cosignatures included, as its log or a mirror served it. */
  readonly checkpoint: string
}

/** Most bytes of `extra`. */
export const MAX_EXTRA_BYTES = 65_535

/** Longest proof that is read, in UTF-16 units: a note, `extra` in base64, 54 hashes, and the lines' words. */
export const MAX_TLOG_PROOF_LENGTH = MAX_NOTE_LENGTH + 87_380 + MAX_PROOF_HASHES * 45 + 64

/** The text of a proof. Throws MALFORMED_PROOF where it would not be read back. spec/log.md#tlog-proofs */
export function formatTlogProof(proof: TlogProof): string {
  checkFields(proof)
  const lines = [MAGIC]
  if (proof.extra !== null) lines.push(`${EXTRA}${base64.encode(proof.extra)}`)
  lines.push(`${INDEX}${proof.index}`, ...proof.proof.map((hash) => base64.encode(hash)))
  return `${lines.join('\n')}\n\n${proof.checkpoint}`
}

/**
 * The proof in a text. Throws MALFORMED_PROOF unless `formatTlogProof` gives the same text back and its checkpoint is
 * one in form. That it is signed, and that the proof leads to its root, is for the caller to check. spec/log.md#tlog-proofs
 */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAX_TLOG_PROOF_LENGTH) throw malformed('too long')
  const end = text.indexOf('\n\n')
  if (end < 0) throw malformed('no checkpoint')
  const [, ...lines] = text.slice(0, end).split('\n')
  const extra = lines[0]?.startsWith(EXTRA) ? lines.shift() : undefined
  const [index = '', ...hashes] = lines
  if (hashes.length > MAX_PROOF_HASHES) throw malformed('too many hashes')
  const proof = readAs('MALFORMED_PROOF', () => ({
    extra: extra === undefined ? null : base64.decode(extra.slice(EXTRA.length)),
    index: parseDecimal(index.slice(INDEX.length)),
    proof: hashes.map((hash) => base64.decode(hash)),
    checkpoint: text.slice(end + 2),
  }))
  if (formatTlogProof(proof) !== text) throw malformed('not in its one form')
  return proof
}

const MAGIC = 'c2sp.org/tlog-proof@v1'
const EXTRA = 'extra '
const INDEX = 'index '

function checkFields({ extra, index, proof, checkpoint }: TlogProof): void {
  if (extra !== null && extra.length > MAX_EXTRA_BYTES) throw malformed('extra data too long')
  if (!Number.isSafeInteger(index) || index < 0) throw malformed('index')
  if (proof.length > MAX_PROOF_HASHES || proof.some((hash) => hash.length !== HASH_BYTES)) throw malformed('hashes')
  readAs('MALFORMED_PROOF', () => parseCheckpoint(parseNote(checkpoint).text))
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_PROOF', reason)
}
