// From where a mirror stands to a checkpoint, by tiles and bundles: read ahead, checked as they arrive, replayed in order.
// spec/mirror.md#backfill

import { TILE_WIDTH } from '../src/core/tlog/tile.ts'
import { MIRROR_LIMITS } from './limits.ts'
import type { ProvenTree } from './proven-tree.ts'

/** The leaves of a tree from index `from` on, in runs that fit in a transaction each; bundles are asked for before they are needed. Throws as `ProvenTree.bundle`, and the signal's reason. */
export async function* leavesFrom(tree: ProvenTree, from: number, signal: AbortSignal, limits: Pick<typeof MIRROR_LIMITS, 'batchEntries' | 'batchBytes' | 'bundlesAhead'> = MIRROR_LIMITS): AsyncGenerator<readonly Uint8Array[]> {
  let run: Uint8Array[] = []
  let bytes = 0
  let skip = from % TILE_WIDTH
  for await (const leaves of bundlesFrom(tree, Math.floor(from / TILE_WIDTH), limits.bundlesAhead)) {
    signal.throwIfAborted()
    for (const leaf of leaves.slice(skip)) {
      run.push(leaf)
      bytes += leaf.length
    }
    skip = 0
    if (run.length + TILE_WIDTH <= limits.batchEntries && bytes < limits.batchBytes) continue
    yield run
    run = []
    bytes = 0
  }
  if (run.length > 0) yield run
}

async function* bundlesFrom(tree: ProvenTree, first: number, atOnce: number): AsyncGenerator<readonly Uint8Array[]> {
  const end = Math.ceil(tree.size / TILE_WIDTH)
  const queue: Promise<readonly Uint8Array[]>[] = []
  let asked = first
  for (let due = first; due < end; due++) {
    for (; asked < end && queue.length < atOnce; asked++) {
      const bundle = tree.bundle(asked)
      bundle.catch(() => undefined) // it is thrown where it is awaited, if it ever is
      queue.push(bundle)
    }
    const next = queue.shift()
    if (next !== undefined) yield await next
  }
}
