// ML-DSA-44 by the machine's own library. spec/log.md#keys

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import type { MlDsa44 } from '../core/tlog/ml-dsa.ts'

/** OpenSSL's, from 3.5 on: a key that it does not take has signed nothing, and where it knows no such keys it throws. */
export const nativeMlDsa44: MlDsa44 = {
  publicKey: (seed) => new Uint8Array(createPublicKey(signer(seed)).export({ format: 'der', type: 'spki' }).subarray(SPKI.length)),
  sign: (message, seed) => new Uint8Array(sign(null, message, signer(seed))),
  verify(signature, message, publicKey) {
    const key = verifiers.get(publicKey) ?? openVerifier(publicKey)
    verifiers.set(publicKey, key)
    return key !== null && verify(null, message, key, signature)
  },
}

/** To open a key takes about as long as to use it. */
const signers = new WeakMap<Uint8Array, KeyObject>()
const verifiers = new WeakMap<Uint8Array, KeyObject | null>()

/** What stands before the seed of a key in its PrivateKeyInfo, and before its bytes in its SubjectPublicKeyInfo. RFC 9881 */
const PKCS8 = Buffer.from('3034020100300b060960864801650304031104228020', 'hex')
const SPKI = Buffer.from('30820532300b06096086480165030403110382052100', 'hex')

function signer(seed: Uint8Array): KeyObject {
  const key = signers.get(seed) ?? createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  signers.set(seed, key)
  return key
}

function openVerifier(publicKey: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' })
  } catch {
    return null
  }
}
