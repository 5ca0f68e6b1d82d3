import { createPublicKey, verify } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base64url, utf8Encode } from '../../../src/core/encoding/text.ts'
import { parseDidKey } from '../../../src/core/plc/did-key.ts'
import { tombstoneValue, unsignedBytes } from '../../../src/core/plc/operation.ts'
import { findSigner, signerFromSecret, signOperation } from '../../../src/core/plc/signature.ts'
import { fastSigner } from '../../support/fast-signer.ts'
import { testKey } from '../../support/identities.ts'

const message = Uint8Array.of(1, 2, 3)
const keys = [0, 1, 2, 3].map((n) => testKey(n).did)

describe('finding who signed', () => {
  it('gives the index of the first key that verifies, on both curves', () => {
    for (const n of [0, 1, 2, 3]) expect(findSigner({ message, sig: testKey(n).sign(message), keys })).toBe(n)
    const twice = [testKey(1).did, testKey(0).did, testKey(0).did]
    expect(findSigner({ message, sig: testKey(0).sign(message), keys: twice })).toBe(1)
  })

  it('gives null where no key verifies, or there is none', () => {
    expect(findSigner({ message, sig: testKey(4).sign(message), keys })).toBeNull()
    expect(findSigner({ message: Uint8Array.of(1, 2), sig: testKey(0).sign(message), keys })).toBeNull()
    expect(findSigner({ message, sig: testKey(0).sign(message), keys: [] })).toBeNull()
  })

  it('gives null where a key that cannot be parsed is reached first, and only then', () => {
    const sig = testKey(0).sign(message)
    expect(findSigner({ message, sig, keys: ['did:key:zQ3s', testKey(0).did] })).toBeNull()
    expect(findSigner({ message, sig, keys: [testKey(0).did, 'did:key:zQ3s'] })).toBe(0)
  })

  it.each([0, 1])('accepts exactly one spelling of the signature of key %d', (n) => {
    const key = testKey(n)
    const sig = key.sign(message)
    const bytes = base64url.decode(sig)
    const { Signature, Point } = key.curve === 'k256' ? secp256k1 : p256
    const { r, s } = Signature.fromBytes(bytes, 'compact')
    const others = {
      'high s': base64url.encode(new Signature(r, Point.Fn.ORDER - s).toBytes('compact')),
      DER: base64url.encode(Signature.fromBytes(bytes, 'compact').toBytes('der')),
      recovered: base64url.encode(Uint8Array.of(0, ...bytes)),
      '63 bytes': base64url.encode(bytes.subarray(0, 63)),
      '65 bytes': base64url.encode(Uint8Array.of(...bytes, 0)),
      zeros: base64url.encode(new Uint8Array(64)),
      'r of zero': base64url.encode(Uint8Array.of(...new Uint8Array(32), ...bytes.subarray(32))),
      's of zero': base64url.encode(Uint8Array.of(...bytes.subarray(0, 32), ...new Uint8Array(32))),
      ones: base64url.encode(new Uint8Array(64).fill(0xff)),
      padded: `${sig}==`,
      'padding bits': sig.replace(/.$/, (last) => ({ A: 'B', Q: 'R', g: 'h', w: 'x' })[last] ?? last),
      'other alphabet': `+/${sig.slice(2)}`,
      newline: `${sig}\n`,
      'newline inside': `${sig.slice(0, 40)}\n${sig.slice(40)}`,
      'one digit more': `${sig}A`,
      empty: '',
      garbage: '!!!!',
      'lone surrogate': '\ud800',
    }
    expect(findSigner({ message, sig, keys: [key.did] })).toBe(0)
    for (const [name, other] of Object.entries(others)) {
      expect([name, other === sig, findSigner({ message, sig: other, keys: [key.did] })]).toEqual([name, false, null])
    }
  })
})

describe('signing', () => {
  it('makes signatures of 64 bytes that OpenSSL verifies', () => {
    for (const n of [0, 1, 2, 3]) {
      const key = createPublicKey({ key: spki(testKey(n).did), format: 'der', type: 'spki' })
      const signature = base64url.decode(testKey(n).sign(message))
      expect(signature).toHaveLength(64)
      expect(verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true)
    }
  })

  it('is deterministic: RFC 6979, appendix A.2.5, with a low s', () => {
    const secret = hex('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721')
    const [r, s] = [
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716',
      'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ]
    const low = (p256.Point.Fn.ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, '0')
    const sample = Uint8Array.from('sample', (character) => character.charCodeAt(0))
    expect(signerFromSecret('p256', secret).sign(sample)).toBe(base64url.encode(hex(r + low)))
  })

  it('signs on secp256k1 as libsecp256k1 does', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 600 }), (name, message) => {
        const [portable, native] = [signerFromSecret, fastSigner].map((make) => make('k256', sha256(utf8Encode(name))))
        expect([native?.did, native?.sign(message)]).toEqual([portable?.did, portable?.sign(message)])
      }),
    )
  })

  it('gives an operation whose signature is over all its fields but sig', () => {
    fc.assert(
      fc.property(fc.nat(3), fc.string({ unit: 'grapheme' }), (n, prev) => {
        const operation = signOperation(tombstoneValue(prev), testKey(n))
        expect(findSigner({ message: unsignedBytes(operation), sig: operation.sig, keys })).toBe(n)
      }),
      { numRuns: 20 },
    )
  })
})

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** A compressed point as SubjectPublicKeyInfo (RFC 5480). */
function spki(did: string): Buffer {
  const { curve, bytes } = parseDidKey(did)
  const algorithm = curve === 'k256' ? '301006072a8648ce3d020106052b8104000a' : '301306072a8648ce3d020106082a8648ce3d030107'
  const body = Buffer.concat([Buffer.from(algorithm, 'hex'), Buffer.of(0x03, 34, 0), bytes])
  return Buffer.concat([Buffer.of(0x30, body.length), body])
}
