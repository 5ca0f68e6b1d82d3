// What can check a signature of ECDSA with SHA-256: libsecp256k1, OpenSSL, and the portable noble. Each sees only
// what `signerFinder` has let through. spec/did-plc.md#signatures

import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto'
import { createRequire } from 'node:module'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import type * as Libsecp256k1 from 'secp256k1'
import type { Curve } from '../core/plc/did-key.ts'

/** Whether a signature was made over a message: 64 bytes, r and s in range, s low; the message is not hashed yet. */
export type SignatureCheck = (signature: Uint8Array, message: Uint8Array) => boolean

/** One implementation of the arithmetic. */
export interface BackEnd {
  /** For logs and metrics. */
  readonly name: string
  readonly curves: readonly Curve[]
  /** The check of a key, 33 bytes that begin with 02 or 03; null where they are not a point of the curve. */
  open(curve: Curve, key: Uint8Array): SignatureCheck | null
}

/** The one back end of each curve. */
export type BackEnds = Readonly<Record<Curve, BackEnd>>

/** Every back end that this machine has, fastest first. */
export function findBackEnds(): readonly BackEnd[] {
  const native = libsecp256k1()
  return native === null ? [openssl, noble] : [native, openssl, noble]
}

/**
 * libsecp256k1; null where the machine has no binary of it. `load` gives the bindings or throws. They are loaded
 * beneath the package's entrance, which takes an implementation in JavaScript without a word where they are missing.
 */
export function libsecp256k1(load: () => unknown = loadBindings): BackEnd | null {
  let library: typeof Libsecp256k1
  try {
    library = load() as typeof library
  } catch {
    return null
  }
  return {
    name: 'libsecp256k1',
    curves: ['k256'],
    open(_, compressed) {
      if (!library.publicKeyVerify(compressed)) return null
      const key = library.publicKeyConvert(compressed, false) // a key is opened once and used often: this spares it the square root
      return (signature, message) => library.ecdsaVerify(signature, hash('sha256', message, 'buffer'), key)
    },
  }
}

/** Node's own crypto. */
export const openssl: BackEnd = {
  name: 'openssl',
  curves: ['k256', 'p256'],
  open(curve, compressed) {
    const key = publicKeyOf(curve, compressed)
    // DER, because with `ieee-p1363` every check asks the key for its parameters again, which takes half as long as the check itself.
    return key && ((signature, message) => verify('sha256', message, { key, dsaEncoding: 'der' }, derOf(signature)))
  },
}

/** The implementation that runs everywhere, and by which the others are measured. */
export const noble: BackEnd = {
  name: 'noble',
  curves: ['k256', 'p256'],
  open(curve, key) {
    const ecdsa = curve === 'k256' ? secp256k1 : p256
    try {
      ecdsa.Point.fromBytes(key).assertValidity()
    } catch {
      return null
    }
    return (signature, message) => ecdsa.verify(signature, message, key, { lowS: true, prehash: true, format: 'compact' })
  },
}

function loadBindings(): unknown {
  return createRequire(import.meta.url)('secp256k1/bindings.js')
}

/** A SubjectPublicKeyInfo (RFC 5480) up to the point: id-ecPublicKey, and the name of the curve. */
const SPKI_HEADERS: Readonly<Record<Curve, Buffer>> = {
  k256: Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex'),
  p256: Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
}

// OpenSSL's refusals do not say whether the key was to blame, so that is asked elsewhere: only a fact may become a verdict.
function publicKeyOf(curve: Curve, compressed: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_HEADERS[curve], compressed]), format: 'der', type: 'spki' })
  } catch (error) {
    if (noble.open(curve, compressed) === null) return null
    throw error
  }
}

// ECDSA-Sig-Value (RFC 3279): a sequence of two integers, all of their lengths below 128.
function derOf(signature: Uint8Array): Uint8Array {
  const der = new Uint8Array(72)
  let end = 2
  for (const start of [0, 32]) {
    let from = start
    while (from < start + 31 && signature[from] === 0) from++
    const padding = (signature[from] ?? 0) >= 0x80 ? 1 : 0
    der[end] = 0x02
    der[end + 1] = start + 32 - from + padding
    der.set(signature.subarray(from, start + 32), end + 2 + padding)
    end += 2 + padding + start + 32 - from
  }
  der[0] = 0x30
  der[1] = end - 2
  return der.subarray(0, end)
}
