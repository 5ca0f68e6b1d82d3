// Public keys as did:key: compressed points of P-256 and secp256k1. spec/did-plc.md#keys

import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { DirectoryError, verdictOf } from '../errors.ts'
import { base58btc, concatBytes } from '../encoding/text.ts'

export type Curve = 'k256' | 'p256'

/** A public key that can sign operations. */
export interface DidKey {
  readonly curve: Curve
  /** The compressed point, 33 bytes. */
  readonly bytes: Uint8Array
}

const PREFIX = 'did:key:z'
const KEY_BYTES = 33
/** A multicodec of two bytes and the key: 35 bytes have at most 48 digits in base 58. */
const MAX_DIGITS = 48

const MULTICODECS: Readonly<Record<Curve, Uint8Array>> = {
  k256: Uint8Array.of(0xe7, 0x01),
  p256: Uint8Array.of(0x80, 0x24),
}

/**
 * The key in a did:key. Throws MALFORMED_KEY unless it is `did:key:z` and the base58btc of a multicodec of
 * P-256 or secp256k1 and a compressed point, 33 bytes, that lies on that curve. spec/did-plc.md#keys
 */
export function parseDidKey(text: string): DidKey {
  const key = splitDidKey(text)
  if (!isOnCurve(key.curve, key.bytes)) throw malformed(text)
  return key
}

/**
 * What a did:key says, before anybody has looked whether its 33 bytes are a point of that curve: for verifiers that
 * look with a library of their own. Throws MALFORMED_KEY as `parseDidKey` does otherwise.
 */
export function splitDidKey(text: string): DidKey {
  const digits = text.slice(PREFIX.length)
  if (!text.startsWith(PREFIX) || digits.length > MAX_DIGITS) throw malformed(text)
  const bytes = verdictOf(() => base58btc.decode(digits)).value
  if (bytes === null || bytes.length !== 2 + KEY_BYTES) throw malformed(text)
  const curve = curveOf(bytes)
  if (curve === null) throw malformed(text)
  return { curve, bytes: bytes.slice(2) }
}

/** The did:key of a key. spec/did-plc.md#keys */
export function formatDidKey(key: DidKey): string {
  return PREFIX + base58btc.encode(concatBytes(MULTICODECS[key.curve], key.bytes))
}

/** The curve of a did:key that `parseDidKey` can read; null for any other text. Never throws. spec/did-plc.md#document */
export function multikeyCurve(text: string): Curve | null {
  if (text.length > PREFIX.length + MAX_DIGITS) return null
  let curve = recentCurves.get(text)
  if (curve === undefined) {
    curve = verdictOf(() => parseDidKey(text)).value?.curve ?? null
    const [oldest] = recentCurves.keys()
    if (recentCurves.size >= MAX_RECENT && oldest !== undefined) recentCurves.delete(oldest)
  } else {
    recentCurves.delete(text)
  }
  recentCurves.set(text, curve)
  return curve
}

/** About a megabyte. */
const MAX_RECENT = 5_000

// Whether a key lies on its curve takes a square root, and a hosting server's key comes with each of its accounts. The
// least recently asked comes first; what is remembered changes no answer.
const recentCurves = new Map<string, Curve | null>()

function curveOf(bytes: Uint8Array): Curve | null {
  for (const curve of ['k256', 'p256'] as const) {
    if (MULTICODECS[curve].every((byte, i) => byte === bytes[i])) return curve
  }
  return null
}

function isOnCurve(curve: Curve, key: Uint8Array): boolean {
  try {
    const { Point } = curve === 'k256' ? secp256k1 : p256
    Point.fromBytes(key).assertValidity()
    return true
  } catch {
    return false
  }
}

function malformed(text: string): DirectoryError {
  return new DirectoryError('MALFORMED_KEY', text.slice(0, 80))
}
