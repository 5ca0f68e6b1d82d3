import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { cidOf } from '../../../src/core/encoding/cid.ts'
import { didOf, didOfCid, isDid } from '../../../src/core/plc/did.ts'

it('knows a did:plc by its 24 characters of base32 in lower case', () => {
  const id = 'ragtjsm2j2vknwkz3zp4oxrd'
  expect(isDid(`did:plc:${id}`)).toBe(true)
  const others = [id, `did:plc:${id}a`, `did:plc:${id.slice(1)}`, `did:plc:${id.toUpperCase()}`, `did:plc:0${id.slice(1)}`, `did:web:${id}`]
  for (const text of [...others, `did:plc:${id}\n`, ` did:plc:${id}`, `DID:PLC:${id}`, '']) expect([text, isDid(text)]).toEqual([text, false])
})

it('is the first 15 bytes of the hash of the genesis, in base32', () => {
  const bytes = Uint8Array.of(1, 2, 3)
  const bits = [...createHash('sha256').update(bytes).digest()].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const digits = Array.from({ length: 24 }, (_, i) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(bits.slice(5 * i, 5 * i + 5), 2)])
  expect(didOf(bytes)).toBe(`did:plc:${digits.join('')}`)
  expect(isDid(didOf(bytes))).toBe(true)
})

it('follows from the CID of the genesis as well', () => {
  for (let n = 0; n < 500; n++) {
    const bytes = Uint8Array.of(n % 256, Math.floor(n / 256))
    expect(didOfCid(cidOf(bytes))).toBe(didOf(bytes))
  }
})
