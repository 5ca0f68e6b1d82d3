// Fuzz targets of src/core/plc: keys, operations as they are replayed and as they are admitted, records.

import { createPublicKey } from 'node:crypto'
import { normalizeCid } from '../../../src/core/encoding/cid.ts'
import { decodeCbor, encodeCbor } from '../../../src/core/encoding/dag-cbor.ts'
import { fromJson, renderJson } from '../../../src/core/encoding/json.ts'
import { base32, base58btc } from '../../../src/core/encoding/text.ts'
import { ADMISSION_LIMITS, admitJson, admitOperation } from '../../../src/core/plc/admission.ts'
import { emptyChain, signatureQuestion } from '../../../src/core/plc/chain.ts'
import { formatDidKey, multikeyCurve, parseDidKey } from '../../../src/core/plc/did-key.ts'
import { didOf, isDid } from '../../../src/core/plc/did.ts'
import { renderData, renderDocument } from '../../../src/core/plc/document.ts'
import {
  dataOf, MAX_QUOTED, operationValue, parseOperation, rotationKeysOf, type Operation, type OperationFields,
} from '../../../src/core/plc/operation.ts'
import { parseRecord, renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from '../../../src/core/plc/records.ts'
import { signOperation } from '../../../src/core/plc/signature.ts'
import { verdictOf } from '../../../src/core/errors.ts'
import { createValue, makeIdentity, makeTombstone, makeUpdate, testKey } from '../../support/identities.ts'
import { readVectors } from '../../support/vectors.ts'
import { accepted, bytesOfAll, must, mustEqual, mustEqualBytes, type Target } from '../target.ts'
import { textOf } from '../tree.ts'
import { decodeBase58, parsedJson } from './encoding.ts'

const { genesis } = makeIdentity([0, 1])
const update = makeUpdate(genesis.cid, 1, [1, 2], 'second.example')
const create = signOperation(
  createValue({ signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'alice.example', service: 'pds.example' }), testKey(1),
)
const base58Prev = makeUpdate(`z${base58btc.encode(base32.decode(genesis.cid.slice(1)))}`, 0, [])
const wide = signOperation(
  operationValue({
    rotationKeys: [0, 1, 2, 3, 0].map((n) => testKey(n).did),
    verificationMethods: new Map([
      ['9', testKey(1).did], ['10', 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'], ['__proto__', 'did:key:z1'],
      ['', testKey(0).did],
    ]),
    alsoKnownAs: ['at://a.example', 'https://example.org/\u{1f600}', '', 'at://b.example'],
    services: new Map([
      ['__proto__', { type: 'T', endpoint: 'https://pds.example' }], ['0', { type: '', endpoint: '' }],
      ['constructor', { type: 'é', endpoint: '\uffff' }],
    ]),
    prev: update.cid,
  }),
  testKey(2),
)

const RECORDS: readonly LedgerRecord[] = readVectors('plc').flatMap(({ json }) => (Array.isArray(json) ? json.map(parseRecord) : []))
const OPERATIONS: readonly Operation[] = [
  genesis, update, create, base58Prev, wide, makeTombstone(update.cid, 1), ...RECORDS.map((record) => record.operation),
]

const MADE_RECORDS = OPERATIONS.slice(0, 6).map((operation, i): LedgerRecord => {
  return { did: didOf(genesis.bytes), operation, cid: operation.cid, createdAt: i * 1e12, nullified: i % 2 === 1, seq: 10 ** i }
})

const KEYS = [testKey(0).did, testKey(1).did, testKey(2).did, testKey(3).did]
const WORDS = [
  'plc_operation', 'plc_tombstone', 'create', 'sig', 'prev', 'type', 'rotationKeys', 'services', 'endpoint', 'at://', 'https://', 'did:key:z',
  ...KEYS.slice(0, 2), genesis.cid, 'z', '=',
]

export const PLC_TARGETS: readonly Target[] = [
  {
    name: 'did:keys',
    form: 'text',
    seeds: bytesOfAll(KEYS),
    words: ['did:key:z', 'zQ3sh', 'zDna', 'z6Mk', '1', 'did:key:m'],
    hostile: bytesOfAll([`did:key:z${'1'.repeat(100_000)}`, `did:key:z${'z'.repeat(100_000)}`, `did:key:${'z'.repeat(100_000)}`]),
    run(input) {
      const text = textOf(input)
      const ours = accepted(() => parseDidKey(text))
      mustEqual(multikeyCurve(text), ours?.value.curve ?? null, 'the curve of a key is that of the key')
      mustEqual(ours?.value ?? null, readKey(text), 'OpenSSL knows the same key')
      if (ours !== null) mustEqual(formatDidKey(ours.value), text, 'what is accepted is written the same')
      return ours !== null
    },
  },
  {
    name: 'operations in DAG-CBOR',
    form: 'cbor',
    seeds: OPERATIONS.map((operation) => operation.bytes),
    words: WORDS,
    hostile: [
      wideOperation({ verificationMethods: new Map(Array.from({ length: 900 }, (_, i) => [`key ${i}`, KEYS[0] ?? ''])) }),
      wideOperation({ services: new Map(Array.from({ length: 2_500 }, (_, i) => [String(i), { type: '', endpoint: '' }])) }),
      wideOperation({ alsoKnownAs: Array.from({ length: 11_000 }, (_, i) => String(i)) }),
      wideOperation({ rotationKeys: Array<string>(1_090).fill(KEYS[1] ?? '') }),
    ],
    run(input) {
      const ours = accepted(() => parseOperation(decodeCbor(input)))
      if (ours === null) return false
      mustEqualBytes(ours.value.bytes, input, 'an operation keeps its bytes')
      checkOperation(ours.value)
      return true
    },
  },
  {
    name: 'operations in JSON',
    form: 'json',
    seeds: bytesOfAll(OPERATIONS.map((operation) => renderJson(operation.value))),
    words: WORDS,
    hostile: bytesOfAll([
      '['.repeat(50_000) + ']'.repeat(50_000),
      '{"a":'.repeat(15_000) + '[]' + '}'.repeat(15_000),
      `[${'[],'.repeat(30_000)}0]`,
      `{${Array.from({ length: 8_000 }, (_, i) => `"${i}":0`).join(',')}}`,
      `{"type":"plc_operation","rotationKeys":["did:key:z${'1'.repeat(90_000)}"]}`,
      `{"sig":"${'\\u0000'.repeat(660)}"}`,
    ]),
    run(input) {
      const json = parsedJson(textOf(input))
      if (json === null) return false
      const [replayed, admitted] = [accepted(() => parseOperation(fromJson(json.value))), verdictOf(() => admitJson(json.value))]
      if (admitted.verdict !== null) must(
        admitted.verdict.message.length < MAX_QUOTED + 100 && admitted.verdict.message.isWellFormed(), 'a verdict is short enough to be sent',
      )
      if (replayed === null) {
        must(admitted.verdict !== null, 'what is admitted can be replayed')
        return false
      }
      const operation = replayed.value
      checkOperation(operation)
      const { verdict } = verdictOf(() => admitOperation(operation))
      mustEqual(admitted.verdict?.code ?? null, verdict?.code ?? null, 'a body is admitted where its operation is')
      if (admitted.value !== null) mustEqual(admitted.value.cid, operation.cid, 'what is admitted is what was sent')
      return true
    },
  },
  {
    name: 'records',
    form: 'json',
    seeds: bytesOfAll(
      [...MADE_RECORDS, ...RECORDS].flatMap((record) => [
        renderAuditLog([{ ...record, nullified: record.nullified ?? false }]).slice(1, -1),
        renderLegacy({ ...record, nullified: record.nullified ?? false }),
        renderSequenced({ ...record, seq: record.seq ?? 1 }),
      ]),
    ),
    words: [...WORDS, 'nullified', 'seq', 'createdAt', 'operation', 'cid', 'did', 'sequenced_op', '2026-01-01T00:00:00.000Z'],
    hostile: bytesOfAll([`{"did":"did:plc:${'a'.repeat(100_000)}"}`, `{"operation":${'['.repeat(50_000)}${']'.repeat(50_000)}}`]),
    run(input) {
      const json = parsedJson(textOf(input))
      const ours = json === null ? null : accepted(() => parseRecord(json.value))
      if (ours === null) return false
      const record = { nullified: false, seq: 1, ...ours.value }
      must(isDid(record.did) && record.cid === record.operation.cid, 'a record says what it is about')
      must(Number.isSafeInteger(record.seq) && record.seq > 0 && typeof record.nullified === 'boolean', 'and when it came')
      checkRecord(record, renderSequenced(record), ['seq'])
      checkRecord(record, renderLegacy(record), ['nullified'])
      checkRecord(record, renderAuditLog([record]).slice(1, -1), ['nullified'])
      return true
    },
  },
]

// History knows no limits but the length of an entry.
function wideOperation(fields: Partial<OperationFields>): Uint8Array {
  const value = operationValue({ rotationKeys: [], verificationMethods: new Map(), alsoKnownAs: [], services: new Map(), prev: null, ...fields })
  return encodeCbor(new Map([...value, ['sig', '']]))
}

const FIELDS = {
  plc_operation: ['alsoKnownAs', 'prev', 'rotationKeys', 'services', 'sig', 'type', 'verificationMethods'],
  plc_tombstone: ['prev', 'sig', 'type'],
  create: ['handle', 'prev', 'recoveryKey', 'service', 'sig', 'signingKey', 'type'],
}

// What everybody does with an operation that is one in form: none of it may fail, whatever stands in the fields.
function checkOperation(operation: Operation): void {
  const { value, cid } = operation
  mustEqual([...value.keys()].sort(), FIELDS[operation.type], 'an operation has the fields of its type')
  const again = parseOperation(fromJson(JSON.parse(renderJson(value))))
  mustEqualBytes(again.bytes, operation.bytes, 'JSON keeps an operation')
  mustEqual(again.cid, cid, 'and so its CID')
  const data = dataOf(operation)
  must((data === null) === (operation.type === 'plc_tombstone'), 'every operation but a tombstone has data')
  const did = didOf(operation.bytes)
  must(isDid(did), 'every genesis gives a DID')
  if (data !== null) {
    JSON.parse(renderDocument(did, data))
    mustEqual(JSON.parse(renderData(did, data)).rotationKeys, rotationKeysOf(operation), 'data names the rotation keys')
  }
  accepted(() => signatureQuestion(operation, emptyChain(did)))
  const { verdict } = verdictOf(() => admitOperation(operation))
  if (verdict !== null) return
  must(operation.bytes.length <= ADMISSION_LIMITS.operationBytes && operation.type !== 'create', 'what is admitted is of today')
  must(operation.prev === null || normalizeCid(operation.prev) === operation.prev, 'what is admitted names its predecessor in base32')
  for (const key of rotationKeysOf(operation)) parseDidKey(key)
}

function checkRecord(record: LedgerRecord, text: string, says: readonly (keyof LedgerRecord)[]): void {
  const again = parseRecord(JSON.parse(text))
  const members = ['did', 'cid', 'createdAt', 'nullified', 'seq'] as const
  mustEqual(
    members.map((name) => again[name]),
    members.map((name) => (name === 'nullified' || name === 'seq') && !says.includes(name) ? undefined : record[name]),
    'a record is read as it was written',
  )
  mustEqualBytes(again.operation.bytes, record.operation.bytes, 'and so is its operation')
}

const SPKI = {
  k256: { multicodec: 'e701', der: '3036301006072a8648ce3d020106052b8104000a032200' },
  p256: { multicodec: '8024', der: '3039301306072a8648ce3d020106082a8648ce3d030107032200' },
}

function readKey(text: string): { curve: string; bytes: Uint8Array } | null {
  if (!text.startsWith('did:key:z') || text.length > 100) return null
  const bytes = decodeBase58(text.slice(9))
  for (const [curve, { multicodec, der }] of Object.entries(SPKI)) {
    if (bytes?.length !== 35 || !bytes.toString('hex').startsWith(multicodec)) continue
    try {
      createPublicKey({ key: Buffer.concat([Buffer.from(der, 'hex'), bytes.subarray(2)]), format: 'der', type: 'spki' })
      return { curve, bytes: new Uint8Array(bytes.subarray(2)) }
    } catch {
      return null
    }
  }
  return null
}
