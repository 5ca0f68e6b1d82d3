// Arbitrary values of the data model, with the texts and keys that go wrong elsewhere.

import fc from 'fast-check'
import { MAX_DEPTH, type CborValue } from '../../src/core/encoding/dag-cbor.ts'

/** Texts: any well-formed ones, and some on both sides of every header size. */
export const texts: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: fc.string({ unit: 'binary', maxLength: 12 }), weight: 6 },
  { arbitrary: fc.constantFrom(23, 24, 255, 256, 65_535, 65_536).map((length) => 'x'.repeat(length)), weight: 1 },
)

/** Keys: integer-like, inherited names, both sides of the surrogates, several of one length. */
export const mapKeys: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 3 }),
  fc.constantFrom('', '0', '9', '10', '01', '1e3', '-1', '4294967294', '4294967295', '__proto__', 'constructor', 'toString', 'é', 'zz', 'aaa'),
  fc.constantFrom('\ue000', '\uffff', '\ufb00', '\u{10000}', '\u{1f600}', '\u{10ffff}', 'a\uffff', 'a\u{10000}'),
)

/** Values of the data model, no deeper than is read. */
export const values: fc.Arbitrary<CborValue> = valuesOf(MAX_DEPTH)

function valuesOf(depth: number): fc.Arbitrary<CborValue> {
  const leaf = fc.oneof({ arbitrary: texts, weight: 4 }, { arbitrary: fc.constant(null), weight: 1 })
  if (depth === 0) return leaf
  const inner = valuesOf(depth - 1)
  return fc.oneof(
    { arbitrary: leaf, weight: 2 },
    { arbitrary: fc.array(inner, { maxLength: 4 }), weight: 1 },
    { arbitrary: fc.array(fc.tuple(mapKeys, inner), { maxLength: 5 }).map((entries) => new Map(entries)), weight: 2 },
  )
}
