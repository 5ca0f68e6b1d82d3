// The worked examples of spec/log.md about entries and receipts, by their names.

import { formatTimestamp } from '../../src/core/encoding/timestamp.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { hex } from '../../src/core/encoding/text.ts'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { grow } from '../../src/core/growth.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue } from '../../src/core/plc/operation.ts'
import { signerFromSecret, signOperation } from '../../src/core/plc/signature.ts'
import { formatReceipt } from '../../src/core/receipt.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { KEY_TYPES, makeSigningKey, type SigningKey } from '../../src/core/tlog/note.ts'

/** A log of two entries, as the page describes it. */
export interface ExampleLog {
  readonly key: SigningKey
  readonly entries: readonly [Entry, Entry]
  readonly checkpoint: string
  /** Of the second entry. */
  readonly receipt: string
}

/** The log of the examples: one identity, its genesis and an update, under the key of log.example. */
export function exampleLog(): ExampleLog {
  const owner = signerFromSecret('k256', new Uint8Array(32).fill(4))
  const shared = { rotationKeys: [owner.did], verificationMethods: new Map(), services: new Map() }
  const genesis = signOperation(operationValue({ ...shared, alsoKnownAs: ['at://alice.example'], prev: null }), owner)
  const update = signOperation(operationValue({ ...shared, alsoKnownAs: ['at://alice2.example'], prev: genesis.cid }), owner)
  const did = didOf(genesis.bytes)
  const first = { did, createdAt: 1_800_000_000_000, operation: genesis, source: null }
  const second = { did, createdAt: 1_800_000_060_000, operation: update, source: null }
  const { root } = grow(EMPTY_EDGE, [encodeEntry(first), encodeEntry(second)])
  const key = makeSigningKey('log.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
  const checkpoint = signCheckpoint({ origin: key.name, size: 2, root }, [key])
  const receipt = formatReceipt(second, 1, [leafHash(encodeEntry(first))], checkpoint)
  return { key, entries: [first, second], checkpoint, receipt }
}

/** Every example; each stands in a code block of the page, byte for byte. */
export function entryExamples(): ReadonlyMap<string, string> {
  const { entries, receipt } = exampleLog()
  const [first, second] = entries
  const bytes = encodeEntry(first)
  return new Map([
    ['entry in JSON', `{"did":"${first.did}","createdAt":"${formatTimestamp(first.createdAt)}","operation":${renderJson(first.operation.value)}}`],
    ['entry', hex.encode(bytes)],
    ['leaf hash of the entry', hex.encode(leafHash(bytes))],
    ['operation of the receipt', renderJson(second.operation.value)],
    ['receipt', receipt],
  ])
}
