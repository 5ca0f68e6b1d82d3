// Fuzz targets of entries and receipts, where identities and the log meet.

import { decodeEntry, decodeEntryHeader, encodeEntry, encodeEntryHeader, MAX_SOURCE_LENGTH, type Entry } from '../../../src/core/entry.ts'
import { operationBytes, writeAudited, writeLegacy, writeOperation, writeSequenced, type StoredEntry } from '../../../src/core/entry-json.ts'
import { formatCid, parseCid } from '../../../src/core/encoding/cid.ts'
import { renderJson } from '../../../src/core/encoding/json.ts'
import { ByteWriter } from '../../../src/core/encoding/transcode.ts'
import { renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from '../../../src/core/plc/records.ts'
import { formatReceipt, verifyReceipt } from '../../../src/core/receipt.ts'
import { MAX_ENTRY_BYTES } from '../../../src/core/tlog/bundle.ts'
import { signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { KEY_TYPES, makeSigningKey } from '../../../src/core/tlog/note.ts'
import { exampleLog } from '../../support/entry-examples.ts'
import { naiveLeafHash, naivePath, naiveRoot } from '../../support/naive-tree.ts'
import { makeIdentity, makeTombstone, makeUpdate } from '../../support/identities.ts'
import { accepted, bytesOfAll, must, mustEqual, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'

const { did, genesis } = makeIdentity([0, 1])
const update = makeUpdate(genesis.cid, 1, [1])
const ENTRIES: readonly Entry[] = [
  ...exampleLog().entries,
  { did, createdAt: 0, operation: genesis, source: 'plc.example' },
  { did, createdAt: 253_402_300_799_999, operation: update, source: 'x'.repeat(MAX_SOURCE_LENGTH) },
  { did, createdAt: -62_167_219_200_000, operation: makeTombstone(update.cid, 1), source: '\u{1f600}' },
]

// The log of the receipts: all of these entries and some more.
const LEAVES = [...ENTRIES, ...ENTRIES].map((entry, i) => encodeEntry({ ...entry, createdAt: 1_800_000_000_000 + i }))
const LOG = makeSigningKey('log.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const HASHES = LEAVES.map(naiveLeafHash)
const CHECKPOINT = signCheckpoint({ origin: LOG.name, size: LEAVES.length, root: naiveRoot(HASHES) }, [LOG])
const RECEIPTS = LEAVES.map((leaf, index) => formatReceipt(decodeEntry(leaf), index, naivePath(index, HASHES), CHECKPOINT))
const OPERATIONS = ENTRIES.map((entry) => entry.operation)

const JSON_FORMS: readonly (readonly [(out: ByteWriter, stored: StoredEntry) => void, (record: LedgerRecord) => string])[] = [
  [writeSequenced, renderSequenced],
  [writeLegacy, renderLegacy],
  [(out, stored) => writeAudited(out, { ...stored, cid: formatCid(stored.digest) }), (record) => renderAuditLog([record]).slice(1, -1)],
  [(out, stored) => writeOperation(out, stored.entry), (record) => renderJson(record.operation.value)],
]

const WORDS = ['did', 'createdAt', 'operation', 'source', did, '2026-01-01T00:00:00.000Z', 'plc_operation', 'x'.repeat(MAX_SOURCE_LENGTH + 1)]

export const ENTRY_TARGETS: readonly Target[] = [
  {
    name: 'entries',
    form: 'cbor',
    seeds: ENTRIES.map(encodeEntry),
    words: WORDS,
    hostile: [new Uint8Array(70_000).fill(0x81), new Uint8Array(MAX_ENTRY_BYTES).fill(0xa1)],
    run(input) {
      const entry = accepted(() => decodeEntry(input))
      if (entry === null) return false
      mustEqualBytes(encodeEntry(entry.value), input, 'what is accepted encodes to the same bytes')
      must(input.length <= MAX_ENTRY_BYTES, 'an entry fits into a bundle')
      mustEqual(
        decodeEntryHeader(encodeEntryHeader(entry.value)),
        { did: entry.value.did, createdAt: entry.value.createdAt, source: entry.value.source }, 'its header says the same',
      )
      return true
    },
  },
  {
    name: 'entries as JSON',
    form: 'cbor',
    seeds: ENTRIES.map(encodeEntry),
    words: WORDS,
    hostile: [new Uint8Array(70_000).fill(0x81), new Uint8Array(MAX_ENTRY_BYTES).fill(0xa3), Uint8Array.of(0xa3, ...new Uint8Array(60_000).fill(0x60))],
    run(input) {
      const entry = accepted(() => decodeEntry(input))
      const out = new ByteWriter(1)
      for (const [write, render] of JSON_FORMS) {
        out.length = 0
        const digest = entry === null ? new Uint8Array(32) : parseCid(entry.value.operation.cid)
        const written = accepted(() => write(out, { index: 6, digest, nullified: true, entry: input }))
        if (entry === null) continue
        must(written !== null, 'what can be decoded can be written')
        const { operation, did, createdAt } = entry.value
        mustEqual(Buffer.from(out.written()).toString(), render({ did, createdAt, operation, cid: operation.cid, nullified: true, seq: 7 }), 'it is what rendering gives')
      }
      if (entry !== null) mustEqualBytes(operationBytes(input), entry.value.operation.bytes, 'the operation is the end of its entry')
      return entry !== null
    },
  },
  {
    name: 'entry headers',
    form: 'cbor',
    seeds: ENTRIES.map(encodeEntryHeader),
    words: WORDS,
    run(input) {
      const header = accepted(() => decodeEntryHeader(input))
      if (header !== null) mustEqualBytes(encodeEntryHeader(header.value), input, 'what is accepted encodes to the same bytes')
      return header !== null
    },
  },
  {
    name: 'receipts',
    form: 'text',
    seeds: bytesOfAll(RECEIPTS),
    words: ['extra ', 'index ', '\n\n', LOG.name, '\u2014 '],
    run(input) {
      const text = textOf(input)
      // The operation that belongs to the index it names, or for one input in eight another.
      const index = Number(/^index (\d+)$/m.exec(text)?.[1] ?? 0) + (input.length % 8 === 0 ? 1 : 0)
      const operation = OPERATIONS[index % OPERATIONS.length] ?? genesis
      const proved = accepted(() => verifyReceipt(text, operation, [LOG]))
      if (proved === null) return false
      const { entry, opened } = proved.value
      mustEqualBytes(encodeEntry(entry), LEAVES[proved.value.index] ?? new Uint8Array(), 'what a receipt proves is in the log')
      mustEqual(opened.checkpoint.size, LEAVES.length, 'and under its checkpoint')
      return true
    },
  },
]
