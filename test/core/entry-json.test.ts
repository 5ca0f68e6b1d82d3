import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeCbor, type CborValue } from '../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { formatTimestamp } from '../../src/core/encoding/timestamp.ts'
import { ByteWriter } from '../../src/core/encoding/transcode.ts'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { operationBytes, writeAudited, writeLegacy, writeOperation, writeSequenced, writeStreamed, type StoredEntry } from '../../src/core/entry-json.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { renderAuditLog, renderLegacy, renderSequenced } from '../../src/core/plc/records.ts'
import { person } from '../support/people.ts'
import { mapKeys, texts } from '../support/values.ts'

const textMaps = fc.array(fc.tuple(mapKeys, texts), { maxLength: 6 }).map((entries): CborValue => new Map(entries))
const services = fc
  .array(fc.tuple(mapKeys, texts, texts), { maxLength: 6 })
  .map((entries): CborValue => new Map(entries.map(([id, type, endpoint]) => [id, new Map([['type', type], ['endpoint', endpoint]])])))
const lists: fc.Arbitrary<CborValue> = fc.array(texts, { maxLength: 4 })
const common = { sig: texts, prev: fc.option(texts) }
const shapes: fc.Arbitrary<Record<string, CborValue>> = fc.oneof(
  fc.record({ ...common, type: fc.constant('plc_operation'), rotationKeys: lists, verificationMethods: textMaps, alsoKnownAs: lists, services }),
  fc.record({ sig: texts, prev: texts, type: fc.constant('plc_tombstone') }),
  fc.record({ sig: texts, prev: fc.constant(null), type: fc.constant('create'), signingKey: texts, recoveryKey: texts, handle: texts, service: texts }),
)
const operations: fc.Arbitrary<Operation> = shapes.map((fields) => parseOperation(new Map(Object.entries(fields))))
const alice = person('alice')
const entries: fc.Arbitrary<Entry> = fc
  .record({
    operation: operations,
    did: fc.stringMatching(/^did:plc:[a-z2-7]{24}$/),
    createdAt: fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }),
    source: fc.option(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 })),
  })
  .filter(({ operation }) => operation.bytes.length < 65_000)

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())
const stored = (entry: Entry, index = 0, nullified = false): StoredEntry => ({ index, nullified, digest: sha256(entry.operation.bytes), entry: encodeEntry(entry) })
const written = <T>(write: (out: ByteWriter, of: T) => void, of: T): Buffer => {
  const out = new ByteWriter(1)
  write(out, of)
  return Buffer.from(out.written())
}

describe('an entry as JSON', () => {
  it('has in every form the bytes that decoding and rendering give', () => {
    fc.assert(
      fc.property(entries, fc.nat({ max: 2 ** 40 }), fc.boolean(), (entry, index, nullified) => {
        const row = stored(entry, index, nullified)
        const { did, createdAt, operation } = entry
        const record = { did, createdAt, operation, cid: operation.cid, nullified, seq: index + 1 }
        const json = renderJson(operation.value)
        const streamed = `{"seq":${index + 1},"type":"sequenced_op","did":"${did}","operation":${json},"cid":"${operation.cid}","createdAt":"${formatTimestamp(createdAt)}"}`
        for (const [bytes, text] of [
          [written(writeSequenced, row), renderSequenced(record)],
          [written(writeLegacy, row), renderLegacy(record)],
          [written(writeAudited, { ...row, cid: operation.cid }), renderAuditLog([record]).slice(1, -1)],
          [written(writeOperation, row.entry), json],
          [written(writeStreamed, row), streamed],
        ] as const) {
          expect(bytes.equals(Buffer.from(text))).toBe(true)
        }
        expect(operationBytes(row.entry)).toEqual(operation.bytes)
      }),
      { numRuns: 500 },
    )
  })

  it('is written behind what was written before', () => {
    const row = stored({ did: alice.did, createdAt: 1_700_000_000_123, operation: alice.genesis, source: null })
    const out = new ByteWriter()
    for (let i = 0; i < 20; i++) {
      writeSequenced(out, { ...row, index: i })
      out.ascii('\n')
    }
    const lines = Buffer.from(out.written()).toString().trimEnd().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })

  it('of bytes that are no entry is a verdict', () => {
    const fields = new Map<string, CborValue>([['did', alice.did], ['createdAt', '2023-11-14T22:13:20.123Z'], ['operation', alice.genesis.value]])
    const bytes = encodeCbor(fields)
    const without = (key: string): Uint8Array => encodeCbor(new Map([...fields].filter(([name]) => name !== key)))
    const refused = [
      new Uint8Array(), encodeCbor('entry'), without('did'), without('createdAt'), without('operation'), 
      encodeCbor(new Map([...fields, ['source', null]])), encodeCbor(new Map([...fields, ['did', null]])), Uint8Array.of(...bytes, 0), bytes.subarray(0, -1), new Uint8Array(60_000).fill(0x81),
    ]
    const MALFORMED = expect.objectContaining({ code: 'MALFORMED_ENTRY' })
    for (const entry of refused) {
      expect(() => writeSequenced(new ByteWriter(), { index: 0, nullified: false, digest: new Uint8Array(32), entry })).toThrow(MALFORMED)
      expect(() => writeOperation(new ByteWriter(), entry)).toThrow(MALFORMED)
    }
  })
})
