// Which key made a signature, with any back end: every rule that is not arithmetic stands here, so that what a library
// is lenient about never reaches it. spec/did-plc.md#signatures

import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { verdictOf } from '../core/errors.ts'
import { splitDidKey, type Curve } from '../core/plc/did-key.ts'
import type { SignatureAnswer, SignatureQuestion } from '../core/plc/signature.ts'
import type { BackEnds, SignatureCheck } from './back-ends.ts'

/** Answers a question as the core's own `findSigner` does. */
export type FindSigner = (question: SignatureQuestion) => SignatureAnswer

/**
 * A `findSigner` that computes with these back ends. It remembers up to `maxKeys` keys, because a hosting server's
 * rotation key comes back with every one of its accounts, and to open a key takes OpenSSL longer than to use it. Of a
 * question's keys it tries first the one that has signed most often: most operations are signed by a server whose key
 * stands second. The answer is that of trying them in order where the message names its keys, itself or by hash, as
 * that of every operation does. spec/did-plc.md#signatures
 */
export function signerFinder(backEnds: BackEnds, maxKeys = MAX_KEYS): FindSigner {
  const recent = new Map<string, OpenedKey | null>()

  const openKey = (text: string): OpenedKey | null => {
    let key = recent.get(text)
    if (key === undefined) {
      if (text.length > KEY_LENGTH) return null
      key = parseKey(text, backEnds)
      const [oldest] = recent.keys()
      if (recent.size >= maxKeys && oldest !== undefined) recent.delete(oldest)
    } else {
      recent.delete(text)
    }
    recent.set(text, key)
    return key
  }

  // Positions in the order in which their keys are tried. What ends the search before the likeliest key ends it before that one is tried.
  const orderOf = (keys: readonly string[]): readonly number[] => {
    const positions = [...keys.keys()]
    const signed = keys.map((text) => recent.get(text)?.signed ?? 0)
    const likely = signed.indexOf(Math.max(...signed))
    if (likely < 1 || !keys.slice(0, likely).every((text) => openKey(text) !== null)) return positions
    return [likely, ...positions.filter((position) => position !== likely)]
  }

  return ({ message, sig, keys }) => {
    if (!SIGNATURE.test(sig)) return null
    const signature = Buffer.from(sig, 'base64url')
    for (const index of orderOf(keys)) {
      const key = openKey(keys[index] ?? '')
      if (key === null) return null
      if (!isInRange(signature, key.curve) || !key.check(signature, message)) continue
      key.signed++
      return index
    }
    return null
  }
}

/** A `multikeyCurve` that computes with these back ends. */
export function curveFinder(backEnds: BackEnds): (text: string) => Curve | null {
  return (text) => (text.length > KEY_LENGTH ? null : (parseKey(text, backEnds)?.curve ?? null))
}

interface OpenedKey {
  readonly curve: Curve
  readonly check: SignatureCheck
  /** How many signatures it was found to have made. */
  signed: number
}

/** A few megabytes in each thread, most of it OpenSSL's. */
const MAX_KEYS = 2_000
/** No longer text is a did:key of either curve. */
const KEY_LENGTH = 57
/** The one base64url of 64 bytes: 86 digits without padding, of which the last carries two bits. */
const SIGNATURE = /^[A-Za-z0-9_-]{85}[AQgw]$/

function parseKey(text: string, backEnds: BackEnds): OpenedKey | null {
  const key = verdictOf(() => splitDidKey(text)).value
  if (key === null || (key.bytes[0] !== 2 && key.bytes[0] !== 3)) return null
  const check = backEnds[key.curve].open(key.curve, key.bytes)
  return check && { curve: key.curve, check, signed: 0 }
}

/** The largest r, and the largest s that is low: 32 bytes each. */
const LARGEST: Readonly<Record<Curve, { readonly r: Buffer; readonly s: Buffer }>> = {
  k256: largest(secp256k1.Point.Fn.ORDER),
  p256: largest(p256.Point.Fn.ORDER),
}

const ZERO = Buffer.alloc(32)

// 0 < r < n and 0 < s <= n / 2.
function isInRange(signature: Buffer, curve: Curve): boolean {
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
  return r.compare(ZERO) > 0 && r.compare(LARGEST[curve].r) <= 0 && s.compare(ZERO) > 0 && s.compare(LARGEST[curve].s) <= 0
}

function largest(order: bigint): { r: Buffer; s: Buffer } {
  const bytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
  return { r: bytes(order - 1n), s: bytes(order / 2n) }
}
