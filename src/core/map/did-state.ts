// What the map says of an identity: the value that fixes its whole history and what that came to. spec/map.md#values

import { encodeCbor, type CborValue } from '../encoding/dag-cbor.ts'
import { utf8Encode } from '../encoding/text.ts'
import { assert } from '../errors.ts'
import { portableSha256, type Sha256 } from './hash.ts'
import { MAP_HASH_BYTES } from './trie.ts'

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
  assert(history.length === MAP_HASH_BYTES && data.length === MAP_HASH_BYTES, 'a hash has 32 bytes')
  const at = DOMAIN.length
  putU64(VALUE, at, entries)
  VALUE.set(history, at + 8)
  putU64(VALUE, at + 40, head)
  VALUE[at + 48] = deactivated ? 1 : 0
  VALUE.set(data, at + 49)
  return sha256(VALUE)
}

/** Root, 32 bytes, of the tree of RFC 6962 whose leaves are an identity's entries: index, 64 bits, and leaf hash. At least one. spec/map.md#history */
export function historyRoot(leaves: readonly HistoryLeaf[], sha256: Sha256 = portableSha256): Uint8Array {
  assert(leaves.length > 0, 'an identity has an entry')
  const node = (left: Uint8Array, right: Uint8Array): Uint8Array => {
    NODE.set(left, 1)
    NODE.set(right, 1 + MAP_HASH_BYTES)
    return sha256(NODE)
  }
  // Perfect subtrees, largest first; two of one size become one.
  const roots: { size: number; hash: Uint8Array }[] = []
  for (const { index, leaf } of leaves) {
    putU64(LEAF, 1, index)
    LEAF.set(leaf, 9)
    let [size, hash]: [number, Uint8Array] = [1, sha256(LEAF)]
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
// Written anew for each hash: an array of more than 64 bytes costs as much as hashing it.
const VALUE = new Uint8Array(DOMAIN.length + 8 + MAP_HASH_BYTES + 8 + 1 + MAP_HASH_BYTES)
VALUE.set(DOMAIN)
const LEAF = new Uint8Array(1 + 8 + MAP_HASH_BYTES)
const NODE = new Uint8Array(1 + 2 * MAP_HASH_BYTES).fill(0x01, 0, 1)

function putU64(bytes: Uint8Array, at: number, n: number): void {
  assert(Number.isSafeInteger(n) && n >= 0, 'an index is a natural number')
  for (let [i, rest] = [7, n]; i >= 0; i--) {
    bytes[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}
