// `signerFromSecret` by a library that is faster where it can be: the same keys and the same signatures.

import { hash } from 'node:crypto'
import secp256k1 from 'secp256k1'
import { base64url } from '../../src/core/encoding/text.ts'
import { formatDidKey, type Curve } from '../../src/core/plc/did-key.ts'
import { signerFromSecret, type OperationSigner } from '../../src/core/plc/signature.ts'

/** A signer from a secret of 32 bytes. */
export function fastSigner(curve: Curve, secret: Uint8Array): OperationSigner {
  if (curve !== 'k256') return signerFromSecret(curve, secret)
  return {
    did: formatDidKey({ curve, bytes: secp256k1.publicKeyCreate(secret, true) }),
    sign: (message) => base64url.encode(secp256k1.ecdsaSign(hash('sha256', message, 'buffer'), secret).signature),
  }
}
