import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { alarmPart, alarmWords, formatAlarm, isAlarm, MAX_ALARM_PARTS, MAX_ALARM_WORDS, parseAlarm, partText, type Alarm } from '../../src/core/alarm.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { verdictOf } from '../../src/core/errors.ts'

const ALARM: Alarm = {
  origin: 'alarms.test/log',
  time: 1_800_000_000_000,
  words: 'the witness answered 409',
  parts: [alarmPart('request', 'old 3\n'), alarmPart('response', Uint8Array.of(0, 255)), alarmPart('response', '')],
}

describe('an alarm', () => {
  it('says in its first two lines what it is, and that it is not proof', () => {
    const [first, second] = formatAlarm(ALARM).split('\n')
    expect(first).toBe('stele alarm v1')
    expect(second).toMatch(/^this is not proof: /)
    expect(isAlarm(utf8Encode(formatAlarm(ALARM)))).toBe(true)
    expect(isAlarm(utf8Encode('stele evidence v1\n'))).toBe(false)
    expect(isAlarm(new Uint8Array())).toBe(false)
  })

  it('is read as it was written, whatever was seen', () => {
    const parts = fc.array(fc.record({ name: fc.stringMatching(/^[a-z0-9-]{1,64}$/), bytes: fc.uint8Array() }), { maxLength: 5 })
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), parts, fc.integer({ min: 0, max: 4e12 }), (words, parts, time) => {
        const alarm = { ...ALARM, words: alarmWords(words), parts, time }
        expect(parseAlarm(formatAlarm(alarm))).toEqual(alarm)
      }),
    )
    expect(parseAlarm(formatAlarm(ALARM)).parts.map(partText)).toEqual(['old 3\n', null, ''])
  })

  it('has one form', () => {
    const text = formatAlarm(ALARM)
    for (const other of ['', `${text}\n`, text.slice(0, -1), text.replace('not proof', 'proof'), text.replace('v1', 'v2'), text.replace('request', 'Request'), text.replace('.000Z', 'Z'), text.replace('part response \n', ''), text.replace('AP8=', 'AP9=')]) {
      const { value, verdict } = verdictOf(() => parseAlarm(other))
      expect(value === null ? verdict?.code : formatAlarm(value), other).toBe(value === null ? 'MALFORMED_ALARM' : other)
    }
    for (const bad of [{ words: '' }, { words: 'a\nb' }, { words: 'x'.repeat(MAX_ALARM_WORDS + 1) }, { origin: '' }, { origin: 'a\nb' }, { time: NaN }, { parts: Array.from({ length: MAX_ALARM_PARTS + 1 }, () => alarmPart('x', '')) }, { parts: [alarmPart('a b', '')] }]) {
      expect(verdictOf(() => formatAlarm({ ...ALARM, ...bad })).verdict?.code).toBe('MALFORMED_ALARM')
    }
  })

  it('takes any text for its words', () => {
    expect(alarmWords('a\nb\0\ud800')).toBe('a b \ufffd')
    expect(alarmWords('')).toBe('nothing is known')
    expect(alarmWords('\u{1f600}'.repeat(MAX_ALARM_WORDS)).length).toBeLessThanOrEqual(MAX_ALARM_WORDS)
  })
})
