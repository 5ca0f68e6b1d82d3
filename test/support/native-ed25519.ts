// Ed25519 by the machine's own library, in place of the portable one: the same signatures, sooner. For tests that are not about them.

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'

/** Stands for `ed25519` of @noble/curves, as far as notes use it. */
export const ed25519 = {
  getPublicKey: (seed: Uint8Array): Uint8Array => new Uint8Array(createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(-32)),
  sign: (message: Uint8Array, seed: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, privateKey(seed))),
  verify(signature: Uint8Array, message: Uint8Array, key: Uint8Array): boolean {
    // Everybody verifies the same checkpoint.
    const name = [signature, message, key].map((bytes) => Buffer.from(bytes).toString('latin1')).join(' ')
    const known = verified.get(name) ?? verify(null, message, publicKey(key), signature)
    if (verified.size >= MOST) verified.clear()
    verified.set(name, known)
    return known
  },
}

const MOST = 5_000
const verified = new Map<string, boolean>()

const keys = new Map<string, KeyObject>()

function privateKey(seed: Uint8Array): KeyObject {
  return kept(`302e020100300506032b657004220420${Buffer.from(seed).toString('hex')}`, (key) => createPrivateKey({ key, format: 'der', type: 'pkcs8' }))
}

function publicKey(key: Uint8Array): KeyObject {
  return kept(`302a300506032b6570032100${Buffer.from(key).toString('hex')}`, (key) => createPublicKey({ key, format: 'der', type: 'spki' }))
}

function kept(der: string, make: (der: Buffer) => KeyObject): KeyObject {
  const key = keys.get(der) ?? make(Buffer.from(der, 'hex'))
  keys.set(der, key)
  return key
}
