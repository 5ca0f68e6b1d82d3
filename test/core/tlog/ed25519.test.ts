import { ed25519 as portable } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import { concatBytes, hex } from '../../../src/core/encoding/text.ts'
import { ed25519, useEd25519, useEd25519Sign, type Ed25519Check } from '../../../src/core/tlog/ed25519.ts'
import { nativeEd25519, nativeEd25519Sign } from '../../../src/crypto/ed25519.ts'

const oracle: Ed25519Check = (signature, message, key) => portable.verify(signature, message, key, { zip215: false })

afterEach(() => useEd25519(() => false))

const MESSAGE = Uint8Array.of(1, 2, 3)
const { Point } = portable
const { Fn } = Point
const ORDER = Fn.ORDER

const littleEndian = (n: bigint): Uint8Array => hex.decode(n.toString(16).padStart(64, '0')).reverse()
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${hex.encode(Uint8Array.from(bytes).reverse())}`)

/** Encodings of points of order 1, 2, 4 and 8, those that are not canonical among them. */
const SMALL = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map((text) => hex.decode(text))

// A signature by the scalar `secret` whose key and R have these points of small order added to them, and whose S has `more`.
function crafted(secret: bigint, nonce: bigint, keyTwist: Uint8Array | null, rTwist: Uint8Array | null, more: bigint): { key: Uint8Array; signature: Uint8Array } {
  const twist = (n: bigint, small: Uint8Array | null): Uint8Array => (small === null ? Point.BASE.multiply(n) : Point.BASE.multiply(n).add(Point.fromBytes(small, true))).toBytes()
  const [key, r] = [twist(secret, keyTwist), twist(nonce, rTwist)]
  const k = numberOf(sha512(concatBytes(r, key, MESSAGE))) % ORDER
  return { key, signature: concatBytes(r, littleEndian(Fn.create(nonce + k * secret) + more)) }
}

it('gives the verdict of the portable implementation for every signature, whoever is asked first', () => {
  const accepted = { native: 0, oracle: 0 }
  const twist = fc.option(fc.constantFrom(...SMALL))
  fc.assert(
    fc.property(fc.bigInt(1n, ORDER - 1n), fc.bigInt(1n, ORDER - 1n), twist, twist, fc.constantFrom(0n, 0n, 0n, ORDER, 1n), (secret, nonce, keyTwist, rTwist, more) => {
      const { key, signature } = crafted(secret, nonce, keyTwist, rTwist, more)
      const expected = oracle(signature, MESSAGE, key)
      useEd25519(nativeEd25519)
      expect(ed25519.verify(signature, MESSAGE, key)).toBe(expected)
      if (expected) accepted.oracle++
      if (nativeEd25519(signature, MESSAGE, key)) accepted.native++
    }),
    { numRuns: 150 },
  )
  // Those that only one of the two readings accepts were among them.
  expect(accepted.native).toBeGreaterThan(0)
  expect(accepted.oracle).toBeGreaterThan(accepted.native)
})

it('accepts nothing by a key of small order, or one that is not canonical, though the other implementation does', () => {
  // As OpenSSL before 3.5.
  useEd25519((signature, message, key) => SMALL.includes(key) || nativeEd25519(signature, message, key))
  for (const key of SMALL) {
    for (const r of SMALL) {
      const signature = concatBytes(r, new Uint8Array(32))
      for (let i = 0; i < 16; i++) expect(ed25519.verify(signature, Uint8Array.of(i), key)).toBe(false)
    }
  }
})

it('asks another implementation first where that answers as it should, and no other', () => {
  const seed = new Uint8Array(32).fill(9)
  const [key, signature] = [ed25519.getPublicKey(seed), ed25519.sign(MESSAGE, seed)]
  let asked = 0
  const counting = (check: Ed25519Check): Ed25519Check => (...question) => {
    asked++
    return check(...question)
  }
  const timesAsked = (check: Ed25519Check): number => {
    useEd25519(counting(check))
    asked = 0
    expect(ed25519.verify(signature, MESSAGE, key)).toBe(true)
    return asked
  }
  expect(timesAsked(nativeEd25519)).toBe(1)
  expect(timesAsked(() => true)).toBe(0)
  expect(timesAsked(() => false)).toBe(0)
  // One that takes any S.
  expect(timesAsked((given, message, publicKey) => nativeEd25519(concatBytes(given.subarray(0, 32), littleEndian(numberOf(given.subarray(32)) % ORDER)), message, publicKey))).toBe(0)
})

it('gives the one signature of a message, whoever makes it, and never that of an implementation that is wrong', () => {
  let asked = 0
  const missing = (): never => {
    throw new Error('unsupported')
  }
  for (const sign of [nativeEd25519Sign, () => new Uint8Array(64), missing]) {
    useEd25519Sign((message, seed) => {
      asked++
      return sign(message, seed)
    })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 300 }), (seed, message) => {
        expect(ed25519.sign(message, seed)).toEqual(portable.sign(message, seed))
      }),
      { numRuns: 20 },
    )
  }
  // Of each one example, and of the first all that was to be signed.
  expect(asked).toBe(23)
})
