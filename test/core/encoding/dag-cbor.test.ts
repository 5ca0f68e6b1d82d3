import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { compareKeys, decodeCbor, encodeCbor, isCborArray, isCborMap, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../../src/core/encoding/json.ts'
import { concatBytes } from '../../../src/core/encoding/text.ts'
import { decodeTheirs, encodeTheirs, inModel } from '../../support/ipld.ts'
import { mapKeys, values } from '../../support/values.ts'

describe('encoding', () => {
  it('gives the bytes that @ipld/dag-cbor gives', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(encodeCbor(value)).toEqual(encodeTheirs(JSON.parse(renderJson(value)))) // JSON.parse keeps `__proto__`
      }),
      { numRuns: 1000 },
    )
  })

  it('does not depend on the order in which keys were put in', () => {
    fc.assert(
      fc.property(fc.uniqueArray(mapKeys), (keys) => {
        const entries = keys.map((key) => [key, key] as const)
        expect(encodeCbor(new Map(entries))).toEqual(encodeCbor(new Map(entries.toReversed())))
      }),
    )
  })

  it('refuses text that has no UTF-8 form', () => {
    for (const value of ['\ud800', 'a\udc00', ['\udfff'], new Map([['\ud800', null]]), new Map([['a', '\ud800']])] satisfies CborValue[]) {
      expect(verdictOf(() => encodeCbor(value)).verdict?.code).toBe('MALFORMED_CBOR')
    }
  })

  it('gives bytes of its own, that a later call does not overwrite', () => {
    const first = encodeCbor(['a'])
    encodeCbor(['b'.repeat(100)])
    expect(first).toEqual(Uint8Array.of(0x81, 0x61, 0x61))
    expect(first.buffer.byteLength).toBe(3)
  })
})

describe('decoding', () => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decodeCbor(encodeCbor(value))).toEqual(value)
      }),
      { numRuns: 500 },
    )
  })

  it('accepts only what encodes to the same bytes, and all of it that @ipld/dag-cbor accepts in this data model', () => {
    const counts = { accepted: 0, refused: 0 }
    fc.assert(
      fc.property(mutations(), (bytes) => {
        const { value, verdict } = verdictOf(() => ({ decoded: decodeCbor(bytes) }))
        const theirs = decodeTheirs(bytes)
        if (verdict === null) {
          counts.accepted++
          expect(encodeCbor(value.decoded)).toEqual(bytes)
          expect(theirs).not.toBeNull()
        } else {
          counts.refused++
          expect(verdict.code).toBe('MALFORMED_CBOR')
          // Theirs are all of DAG-CBOR, and do not insist on the order of keys: only what is canonical and ours counts.
          if (theirs !== null && inModel(theirs.value)) expect(encodeTheirs(theirs.value)).not.toEqual(bytes)
        }
      }),
      { numRuns: 5000 },
    )
    expect(counts.accepted).toBeGreaterThan(200)
    expect(counts.refused).toBeGreaterThan(1000)
  })

  it.each([
    ['nothing', []],
    ['an integer', [0x01]],
    ['a negative integer', [0x20]],
    ['bytes', [0x41, 0x00]],
    ['a tag', [0xd8, 0x2a, 0x41, 0x00]],
    ['false', [0xf4]],
    ['true', [0xf5]],
    ['undefined', [0xf7]],
    ['a float', [0xfb, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a break', [0xff]],
    ['text of indefinite length', [0x7f, 0x61, 0x61, 0xff]],
    ['an array of indefinite length', [0x9f, 0xff]],
    ['a map of indefinite length', [0xbf, 0xff]],
    ['a length in a longer form than it needs', [0x78, 0x01, 0x61]],
    ['a length in a much longer form than it needs', [0x79, 0x00, 0xff, ...Array<number>(255).fill(0x61)]],
    ['an array length in a longer form than it needs', [0x98, 0x01, 0x60]],
    ['a map length in a longer form than it needs', [0xb8, 0x00]],
    ['a length of 64 bits', [0x7b, 0, 0, 0, 0, 0, 0, 0, 1, 0x61]],
    ['a reserved length', [0x7c, 0x61]],
    ['keys out of order', [0xa2, 0x61, 0x62, 0x60, 0x61, 0x61, 0x60]],
    ['a longer key first', [0xa2, 0x62, 0x61, 0x61, 0x60, 0x61, 0x62, 0x60]],
    ['a repeated key', [0xa2, 0x61, 0x61, 0x60, 0x61, 0x61, 0x60]],
    ['a key that is not text', [0xa1, 0xf6, 0x60]],
    ['text that is not UTF-8', [0x61, 0xff]],
    ['a surrogate in UTF-8', [0x63, 0xed, 0xa0, 0x80]],
    ['truncated text', [0x62, 0x61]],
    ['a truncated length', [0x79, 0x01]],
    ['a truncated array', [0x82, 0x60]],
    ['an array of more than there is', [0x9a, 0xff, 0xff, 0xff, 0xff]],
    ['a map of more than there is', [0xba, 0xff, 0xff, 0xff, 0xff]],
    ['text of more than there is', [0x7a, 0xff, 0xff, 0xff, 0xff]],
    ['trailing bytes', [0x60, 0x60]],
    ['five levels of arrays', [0x81, 0x81, 0x81, 0x81, 0x80]],
    ['five levels of maps', [0xa1, 0x60, 0xa1, 0x60, 0xa1, 0x60, 0xa1, 0x60, 0xa0]],
  ])('refuses %s', (_, bytes) => {
    expect(verdictOf(() => decodeCbor(Uint8Array.from(bytes))).verdict?.code).toBe('MALFORMED_CBOR')
  })

  it('accepts four levels', () => {
    expect(decodeCbor(Uint8Array.of(0x81, 0x81, 0x81, 0x80))).toEqual([[[[]]]])
  })

  it('reads a view into a larger buffer', () => {
    const bytes = encodeCbor(['a', null])
    expect(decodeCbor(concatBytes(Uint8Array.of(1, 2), bytes, Uint8Array.of(3)).subarray(2, 2 + bytes.length))).toEqual(['a', null])
  })
})

