// Ed25519 by the machine's own library. spec/log.md#keys

import { sign, verify } from 'node:crypto'
import type { Ed25519Check, Ed25519Sign } from '../core/tlog/ed25519.ts'
import { privateKeys, publicKeys } from './keys.ts'

/** OpenSSL's: a key that it does not take has signed nothing. */
export const nativeEd25519: Ed25519Check = (signature, message, publicKey) => {
  const key = verifier(publicKey)
  return key !== null && verify(null, message, key, signature)
}

/** OpenSSL's. */
export const nativeEd25519Sign: Ed25519Sign = (message, seed) => new Uint8Array(sign(null, message, signer(seed)))

/** What stands before the seed of a key in its PrivateKeyInfo, and before its 32 bytes in its SubjectPublicKeyInfo. RFC 8410 */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

const signer = privateKeys(PKCS8)
const verifier = publicKeys(SPKI)
