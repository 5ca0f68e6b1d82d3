// ML-DSA-44 (FIPS 204) with an empty context, with which cosigners sign: in JavaScript, unless whoever starts a program has something faster.
// spec/log.md#keys

import { sha256 } from '@noble/hashes/sha2.js'
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'
import { hex } from '../encoding/text.ts'

/** An implementation: seeds of 32 bytes, public keys of 1,312, signatures of 2,420. */
export interface MlDsa44 {
  publicKey(seed: Uint8Array): Uint8Array
  sign(message: Uint8Array, seed: Uint8Array): Uint8Array
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
}

const NO_CONTEXT = new Uint8Array(0)

const portable: MlDsa44 = {
  publicKey: (seed) => ml_dsa44.keygen(seed).publicKey,
  // Deterministic: the core has no randomness, and equal inputs shall give equal notes.
  sign: (message, seed) => ml_dsa44.sign(message, ml_dsa44.keygen(seed).secretKey, { context: NO_CONTEXT, extraEntropy: false }),
  verify: (signature, message, publicKey) => ml_dsa44.verify(signature, message, publicKey, { context: NO_CONTEXT }),
}

/** What is accepted is what the portable implementation accepts: what another one refuses, that is asked. */
export const mlDsa44: MlDsa44 = {
  publicKey: (seed) => implementation().publicKey(seed),
  sign: (message, seed) => implementation().sign(message, seed),
  verify: (signature, message, publicKey) => implementation().verify(signature, message, publicKey) || (chosen !== portable && portable.verify(signature, message, publicKey)),
}

let chosen: MlDsa44 | null = portable
let offered: MlDsa44 = portable

/**
 * Leaves the work to another implementation from now on, where it does a few examples right; to the portable one where it does not, which is found out when it is
 * needed first. Its signatures may be hedged with randomness of its own, as FIPS 204 recommends.
 */
export function useMlDsa44(faster: MlDsa44): void {
  offered = faster
  chosen = null
}

function implementation(): MlDsa44 {
  chosen ??= isRight(offered) ? offered : portable
  return chosen
}

function isRight(candidate: MlDsa44): boolean {
  try {
    const publicKey = candidate.publicKey(EXAMPLE.seed)
    const signature = candidate.sign(EXAMPLE.seed, EXAMPLE.seed)
    const wrong = signature.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
    return (
      hex.encode(sha256(publicKey)) === EXAMPLE.publicKeySha256 &&
      candidate.verify(signature, EXAMPLE.seed, publicKey) &&
      !candidate.verify(signature, NO_CONTEXT, publicKey) &&
      !candidate.verify(wrong, EXAMPLE.seed, publicKey)
    )
  } catch {
    return false
  }
}

/** A seed, and the SHA-256 of the public key that it gives. */
const EXAMPLE = {
  seed: Uint8Array.from({ length: 32 }, (_, i) => i),
  publicKeySha256: '9f107644c1084526af3bc8098680b05499a2325a644e388fb4f970e058d19d46',
} as const
