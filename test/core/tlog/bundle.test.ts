import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { decodeBundle, encodeBundle, MAX_ENTRY_BYTES } from '../../../src/core/tlog/bundle.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null

describe('bundle', () => {
  it('puts the length of each entry, big-endian, before it', () => {
    expect(encodeBundle([Uint8Array.of(7, 8), new Uint8Array(0), new Uint8Array(258).fill(1)])).toEqual(
      Uint8Array.of(0, 2, 7, 8, 0, 0, 1, 2, ...new Uint8Array(258).fill(1)),
    )
  })

  it('reads back what it wrote, and refuses it with another count, cut or extended', () => {
    const entries = fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 256 })
    fc.assert(
      fc.property(entries, fc.nat(), (entries, n) => {
        const bytes = encodeBundle(entries)
        expect(decodeBundle(bytes, entries.length)).toEqual(entries)
        const cut = n % bytes.length
        expect(codeOf(() => decodeBundle(bytes.subarray(0, cut), entries.length))).toBe('MALFORMED_BUNDLE')
        expect(codeOf(() => decodeBundle(concatBytes(bytes, Uint8Array.of(0)), entries.length))).toBe('MALFORMED_BUNDLE')
        expect(codeOf(() => decodeBundle(concatBytes(bytes, Uint8Array.of(0, 0)), entries.length))).toBe('MALFORMED_BUNDLE')
        if (entries.length > 1) expect(codeOf(() => decodeBundle(bytes, entries.length - 1))).toBe('MALFORMED_BUNDLE')
        if (entries.length < 256) expect(codeOf(() => decodeBundle(bytes, entries.length + 1))).toBe('MALFORMED_BUNDLE')
      }),
    )
  })

  it('holds entries of 65,535 bytes and none longer', () => {
    const longest = new Uint8Array(MAX_ENTRY_BYTES).fill(9)
    expect(decodeBundle(encodeBundle([longest, longest]), 2)).toEqual([longest, longest])
    expect(codeOf(() => encodeBundle([new Uint8Array(MAX_ENTRY_BYTES + 1)]))).toBe('ENTRY_TOO_LARGE')
  })

  it('has 1 to 256 entries', () => {
    const empty = new Uint8Array(0)
    const many = (count: number) => Array.from({ length: count }, () => empty)
    expect(decodeBundle(encodeBundle(many(256)), 256).length).toBe(256)
    for (const count of [0, 257, -1, 1.5, Number.NaN]) expect(codeOf(() => decodeBundle(empty, count))).toBe('OUT_OF_RANGE')
    expect(() => encodeBundle([])).toThrow(/assertion failed/)
    expect(() => encodeBundle(many(257))).toThrow(/assertion failed/)
  })
})
