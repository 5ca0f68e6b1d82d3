// Questions whose answers separate a verifier that keeps the rules from one that is lenient, or wrong where curves
// have their corners. The self-test of `src/native` is these, written down.

import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { base58btc, base64url, utf8Encode } from '../../src/core/encoding/text.ts'
import { formatDidKey, type Curve } from '../../src/core/plc/did-key.ts'
import type { SignatureAnswer } from '../../src/core/plc/signature.ts'
import { testKey } from './identities.ts'

export interface SignatureCase {
  readonly name: string
  /** Signed as UTF-8. */
  readonly message: string
  readonly sig: string
  readonly keys: readonly string[]
  readonly answer: SignatureAnswer
}

type Point = InstanceType<typeof p256.Point>

const MESSAGE = 'self-test'

/** Every case of a curve; the answers are stated, not computed. */
export function signatureCases(curve: Curve): SignatureCase[] {
  const [signer, second, stranger] = curve === 'k256' ? [testKey(0), testKey(2), testKey(1)] : [testKey(1), testKey(3), testKey(0)]
  const { Point } = curve === 'k256' ? secp256k1 : p256
  const { n, p } = Point.CURVE()
  const key = signer.did
  const sig = signer.sign(utf8Encode(MESSAGE))
  const bytes = base64url.decode(sig)
  const r = numberOf(bytes.subarray(0, 32))
  const s = numberOf(bytes.subarray(32))

  const cases: SignatureCase[] = []
  const add = (name: string, sig: string, keys: readonly string[], answer: SignatureAnswer, message = MESSAGE): void => void cases.push({ name, message, sig, keys, answer })

  add('valid', sig, [key], 0)
  add('valid, by the second key', sig, [second.did, key], 1)
  add('valid, by the second key, after one of the other curve', sig, [stranger.did, key], 1)
  add('valid, the key twice', sig, [second.did, key, key], 1)
  add('valid, before a key that is none', sig, [key, 'did:key:z'], 0)
  add('another message', sig, [key], null, 'self-test.')
  add('another key', sig, [second.did], null)
  add('no key', sig, [], null)

  add('high s', spell(r, n - s), [key], null)
  add('r and s swapped', spell(s, r), [key], null)
  add('r one more', spell(r + 1n, s), [key], null)
  add('s one less', spell(r, s - 1n), [key], null)
  add('r of zero', spell(0n, s), [key], null)
  add('s of zero', spell(r, 0n), [key], null)
  add('r and s of zero', spell(0n, 0n), [key], null)
  add('r of the order', spell(n, s), [key], null)
  add('s of the order', spell(r, n), [key], null)
  add('r of all ones', spell(2n ** 256n - 1n, s), [key], null)
  add('s of all ones', spell(r, 2n ** 256n - 1n), [key], null)

  add('DER', base64url.encode(derOf(bytes)), [key], null)
  add('a byte before it', base64url.encode(Uint8Array.of(0, ...bytes)), [key], null)
  add('a byte after it', base64url.encode(Uint8Array.of(...bytes, 0)), [key], null)
  add('63 bytes', base64url.encode(bytes.subarray(0, 63)), [key], null)
  add('empty', '', [key], null)
  add('padded', `${sig}==`, [key], null)
  add('padding bits', sig.replace(/.$/, (last) => ({ A: 'B', Q: 'R', g: 'h', w: 'x' })[last] ?? ''), [key], null)
  add('a newline after it', `${sig}\n`, [key], null)
  add('the other alphabet', `+/${sig.slice(2)}`, [key], null)

  // A key that is none ends the search; one that is a key does not.
  const point = Point.fromBytes(publicKeyOf(curve, key))
  const off = Array.from({ length: 50 }, (_, x) => compressed(BigInt(x + 2))).find((bytes) => !isPoint(Point, bytes))
  const beyond = Array.from({ length: 50 }, (_, x) => BigInt(x + 1)).find((x) => isPoint(Point, compressed(x)))
  if (off === undefined || beyond === undefined) throw new Error('half of all numbers are a coordinate of a point')
  add('after a point off the curve', sig, [didKey(curve, off), key], null)
  add('after a small point', sig, [didKey(curve, compressed(beyond)), key], 1)
  add('after a small point, written as one beyond the field', sig, [didKey(curve, compressed(beyond + p)), key], null)
  add('after the point at zero, which is on P-256 alone', sig, [didKey(curve, compressed(0n)), key], curve === 'p256' ? 1 : null)
  add('after the coordinate that is the field', sig, [didKey(curve, compressed(p)), key], null)
  add('hybrid', sig, [didKey(curve, hybrid(point))], null)
  add('after a hybrid key', sig, [didKey(curve, hybrid(point)), key], null)
  add('uncompressed', sig, [didKey(curve, point.toBytes(false))], null)
  add('after an uncompressed key', sig, [didKey(curve, point.toBytes(false)), key], null)
  for (const head of [0, 1, 4, 6, 7]) add(`after 33 bytes that begin with ${head}`, sig, [didKey(curve, Uint8Array.of(head, ...point.toBytes(true).subarray(1))), key], null)
  add('after a key of 32 bytes', sig, [didKey(curve, point.toBytes(true).subarray(0, 32)), key], null)
  add('after a key of 34 bytes', sig, [didKey(curve, Uint8Array.of(...point.toBytes(true), 0)), key], null)
  add('after the point at infinity', sig, [didKey(curve, Uint8Array.of(0)), key], null)
  add('after a key that says Ed25519', sig, [`did:key:z${base58btc.encode(Uint8Array.of(0xed, 0x01, ...point.toBytes(true)))}`, key], null)
  add('after a key in other letters', sig, [key.replace('did:key:z', 'did:key:u'), key], null)
  add('after a key and a space', sig, [`${key} `, key], null)
  add('after nothing', sig, ['', key], null)
  add('the negated key', sig, [didKey(curve, point.negate().toBytes(true))], null)

  // Keys made to fit a signature: Q = (s R - z G) / r.
  const { Fn } = Point
  const z = Fn.create(numberOf(sha256(utf8Encode(MESSAGE))))
  const fitting = (R: Point, r: bigint, s: bigint): string => {
    const q = R.multiply(s).subtract(Point.BASE.multiply(z)).multiply(Fn.inv(r))
    return didKey(curve, q.toBytes(true))
  }
  const R = Point.BASE.multiply(7n)
  add('s of one', spell(R.x % n, 1n), [fitting(R, R.x % n, 1n)], 0)
  add('the largest low s', spell(R.x % n, n / 2n), [fitting(R, R.x % n, n / 2n)], 0)
  add('the smallest high s', spell(R.x % n, n / 2n + 1n), [fitting(R, R.x % n, n / 2n + 1n)], null)
  const wide = Array.from({ length: 50 }, (_, x) => n + BigInt(x + 1)).find((x) => isPoint(Point, compressed(x)))
  if (wide === undefined) throw new Error('half of all numbers are a coordinate of a point')
  const W = Point.fromBytes(compressed(wide))
  add('r reduced by the order', spell(wide - n, s), [fitting(W, wide - n, s)], 0)
  add('r that would be reduced, not reduced', spell(wide, s), [fitting(W, wide - n, s)], null)
  add('r small', spell(wide - n, s), [key], null)
  add('R at infinity', spell(r, s), [didKey(curve, Point.BASE.multiply(Fn.create(-z * Fn.inv(r))).toBytes(true))], null)
  const double = Point.BASE.multiply(Fn.create(z * Fn.inv(r)))
  const doubled = Point.BASE.multiply(Fn.create(2n * z * Fn.inv(1n)))
  add('u1 G and u2 Q the same point', spell(doubled.x % n, 1n), [didKey(curve, Point.BASE.multiply(Fn.create(z * Fn.inv(doubled.x % n))).toBytes(true))], 0)
  add('u1 G and u2 Q the same point, another r', spell(r, s), [didKey(curve, double.toBytes(true))], null)
  add('the generator as a key', sig, [didKey(curve, Point.BASE.toBytes(true))], null)
  return cases
}

