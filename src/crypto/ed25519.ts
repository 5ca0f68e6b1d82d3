// Ed25519 by the machine's own library. spec/log.md#keys

import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import type { Ed25519Check } from '../core/tlog/ed25519.ts'

/** OpenSSL's: a key that it does not take has signed nothing. */
export const nativeEd25519: Ed25519Check = (signature, message, publicKey) => {
  const key = opened.get(publicKey) ?? open(publicKey)
  opened.set(publicKey, key)
  return key !== null && verify(null, message, key, signature)
}

/** To open one takes longer than to use it. */
const opened = new WeakMap<Uint8Array, KeyObject | null>()

/** What stands before the 32 bytes of a key in its SubjectPublicKeyInfo. RFC 8410 */
const PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

function open(publicKey: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.concat([PREFIX, publicKey]), format: 'der', type: 'spki' })
  } catch {
    return null
  }
}
