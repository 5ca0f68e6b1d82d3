// A small log with its map, and every state proof under it: for tests and vectors.

import type { Entry } from '../../src/core/entry.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { grow } from '../../src/core/growth.ts'
import { stateOfRows } from '../../src/core/did-state.ts'
import { didKey, stateValue, type DidState } from '../../src/core/map/did-state.ts'
import { encodeMapLeaf, mapOrigin, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { packEntries, triePath, trieRoot, type MapEntry } from '../../src/core/map/trie.ts'
import { EMPTY_CLOCK, planReplay, replay, type EntryRow } from '../../src/core/replay.ts'
import { formatStateProof, type StateProof } from '../../src/core/state-proof.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { naiveConsistency, naivePath, naiveRoot } from './naive-tree.ts'

export interface MapScene {
  readonly logKey: SigningKey
  readonly mapKey: SigningKey
  readonly witnessKey: SigningKey
  readonly rows: readonly EntryRow[]
  /** The versions of the map, one for each size asked for. */
  readonly versions: readonly MapLeaf[]
  /** What the newest version says of each identity. */
  readonly states: ReadonlyMap<string, DidState>
  /** The proof for a DID by the newest version. */
  readonly proofOf: (did: string) => StateProof
  readonly textOf: (did: string) => string
}

/** When everything was cosigned, seconds since 1970. */
export const COSIGNED_AT = 1_800_000_000

/** The log of these entries, with a version of the map at each of these sizes, and checkpoints of all of it by one log key and one witness. */
export function mapScene(origin: string, given: readonly Entry[], sizes: readonly number[]): MapScene {
  const seed = (n: number): Uint8Array => new Uint8Array(32).fill(n)
  const logKey = makeSigningKey(origin, KEY_TYPES.ed25519, seed(1))
  const mapKey = makeSigningKey(mapOrigin(origin), KEY_TYPES.ed25519, seed(2))
  const witnessKey = makeSigningKey('witness.example', KEY_TYPES.cosignature, seed(3))
  const leaves = given.map(encodeEntry)
  const hashes = leaves.map(leafHash)
  const { rows } = replay({ edge: EMPTY_EDGE, clock: EMPTY_CLOCK }, planReplay(leaves), new Map())
  const versions = sizes.map((size): MapLeaf => ({ mapRoot: trieRoot(packEntries(mapOf(rows, size))), size, root: naiveRoot(hashes.slice(0, size)) }))
  const newest = versions.at(-1)
  if (newest === undefined) throw new Error('a map has a version')
  const mapHashes = versions.map((version) => leafHash(encodeMapLeaf(version)))
  const note = (key: SigningKey, size: number, root: Uint8Array): string => {
    const checkpoint = { origin: key.name, size, root }
    const { text, signatures } = parseNote(signCheckpoint(checkpoint, [key]))
    return formatNote({ text, signatures: [...signatures, cosign(checkpoint, witnessKey, COSIGNED_AT)] })
  }
  const mapCheckpoint = note(mapKey, mapHashes.length, naiveRoot(mapHashes))
  const logCheckpoint = note(logKey, hashes.length, grow(EMPTY_EDGE, leaves).root)
  const map = mapOf(rows, newest.size)
  const states = statesOf(rows, newest.size)
  const proofOf = (did: string): StateProof => {
    const state = states.get(did) ?? null
    const { steps, leaf } = triePath(packEntries(map), didKey(did))
    return {
      did,
      path: { steps, leaf: state === null ? leaf : null },
      state,
      entries: rowsOf(rows, newest.size, did).map(({ index, entry }) => ({ index, entry })),
      size: newest.size,
      root: newest.root,
      inclusion: naivePath(mapHashes.length - 1, mapHashes),
      consistency: newest.size === 0 ? [] : naiveConsistency(newest.size, hashes),
      mapCheckpoint,
      logCheckpoint,
    }
  }
  return { logKey, mapKey, witnessKey, rows, versions, states, proofOf, textOf: (did) => formatStateProof(proofOf(did)) }
}

function statesOf(rows: readonly EntryRow[], size: number): Map<string, DidState> {
  const dids = new Set(rows.slice(0, size).filter((row) => row.rejected === null).map((row) => row.did))
  return new Map([...dids].map((did) => [did, stateOfRows(rowsOf(rows, size, did))]))
}

function mapOf(rows: readonly EntryRow[], size: number): MapEntry[] {
  return [...statesOf(rows, size)].map(([did, state]) => ({ key: didKey(did), value: stateValue(state) }))
}

function rowsOf(rows: readonly EntryRow[], size: number, did: string): EntryRow[] {
  return rows.slice(0, size).filter((row) => row.did === did && row.rejected === null)
}
