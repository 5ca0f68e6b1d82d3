// In place of '@noble/curves/ed25519.js' where a test is not about signatures and would spend its time on them:
// the same three functions by OpenSSL, ten times as fast.

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const opened = new Map<string, KeyObject>()

function privateKey(seed: Uint8Array): KeyObject {
  return kept(`private ${Buffer.from(seed).toString('hex')}`, () => createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' }))
}

function publicKey(key: Uint8Array): KeyObject {
  const x = Buffer.from(key).toString('base64url')
  return kept(x, () => createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }))
}

function kept(name: string, open: () => KeyObject): KeyObject {
  const key = opened.get(name) ?? open()
  if (opened.size < 1_000) opened.set(name, key)
  return key
}

export const ed25519 = {
  getPublicKey: (seed: Uint8Array) => new Uint8Array(createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(-32)),
  sign: (message: Uint8Array, seed: Uint8Array) => new Uint8Array(sign(null, message, privateKey(seed))),
  verify: (signature: Uint8Array, message: Uint8Array, key: Uint8Array) => verify(null, message, publicKey(key), signature),
}
