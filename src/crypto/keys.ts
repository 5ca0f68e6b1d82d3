// Keys as the machine's own library has them, remembered by the bytes that they were made of: to open one takes as long as to use it, or longer.

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

/** Opens public keys, before which `prefix` stands in their SubjectPublicKeyInfo; null for one that the library does not take. Nobody may write to their bytes. */
export function publicKeys(prefix: Uint8Array): (bytes: Uint8Array) => KeyObject | null {
  return remembered((bytes) => {
    try {
      return createPublicKey({ key: Buffer.concat([prefix, bytes]), format: 'der', type: 'spki' })
    } catch {
      return null
    }
  })
}

/** Opens the keys of seeds, before which `prefix` stands in their PrivateKeyInfo. Throws where the library does not know such keys. Nobody may write to a seed. */
export function privateKeys(prefix: Uint8Array): (seed: Uint8Array) => KeyObject {
  return remembered((seed) => createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' }))
}

function remembered<T>(open: (bytes: Uint8Array) => T): (bytes: Uint8Array) => T {
  const opened = new WeakMap<Uint8Array, T>()
  return (bytes) => {
    const known = opened.get(bytes)
    if (known !== undefined) return known
    const key = open(bytes)
    opened.set(bytes, key)
    return key
  }
}
