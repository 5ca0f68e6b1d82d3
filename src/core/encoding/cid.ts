// Content identifiers of operations: CIDv1, DAG-CBOR, SHA-256. spec/did-plc.md#cid

import { sha256 } from '@noble/hashes/sha2.js'
import { DirectoryError } from '../errors.ts'
import { base32, base58btc, bytesEqual, concatBytes, type TextCodec } from './text.ts'

/** Version 1, codec dag-cbor (0x71), hash sha2-256 (0x12) of 32 (0x20) bytes. */
const PREFIX = Uint8Array.of(0x01, 0x71, 0x12, 0x20)
const BASE32_LENGTH = 59
const MAX_BASE58_LENGTH = 52

/** The CID of bytes, in base32: `bafyrei...`, 59 characters. */
export function cidOf(bytes: Uint8Array): string {
  return formatCid(sha256(bytes))
}

/** The CID, in base32, of a 32-byte SHA-256. */
export function formatCid(digest: Uint8Array): string {
  return `b${base32.encode(concatBytes(PREFIX, digest))}`
}

/** The 32-byte SHA-256 in a CID in base32 lower case. Throws MALFORMED_CID for any other text. */
export function parseCid(text: string): Uint8Array {
  if (text.length !== BASE32_LENGTH || text[0] !== 'b') throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  return digestOf(text, base32)
}

/**
 * The CID, in base32, that a `prev` of history means: base32 (`b`) or base58btc (`z`), nothing else.
 * Throws MALFORMED_CID for any other spelling. spec/did-plc.md#prev
 */
export function normalizeCid(text: string): string {
  if (text[0] !== 'z') return formatCid(parseCid(text))
  if (text.length > MAX_BASE58_LENGTH) throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  return formatCid(digestOf(text, base58btc))
}

function digestOf(text: string, codec: TextCodec): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = codec.decode(text.slice(1))
  } catch {
    throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  }
  if (bytes.length !== 36 || !bytesEqual(bytes.subarray(0, 4), PREFIX)) throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  return bytes.subarray(4)
}
