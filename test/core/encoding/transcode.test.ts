import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DirectoryError, verdictOf } from '../../../src/core/errors.ts'
import { encodeCbor, decodeCbor, MAX_DEPTH, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../../src/core/encoding/json.ts'
import { ByteWriter, writeJson } from '../../../src/core/encoding/transcode.ts'
import { mapKeys, texts, values } from '../../support/values.ts'

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const transcoded = (bytes: Uint8Array): Buffer => {
  const out = new ByteWriter(1)
  expect(writeJson(out, viewOf(bytes), 0)).toBe(bytes.length)
  return Buffer.from(out.written())
}
const expectSame = (value: CborValue): void => {
  expect(transcoded(encodeCbor(value)).toString()).toBe(renderJson(value))
}

describe('transcoding', () => {
  it('gives the bytes that decoding and rendering give', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCbor(value)
        expect(transcoded(bytes).equals(Buffer.from(renderJson(decodeCbor(bytes))))).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  it('orders the keys of maps in maps as rendering does', () => {
    const inner = fc.array(fc.tuple(mapKeys, texts), { maxLength: 8 }).map((entries) => new Map(entries))
    const outer = fc.array(fc.tuple(mapKeys, fc.oneof(inner, fc.constant(null))), { maxLength: 12 }).map((entries) => new Map<string, CborValue>(entries))
    fc.assert(fc.property(outer, (value) => expectSame(value)), { numRuns: 1_000 })
    expectSame(new Map(['b', '10', '9', '4294967295', '4294967294', '01', '-1', '', 'a', '0', '1.0', '__proto__'].map((key) => [key, new Map([['x', key], ['1', null]])])))
  })

  it('escapes what JSON escapes, and nothing else', () => {
    const characters = [...Array.from({ length: 0x300 }, (_, i) => String.fromCharCode(i)), '\u2028', '\u2029', '\ud7ff', '\ue000', '\ufeff', '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}']
    for (const character of characters) expectSame([character, `a${character}b`])
    expectSame(characters.join(''))
    expectSame(new Map(characters.map((character) => [character, character])))
    expect(transcoded(encodeCbor('"\\/\b\f\n\r\t\x1f\x7f')).toString()).toBe(String.raw`"\"\\/\b\f\n\r\t\u001f` + '\x7f"')
  })

  it('makes room for text that grows most, and for what is written behind it', () => {
    for (const length of [0, 1, 23, 24, 255, 256, 65_535, 65_536]) {
      expectSame('\0'.repeat(length))
      expectSame(new Map<string, CborValue>([['1'.repeat(12), ['\0'.repeat(length), null, []]], ['5', '\0'.repeat(length)]]))
    }
    expectSame(Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? null : i % 3 === 1 ? [] : new Map())))
  })

  it('begins and ends where it is told', () => {
    const out = new ByteWriter()
    out.ascii('[')
    const bytes = Uint8Array.of(0xff, ...encodeCbor(['a', null]), 0xff)
    expect(writeJson(out, viewOf(bytes), 1)).toBe(bytes.length - 1)
    expect(Buffer.from(out.written()).toString()).toBe('[["a",null]')
  })

  it('refuses what is truncated, outside the data model or too deep', () => {
    const nested = (levels: number): Uint8Array => Uint8Array.from([...Array<number>(levels).fill(0x81), 0xf6])
    expect(transcoded(nested(MAX_DEPTH)).toString()).toBe('[[[[null]]]]')
    const value = encodeCbor(new Map<string, CborValue>([['b', ['x'.repeat(300), new Map([['1', null]])]], ['10', 'y'.repeat(70_000)]]))
    const refused = [
      nested(MAX_DEPTH + 1),
      ...[0, 1, 2, 3, 4, 5, 100, 303, 304, 305, 310, 1_000, value.length - 1].map((length) => value.subarray(0, length)),
      ...['00', '20', '40', 'c0', 'f4', 'f5', 'f7', 'fa00000000', '5f', '7f', '9f', 'bf', 'a100f6', 'a1f6f6', '7bffffffffffffffff', '7a', '78', '9affffffff', 'baffffffff', '7affffffff61'].map((hex) => Buffer.from(hex, 'hex')),
      Buffer.from(`9affffffff${'80'.repeat(50_000)}`, 'hex'),
      Buffer.from(`baffffffff${'6131f66161f6'.repeat(20_000)}`, 'hex'),
    ]
    for (const bytes of refused) {
      const { verdict } = verdictOf(() => writeJson(new ByteWriter(), viewOf(bytes), 0))
      expect([verdict?.code, Buffer.from(bytes.subarray(0, 20)).toString('hex')]).toEqual(['MALFORMED_CBOR', Buffer.from(bytes.subarray(0, 20)).toString('hex')])
    }
  })

  it('of any bytes ends with the position behind a value, or with a verdict', () => {
    fc.assert(
      fc.property(values, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }), (value, changes) => {
        const bytes = encodeCbor(value)
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        const out = new ByteWriter()
        try {
          expect(writeJson(out, viewOf(bytes), 0)).toBeLessThanOrEqual(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(DirectoryError)
        }
        expect(out.length).toBeLessThanOrEqual(out.bytes.length)
      }),
      { numRuns: 2_000 },
    )
  })
})

it('what is taken from a writer stays, without the room around it, when more is written', () => {
  const out = new ByteWriter(1_000)
  out.ascii('first')
  const first = out.take()
  out.ascii('second')
  expect(first.buffer.byteLength).toBe(5)
  expect([first, out.written()].map((bytes) => Buffer.from(bytes).toString())).toEqual(['first', 'second'])
})
