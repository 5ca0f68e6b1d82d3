// Whether the map that a database holds is what its log leads to: the map's log, each root in it, and every bucket. spec/map.md#storage

import { bytesEqual } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { grow } from '../core/growth.ts'
import { decodeMapLeaf, mapOrigin, type MapLeaf } from '../core/map/map-leaf.ts'
import { EMPTY_MAP_ROOT } from '../core/map/trie.ts'
import { UpperTree } from '../core/map/upper-tree.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_EDGE, encodeEdge, type Edge } from '../core/tlog/edge.ts'
import { EMPTY_ROOT } from '../core/tlog/hash.ts'
import { parseVerifierKey } from '../core/tlog/note.ts'
import { planTiles, proofFromTileList } from '../core/tlog/tile.ts'
import type { Problem } from '../client/check-tree.ts'
import { deriveInSteps, UNMADE_ROOT } from '../map/derive.ts'
import { MAP_LIMITS } from '../map/limits.ts'
import { nativeSha256 } from '../crypto/sha256.ts'
import { mapMemory } from '../storage/map-memory.ts'
import type { MapHead, Store } from '../storage/store.ts'

/** Checks the map that a store holds; none is as it should be. The keys are those that the store names. Throws incidents of the store, and the signal's reason. */
export async function checkMap(store: Store, signal: AbortSignal): Promise<readonly Problem[]> {
  // The version first: a directory at work only makes it older than what is read after it.
  const [version, publication] = [await store.map.version(), await store.map.publication()]
  const head = await store.map.head()
  if (version === null || head === null) return []
  const problems: Problem[] = []
  const problem = (where: string, words: string): number => problems.push({ kind: 'database', where, words })
  // A writer that stopped among the pieces of a long way makes the hashes above the rows when it starts.
  const made = !bytesEqual(version.root, UNMADE_ROOT)
  const origin = (await store.head())?.origin ?? ''
  if (head.origin !== mapOrigin(origin)) problem('map', `its log is ${head.origin}, and belongs to another log than ${origin}`)
  const leaves = await checkLeaves(store, head, problem)
  if (publication === null) problem('map publication', 'nothing has been published')
  else {
    const { value, verdict } = verdictOf(() => openCheckpoint(publication.note, head.vkeys.map(parseVerifierKey)).checkpoint)
    if (verdict !== null) problem('map publication', verdict.message)
    else if (value.size !== publication.size || !bytesEqual(value.root, publication.root)) problem('map publication', 'its size and root are not those of its note')
    const newest = leaves[publication.size - 1]
    if (newest !== undefined && newest !== null && newest.size === version.size && made && !bytesEqual(newest.mapRoot, version.root)) problem('map buckets', 'they are not of the version that is published')
  }
  const derived = mapMemory()
  await derived.create({ origin: head.origin, guardId: '', vkeys: [] })
  const { root } = await deriveInSteps({ ...store, map: derived }, new UpperTree(nativeSha256), { size: 0, root: EMPTY_MAP_ROOT }, version.size, signal)
  if (made && !bytesEqual(root, version.root)) problem('map', `the map of ${version.size} entries has another root than the log leads to`)
  for (let next = 0; ; ) {
    const expected = await derived.bucketHashes(next, MAP_LIMITS.readBuckets)
    const [stored, right] = [await store.map.buckets(expected.map(({ bucket }) => bucket)), await derived.buckets(expected.map(({ bucket }) => bucket))]
    for (const [i, { bucket }] of expected.entries()) {
      if (!bytesEqual(stored[i] ?? new Uint8Array(), right[i] ?? new Uint8Array())) problem(`map bucket ${bucket}`, 'it does not hold what the log leads to')
    }
    next = (expected.at(-1)?.bucket ?? Infinity) + 1
    if (next === Infinity) break
  }
  // Written meanwhile: what is there now is another version, and right for all that is known.
  const now = await store.map.version()
  return now?.size === version.size ? problems : problems.filter(({ where }) => !where.startsWith('map bucket'))
}

// Every leaf, from the first on; null for what is none.
async function checkLeaves(store: Store, head: MapHead, problem: (where: string, words: string) => void): Promise<readonly (MapLeaf | null)[]> {
  const leaves: (MapLeaf | null)[] = []
  let edge: Edge = EMPTY_EDGE
  for (let at = 0; at < head.size; at += MAP_LIMITS.readEntries) {
    const end = Math.min(head.size, at + MAP_LIMITS.readEntries)
    const bytes = await store.map.leaves(at, end)
    if (bytes.length !== end - at) problem('map log', `leaves of [${at}, ${end}) are missing`)
    const growth = grow(edge, bytes)
    edge = growth.edge
    const tiles = await store.map.tiles(growth.tiles.map(({ level, index }) => ({ level, index, width: 1 })))
    for (const [i, { level, index, offset, hashes }] of growth.tiles.entries()) {
      if (!bytesEqual((tiles[i] ?? new Uint8Array()).subarray(offset * 32, offset * 32 + hashes.length), hashes)) problem(`map tile ${level}/${index}`, 'not what its leaves lead to')
    }
    for (const [i, leaf] of bytes.entries()) leaves.push(await checkLeaf(store, at + i, leaf, leaves.at(-1)?.size ?? -1, problem))
  }
  if (!bytesEqual(encodeEdge(edge), encodeEdge(head.edge))) problem('map head', 'its edge is not the one that the leaves lead to')
  return leaves
}

async function checkLeaf(store: Store, index: number, bytes: Uint8Array, before: number, problem: (where: string, words: string) => void): Promise<MapLeaf | null> {
  const { value: leaf } = verdictOf(() => decodeMapLeaf(bytes))
  if (leaf === null) problem(`map leaf ${index}`, 'it is none')
  else {
    if (leaf.size <= before) problem(`map leaf ${index}`, 'it is of no larger tree than the one before it')
    const range = [{ start: 0, end: leaf.size }]
    const [root] = leaf.size === 0 ? [EMPTY_ROOT] : proofFromTileList(range, leaf.size, await store.tiles(planTiles(range, leaf.size)))
    if (!bytesEqual(root ?? new Uint8Array(), leaf.root)) problem(`map leaf ${index}`, `the log's tree of ${leaf.size} entries has another root`)
  }
  return leaf
}
