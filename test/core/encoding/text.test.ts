import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import {
  base32,
  base58btc,
  base64,
  base64url,
  bytesEqual,
  concatBytes,
  hex,
  parseDecimal,
  utf8Decode,
  utf8Encode,
  type TextCodec,
} from '../../../src/core/encoding/text.ts'

interface Subject {
  readonly name: string
  readonly codec: TextCodec
  /** The encoding said again, in other words. */
  readonly oracle: (bytes: Uint8Array) => string
  readonly digits: string
  readonly broken: readonly string[]
}

const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

const subjects: readonly Subject[] = [
  {
    name: 'base64',
    codec: base64,
    oracle: (bytes) => Buffer.from(bytes).toString('base64'),
    digits: 'ABab01+/=',
    broken: ['AA', 'AA=', 'AA===', 'AB==', 'AAB=', 'A===', 'A', '====', 'AA==AA==', '-_==', 'AA==\n', ' AA==', 'AA\n=='],
  },
  {
    name: 'base64url',
    codec: base64url,
    oracle: (bytes) => Buffer.from(bytes).toString('base64url'),
    digits: 'ABab01-_=',
    broken: ['AA==', 'AB', 'AAB', 'A', 'AAAAA', '+/', 'AA\n', ' AA', 'A A', 'AA='],
  },
  {
    name: 'base32',
    codec: base32,
    oracle: (bytes) =>
      (bits(bytes).match(/.{1,5}/g) ?? []).map((five) => BASE32[Number.parseInt(five.padEnd(5, '0'), 2)] ?? '').join(''),
    digits: 'abyz27AZ=',
    broken: ['AA', 'aA', 'ab', 'a', 'aaa', 'aaaaaa', 'aa======', 'a1', 'a8', 'aa\n', ' aa', 'ıı', 'ſſ'],
  },
  {
    name: 'base58btc',
    codec: base58btc,
    oracle: (bytes) => {
      let [n, text] = [BigInt(`0x0${Buffer.from(bytes).toString('hex')}`), '']
      for (; n > 0n; n /= 58n) text = (BASE58[Number(n % 58n)] ?? '') + text
      return '1'.repeat(bytes.findIndex((byte) => byte !== 0) < 0 ? bytes.length : bytes.findIndex((byte) => byte !== 0)) + text
    },
    digits: '12Zaz0',
    broken: ['0', 'O', 'I', 'l', '+', '/', '2 ', ' 2', '2\n', 'é'],
  },
  {
    name: 'hex',
    codec: hex,
    oracle: (bytes) => Buffer.from(bytes).toString('hex'),
    digits: '09afAF',
    broken: ['0', '000', 'AB', 'aB', '0g', ' 00', '00\n', '0x00'],
  },
]

describe.each(subjects)('$name', ({ codec, oracle, digits, broken }) => {
  it('writes what another implementation writes, and reads it back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        const text = codec.encode(bytes)
        expect(text).toBe(oracle(bytes))
        expect(codec.decode(text)).toEqual(bytes)
      }),
    )
  })

  it('reads only what it writes', () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(...digits.split('')), maxLength: 8 }),
      fc.string({ maxLength: 8 }),
      fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.nat(), fc.constantFrom(...digits.split(''), '\n', ' ')).map(([bytes, at, digit]) => {
        const written = oracle(bytes)
        const i = at % (written.length + 1)
        return written.slice(0, i) + digit + written.slice(i + (at % 2))
      }),
    )
    fc.assert(
      fc.property(text, (text) => {
        const { value, verdict } = verdictOf(() => codec.decode(text))
        if (value === null) expect(verdict.code).toBe('MALFORMED_TEXT')
        else expect(codec.encode(value)).toBe(text)
      }),
      { numRuns: 1000 },
    )
  })

  it.each(broken)('refuses %j', (text) => {
    expect(verdictOf(() => codec.decode(text)).verdict?.code).toBe('MALFORMED_TEXT')
  })
})

