// What the map says of an identity: the value that fixes its whole history and what that came to. spec/map.md#values

import { encodeCbor, type CborValue } from '../encoding/dag-cbor.ts'
import { concatBytes, utf8Encode } from '../encoding/text.ts'
import { assert } from '../errors.ts'
import { portableSha256, type Sha256 } from './hash.ts'

/** An identity at some size of the log. */
export interface DidState {
  /** Number of its entries, nullified ones included, rejected ones not: at least 1. */
  readonly entries: number
  /** Root of the tree of its entries, 32 bytes. */
  readonly history: Uint8Array
  /** Index of the newest entry in effect. */
  readonly head: number
  readonly deactivated: boolean
  /** SHA-256 of the DAG-CBOR of its data; of nothing where it is deactivated. */
  readonly data: Uint8Array
}

/** An entry of the log, as an identity's history knows it. */
export interface HistoryLeaf {
  readonly index: number
  /** Of the entry, as in the log's own tree, 32 bytes. */
  readonly leaf: Uint8Array
}

/** The key of an identity, 32 bytes: SHA-256 of the DID's text. spec/map.md#keys */
export function didKey(did: string, sha256: Sha256 = portableSha256): Uint8Array {
  return sha256(utf8Encode(did))
}

/** The value of a state, 32 bytes. spec/map.md#values */
export function stateValue({ entries, history, head, deactivated, data }: DidState, sha256: Sha256 = portableSha256): Uint8Array {
  return sha256(concatBytes(DOMAIN, u64(entries), history, u64(head), Uint8Array.of(deactivated ? 1 : 0), data))
}

/** Root, 32 bytes, of the tree of RFC 6962 whose leaves are an identity's entries: index, 64 bits, and leaf hash. At least one. spec/map.md#history */
export function historyRoot(leaves: readonly HistoryLeaf[], sha256: Sha256 = portableSha256): Uint8Array {
  assert(leaves.length > 0, 'an identity has an entry')
  const node = (left: Uint8Array, right: Uint8Array): Uint8Array => sha256(concatBytes(NODE, left, right))
  // Perfect subtrees, largest first; two of one size become one.
  const roots: { size: number; hash: Uint8Array }[] = []
  for (const { index, leaf } of leaves) {
    let [size, hash]: [number, Uint8Array] = [1, sha256(concatBytes(LEAF, u64(index), leaf))]
    for (let left = roots.at(-1); left?.size === size; left = roots.at(-1)) {
      roots.pop()
      ;[size, hash] = [2 * size, node(left.hash, hash)]
    }
    roots.push({ size, hash })
  }
  return roots.map(({ hash }) => hash).reduceRight((right, left) => node(left, right))
}

/** The hash of an identity's data, 32 bytes; of nothing where it is null. spec/map.md#values */
export function dataHash(data: CborValue): Uint8Array {
  return portableSha256(data === null ? new Uint8Array(0) : encodeCbor(data))
}

const DOMAIN = utf8Encode('stele/did-state/v1\0')
const LEAF = Uint8Array.of(0x00)
const NODE = Uint8Array.of(0x01)

function u64(n: number): Uint8Array {
  assert(Number.isSafeInteger(n) && n >= 0, 'an index is a natural number')
  const bytes = new Uint8Array(8)
  for (let [at, rest] = [7, n]; rest > 0; at--) {
    bytes[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return bytes
}
