import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import { sha256, useSha256 } from '../../../src/core/encoding/sha256.ts'
import { utf8Encode } from '../../../src/core/encoding/text.ts'
import { leafHash, nodeHash } from '../../../src/core/tlog/hash.ts'
import { nativeSha256 } from '../../../src/crypto/sha256.ts'

const oracle = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest())

afterEach(() => useSha256(() => new Uint8Array()))

it('is SHA-256 by either implementation, of bytes of every length', () => {
  for (const choose of [() => undefined, () => useSha256(nativeSha256)]) {
    choose()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000, size: 'max' }), fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes, other) => {
        expect(sha256(bytes)).toEqual(oracle(bytes))
        expect(leafHash(bytes)).toEqual(oracle(Uint8Array.of(0), bytes))
        expect(nodeHash(oracle(bytes), other)).toEqual(oracle(Uint8Array.of(1), oracle(bytes), other))
      }),
      { numRuns: 50 },
    )
  }
})

it('takes another implementation where that answers as it should, and no other', () => {
  let asked = 0
  useSha256((bytes) => {
    asked++
    return nativeSha256(bytes)
  })
  asked = 0
  sha256(utf8Encode('abc'))
  expect(asked).toBe(1)
  useSha256((bytes) => nativeSha256(bytes.length === 56 ? bytes.subarray(1) : bytes))
  expect(sha256(new Uint8Array(56))).toEqual(oracle(new Uint8Array(56)))
  expect(asked).toBe(1)
})