/** The text of src/native/self-test-cases.ts. */
export function renderSelfTest(): string {
  const rendered = (curve: Curve): string =>
    signatureCases(curve)
      .map(({ name, message, sig, keys, answer }) => `    { name: ${quote(name)}, message: ${quote(message)}, sig: ${quote(sig)}, keys: [${keys.map(quote).join(', ')}], answer: ${answer} },\n`)
      .join('')
  return `// What every back end has to answer before it is used. Written by scripts/make-self-test.ts.

import type { Curve } from '../core/plc/did-key.ts'
import type { SignatureAnswer } from '../core/plc/signature.ts'

/** A question, and its answer. */
export interface SelfTestCase {
  readonly name: string
  /** Signed as UTF-8. */
  readonly message: string
  readonly sig: string
  readonly keys: readonly string[]
  readonly answer: SignatureAnswer
}

/** The questions about each curve. */
export const SELF_TEST_CASES: Readonly<Record<Curve, readonly SelfTestCase[]>> = {
  k256: [
${rendered('k256')}  ],
  p256: [
${rendered('p256')}  ],
}
`
}

/** A signature of these numbers, in base64url. */
export function spell(r: bigint, s: bigint): string {
  return base64url.encode(Uint8Array.of(...bytesOf(r), ...bytesOf(s)))
}

/** The did:key of any bytes, whether they are a key or not. */
export function didKey(curve: Curve, bytes: Uint8Array): string {
  return formatDidKey({ curve, bytes })
}

/** A hybrid key: all of the point, and the sign of y in the first byte. */
export function hybrid(point: Point): Uint8Array {
  return Uint8Array.of(point.y % 2n === 0n ? 6 : 7, ...point.toBytes(false).subarray(1))
}

/** DER of a signature of 64 bytes. */
export function derOf(bytes: Uint8Array): Uint8Array {
  return p256.Signature.fromBytes(bytes, 'compact').toBytes('der')
}

/** The point of a did:key, 33 bytes. */
export function publicKeyOf(curve: Curve, did: string): Uint8Array {
  const bytes = base58btc.decode(did.slice('did:key:z'.length)).slice(2)
  if (didKey(curve, bytes) !== did) throw new Error(`${did} is no key of ${curve}`)
  return bytes
}

/** 32 bytes, largest first. */
export function bytesOf(n: bigint): Uint8Array {
  return Uint8Array.from(n.toString(16).padStart(64, '0').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** The number of bytes, largest first. */
export function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((n, byte) => n * 256n + BigInt(byte), 0n)
}

function quote(text: string): string {
  return `'${text.replaceAll('\n', String.raw`\n`)}'`
}

function compressed(x: bigint): Uint8Array {
  return Uint8Array.of(2, ...bytesOf(x))
}

function isPoint(Point: typeof p256.Point, bytes: Uint8Array): boolean {
  try {
    Point.fromBytes(bytes)
    return true
  } catch {
    return false
  }
}
