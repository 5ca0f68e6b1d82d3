// The worked examples of spec/did-plc.md, made by the code that they explain.

import { sha256 } from '@noble/hashes/sha2.js'
import { assert } from '../../src/core/errors.ts'
import { encodeCbor } from '../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { base32, base58btc, hex } from '../../src/core/encoding/text.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { renderData, renderDocument } from '../../src/core/plc/document.ts'
import { dataOf, unsignedBytes, type IdentityData, type Operation } from '../../src/core/plc/operation.ts'
import { renderLegacy, renderSequenced } from '../../src/core/plc/records.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { chainOf, createValue, makeIdentity, makeTombstone, makeUpdate, testKey } from './identities.ts'

const HOUR_MS = 3_600_000
const NOON = Date.UTC(2026, 7, 1, 12)

/** Every example by the name under which the spec's source asks for it. */
export function plcExamples(): ReadonlyMap<string, string> {
  const ordered = new Map(['b', '10', '9', 'aa', '\u{1f600}', '\uffff', ''].map((key) => [key, 'x']))
  const { did, genesis } = makeIdentity([0, 1])
  const update = makeUpdate(genesis.cid, 1, [1], 'mallory.example')
  const recovery = makeUpdate(genesis.cid, 0, [0])
  const tombstone = makeTombstone(recovery.cid, 0)
  const fields = { signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'alice.example', service: 'pds.example' }
  const create = signOperation(createValue(fields), testKey(1))
  const { links } = chainOf(did, ...[genesis, update, recovery, tombstone].map((operation, i) => [operation, NOON + i * HOUR_MS] as const))
  const second = links[1]
  assert(second !== undefined && second.nullified, 'the recovery nullifies the update')
  const record = { did, operation: second.operation, cid: second.operation.cid, createdAt: second.createdAt, nullified: true, seq: 2 }
  return new Map([
    ['key 0', testKey(0).did],
    ['key 1', testKey(1).did],
    ['order', renderJson(ordered)],
    ['order cbor', hex.encode(encodeCbor(ordered))],
    ['did', did],
    ['genesis', renderJson(genesis.value)],
    ['genesis cbor', hex.encode(genesis.bytes)],
    ['genesis message', hex.encode(unsignedBytes(genesis))],
    ['genesis hash', hex.encode(sha256(genesis.bytes))],
    ['genesis cid', genesis.cid],
    ['genesis cid in base58btc', `z${base58btc.encode(base32.decode(genesis.cid.slice(1)))}`],
    ['create', renderJson(create.value)],
    ['create cid', create.cid],
    ['create did', didOf(create.bytes)],
    ['create data', renderData(didOf(create.bytes), stated(create))],
    ['update', renderJson(update.value)],
    ['update cid', update.cid],
    ['recovery', renderJson(recovery.value)],
    ['recovery cid', recovery.cid],
    ['tombstone', renderJson(tombstone.value)],
    ['tombstone cid', tombstone.cid],
    ['tombstone cbor', hex.encode(tombstone.bytes)],
    ['document', renderDocument(did, stated(genesis))],
    ['data', renderData(did, stated(genesis))],
    ['sequenced', renderSequenced(record)],
    ['legacy', renderLegacy(record)],
  ])
}

function stated(operation: Operation): IdentityData {
  const data = dataOf(operation)
  assert(data !== null, 'not a tombstone')
  return data
}
