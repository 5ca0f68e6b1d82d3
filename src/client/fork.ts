// Whether two checkpoints of one log contradict each other, and what shows it to a stranger. spec/evidence.md#forks

import { bytesEqual } from '../core/encoding/text.ts'
import { assert, DirectoryError } from '../core/errors.ts'
import { brokenRule, fork, twoRoots, wrongMap, type BrokenRule, type Fork, type TwoRoots } from '../core/evidence.ts'
import type { WrongMap } from '../core/evidence-map.ts'
import { findBreach, type PlacedLeaf } from '../core/evidence-rules.ts'
import { decodeMapLeaf } from '../core/map/map-leaf.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import { leafHash } from '../core/tlog/hash.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { consistencyPlan, verifyConsistency } from '../core/tlog/proof.ts'
import type { WrongVersion } from './check-map.ts'
import { proveInclusion, readProof, readRoot } from './log-client.ts'
import type { TileReader } from './tile-reader.ts'

/**
 * Evidence that two checkpoints, signed notes of one log, contradict each other; null where the larger continues the
 * smaller. `reader` serves the larger tree. Throws the verdicts of `openCheckpoint`, WRONG_ORIGIN for two logs, what the reader
 * throws, and MALFORMED_TILE or INVALID_PROOF where what it serves is not the larger tree: nothing is proved then.
 */
export async function findFork(reader: Pick<TileReader, 'tile'>, one: string, other: string, logKeys: readonly VerifierKey[]): Promise<TwoRoots | Fork | null> {
  const notes = [one, other].map((note) => ({ note, ...openCheckpoint(note, logKeys).checkpoint })).sort((a, b) => a.size - b.size)
  const [smaller, larger] = notes
  assert(smaller !== undefined && larger !== undefined, 'there are two')
  if (smaller.origin !== larger.origin) throw new DirectoryError('WRONG_ORIGIN', larger.origin)
  if (smaller.size === larger.size) return bytesEqual(smaller.root, larger.root) ? null : twoRoots(one, other, logKeys)
  const root = await readRoot(reader, smaller.size, larger.size)
  const proof = await readProof(reader, consistencyPlan(smaller.size, larger.size), larger.size)
  verifyConsistency({ oldSize: smaller.size, oldRoot: root, newSize: larger.size, newRoot: larger.root, proof })
  return bytesEqual(root, smaller.root) ? null : fork(smaller.note, larger.note, root, proof, logKeys)
}

/**
 * Evidence that an entry which replay rejected breaks a rule of the log of a checkpoint, a signed note; null where what
 * is known of the log does not prove it (`findBreach` says what is of use). Throws as `findFork`.
 */
export async function findBrokenRule(
  reader: Pick<TileReader, 'tile'>,
  note: string,
  logKeys: readonly VerifierKey[],
  rejected: PlacedLeaf,
  known: readonly PlacedLeaf[],
): Promise<BrokenRule | null> {
  const { checkpoint } = openCheckpoint(note, logKeys)
  const breach = findBreach(rejected, known)
  if (breach === null) return null
  const proofs: (readonly Uint8Array[])[] = []
  for (const { index, entry } of breach.leaves) proofs.push(await proveInclusion(reader, checkpoint, index, leafHash(entry)))
  return brokenRule(breach, proofs, note, logKeys)
}

/** One log, as it is served: its tiles, a checkpoint of it, a signed note, and its keys. */
export interface ServedTree {
  readonly reader: Pick<TileReader, 'tile'>
  readonly note: string
  readonly keys: readonly VerifierKey[]
}

/** Evidence that a version of a map is wrong; null where what it would be held against is not at hand. Throws as `findFork`. */
export async function findWrongMap(map: ServedTree, log: ServedTree, { fault, leaf, before }: WrongVersion): Promise<WrongMap | null> {
  const { checkpoint } = openCheckpoint(map.note, map.keys)
  if (fault === 'order' && before === null) return null
  const leaves: WrongMap['leaves'][number][] = []
  for (const { index, entry } of fault === 'order' && before !== null ? [before, leaf] : [leaf]) leaves.push({ index, entry, proof: await proveInclusion(map.reader, checkpoint, index, leafHash(entry)) })
  if (fault === 'leaf' || fault === 'order') return wrongMap(fault, leaves, null, [map.note], map.keys)
  const own = openCheckpoint(log.note, log.keys).checkpoint
  const { size } = decodeMapLeaf(leaf.entry)
  const tree = { root: await readRoot(log.reader, size, own.size), proof: await readProof(log.reader, consistencyPlan(size, own.size), own.size) }
  return wrongMap(fault, leaves, tree, [map.note, log.note], [...map.keys, ...log.keys])
}
