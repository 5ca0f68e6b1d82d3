import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { cidOf, formatCid, normalizeCid, parseCid } from '../../../src/core/encoding/cid.ts'
import { base32, base58btc, concatBytes } from '../../../src/core/encoding/text.ts'

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 })
const spell = (digest: Uint8Array) => concatBytes(Uint8Array.of(0x01, 0x71, 0x12, 0x20), digest)

it('is the SHA-256 of the bytes with the codec before it, in base32', () => {
  // The empty map, as in the documentation of DAG-CBOR.
  expect(cidOf(Uint8Array.of(0xa0))).toBe('bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua')
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const digest = new Uint8Array(createHash('sha256').update(bytes).digest())
      expect(cidOf(bytes)).toBe(formatCid(digest))
      expect(cidOf(bytes)).toMatch(/^bafyrei[a-z2-7]{52}$/)
      expect(parseCid(cidOf(bytes))).toEqual(digest)
    }),
  )
})

it('is the same in base32 and in base58btc', () => {
  fc.assert(
    fc.property(digests, (digest) => {
      expect(normalizeCid(formatCid(digest))).toBe(formatCid(digest))
      expect(normalizeCid(`z${base58btc.encode(spell(digest))}`)).toBe(formatCid(digest))
      expect(verdictOf(() => parseCid(`z${base58btc.encode(spell(digest))}`)).verdict?.code).toBe('MALFORMED_CID')
    }),
  )
})

it('is refused in every other spelling', () => {
  const digest = new Uint8Array(32).fill(7)
  const cid = formatCid(digest)
  const bytes = spell(digest)
  const others = [
    cid.toUpperCase(),
    `B${cid.slice(1).toUpperCase()}`,
    `b${cid.slice(1).toUpperCase()}`,
    cid.slice(0, -1),
    `${cid}a`,
    `${cid.slice(0, -1)}${cid.endsWith('a') ? 'b' : 'a'}`.replace(/.$/, 'b'), // unused bits that are not zero
    cid.slice(1),
    `${cid}\n`,
    ` ${cid}`,
    `k${BigInt(`0x${Buffer.from(bytes).toString('hex')}`).toString(36)}`,
    `f${Buffer.from(bytes).toString('hex')}`,
    `m${Buffer.from(bytes).toString('base64').replaceAll('=', '')}`,
    base58btc.encode(bytes.subarray(2)), // Qm...: version 0
    `z${base58btc.encode(bytes)}1`,
    `z1${base58btc.encode(bytes)}`,
    `z${base58btc.encode(bytes)} `,
    `z${'1'.repeat(100_000)}`,
    ...[bytes.with(0, 2), bytes.with(1, 0x55), bytes.with(2, 0x13), bytes.with(3, 0x1f), bytes.subarray(0, 35), concatBytes(bytes, Uint8Array.of(0))].flatMap((other) => [
      `b${base32.encode(other)}`,
      `z${base58btc.encode(other)}`,
    ]),
    'b',
    'z',
    '',
  ]
  for (const text of others) {
    expect([text.slice(0, 70), verdictOf(() => parseCid(text)).verdict?.code]).toEqual([text.slice(0, 70), 'MALFORMED_CID'])
    expect([text.slice(0, 70), verdictOf(() => normalizeCid(text)).verdict?.code]).toEqual([text.slice(0, 70), 'MALFORMED_CID'])
  }
})
