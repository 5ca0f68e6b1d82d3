import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encode as referenceEncode } from '@ipld/dag-cbor'
import { encodeCbor, type CborValue } from '../../src/core/encoding/dag-cbor.ts'
import { decodeEntry, decodeEntryHeader, encodeEntry, encodeEntryHeader, MAX_SOURCE_LENGTH, type Entry } from '../../src/core/entry.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { person } from '../support/people.ts'

const alice = person('alice')
const native: Entry = { did: alice.did, createdAt: 1_700_000_000_123, operation: alice.genesis, source: null }

describe('an entry', () => {
  it('comes back from its bytes, native or sourced', () => {
    for (const entry of [native, { ...native, source: 'plc.directory' }]) expect(decodeEntry(encodeEntry(entry))).toEqual(entry)
  })

  it('holds the bytes of its operation, however long its source is', () => {
    for (const source of ['x', ...[23, 24, 255, MAX_SOURCE_LENGTH].flatMap((length) => ['x'.repeat(length), 'é'.repeat(length)])]) {
      const { operation } = decodeEntry(encodeEntry({ ...native, source }))
      expect(operation.bytes).toEqual(encodeCbor(operation.value))
    }
  })

  it('is what an independent encoder makes of { did, createdAt, operation }', () => {
    const plain = { did: alice.did, createdAt: '2023-11-14T22:13:20.123Z', operation: plainObject(alice.genesis.value), source: 'x' }
    expect(encodeEntry({ ...native, source: 'x' })).toEqual(new Uint8Array(referenceEncode(plain)))
  })

  const fields = new Map<string, CborValue>([['did', alice.did], ['createdAt', '2023-11-14T22:13:20.123Z'], ['operation', alice.genesis.value]])
  const changed = (key: string, value: CborValue): Uint8Array => encodeCbor(new Map([...fields, [key, value]]))
  const without = (key: string): Uint8Array => encodeCbor(new Map([...fields].filter(([name]) => name !== key)))
  const MALFORMED: Record<string, Uint8Array> = {
    'nothing': new Uint8Array(),
    'a text': encodeCbor('entry'),
    'no did': without('did'),
    'no createdAt': without('createdAt'),
    'no operation': without('operation'),
    'an unknown key': changed('cid', 'x'),
    'a source of null': changed('source', null),
    'an empty source': changed('source', ''),
    'a long source': changed('source', 'x'.repeat(MAX_SOURCE_LENGTH + 1)),
    'another DID method': changed('did', 'did:web:example.com'),
    'a DID of 25 characters': changed('did', `${alice.did}a`),
    'a time without milliseconds': changed('createdAt', '2023-11-14T22:13:20Z'),
    'a day that does not exist': changed('createdAt', '2023-02-30T22:13:20.123Z'),
    'an operation that is none': changed('operation', new Map([['type', 'other']])),
    'trailing bytes': Uint8Array.of(...encodeEntry(native), 0),
    'a truncated form': encodeEntry(native).subarray(0, -1),
    'nesting without end': new Uint8Array(60_000).fill(0x81),
    'a length without end': Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff),
  }
  for (const [what, bytes] of Object.entries(MALFORMED)) {
    it(`with ${what} is a verdict`, () => {
      expect(() => decodeEntry(bytes)).toThrow(expect.objectContaining({ code: 'MALFORMED_ENTRY' }))
    })
  }

  it('above 65,535 bytes is a verdict, to write and to read', () => {
    expect(() => decodeEntry(new Uint8Array(65_536))).toThrow(expect.objectContaining({ code: 'ENTRY_TOO_LARGE' }))
  })

  it('with any byte changed decodes to what re-encodes to it, or is a verdict', () => {
    const bytes = encodeEntry(native)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const mutated = bytes.slice()
        mutated[at] = (mutated[at] ?? 0) ^ mask
        try {
          expect(encodeEntry(decodeEntry(mutated))).toEqual(mutated)
        } catch (error) {
          if (!(error instanceof DirectoryError)) throw error
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('has a header that comes back from its bytes, and refuses an operation in it', () => {
    expect(decodeEntryHeader(encodeEntryHeader(native))).toEqual({ did: native.did, createdAt: native.createdAt, source: null })
    expect(() => decodeEntryHeader(encodeEntry(native))).toThrow(DirectoryError)
  })
})

function plainObject(value: CborValue): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plainObject(item as CborValue)]))
  return Array.isArray(value) ? value.map(plainObject) : value
}
