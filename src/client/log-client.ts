// Asking a log for proof: its checkpoint under its keys, and the tiles that prove what is asked. spec/log.md#proofs

import { assert, DirectoryError } from '../core/errors.ts'
import { decodeEntry, type Entry } from '../core/entry.ts'
import { decodeBundle } from '../core/tlog/bundle.ts'
import { openCheckpoint, type Checkpoint, type OpenedCheckpoint } from '../core/tlog/checkpoint.ts'
import { EMPTY_ROOT, leafHash } from '../core/tlog/hash.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { consistencyPlan, inclusionPlan, verifyConsistency, verifyInclusion, type Range } from '../core/tlog/proof.ts'
import { planTiles, proofFromTileList, TILE_WIDTH } from '../core/tlog/tile.ts'
import type { TileReader } from './tile-reader.ts'

/** An entry that a log was shown to contain. */
export interface ProvedLeaf {
  readonly entry: Entry
  readonly index: number
  /** Its inclusion proof in the tree of the checkpoint, 32 bytes each. */
  readonly proof: readonly Uint8Array[]
}

/** The log's newest checkpoint. Throws the verdicts of `openCheckpoint` and what the reader throws. */
export async function readCheckpoint(reader: TileReader, logKeys: readonly VerifierKey[]): Promise<OpenedCheckpoint> {
  return openCheckpoint(await reader.checkpoint(), logKeys)
}

/**
 * The log's newest checkpoint, proved to continue the one that the caller keeps. Throws also WRONG_ORIGIN for
 * another log's, OUT_OF_RANGE for a smaller tree and INVALID_PROOF for one that contradicts `known`.
 */
export async function followCheckpoint(reader: TileReader, logKeys: readonly VerifierKey[], known: Checkpoint): Promise<OpenedCheckpoint> {
  const opened = await readCheckpoint(reader, logKeys)
  if (opened.checkpoint.origin !== known.origin) throw new DirectoryError('WRONG_ORIGIN', opened.checkpoint.origin)
  await proveConsistency(reader, known, opened.checkpoint)
  return opened
}

/** Proves that a newer tree continues an older one, and returns the proof. Throws OUT_OF_RANGE or INVALID_PROOF where it does not. */
export async function proveConsistency(reader: TileReader, known: Checkpoint, newer: Checkpoint): Promise<readonly Uint8Array[]> {
  const proof = await readProof(reader, consistencyPlan(known.size, newer.size), newer.size)
  verifyConsistency({ oldSize: known.size, oldRoot: known.root, newSize: newer.size, newRoot: newer.root, proof })
  return proof
}

/** Proves that a leaf, by its hash of 32 bytes, stands at an index, and returns the proof. Throws OUT_OF_RANGE or INVALID_PROOF where it does not. */
export async function proveInclusion(reader: Pick<TileReader, 'tile'>, checkpoint: Checkpoint, index: number, leaf: Uint8Array): Promise<readonly Uint8Array[]> {
  const proof = await readProof(reader, inclusionPlan(index, checkpoint.size), checkpoint.size)
  verifyInclusion({ index, size: checkpoint.size, leaf, proof, root: checkpoint.root })
  return proof
}

/** Reads the entry at an index with its proof. Throws as `proveInclusion`, and MALFORMED_BUNDLE or MALFORMED_ENTRY. */
export async function readEntry(reader: TileReader, checkpoint: Checkpoint, index: number): Promise<ProvedLeaf> {
  if (!Number.isSafeInteger(index) || index < 0 || index >= checkpoint.size) throw new DirectoryError('OUT_OF_RANGE', `${index} of ${checkpoint.size}`)
  const bundle = Math.floor(index / TILE_WIDTH)
  const width = Math.min(TILE_WIDTH, checkpoint.size - bundle * TILE_WIDTH)
  const leaf = decodeBundle(await reader.bundle(bundle, width), width)[index % TILE_WIDTH]
  if (leaf === undefined) throw new DirectoryError('MALFORMED_BUNDLE')
  const proof = await proveInclusion(reader, checkpoint, index, leafHash(leaf))
  return { entry: decodeEntry(leaf), index, proof }
}

/** The root of the first `size` entries of the tree of `of` entries, 32 bytes, from its tiles. Throws as `readProof`. */
export async function readRoot(reader: Pick<TileReader, 'tile'>, size: number, of: number): Promise<Uint8Array> {
  if (size === 0) return EMPTY_ROOT
  const [root] = await readProof(reader, [{ start: 0, end: size }], of)
  assert(root !== undefined, 'a range has a root')
  return root
}

/** The hashes of a plan's ranges in the tree of `size`, 32 bytes each, from its tiles. Throws MALFORMED_TILE and what the reader throws. */
export async function readProof(reader: Pick<TileReader, 'tile'>, plan: readonly Range[], size: number): Promise<Uint8Array[]> {
  const tiles = planTiles(plan, size)
  return proofFromTileList(plan, size, await Promise.all(tiles.map((tile) => reader.tile(tile))))
}
