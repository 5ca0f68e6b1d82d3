import fc from 'fast-check'
import { expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { formatTimestamp, parseTimestamp } from '../../../src/core/encoding/timestamp.ts'

const FIRST = Date.parse('0000-01-01T00:00:00.000Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')

it('writes and reads times as Date does, in every year of four digits', () => {
  const time = fc.oneof(fc.integer({ min: FIRST, max: LAST }), fc.integer({ min: 0, max: 4_102_444_800_000 }), fc.constantFrom(FIRST, -1, 0, 1, LAST))
  fc.assert(
    fc.property(time, (ms) => {
      const text = new Date(ms).toISOString()
      expect(formatTimestamp(ms)).toBe(text)
      expect(parseTimestamp(text)).toBe(ms)
    }),
    { numRuns: 5000 },
  )
})

it('knows the last day of every month of every kind of year', () => {
  for (const year of [0, 1, 4, 100, 400, 1582, 1600, 1900, 1970, 2000, 2024, 2026, 2100, 9999]) {
    for (let month = 1; month <= 12; month++) {
      for (let day = 28; day <= 31; day++) {
        const text = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${day}T12:00:00.000Z`
        const ms = Date.parse(text)
        const exists = !Number.isNaN(ms) && new Date(ms).toISOString() === text
        expect([text, verdictOf(() => parseTimestamp(text)).value]).toEqual([text, exists ? ms : null])
      }
    }
  }
})

it('refuses every other form', () => {
  const others = [
    '',
    '2026-08-01',
    '2026-08-01T12:00:00Z',
    '2026-08-01T12:00:00.0Z',
    '2026-08-01T12:00:00.000000Z',
    '2026-08-01T12:00:00.000',
    '2026-08-01T12:00:00.000z',
    '2026-08-01t12:00:00.000Z',
    '2026-08-01 12:00:00.000Z',
    '2026-08-01T12:00:00.000+00:00',
    '2026-08-01T24:00:00.000Z',
    '2026-08-01T23:60:00.000Z',
    '2026-08-01T23:59:60.000Z',
    '2026-00-01T12:00:00.000Z',
    '2026-13-01T12:00:00.000Z',
    '2026-08-00T12:00:00.000Z',
    '+012026-08-01T12:00:00.000Z',
    '-000001-08-01T12:00:00.000Z',
    ' 2026-08-01T12:00:00.000Z',
    '2026-08-01T12:00:00.000Z\n',
    '٢٠٢٦-08-01T12:00:00.000Z',
  ]
  for (const text of others) expect([text, verdictOf(() => parseTimestamp(text)).verdict?.code]).toEqual([text, 'MALFORMED_TIMESTAMP'])
})

it('has no form for times outside those years, or between milliseconds', () => {
  for (const ms of [FIRST - 1, LAST + 1, 0.5, Number.NaN, Infinity]) {
    expect(verdictOf(() => formatTimestamp(ms)).verdict?.code).toBe('MALFORMED_TIMESTAMP')
  }
})
