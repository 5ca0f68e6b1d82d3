// Ed25519, with which notes are signed: in JavaScript, unless whoever starts a program has something faster.
// spec/log.md#keys

import { ed25519 as portable } from '@noble/curves/ed25519.js'
import { hex } from '../encoding/text.ts'

/**
 * Whether a signature of 64 bytes is one of a message by a public key of 32, in the stricter reading of RFC 8032: S is below the order of the
 * group, and R are the very bytes of the point to which S, the message and the key lead.
 */
export type Ed25519Check = (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => boolean

/** The signature, 64 bytes, of a message by the key of a seed, 32 bytes. RFC 8032 leaves no choice. */
export type Ed25519Sign = (message: Uint8Array, seed: Uint8Array) => Uint8Array

/** Of RFC 8032, by a key whose encoding is canonical and that is not of small order. */
export const ed25519 = {
  getPublicKey: (seed: Uint8Array): Uint8Array => portable.getPublicKey(seed),
  sign: (message: Uint8Array, seed: Uint8Array): Uint8Array => (fasterSign ?? portable.sign)(message, seed),

  /** The verdict is that of the portable implementation: what the stricter reading accepts, it accepts too; what that refuses, it is asked. */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
    if (faster?.(signature, message, publicKey) === true && isSound(publicKey)) return true
    return portable.verify(signature, message, publicKey, { zip215: false })
  },
}

let faster: Ed25519Check | null = null
let fasterSign: Ed25519Sign | null = null

/** Asks another implementation first from now on, where it gives the right answers to a few questions; none where it does not. */
export function useEd25519(check: Ed25519Check): void {
  const right = hex.decode(EXAMPLE.r + EXAMPLE.s)
  const wrong = [hex.decode(EXAMPLE.r + EXAMPLE.sAboveOrder), ...[0, 32].map((at) => right.map((byte, i) => (i === at ? byte ^ 1 : byte)))]
  const [key, message] = [hex.decode(EXAMPLE.key), hex.decode(EXAMPLE.message)]
  const passes = check(right, message, key) && !check(right, Uint8Array.of(0), key) && !wrong.some((signature) => check(signature, message, key))
  faster = passes ? check : null
}

/** Signs with another implementation from now on, where it gives the signature of an example; with the portable one where it does not. */
export function useEd25519Sign(sign: Ed25519Sign): void {
  try {
    fasterSign = hex.encode(sign(hex.decode(EXAMPLE.message), hex.decode(EXAMPLE.seed))) === EXAMPLE.r + EXAMPLE.s ? sign : null
  } catch {
    fasterSign = null
  }
}

/** RFC 8032, 7.1, TEST 2; and its S with the order of the group added to it. */
const EXAMPLE = {
  seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
  key: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  message: '72',
  r: '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da',
  s: '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  sAboveOrder: 'f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10',
} as const

/** By the bytes of a key that is held, which nobody writes to. */
const sound = new WeakMap<Uint8Array, boolean>()

function isSound(publicKey: Uint8Array): boolean {
  const known = sound.get(publicKey) ?? isSoundPoint(publicKey)
  sound.set(publicKey, known)
  return known
}

function isSoundPoint(publicKey: Uint8Array): boolean {
  try {
    return !portable.Point.fromBytes(publicKey, false).isSmallOrder()
  } catch {
    return false
  }
}