it('orders keys as their UTF-8 bytes: by length, then bytewise', () => {
  const bytes = (key: string) => Buffer.from(key)
  fc.assert(
    fc.property(mapKeys, mapKeys, (a, b) => {
      const expected = bytes(a).length - bytes(b).length || Buffer.compare(bytes(a), bytes(b))
      expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(expected))
    }),
    { numRuns: 2000 },
  )
})

it('tells arrays and maps from the rest', () => {
  expect([[], new Map(), 'x', null, undefined].map(isCborArray)).toEqual([true, false, false, false, false])
  expect([[], new Map(), 'x', null, undefined].map(isCborMap)).toEqual([false, true, false, false, false])
})

/** Encodings as they are, with a byte changed, one removed or one put in; and random bytes. */
function mutations(): fc.Arbitrary<Uint8Array> {
  const small = values.map(encodeCbor).filter((bytes) => bytes.length < 200)
  const interesting = fc.constantFrom(0x60, 0x61, 0x78, 0x80, 0x81, 0xa0, 0xa1, 0xa2, 0xf6, 0xf4, 0x01, 0xff, 0x5f)
  const changed = fc.tuple(small, fc.nat(), fc.oneof(interesting, fc.nat(255)), fc.nat(3)).map(([bytes, at, byte, how]) => {
    const i = at % bytes.length
    if (how === 0) return bytes
    if (how === 1) return bytes.with(i, byte)
    if (how === 2) return concatBytes(bytes.subarray(0, i), bytes.subarray(i + 1))
    return concatBytes(bytes.subarray(0, i), Uint8Array.of(byte), bytes.subarray(i))
  })
  return fc.oneof({ arbitrary: changed, weight: 5 }, { arbitrary: fc.uint8Array({ maxLength: 12 }), weight: 1 })
}
