import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode } from '@ipld/dag-cbor'
import { decodeFrame, encodeFrame, MAX_FRAME_BYTES, parseCredit, type Frame } from '../../src/core/frame.ts'
import { MAX_ENTRY_BYTES } from '../../src/core/tlog/bundle.ts'

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const proof = fc.array(hash, { maxLength: 54 })
const index = fc.maxSafeNat()
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    type: fc.constant('entries' as const), start: fc.nat(2 ** 40),
    entries: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 }), provisional: fc.boolean(),
  }),
  fc.record({ type: fc.constant('checkpoint' as const), note: fc.string({ unit: 'grapheme' }), consistency: fc.option(proof, { nil: null }) }),
  fc.record({ type: fc.constant('match' as const), index, entry: fc.uint8Array({ maxLength: 70 }), proof }),
)

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('a frame', () => {
  it('reads back as it was, and is what a DAG-CBOR library reads', () => {
    fc.assert(
      fc.property(frame, (frame) => {
        const encoded = encodeFrame(frame)
        expect(decodeFrame(encoded)).toEqual(frame)
        const { type, ...rest } = decode<Record<string, unknown>>(encoded)
        expect({ ...('consistency' in frame ? { consistency: null } : {}), type, ...rest }).toEqual(frame)
      }),
    )
  })

  it('is accepted in one form only', () => {
    fc.assert(
      fc.property(frame, fc.nat(), fc.nat(255), (frame, at, byte) => {
        const encoded = encodeFrame(frame)
        const altered = encoded.slice()
        altered[at % altered.length] = byte
        try {
          expect(encodeFrame(decodeFrame(altered))).toEqual(altered)
        } catch (error) {
          expect(error).toHaveProperty('code', 'MALFORMED_FRAME')
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('has the bytes that the specification shows', () => {
    const entries = encodeFrame({ type: 'entries', start: 300, entries: [Uint8Array.of(1, 2), Uint8Array.of(3)], provisional: true })
    expect(Buffer.from(entries).toString('hex')).toBe('a4647479706567656e747269657365737461727419012c67656e74726965738242010241036b70726f766973696f6e616cf5')
    const checkpoint = encodeFrame({ type: 'checkpoint', note: 'a\n', consistency: null })
    expect(Buffer.from(checkpoint).toString('hex')).toBe('a2646e6f746562610a64747970656a636865636b706f696e74')
  })

  const entries = 'a4 6474797065 67656e7472696573 657374617274'
  it.each([
    ['nothing', ''],
    ['another type', 'a0'],
    ['a number in a longer form', `${entries} 1801 67656e7472696573 81 4101 6b70726f766973696f6e616c f4`],
    ['a number above 2^53', `${entries} 1b0020000000000000 67656e7472696573 81 4101 6b70726f766973696f6e616c f4`],
    ['an index behind the last safe one', `${entries} 1b001fffffffffffff 67656e7472696573 81 4101 6b70726f766973696f6e616c f4`],
    ['no entries', `${entries} 01 67656e7472696573 80 6b70726f766973696f6e616c f4`],
    ['neither true nor false', `${entries} 01 67656e7472696573 81 4101 6b70726f766973696f6e616c f6`],
    ['trailing bytes', `${entries} 01 67656e7472696573 81 4101 6b70726f766973696f6e616c f4 00`],
    ['truncated bytes', `${entries} 01 67656e7472696573 81 42`],
    ['more items than it has room for', `${entries} 01 67656e7472696573 9affffffff`],
    ['an indefinite length', `${entries} 01 67656e7472696573 9f 4101 ff 6b70726f766973696f6e616c f4`],
    ['keys in another order', 'a2 6474797065 6a636865636b706f696e74 646e6f7465 6161'],
    ['text that is not UTF-8', 'a2 646e6f7465 61ff 6474797065 6a636865636b706f696e74'],
    ['a short hash in a proof', 'a3 646e6f7465 6161 6474797065 6a636865636b706f696e74 6b636f6e73697374656e6379 81 4101'],
  ])('is refused: %s', (_, hex) => {
    expect(() => decodeFrame(bytes(hex))).toThrow(expect.objectContaining({ code: 'MALFORMED_FRAME' }))
  })

  it('is refused above its longest length, and with an entry above its', () => {
    expect(() => decodeFrame(new Uint8Array(MAX_FRAME_BYTES + 1))).toThrow('1048577 bytes')
    const long = encodeFrame({ type: 'match', index: 1, entry: new Uint8Array(MAX_ENTRY_BYTES + 1), proof: [] })
    expect(() => decodeFrame(long)).toThrow('too long')
  })
})

describe('credit', () => {
  it('is a decimal number above 0', () => {
    expect(parseCredit('1')).toBe(1)
    for (const text of ['0', '', '01', '-1', '1.5', '1e3', ' 1', '9007199254740993']) expect(() => parseCredit(text), text).toThrow(expect.objectContaining({ code: 'MALFORMED_NUMBER' }))
  })
})
