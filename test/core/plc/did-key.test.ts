import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { base58btc } from '../../../src/core/encoding/text.ts'
import { formatDidKey, multikeyCurve, parseDidKey, type Curve } from '../../../src/core/plc/did-key.ts'

const K256 = 'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme'
const P256 = 'did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv'
const ED25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'

const { p: K256_P } = secp256k1.Point.CURVE()

it('reads the keys of the did:key specification, and writes them as they were', () => {
  for (const [text, curve] of [[K256, 'k256'], [P256, 'p256']] as const) {
    const key = parseDidKey(text)
    expect(key.curve).toBe(curve)
    expect(key.bytes).toHaveLength(33)
    expect(formatDidKey(key)).toBe(text)
    expect(multikeyCurve(text)).toBe(curve)
  }
})

it('writes and reads every key back', () => {
  fc.assert(
    fc.property(fc.constantFrom<Curve>('k256', 'p256'), fc.uint8Array({ minLength: 8, maxLength: 8 }), (curve, seed) => {
      const bytes = (curve === 'k256' ? secp256k1 : p256).getPublicKey(sha256(seed), true)
      expect(parseDidKey(formatDidKey({ curve, bytes }))).toEqual({ curve, bytes })
    }),
    { numRuns: 50 },
  )
})

it('refuses whatever is not the one spelling of a compressed point on a known curve', () => {
  const key = secp256k1.getPublicKey(sha256(Uint8Array.of(1)), false)
  const compressed = parseDidKey(K256).bytes
  const spelled = (...bytes: number[]) => `did:key:z${base58btc.encode(Uint8Array.from(bytes))}`
  const offCurve = Array.from({ length: 40 }, (_, x) => Uint8Array.of(2, ...new Uint8Array(31), x)).find((bytes) => !secp256k1.utils.isValidPublicKey(bytes, true))
  const beyondField = [2, ...bytesOf(K256_P + 1n)] // x = 1, written as p + 1
  const others = [
    spelled(0xe7, 0x01, ...key), // 65 bytes, which noble accepts
    spelled(0xe7, 0x01, ...compressed.subarray(0, 32)),
    spelled(0xe7, 0x01, ...compressed, 0),
    spelled(0xe7, 0x01, 4, ...compressed.subarray(1)),
    spelled(0xe7, 0x01, 0, ...new Uint8Array(32)),
    spelled(0xe7, 0x01, ...(offCurve ?? [])),
    spelled(0xe7, 0x01, ...beyondField),
    spelled(0x80, 0x24, ...compressed), // a point of the other curve, off this one
    spelled(0xe7, ...compressed),
    ED25519,
    K256.replace('did:key:z', 'did:key:z1'),
    K256.replace('did:key:z', 'did:key:u'),
    K256.replace('did:key:', 'did:web:'),
    `${K256} `,
    ` ${K256}`,
    `${K256}\n`,
    `${K256.slice(0, -1)}0`,
    `did:key:z${'2'.repeat(100_000)}`,
    'did:key:z',
    '',
  ]
  for (const text of others) {
    expect([text.slice(0, 60), verdictOf(() => parseDidKey(text)).verdict?.code]).toEqual([text.slice(0, 60), 'MALFORMED_KEY'])
    expect(multikeyCurve(text)).toBeNull()
  }
})

function bytesOf(n: bigint): number[] {
  return (n.toString(16).padStart(64, '0').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16))
}

it('says of a key what it said before, of however many it has been asked meanwhile', () => {
  const offCurve = formatDidKey({ curve: 'k256', bytes: Uint8Array.of(2, ...new Uint8Array(31), 5) })
  const known: [string, Curve | null][] = [[K256, 'k256'], [P256, 'p256'], [ED25519, null], [offCurve, null], [`${K256}1`, null], ['x'.repeat(1_000), null], ['', null]]
  const ask = (): void => {
    for (const [text, curve] of known) expect([text, multikeyCurve(text)]).toEqual([text, curve])
  }
  ask()
  ask()
  for (let n = 0; n < 6_000; n++) multikeyCurve(`did:key:z${n}`)
  ask()
})
