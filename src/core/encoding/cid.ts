// Content identifiers of operations: CIDv1, DAG-CBOR, SHA-256. spec/did-plc.md#cid

import { assert, DirectoryError } from '../errors.ts'
import { sha256 } from './sha256.ts'
import { asciiDecode, base58btc, bytesEqual } from './text.ts'
import type { ByteWriter } from './transcode.ts'

/** Version 1, codec dag-cbor (0x71), hash sha2-256 (0x12) of 32 (0x20) bytes. */
const PREFIX = Uint8Array.of(0x01, 0x71, 0x12, 0x20)
/** The multibase letter, and the first 30 bits of PREFIX; its last two are 0. */
const PREFIX_TEXT = 'bafyrei'
const DIGEST_BYTES = 32
const BASE32_LENGTH = 59
const BASE32_CID = /^bafyrei[a-h][a-z2-7]{50}[aeimquy4]$/
const MAX_BASE58_LENGTH = 52

/** The CID of bytes, in base32: `bafyrei...`, 59 characters. */
export function cidOf(bytes: Uint8Array): string {
  return formatCid(sha256(bytes))
}

/** The CID, in base32, of a 32-byte SHA-256. */
export function formatCid(digest: Uint8Array): string {
  writeLetters(LETTERS, 0, digest)
  const letters = asciiDecode(LETTER_BYTES)
  assert(letters !== null, 'letters are ASCII')
  return PREFIX_TEXT + letters
}

/** Writes the CID, in base32, of a 32-byte SHA-256. */
export function writeCid(out: ByteWriter, digest: Uint8Array): void {
  out.reserve(BASE32_LENGTH)
  out.ascii(PREFIX_TEXT)
  writeLetters(out.view, out.length, digest)
  out.length += LETTER_BYTES.length
}

/** The 32-byte SHA-256 in a CID in base32 lower case. Throws MALFORMED_CID for any other text. */
export function parseCid(text: string): Uint8Array {
  if (!BASE32_CID.test(text)) throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  const digest = new Uint8Array(DIGEST_BYTES)
  // Of the first letter behind the prefix two bits are the prefix's, and two of the last are none.
  let [held, bits, at] = [0, -2, 0]
  for (let i = PREFIX_TEXT.length; i < BASE32_LENGTH; i++) {
    const code = text.charCodeAt(i)
    held = ((held << 5) | (code >= 0x61 ? code - 0x61 : code - 0x18)) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    digest[at++] = held >> bits
  }
  return digest
}

/**
 * The CID, in base32, that a `prev` of history means: base32 (`b`) or base58btc (`z`), nothing else.
 * Throws MALFORMED_CID for any other spelling. spec/did-plc.md#prev
 */
export function normalizeCid(text: string): string {
  if (text[0] !== 'z') return formatCid(parseCid(text))
  if (text.length > MAX_BASE58_LENGTH) throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  return formatCid(base58Digest(text))
}

const LETTER_BYTES = new Uint8Array(BASE32_LENGTH - PREFIX_TEXT.length)
const LETTERS = new DataView(LETTER_BYTES.buffer)

// The letters behind the prefix: two bits of 0, the digest, and two bits of 0. Many are written for each answer, hence
// twenty bits at once.
function writeLetters(to: DataView, at: number, digest: Uint8Array): void {
  assert(digest.length === DIGEST_BYTES, 'a SHA-256 has 32 bytes')
  const byte = (i: number): number => digest[i] ?? 0
  let held = 0
  for (let i = 0; i < 30; i += 5, at += 8) {
    to.setInt32(at, fourLetters((held << 18) | (byte(i) << 10) | (byte(i + 1) << 2) | (byte(i + 2) >> 6)))
    to.setInt32(at + 4, fourLetters(((byte(i + 2) & 0x3f) << 14) | (byte(i + 3) << 6) | (byte(i + 4) >> 2)))
    held = byte(i + 4) & 3
  }
  to.setInt32(at, fourLetters((held << 18) | (byte(30) << 10) | (byte(31) << 2)))
}

function fourLetters(bits: number): number {
  return (letter(bits >> 15) << 24) | (letter((bits >> 10) & 0x1f) << 16) | (letter((bits >> 5) & 0x1f) << 8) | letter(bits & 0x1f)
}

function letter(value: number): number {
  return value < 26 ? 0x61 + value : 0x18 + value
}

function base58Digest(text: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = base58btc.decode(text.slice(1))
  } catch {
    throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  }
  if (bytes.length !== PREFIX.length + DIGEST_BYTES || !bytesEqual(bytes.subarray(0, 4), PREFIX)) throw new DirectoryError('MALFORMED_CID', text.slice(0, 80))
  return bytes.subarray(4)
}
