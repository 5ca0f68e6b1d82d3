// The state of an identity, as the map holds it, from its chain: where identities meet the map. spec/map.md#values

import { normalizeCid } from './encoding/cid.ts'
import { decodeCbor, encodeCbor, type CborMap, type CborValue } from './encoding/dag-cbor.ts'
import { utf8Decode } from './encoding/text.ts'
import { endOfText, startOfText } from './encoding/transcode.ts'
import { operationBytes } from './entry-json.ts'
import { assert } from './errors.ts'
import { dataHash, historyRoot, type DidState } from './map/did-state.ts'
import { portableSha256, type Sha256 } from './map/hash.ts'
import { headOf, prevCid } from './plc/chain.ts'
import { dataOf, shapeOperation, type IdentityData } from './plc/operation.ts'
import { indexAt, type EntryRow, type IndexedChain } from './replay.ts'
import { MAX_ENTRY_BYTES } from './tlog/bundle.ts'

/** The state that an identity came to. `leaves` has the leaf hash of each of its entries; at least one. */
export function stateOf({ chain, indices }: IndexedChain, leaves: readonly Uint8Array[]): DidState {
  const head = headOf(chain)
  assert(head !== null && leaves.length === indices.length, 'an identity has an operation in effect, and a leaf for each')
  const data = dataOf(head.operation)
  return {
    entries: indices.length,
    history: historyRoot(indices.map((index, i) => ({ index, leaf: leaves[i] ?? new Uint8Array() }))),
    head: indexAt({ chain, indices }, chain.links.indexOf(head)),
    deactivated: data === null,
    data: dataHash(data === null ? null : dataValue(data)),
  }
}

/**
 * The state of an identity from the rows of its entries that were accepted, in order; at least one. It is believed that they were accepted; what is
 * nullified is derived again, since rows say what is nullified now. The same as `stateOf`, without decoding what need not be.
 */
export function stateOfRows(rows: readonly Pick<EntryRow, 'index' | 'cid' | 'entry'>[], sha256: Sha256 = portableSha256): DidState {
  const { index, data } = rowInEffect(rows)
  return {
    entries: rows.length,
    history: historyRoot(rows.map(({ index, entry }) => ({ index, leaf: sha256(prefixed(LEAF, entry)) })), sha256),
    head: index,
    deactivated: data === null,
    data: sha256(data === null ? new Uint8Array(0) : prefixed(FOUR_KEYS, data)),
  }
}

// Of the newest row that none after it nullified: its index and its data.
function rowInEffect(rows: readonly Pick<EntryRow, 'index' | 'cid' | 'entry'>[]): Pick<Skimmed, 'data'> & { readonly index: number } {
  const inEffect: (Skimmed & { readonly index: number; readonly cid: string })[] = []
  for (const { index, cid, entry } of rows) {
    const { prev, data } = skim(operationBytes(entry))
    // What was in effect behind the operation that this one names is nullified by it.
    if (prev !== null) inEffect.length = inEffect.findLastIndex((row) => row.cid === prev) + 1
    inEffect.push({ index, cid, prev, data })
  }
  const head = inEffect.at(-1)
  assert(head !== undefined, 'an identity has an operation in effect')
  return head
}

/** Whether an entry that was accepted is the first of its identity. */
export function isGenesis(entry: Uint8Array): boolean {
  const bytes = operationBytes(entry)
  return bytes[prevOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length))] === NULL
}

// A byte and others behind it, until the next call.
function prefixed(first: number, rest: Uint8Array): Uint8Array {
  MESSAGE[0] = first
  MESSAGE.set(rest, 1)
  return MESSAGE.subarray(0, 1 + rest.length)
}

const MESSAGE = new Uint8Array(1 + MAX_ENTRY_BYTES)
const LEAF = 0x00

/** What is needed of an operation: the CID that its `prev` means, and the DAG-CBOR of its data without the first byte, which says that it is a map of four; null for none. */
interface Skimmed {
  readonly prev: string | null
  readonly data: Uint8Array | null
}

// The canonical order of keys is sig, prev, type, and then the four that the data are made of.
function skim(bytes: Uint8Array): Skimmed {
  const cbor = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const prevAt = prevOf(cbor)
  const first = bytes[prevAt] === NULL
  const typeAt = endOfText(cbor, first ? prevAt + 1 : endOfText(cbor, prevAt))
  if (!PLC_OPERATION.every((byte, i) => byte === bytes[typeAt + i])) return skimDecoded(bytes)
  const prev = first ? null : utf8Decode(bytes, startOfText(cbor, prevAt), endOfText(cbor, prevAt))
  return { prev: prev?.startsWith('z') ? normalizeCid(prev) : prev, data: bytes.subarray(typeAt + PLC_OPERATION.length) }
}

// Where the value of `prev` begins: behind the first key, its value, and the second key.
function prevOf(cbor: DataView): number {
  return endOfText(cbor, endOfText(cbor, endOfText(cbor, 1)))
}

// Tombstones and legacy genesis operations, which are few.
function skimDecoded(bytes: Uint8Array): Skimmed {
  const operation = shapeOperation(decodeCbor(bytes))
  const data = dataOf(operation)
  return { prev: prevCid(operation), data: data === null ? null : encodeCbor(dataValue(data)).subarray(1) }
}

const NULL = 0xf6
const FOUR_KEYS = 0xa4
const PLC_OPERATION = encodeCbor('plc_operation')

/** An identity's data as a value of DAG-CBOR: what of it is hashed. spec/map.md#values */
export function dataValue({ rotationKeys, verificationMethods, alsoKnownAs, services }: IdentityData): CborMap {
  return new Map<string, CborValue>([
    ['rotationKeys', rotationKeys],
    ['verificationMethods', verificationMethods],
    ['alsoKnownAs', alsoKnownAs],
    ['services', new Map([...services].map(([id, { type, endpoint }]) => [id, new Map(Object.entries({ type, endpoint }))]))],
  ])
}
