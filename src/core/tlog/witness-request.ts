// What a witness is asked: to cosign a checkpoint, or a subtree of one. spec/witness.md#add-checkpoint

import { base64, parseDecimal } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { HASH_BYTES } from './hash.ts'
import { formatNote, formatSignatureLine, type Note, type NoteSignature, parseNote, parseSignatureLine } from './note.ts'
import { readAs } from './strict.ts'

/** Asks to cosign the checkpoint of a note. */
export interface AddCheckpoint {
  /** Size of the checkpoint that the witness is thought to have cosigned last; 0 for none. */
  readonly oldSize: number
  /** The consistency proof from `oldSize`, hashes of 32 bytes. */
  readonly proof: readonly Uint8Array[]
  readonly note: Note
}

/** Asks to cosign entries `[start, end)` of a checkpoint. */
export interface SignSubtree {
  readonly start: number
  readonly end: number
  /** Of the subtree, 32 bytes. */
  readonly hash: Uint8Array
  /** Cosignatures of the subtree by others. */
  readonly cosignatures: readonly NoteSignature[]
  /** The subtree proof, hashes of 32 bytes. */
  readonly proof: readonly Uint8Array[]
  /** The text of the checkpoint, which ends with a newline. */
  readonly text: string
  /** Those under the checkpoint; there may be none. */
  readonly signatures: readonly NoteSignature[]
}

/** Most hashes in a request. */
export const MAX_REQUEST_PROOF = 63

/** Most cosignatures of a subtree, and most signatures of its checkpoint, in a request for one. */
export const MAX_SUBTREE_SIGNATURES = 8

/** The body of a request to cosign a checkpoint. Throws MALFORMED_PROOF or MALFORMED_NOTE where it would not be read back. */
export function formatAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): string {
  return `old ${size(oldSize)}\n${proofLines(proof)}\n${formatNote(note)}`
}

/**
 * The request in a body. Throws MALFORMED_PROOF for what stands before the first empty line, MALFORMED_NOTE for what
 * follows it, unless `formatAddCheckpoint` gives the same text back.
 */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  const { head, rest } = split(body)
  const [first = '', ...lines] = head
  const oldSize = readAs('MALFORMED_PROOF', () => parseDecimal(first.slice('old '.length)))
  const request = { oldSize, proof: readProof(lines), note: parseNote(rest) }
  if (formatAddCheckpoint(request) !== body) throw malformed('old <size>, then hashes, an empty line, a checkpoint')
  return request
}

/** The body of a request to cosign a subtree. Throws MALFORMED_PROOF or MALFORMED_NOTE where it would not be read back. */
export function formatSignSubtree(request: SignSubtree): string {
  const { start, end, hash, cosignatures, proof, text, signatures } = request
  if (cosignatures.length > MAX_SUBTREE_SIGNATURES || signatures.length > MAX_SUBTREE_SIGNATURES) throw malformed('too many signatures')
  const lines = cosignatures.map((signature) => `${formatSignatureLine(signature)}\n`).join('')
  const checkpoint = signatures.length === 0 ? text : formatNote({ text, signatures })
  return `subtree ${size(start)} ${size(end)}\n${proofLines([hash])}${lines}${proofLines(proof)}\n${checkpoint}`
}

/**
 * The request in a body. Throws MALFORMED_PROOF for what stands before the first empty line, MALFORMED_NOTE for what
 * follows it, unless `formatSignSubtree` gives the same text back.
 */
export function parseSignSubtree(body: string): SignSubtree {
  const { head, rest } = split(body)
  const [first = '', hashLine = '', ...lines] = head
  const [, start = '', end = ''] = first.split(' ', 3)
  const count = lines.findLastIndex((line) => line.startsWith('\u2014')) + 1
  if (count > MAX_SUBTREE_SIGNATURES) throw malformed('too many signatures')
  const cosignatures = lines.slice(0, count).map(parseSignatureLine)
  const [hash] = readProof([hashLine])
  if (hash === undefined) throw malformed('no hash')
  const range = readAs('MALFORMED_PROOF', () => ({ start: parseDecimal(start), end: parseDecimal(end) }))
  const { text, signatures } = rest.includes('\n\n') ? parseNote(rest) : { text: rest, signatures: [] }
  const request = { ...range, hash, cosignatures, proof: readProof(lines.slice(count)), text, signatures }
  if (formatSignSubtree(request) !== body) throw malformed('subtree <start> <end>, then hashes, an empty line, a checkpoint')
  return request
}

/** The lines before the first empty line, and the text after it. */
function split(body: string): { head: readonly string[]; rest: string } {
  const at = body.indexOf('\n\n')
  if (at < 0) throw malformed('no empty line')
  return { head: body.slice(0, at).split('\n'), rest: body.slice(at + 2) }
}

function readProof(lines: readonly string[]): readonly Uint8Array[] {
  if (lines.length > MAX_REQUEST_PROOF) throw malformed('too many hashes')
  return lines.map((line) => readAs('MALFORMED_PROOF', () => base64.decode(line)))
}

function proofLines(proof: readonly Uint8Array[]): string {
  if (proof.length > MAX_REQUEST_PROOF) throw malformed('too many hashes')
  if (proof.some((hash) => hash.length !== HASH_BYTES)) throw malformed('a hash that is not 32 bytes')
  return proof.map((hash) => `${base64.encode(hash)}\n`).join('')
}

function size(n: number): number {
  if (!Number.isSafeInteger(n) || n < 0) throw malformed('size')
  return n
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_PROOF', reason)
}
