// What shows a stranger that a map was signed that is not the log's, or that the map's log contradicts itself. spec/mirror.md#map

import { findFork } from '../src/client/fork.ts'
import { proveInclusion, readProof, readRoot } from '../src/client/log-client.ts'
import { NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { DirectoryError } from '../src/core/errors.ts'
import { wrongMap, type Evidence } from '../src/core/evidence.ts'
import type { MapFault, WrongMap } from '../src/core/evidence-map.ts'
import { decodeMapLeaf } from '../src/core/map/map-leaf.ts'
import { leafHash } from '../src/core/tlog/hash.ts'
import type { VerifierKey } from '../src/core/tlog/note.ts'
import { consistencyPlan } from '../src/core/tlog/proof.ts'
import type { MapHead, Store } from '../src/storage/store.ts'
import { tilesOf } from './checkpoints.ts'
import type { Signed } from './cosigner.ts'

/** A leaf of a signed tree, after those of `head`. */
export interface WrongLeaf {
  readonly head: MapHead
  readonly bytes: Uint8Array
  readonly signed: Signed
  /** Of the signed tree. */
  readonly tiles: Pick<TileReader, 'tile'>
}

/** What is known of both logs. */
export interface Accuser {
  readonly store: Store
  /** Of the map's log. */
  readonly keys: readonly VerifierKey[]
  /** Of the log. */
  readonly logKeys: readonly VerifierKey[]
}

/** Evidence of a leaf that was signed and is wrong; null where the tiles are not those of the tree that was signed. Throws incidents. */
export async function accuseLeaf(fault: MapFault, { head, bytes, signed, tiles }: WrongLeaf, { store, keys, logKeys }: Accuser): Promise<Evidence | null> {
  try {
    const prove = async (index: number, entry: Uint8Array): Promise<WrongMap['leaves'][number]> => ({ index, entry, proof: await proveInclusion(tiles, signed.checkpoint, index, leafHash(entry)) })
    const [before] = fault === 'order' ? await store.map.leaves(head.size - 1, head.size) : []
    const leaves = [...(before === undefined ? [] : [await prove(head.size - 1, before)]), await prove(head.size, bytes)]
    const publication = fault === 'tree' || fault === 'root' ? await store.publication() : null
    if (publication === null) return wrongMap(fault, leaves, null, [signed.note], keys)
    const { size } = decodeMapLeaf(bytes)
    const own = tilesOf(store)
    const tree = { root: await readRoot(own, size, publication.size), proof: await readProof(own, consistencyPlan(size, publication.size), publication.size) }
    return wrongMap(fault, leaves, tree, [signed.note, publication.note], [...keys, ...logKeys])
  } catch (error) {
    return orNull(error)
  }
}

/** Evidence that a signed checkpoint of the map's log contradicts one of those that are known, by the tiles of the larger tree; null for none. Throws incidents. */
export async function findMapFork(known: readonly string[], { note }: Signed, larger: Pick<TileReader, 'tile'>, keys: readonly VerifierKey[]): Promise<Evidence | null> {
  for (const before of known) {
    const evidence = await findFork(larger, before, note, keys).catch(orNull)
    if (evidence !== null) return evidence
  }
  return null
}

// What is served is not what was signed: that shows nothing.
function orNull(error: unknown): null {
  if (error instanceof DirectoryError || error instanceof NotServedError) return null
  throw error
}
