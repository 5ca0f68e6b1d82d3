// A cosigner's key at work: by the system's library where that has its kind of signature, else by the core's own.
// spec/log.md#cosignatures

import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { base64url, bytesEqual, concatBytes } from '../core/encoding/text.ts'
import { assert } from '../core/errors.ts'
import { formatCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { checkpointMessage, cosignatureMessage, encodeTimestamp, subtreeMessage, type CosignedSubtree } from '../core/tlog/cosigned-message.ts'
import { KEY_TYPES, signMessage, type NoteSignature, type SigningKey, type VerifierKey } from '../core/tlog/note.ts'

/** A key that cosigns. What it signs is encoded from what was parsed, never bytes that came from outside. */
export interface Cosigner {
  readonly key: VerifierKey
  /** Cosigns a checkpoint at `timestamp`, in seconds since 1970. */
  cosign(checkpoint: Checkpoint, timestamp: number): NoteSignature
  /** Cosigns a subtree, without a time; null where keys of its type sign none. */
  cosignSubtree(subtree: Omit<CosignedSubtree, 'cosigner' | 'timestamp'>): NoteSignature | null
}

/** The cosigner of a key of type 0x04 or 0x06. */
export function createCosigner(key: SigningKey): Cosigner {
  const native = nativeKey(key)
  const signBytes = (message: Uint8Array): Uint8Array => (native === null ? signMessage(message, key) : new Uint8Array(sign(null, message, native)))
  const timed = (timestamp: number, message: Uint8Array): NoteSignature => ({
    name: key.name, id: key.id, signature: concatBytes(encodeTimestamp(timestamp), signBytes(message)),
  })
  const { name, id, type, publicKey } = key
  return {
    key: { name, id, type, publicKey },
    cosign(checkpoint, timestamp) {
      const text = formatCheckpoint(checkpoint)
      return timed(timestamp, type === KEY_TYPES.mlDsa44 ? checkpointMessage(text, name, timestamp) : cosignatureMessage(text, timestamp))
    },
    cosignSubtree(subtree) {
      return type === KEY_TYPES.mlDsa44 ? timed(0, subtreeMessage({ ...subtree, cosigner: name, timestamp: 0 })) : null
    },
  }
}

const NATIVE = {
  [KEY_TYPES.cosignature]: { kty: 'OKP', crv: 'Ed25519', secret: 'd', open: 'x' },
  [KEY_TYPES.mlDsa44]: { kty: 'AKP', alg: 'ML-DSA-44', secret: 'priv', open: 'pub' },
} as const

/** null where the system's library does not know the kind of signature. */
function nativeKey({ type, seed, publicKey }: SigningKey): KeyObject | null {
  assert(type === KEY_TYPES.cosignature || type === KEY_TYPES.mlDsa44, 'a cosigner has a key that cosigns')
  const { secret, open, ...kind } = NATIVE[type]
  let key: KeyObject
  try {
    key = createPrivateKey({ format: 'jwk', key: { ...kind, [secret]: base64url.encode(seed), [open]: base64url.encode(publicKey) } })
  } catch {
    return null
  }
  const exported = createPublicKey(key).export({ format: 'jwk' })[open]
  assert(typeof exported === 'string' && bytesEqual(base64url.decode(exported), publicKey), 'both libraries make the same key of a seed')
  return key
}
