// What shows that a leaf of the map's log is wrong: by itself, beside another one, or against the log that it is the map of.
// spec/evidence.md#wrong-maps

import { bytesEqual } from './encoding/text.ts'
import { assert, DirectoryError, verdictOf } from './errors.ts'
import type { PlacedLeaf } from './evidence-rules.ts'
import { decodeMapLeaf, mapOrigin, type MapLeaf } from './map/map-leaf.ts'
import type { Checkpoint } from './tlog/checkpoint.ts'
import { leafHash } from './tlog/hash.ts'
import { verifyConsistency, verifyInclusion } from './tlog/proof.ts'

/** What is wrong, and what shows it: how many leaves, and whether the log's own tree. */
export const MAP_FAULT_SHAPES = {
  /** Its bytes are no leaf. */
  leaf: { leaves: 1, tree: false },
  /** It is of no larger tree than one that stands before it. */
  order: { leaves: 2, tree: false },
  /** It names a tree that the log does not have. */
  tree: { leaves: 1, tree: true },
  /** The log's entries lead to another map: what a replay alone can show. */
  root: { leaves: 1, tree: true },
} as const satisfies Record<string, { readonly leaves: number; readonly tree: boolean }>

/** What is wrong with the leaf. */
export type MapFault = keyof typeof MAP_FAULT_SHAPES

/** All of them, in the order of the specification. */
export const MAP_FAULTS = Object.keys(MAP_FAULT_SHAPES) as readonly MapFault[]

/** A leaf of the map's log that is wrong. */
export interface WrongMap {
  readonly kind: 'wrong-map'
  readonly fault: MapFault
  /** Of the map's log, ordered by index, with their inclusion proofs under its checkpoint. The last is the one that is wrong. */
  readonly leaves: readonly (PlacedLeaf & { readonly proof: readonly Uint8Array[] })[]
  /** Of the log's first entries, as many as the leaf names, the root, 32 bytes, and the consistency proof from it to the log's checkpoint; null where none is needed. */
  readonly tree: { readonly root: Uint8Array; readonly proof: readonly Uint8Array[] } | null
  /** Signed notes: the map's log's; with a tree, the log's as well. */
  readonly checkpoints: readonly string[]
}

/**
 * Checks what a file shows of a wrong map, whose checkpoints are opened. Returns the leaf where a replay of the log has to show the rest: that the first
 * `size` entries lead to another root than `mapRoot`; null where the file shows all. Throws OUT_OF_RANGE or INVALID_PROOF where a proof does not hold, and
 * NO_CONTRADICTION where nothing is wrong.
 */
export function judgeWrongMap({ fault, leaves, tree }: WrongMap, [map, log]: readonly Checkpoint[]): MapLeaf | null {
  assert(map !== undefined, 'evidence has a checkpoint')
  for (const { index, entry, proof } of leaves) verifyInclusion({ index, size: map.size, leaf: leafHash(entry), proof, root: map.root })
  const decoded = leaves.map(({ entry }) => verdictOf(() => decodeMapLeaf(entry)).value)
  if (fault === 'leaf') {
    if (decoded[0] !== null) throw nothing('it is a leaf of a map')
    return null
  }
  const known = decoded.filter((leaf) => leaf !== null)
  const [first, last] = [known[0], known.at(-1)]
  if (first === undefined || last === undefined || known.length < leaves.length) throw nothing('it is no leaf of a map, and another kind of evidence')
  if (fault === 'order') {
    if (last.size > first.size) throw nothing('the trees grow from leaf to leaf')
    return null
  }
  assert(log !== undefined && tree !== null, 'the tree of the log is shown')
  if (mapOrigin(log.origin) !== map.origin) throw nothing('the checkpoints are not those of a log and its map')
  verifyConsistency({ oldSize: last.size, oldRoot: tree.root, newSize: log.size, newRoot: log.root, proof: tree.proof })
  const same = bytesEqual(tree.root, last.root)
  if (same !== (fault === 'root')) throw nothing(same ? 'it is the tree that the log has' : 'the leaf is of another tree, and another kind of evidence')
  return fault === 'root' ? last : null
}

/** What is said of a map, in one sentence. Where `replay` is given, as far as it goes without one. */
export function describeWrongMap({ fault, leaves }: WrongMap, [map, log]: readonly Checkpoint[], replay: MapLeaf | null): string {
  const indices = leaves.map(({ index }) => index)
  const signed = `the log of the map ${map?.origin} signed`
  if (replay !== null) return `${signed}, as leaf ${indices[0]}, a root of the map of the first ${replay.size} entries of ${log?.origin}: it is wrong if a replay of these entries leads to another`
  if (fault === 'leaf') return `${signed}, as leaf ${indices[0]}, what is no version of a map`
  if (fault === 'order') return `${signed} leaf ${indices[1]}, which is of no larger tree than leaf ${indices[0]} before it: it took back what it had said`
  return `${signed}, as leaf ${indices[0]}, a map of a tree that the log ${log?.origin} does not have`
}

function nothing(reason: string): DirectoryError {
  return new DirectoryError('NO_CONTRADICTION', reason)
}
