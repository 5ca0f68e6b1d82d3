// Signatures: ECDSA with SHA-256 over an operation without its `sig`. spec/did-plc.md#signatures

import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { assert, verdictOf } from '../errors.ts'
import { encodeCbor, type CborMap } from '../encoding/dag-cbor.ts'
import { base64url } from '../encoding/text.ts'
import { formatDidKey, parseDidKey, type Curve } from './did-key.ts'
import { parseOperation, type Operation } from './operation.ts'

/** What has to be checked: which of these keys, if any, made this signature? */
export interface SignatureQuestion {
  /** The bytes that were signed, not hashed yet. */
  readonly message: Uint8Array
  /** As the operation spells it. */
  readonly sig: string
  /** did:keys in the order in which they are tried. */
  readonly keys: readonly string[]
}

/** The index of the first key that verifies; null where none does. */
export type SignatureAnswer = number | null

/** Something that signs operations for one did:key. */
export interface OperationSigner {
  readonly did: string
  /** The signature of a message, in base64url. */
  sign(message: Uint8Array): string
}

const SIGNATURE_BYTES = 64

/**
 * The index of the first key that made the signature. Null where none did, where the signature is not the strict
 * base64url of 64 bytes, r and s, with a low s, and where a key that cannot be parsed is reached before one that
 * verifies. Synchronous and total: the oracle for every faster implementation. spec/did-plc.md#signatures
 */
export function findSigner(question: SignatureQuestion): SignatureAnswer {
  const signature = verdictOf(() => base64url.decode(question.sig)).value
  if (signature === null || signature.length !== SIGNATURE_BYTES) return null
  for (const [index, text] of question.keys.entries()) {
    const key = verdictOf(() => parseDidKey(text)).value
    if (key === null) return null
    if (ecdsa(key.curve).verify(signature, question.message, key.bytes, { lowS: true, prehash: true, format: 'compact' })) return index
  }
  return null
}

/** A signer from a secret of 32 bytes: deterministic nonces (RFC 6979), low s, compact form. An invalid secret is an incident. */
export function signerFromSecret(curve: Curve, secret: Uint8Array): OperationSigner {
  const key = { curve, bytes: ecdsa(curve).getPublicKey(secret, true) }
  return {
    did: formatDidKey(key),
    sign(message) {
      const signature = ecdsa(curve).sign(message, secret, { lowS: true, prehash: true, format: 'compact', extraEntropy: false })
      assert(signature.length === SIGNATURE_BYTES, 'a compact signature has 64 bytes')
      return base64url.encode(signature)
    },
  }
}

/** Signs an unsigned operation. Throws INVALID_OPERATION where what results has no valid shape. */
export function signOperation(unsigned: CborMap, signer: OperationSigner): Operation {
  return parseOperation(new Map([...unsigned, ['sig', signer.sign(encodeCbor(unsigned))]]))
}

function ecdsa(curve: Curve): typeof p256 {
  return curve === 'k256' ? secp256k1 : p256
}
