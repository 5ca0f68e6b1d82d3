// ML-DSA-44 by the machine's own library. spec/log.md#keys

import { createPublicKey, sign, verify } from 'node:crypto'
import type { MlDsa44 } from '../core/tlog/ml-dsa.ts'
import { privateKeys, publicKeys } from './keys.ts'

/** OpenSSL's, from 3.5 on: a key that it does not take has signed nothing, and where it knows no such keys it throws. */
export const nativeMlDsa44: MlDsa44 = {
  publicKey: (seed) => new Uint8Array(createPublicKey(signer(seed)).export({ format: 'der', type: 'spki' }).subarray(SPKI.length)),
  sign: (message, seed) => new Uint8Array(sign(null, message, signer(seed))),
  verify(signature, message, publicKey) {
    const key = verifier(publicKey)
    return key !== null && verify(null, message, key, signature)
  },
}

/** What stands before the seed of a key in its PrivateKeyInfo, and before its bytes in its SubjectPublicKeyInfo. RFC 9881 */
const PKCS8 = Buffer.from('3034020100300b060960864801650304031104228020', 'hex')
const SPKI = Buffer.from('30820532300b06096086480165030403110382052100', 'hex')

const signer = privateKeys(PKCS8)
const verifier = publicKeys(SPKI)