describe('UTF-8', () => {
  it('is written as TextEncoder writes it, and lone surrogates are refused', () => {
    const unit = fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff))
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 20 }), (units) => {
        const text = String.fromCharCode(...units)
        const { value, verdict } = verdictOf(() => utf8Encode(text))
        if (value === null) expect([text.isWellFormed(), verdict.code]).toEqual([false, 'MALFORMED_TEXT'])
        else expect(value).toEqual(new TextEncoder().encode(text))
      }),
      { numRuns: 1000 },
    )
  })

  it('is read exactly where a fatal TextDecoder reads it, to the same text', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    const byte = fc.oneof(fc.nat(255), fc.constantFrom(0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff))
    const valid = fc.string({ unit: 'binary', maxLength: 5 }).map((text) => new TextEncoder().encode(text))
    const bytes = fc.oneof(fc.array(byte, { maxLength: 8 }).map((all) => Uint8Array.from(all)), fc.tuple(valid, fc.array(byte, { maxLength: 2 }), valid).map(([a, b, c]) => Uint8Array.of(...a, ...b, ...c)))
    let refused = 0
    fc.assert(
      fc.property(bytes, (bytes) => {
        const { value, verdict } = verdictOf(() => utf8Decode(bytes))
        if (verdict === null) {
          expect(value).toBe(strict.decode(bytes))
        } else {
          refused++
          expect(verdict.code).toBe('MALFORMED_TEXT')
          expect(() => strict.decode(bytes)).toThrow()
        }
      }),
      { numRuns: 5000 },
    )
    expect(refused).toBeGreaterThan(1000)
  })

  it('keeps every code point there is, and every two bytes are read as by a fatal TextDecoder', () => {
    for (let point = 0; point <= 0x10ffff; point += point < 0x3000 ? 1 : 61) {
      if (point >= 0xd800 && point < 0xe000) continue
      const text = String.fromCodePoint(point)
      if (utf8Decode(utf8Encode(text)) !== text) expect(text).toBe(point)
    }
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    for (let pair = 0; pair < 0x10000; pair++) {
      const bytes = Uint8Array.of(Math.floor(pair / 256), pair % 256)
      const ours = verdictOf(() => utf8Decode(bytes)).value
      let theirs: string | null = null
      try {
        theirs = strict.decode(bytes)
      } catch {}
      if (ours !== theirs) expect([pair, ours]).toEqual([pair, theirs])
    }
  })

  it('is read from a range, and a sequence that the range cuts off is refused', () => {
    const bytes = utf8Encode('a😀b')
    expect(utf8Decode(bytes, 1, 5)).toBe('😀')
    expect(verdictOf(() => utf8Decode(bytes, 1, 4)).verdict?.code).toBe('MALFORMED_TEXT')
  })

  it('is read however long it is', () => {
    const text = '😀é'.repeat(50_000)
    expect(utf8Decode(utf8Encode(text))).toBe(text)
  })
})

it('reads decimals that are written as JavaScript writes them', () => {
  for (const n of [0, 7, 4_294_967_296, Number.MAX_SAFE_INTEGER]) expect(parseDecimal(String(n))).toBe(n)
  for (const text of ['', ' 7', '7 ', '0x10', '07', '-1', '-0', '+1', '1.0', '1e3', '1_000', '9007199254740992', 'NaN', 'Infinity', '٧', '7\n']) {
    expect([text, verdictOf(() => parseDecimal(text)).verdict?.code]).toEqual([text, 'MALFORMED_NUMBER'])
  }
})

it('joins and compares bytes as Buffer does', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 5 }), fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 3 }), (parts, a, b) => {
      expect(concatBytes(...parts)).toEqual(new Uint8Array(Buffer.concat(parts)))
      expect(bytesEqual(a, b)).toBe(Buffer.compare(a, b) === 0)
      expect(bytesEqual(a, a.slice())).toBe(true)
    }),
  )
})
