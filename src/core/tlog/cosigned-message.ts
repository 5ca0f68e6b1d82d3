// The bytes that a cosigner signs, and the time it puts before its signature. spec/log.md#cosignatures

import { concatBytes, utf8Encode } from '../encoding/text.ts'
import { DirectoryError } from '../errors.ts'
import { HASH_BYTES } from './hash.ts'
import { parseCheckpoint } from './checkpoint-text.ts'

/** Length of the time before a cosignature, in bytes. */
export const TIMESTAMP_BYTES = 8

/** A tree or a subtree as an ML-DSA-44 cosigner signs it. */
export interface CosignedSubtree {
  /** The cosigner's name, 1 to 255 bytes of UTF-8. */
  readonly cosigner: string
  /** Seconds since 1970; 0 says nothing about time, and is a must where `start` is not 0. */
  readonly timestamp: number
  /** The log's origin, 1 to 255 bytes of UTF-8. */
  readonly origin: string
  /** First entry; 0 for a checkpoint. */
  readonly start: number
  /** One past the last entry; a checkpoint's size. */
  readonly end: number
  /** 32 bytes. */
  readonly hash: Uint8Array
}

/** What an Ed25519 cosigner signs: two lines and the whole text of the checkpoint. `timestamp` in seconds since 1970. spec/log.md#cosignatures */
export function cosignatureMessage(text: string, timestamp: number): Uint8Array {
  checkNumber(timestamp)
  return utf8Encode(`cosignature/v1\ntime ${timestamp}\n${text}`)
}

/** What an ML-DSA-44 cosigner signs for a checkpoint. Throws MALFORMED_CHECKPOINT where the text is none. spec/log.md#cosignatures */
export function checkpointMessage(text: string, cosigner: string, timestamp: number): Uint8Array {
  const { origin, size, root } = parseCheckpoint(text)
  return subtreeMessage({ cosigner, timestamp, origin, start: 0, end: size, hash: root })
}

/** What an ML-DSA-44 cosigner signs. Throws MALFORMED_NOTE where a field does not fit. spec/log.md#cosignatures */
export function subtreeMessage(subtree: CosignedSubtree): Uint8Array {
  const { cosigner, timestamp, origin, start, end, hash } = subtree
  if (hash.length !== HASH_BYTES || start > end || (start !== 0 && timestamp !== 0)) throw malformed('no such subtree can be signed')
  return concatBytes(SUBTREE_LABEL, shortText(cosigner), uint64(timestamp), shortText(origin), uint64(start), uint64(end), hash)
}

/** A time, in seconds since 1970, as it stands before a cosignature: 64 bits big-endian. */
export function encodeTimestamp(timestamp: number): Uint8Array {
  return uint64(timestamp)
}

/** The time before a cosignature, in seconds since 1970. Throws MALFORMED_NOTE above 2**53 - 1. */
export function decodeTimestamp(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, TIMESTAMP_BYTES)
  const timestamp = view.getUint32(0, false) * 2 ** 32 + view.getUint32(4, false)
  checkNumber(timestamp)
  return timestamp
}

const SUBTREE_LABEL = utf8Encode('subtree/v1\n\0')
const MAX_SHORT_TEXT_BYTES = 255

function shortText(text: string): Uint8Array {
  const bytes = utf8Encode(text)
  if (bytes.length < 1 || bytes.length > MAX_SHORT_TEXT_BYTES) throw malformed('a name is 1 to 255 bytes')
  return concatBytes(Uint8Array.of(bytes.length), bytes)
}

function uint64(n: number): Uint8Array {
  checkNumber(n)
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Math.floor(n / 2 ** 32), false)
  view.setUint32(4, n % 2 ** 32, false)
  return bytes
}

function checkNumber(n: number): void {
  if (!Number.isSafeInteger(n) || n < 0) throw malformed('a number is 0 to 2**53 - 1')
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_NOTE', reason)
}
