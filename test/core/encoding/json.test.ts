import fc from 'fast-check'
import { expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { compareKeys, encodeCbor } from '../../../src/core/encoding/dag-cbor.ts'
import { fromJson, renderedKeys, renderJson } from '../../../src/core/encoding/json.ts'
import { mapKeys, values } from '../../support/values.ts'

it('reads back what it renders', () => {
  fc.assert(
    fc.property(values, (value) => {
      const text = renderJson(value)
      expect(fromJson(JSON.parse(text))).toEqual(value)
      expect(JSON.stringify(JSON.parse(text))).toBe(text)
    }),
    { numRuns: 500 },
  )
})

it('keeps the bytes of a value, whatever the order of its keys in JSON', () => {
  fc.assert(
    fc.property(values, (value) => {
      expect(encodeCbor(fromJson(JSON.parse(renderJson(value))))).toEqual(encodeCbor(value))
    }),
    { numRuns: 200 },
  )
})

it('orders keys as an object does whose keys were put in as DAG-CBOR orders them', () => {
  fc.assert(
    fc.property(fc.uniqueArray(mapKeys, { maxLength: 12 }), (keys) => {
      const stored = Object.fromEntries([...keys].sort(compareKeys).map((key) => [key, null]))
      const shown = JSON.parse(JSON.stringify(stored)) as object
      expect(renderedKeys(new Map(keys.map((key) => [key, null])))).toEqual(Object.entries(shown).map(([key]) => key))
    }),
    { numRuns: 1000 },
  )
})

it('shows keys that look like array indices first, by number', () => {
  const keys = ['b', '10', '9', '4294967295', '4294967294', '01', '-1', '', 'a', '0', '1.0']
  expect(renderedKeys(new Map(keys.map((key) => [key, null])))).toEqual(['0', '9', '10', '4294967294', '', 'a', 'b', '-1', '01', '1.0', '4294967295'])
})

it('has no place for numbers, booleans, lone surrogates or deep nesting', () => {
  const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
  for (const json of [0, 1.5, true, false, undefined, { a: 1 }, [false], '\ud800', { '\udc00': '' }, ['a', '\ud83d'], deep(5), deep(50_000)]) {
    expect(verdictOf(() => fromJson(json)).verdict?.code).toBe('MALFORMED_JSON')
  }
  expect(fromJson(deep(4))).toEqual([[[[]]]])
})
