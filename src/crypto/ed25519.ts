// Ed25519 by the machine's own library. spec/log.md#keys

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import type { Ed25519Check, Ed25519Sign } from '../core/tlog/ed25519.ts'

/** OpenSSL's: a key that it does not take has signed nothing. */
export const nativeEd25519: Ed25519Check = (signature, message, publicKey) => {
  const key = opened.get(publicKey) ?? open(publicKey)
  opened.set(publicKey, key)
  return key !== null && verify(null, message, key, signature)
}

/** OpenSSL's. */
export const nativeEd25519Sign: Ed25519Sign = (message, seed) => {
  const key = signers.get(seed) ?? createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  signers.set(seed, key)
  return new Uint8Array(sign(null, message, key))
}

/** To open one takes longer than to use it. */
const opened = new WeakMap<Uint8Array, KeyObject | null>()
const signers = new WeakMap<Uint8Array, KeyObject>()

/** What stands before the 32 bytes of a key in its SubjectPublicKeyInfo, and before the seed of one in its PrivateKeyInfo. RFC 8410 */
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

function open(publicKey: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' })
  } catch {
    return null
  }
}
