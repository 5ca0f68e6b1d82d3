// What a checkpoint says: the three lines that a log and its witnesses sign. spec/log.md#checkpoints

import { base64, parseDecimal, utf8Encode } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { HASH_BYTES } from './hash.ts'
import { readAs } from './strict.ts'

/** A log's promise: the tree of the first `size` entries has this root, 32 bytes. */
export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
}

/** Longest origin, in bytes of UTF-8: what a cosigned message can hold. */
export const MAX_ORIGIN_BYTES = 255

/** Longest text that is read, in UTF-16 units: origin, 16 digits, 44 characters of base64, three newlines. */
export const MAX_CHECKPOINT_LENGTH = MAX_ORIGIN_BYTES + 16 + 44 + 3

/** The three lines: origin, size in decimal, root in base64, each with its newline. Throws MALFORMED_CHECKPOINT where a field does not fit. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  checkFields(checkpoint)
  return `${checkpoint.origin}\n${checkpoint.size}\n${base64.encode(checkpoint.root)}\n`
}

/**
 * The checkpoint of a note's text. Throws MALFORMED_CHECKPOINT unless `formatCheckpoint` gives the same text back:
 * extension lines are refused. spec/log.md#checkpoints
 */
export function parseCheckpoint(text: string): Checkpoint {
  if (text.length > MAX_CHECKPOINT_LENGTH) throw malformed('extension lines, or too long')
  const [origin = '', size = '', root = '', ...rest] = text.split('\n')
  if (rest.length > 1) throw malformed('extension lines')
  const checkpoint = readAs('MALFORMED_CHECKPOINT', () => ({ origin, size: parseDecimal(size), root: base64.decode(root) }))
  if (formatCheckpoint(checkpoint) !== text) throw malformed('not in its one form')
  return checkpoint
}

function checkFields({ origin, size, root }: Checkpoint): void {
  const bytes = readAs('MALFORMED_CHECKPOINT', () => utf8Encode(origin))
  if (bytes.length < 1 || bytes.length > MAX_ORIGIN_BYTES || bytes.some((byte) => byte < 0x20)) throw malformed('origin')
  if (!Number.isSafeInteger(size) || size < 0) throw malformed('size')
  if (root.length !== HASH_BYTES) throw malformed('root')
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_CHECKPOINT', reason)
}
