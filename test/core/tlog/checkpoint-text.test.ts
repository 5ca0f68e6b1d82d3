import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base64 } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { formatCheckpoint, MAX_CHECKPOINT_LENGTH, parseCheckpoint } from '../../../src/core/tlog/checkpoint-text.ts'
import { EMPTY_ROOT } from '../../../src/core/tlog/hash.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const seedOf = (n: number) => new Uint8Array(32).fill(n)
const checkpoint = { origin: 'log.example/stele', size: 20_852_163, root: seedOf(0xcd) }
const root = base64.encode(checkpoint.root)

describe('checkpoint', () => {
  it('is three lines', () => {
    expect(formatCheckpoint(checkpoint)).toBe(`log.example/stele\n20852163\n${root}\n`)
    expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint)
    expect(parseCheckpoint('o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n')).toEqual({ origin: 'o', size: 0, root: EMPTY_ROOT })
  })

  it('reads back what it wrote, up to the longest', () => {
    const any = fc.record({
      origin: fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }).filter((o) => !/\p{Cc}/u.test(o) && Buffer.byteLength(o) <= 255),
      size: fc.maxSafeInteger().map(Math.abs),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    fc.assert(
      fc.property(any, (checkpoint) => {
        expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint)
      }),
    )
    const longest = { origin: 'o'.repeat(255), size: Number.MAX_SAFE_INTEGER, root: checkpoint.root }
    expect(formatCheckpoint(longest).length).toBe(MAX_CHECKPOINT_LENGTH)
    expect(parseCheckpoint(formatCheckpoint(longest))).toEqual(longest)
  })

  it.each([
    ['nothing', ''],
    ['no origin', `\n1\n${root}\n`],
    ['no size', `o\n\n${root}\n`],
    ['no root', 'o\n1\n\n'],
    ['two lines', 'o\n1\n'],
    ['no final newline', `o\n1\n${root}`],
    ['an extension line', `o\n1\n${root}\nmore\n`],
    ['an empty extension line', `o\n1\n${root}\n\n`],
    ['many extension lines', `o\n1\n${root}\n${'x\n'.repeat(200)}`],
    ['a leading zero', `o\n01\n${root}\n`],
    ['a sign', `o\n+1\n${root}\n`],
    ['a negative size', `o\n-1\n${root}\n`],
    ['a hexadecimal size', `o\n0x10\n${root}\n`],
    ['an exponent', `o\n1e3\n${root}\n`],
    ['a fraction', `o\n1.0\n${root}\n`],
    ['a space before the size', `o\n 1\n${root}\n`],
    ['a size of 2**53', `o\n9007199254740992\n${root}\n`],
    ['a size of 2**64', `o\n18446744073709551616\n${root}\n`],
    ['a root without padding', `o\n1\n${root.slice(0, -1)}\n`],
    ['a root of 31 bytes', `o\n1\n${base64.encode(seedOf(1).subarray(1))}\n`],
    ['a root of 33 bytes', `o\n1\n${base64.encode(new Uint8Array(33))}\n`],
    ['a root with trailing bits', `o\n1\n${root.slice(0, -2)}1=\n`],
    ['a carriage return', `o\r\n1\n${root}\n`],
    ['a long origin', `${'o'.repeat(256)}\n1\n${root}\n`],
    ['an origin of 256 bytes in 128 letters', `${'ü'.repeat(128)}\n1\n${root}\n`],
  ])('refuses %s', (_, text) => {
    expect(codeOf(() => parseCheckpoint(text))).toBe('MALFORMED_CHECKPOINT')
  })

  it('says so where extension lines are why', () => {
    expect(() => parseCheckpoint(`o\n1\n${root}\nmore\n`)).toThrow('Malformed checkpoint: extension lines')
  })

  it('refuses to write fields that do not fit', () => {
    for (const change of [{ origin: '' }, { origin: 'a\nb' }, { origin: '\ud800' }, { size: -1 }, { size: 0.5 }, { size: 2 ** 53 }, { root: new Uint8Array(31) }]) {
      expect(codeOf(() => formatCheckpoint({ ...checkpoint, ...change }))).toBe('MALFORMED_CHECKPOINT')
    }
  })
})
