// Strict text codecs: every decoder accepts exactly what its encoder writes. spec/did-plc.md#encodings

import { base32nopad, base58, base64 as paddedBase64, base64urlnopad, hex as lowerHex } from '@scure/base'
import { DirectoryError } from '../errors.ts'

/** A pair of inverse functions: `decode(text)` throws MALFORMED_TEXT unless `encode(decode(text)) === text`. */
export interface TextCodec {
  encode(bytes: Uint8Array): string
  decode(text: string): Uint8Array
}

/** RFC 4648 section 4, padded: C2SP notes and proofs. */
export const base64: TextCodec = strict('base64', paddedBase64)

/** RFC 4648 section 5 without padding: signatures of operations. */
export const base64url: TextCodec = strict('base64url', base64urlnopad)

/** RFC 4648 section 6 in lower case without padding: DIDs, CIDs. */
export const base32: TextCodec = strict('base32', {
  encode: (bytes) => base32nopad.encode(bytes).toLowerCase(),
  decode: (text) => base32nopad.decode(text.toUpperCase()),
})

/** Bitcoin's base 58: did:key, and CIDs in history. The work grows with the square of the length: bound it first. */
export const base58btc: TextCodec = strict('base58btc', base58)

/** Lower-case hexadecimal: key ids. */
export const hex: TextCodec = strict('hex', lowerHex)

/** The bytes of a text. Throws MALFORMED_TEXT for a lone surrogate, which has no UTF-8 form. */
export function utf8Encode(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new DirectoryError('MALFORMED_TEXT', 'lone surrogate')
  let length = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) length += 1
    else if (unit < 0x800) length += 2
    else if (unit >= 0xd800 && unit < 0xe000) length += 2
    else length += 3
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i) ?? 0
    if (point < 0x80) {
      bytes[at++] = point
    } else if (point < 0x800) {
      bytes[at++] = 0xc0 | (point >> 6)
      bytes[at++] = 0x80 | (point & 0x3f)
    } else if (point < 0x10000) {
      bytes[at++] = 0xe0 | (point >> 12)
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
      bytes[at++] = 0x80 | (point & 0x3f)
    } else {
      bytes[at++] = 0xf0 | (point >> 18)
      bytes[at++] = 0x80 | ((point >> 12) & 0x3f)
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
      bytes[at++] = 0x80 | (point & 0x3f)
      i++
    }
  }
  return bytes
}

/**
 * The text of bytes `[start, end)`. Throws MALFORMED_TEXT for anything that is not the shortest form of
 * Unicode scalar values (overlong forms, surrogates, values above U+10FFFF, truncated sequences).
 */
export function utf8Decode(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  const ascii = asciiDecode(bytes, start, end)
  if (ascii !== null) return ascii
  const units: number[] = []
  let text = ''
  let at = start
  while (at < end) {
    const first = bytes[at] ?? 0
    if (first < 0x80) {
      units.push(first)
      at++
    } else {
      const width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
      if (first < 0xc2 || first > 0xf4 || at + width > end) throw new DirectoryError('MALFORMED_TEXT', 'not UTF-8')
      let point = first & (0x7f >> width)
      for (let i = 1; i < width; i++) {
        const next = bytes[at + i] ?? 0
        if ((next & 0xc0) !== 0x80) throw new DirectoryError('MALFORMED_TEXT', 'not UTF-8')
        point = (point << 6) | (next & 0x3f)
      }
      const shortest = width === 2 ? 0x80 : width === 3 ? 0x800 : 0x10000
      if (point < shortest || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
        throw new DirectoryError('MALFORMED_TEXT', 'not UTF-8')
      }
      if (point < 0x10000) units.push(point)
      else units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff))
      at += width
    }
    if (units.length >= 4096) text += String.fromCharCode(...units.splice(0))
  }
  return text + String.fromCharCode(...units)
}

/** The text of bytes `[start, end)`; null where one of them is no ASCII. */
export function asciiDecode(bytes: Uint8Array, start = 0, end: number = bytes.length): string | null {
  let text = ''
  for (let at = start; at < end; at += RUN) {
    const units = RUNS[Math.min(RUN, end - at)] ?? []
    for (let i = 0; i < units.length; i++) {
      const byte = bytes[at + i] ?? 0x80
      if (byte >= 0x80) return null
      units[i] = byte
    }
    text += String.fromCharCode(...units)
  }
  return text
}

// A plain array of just the right length is spread several times faster than a typed one, and need not grow.
const RUN = 96
const RUNS = Array.from({ length: RUN + 1 }, (_, length) => Array.from({ length }, () => 0))

/** A non-negative safe integer in decimal without leading zeros. Throws MALFORMED_NUMBER otherwise. */
export function parseDecimal(text: string): number {
  const n = Number(text)
  if (!Number.isSafeInteger(n) || n < 0 || String(n) !== text) throw new DirectoryError('MALFORMED_NUMBER', text.slice(0, 32))
  return n
}

/** Whether two byte strings are equal. Not constant-time: for public data. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Byte strings one after the other. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

function strict(name: string, codec: TextCodec): TextCodec {
  return {
    encode: (bytes) => codec.encode(bytes),
    decode(text) {
      let bytes: Uint8Array
      try {
        bytes = codec.decode(text)
      } catch {
        throw new DirectoryError('MALFORMED_TEXT', `not ${name}`)
      }
      if (codec.encode(bytes) !== text) throw new DirectoryError('MALFORMED_TEXT', `not canonical ${name}`)
      return bytes
    },
  }
}
