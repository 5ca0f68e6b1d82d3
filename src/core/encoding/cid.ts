// Content identifiers of operations: CIDv1, DAG-CBOR, SHA-256. spec/did-plc.md#cid

import { assert, DirectoryError } from '../errors.ts'
import { sha256 } from './sha256.ts'
import { base58btc, bytesEqual } from './text.ts'
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
  const letters = lettersOf(digest).map((four) => String.fromCharCode(four >>> 24, (four >> 16) & 0xff, (four >> 8) & 0xff, four & 0xff))
  return PREFIX_TEXT + letters.join('')
}

/** Writes the CID, in base32, of a 32-byte SHA-256. */
export function writeCid(out: ByteWriter, digest: Uint8Array): void {
  out.reserve(BASE32_LENGTH)
  out.ascii(PREFIX_TEXT)
  for (const four of lettersOf(digest)) {
    out.view.setInt32(out.length, four)
    out.length += 4
  }
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

// The letters behind the prefix, four in a number: two bits of 0, the digest, and two bits of 0. Many are written for
// each answer, hence twenty bits at once.
function lettersOf(digest: Uint8Array): number[] {
  assert(digest.length === DIGEST_BYTES, 'a SHA-256 has 32 bytes')
  const letters: number[] = []
  let held = 0
  for (let i = 0; i < 30; i += 5) {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = [digest[i], digest[i + 1], digest[i + 2], digest[i + 3], digest[i + 4]]
    letters.push(fourLetters((held << 18) | (a << 10) | (b << 2) | (c >> 6)), fourLetters(((c & 0x3f) << 14) | (d << 6) | (e >> 2)))
    held = e & 3
  }
  letters.push(fourLetters((held << 18) | ((digest[30] ?? 0) << 10) | ((digest[31] ?? 0) << 2)))
  return letters
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
