import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import { mlDsa44, useMlDsa44, type MlDsa44 } from '../../../src/core/tlog/ml-dsa.ts'
import { nativeMlDsa44 } from '../../../src/crypto/ml-dsa.ts'

/** noble's, as it is called without any of ours in between. */
const oracle: MlDsa44 = {
  publicKey: (seed) => ml_dsa44.keygen(seed).publicKey,
  sign: (message, seed) => ml_dsa44.sign(message, ml_dsa44.keygen(seed).secretKey),
  verify: (signature, message, publicKey) => ml_dsa44.verify(signature, message, publicKey),
}

afterEach(() => useMlDsa44(oracle))

const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 })
const messages = fc.uint8Array({ maxLength: 300 })

it('has the keys of the portable implementation, and signatures that it accepts, whoever makes them', () => {
  useMlDsa44(nativeMlDsa44)
  fc.assert(
    fc.property(seeds, messages, (seed, message) => {
      const publicKey = mlDsa44.publicKey(seed)
      expect(publicKey).toEqual(oracle.publicKey(seed))
      const signature = mlDsa44.sign(message, seed)
      expect(signature.length).toBe(2420)
      expect(oracle.verify(signature, message, publicKey)).toBe(true)
      expect(mlDsa44.verify(oracle.sign(message, seed), message, publicKey)).toBe(true)
    }),
    { numRuns: 15 },
  )
})

it('gives the verdict of the portable implementation for what was changed anywhere', () => {
  useMlDsa44(nativeMlDsa44)
  const seed = new Uint8Array(32).fill(7)
  const message = Uint8Array.of(1, 2, 3)
  const [publicKey, signature] = [oracle.publicKey(seed), oracle.sign(message, seed)]
  // The hints at the end have several encodings, of which one is allowed.
  const places = fc.oneof(fc.nat(2419), fc.integer({ min: 2336, max: 2419 }))
  fc.assert(
    fc.property(places, fc.nat(255), fc.constantFrom('signature', 'message', 'key', 'length'), (at, byte, what) => {
      const changed = what === 'length' ? signature.subarray(0, at) : what === 'signature' ? signature.with(at, byte) : signature
      const said = what === 'message' ? message.with(at % 3, byte) : message
      const key = what === 'key' ? publicKey.with(at % 1312, byte) : publicKey
      const expected = what !== 'length' && oracle.verify(changed, said, key)
      expect(mlDsa44.verify(changed, said, key)).toBe(expected)
      expect(what !== 'length' && nativeMlDsa44.verify(changed, said, key)).toBe(expected)
    }),
    { numRuns: 150 },
  )
})

it('signs the same for the same, in JavaScript', () => {
  useMlDsa44({ ...oracle, verify: () => false })
  const seed = new Uint8Array(32).fill(8)
  expect(mlDsa44.sign(seed, seed)).toEqual(mlDsa44.sign(seed, seed))
})

it.each<[string, Partial<MlDsa44>]>([
  ['accepts everything', { verify: () => true }],
  ['accepts nothing', { verify: () => false }],
  ['does not look at the message', { verify: (signature, _message, key) => nativeMlDsa44.verify(signature, Uint8Array.from({ length: 32 }, (_, i) => i), key) }],
  ['has other keys', { publicKey: (seed) => nativeMlDsa44.publicKey(seed.map((byte) => byte ^ 1)) }],
  ['is not there', { sign: () => { throw new Error('unsupported') } }],
])('does not use one that %s', (_, fault) => {
  useMlDsa44({ ...nativeMlDsa44, ...fault })
  const seed = new Uint8Array(32).fill(9)
  const publicKey = oracle.publicKey(seed)
  expect(mlDsa44.publicKey(seed)).toEqual(publicKey)
  const signature = mlDsa44.sign(seed, seed)
  expect(signature).toEqual(mlDsa44.sign(seed, seed))
  expect(mlDsa44.verify(signature, seed, publicKey)).toBe(true)
  expect(mlDsa44.verify(signature, Uint8Array.of(1), publicKey)).toBe(false)
})
