// The rows of a map made anew from the log: whether what was published is what the log leads to. spec/map.md#storage

import { bytesEqual } from '../core/encoding/text.ts'
import { EMPTY_MAP_ROOT } from '../core/map/trie.ts'
import { UpperTree } from '../core/map/upper-tree.ts'
import type { MapVersion, Store } from '../storage/store.ts'
import { deriveInSteps } from './derive.ts'
import { readLeaf } from './held-map.ts'
import { nativeSha256 } from '../crypto/sha256.ts'

/** What a rebuild came to. */
export interface Rebuilt {
  readonly version: MapVersion
  /** Whether its root is that of the newest published leaf; null where none is published. */
  readonly agrees: boolean | null
}

/**
 * Empties the rows and derives them again, up to the version of the newest published leaf, or to the published checkpoint of the log where there is none.
 * No other process may write the map. Throws the signal's reason when it aborts; run again, it begins anew.
 */
export async function rebuildMap(store: Store, signal: AbortSignal, progress: (size: number, of: number) => void): Promise<Rebuilt> {
  const leaf = await readLeaf(store, ((await store.map.publication())?.size ?? 0) - 1)
  const size = leaf?.size ?? (await store.publication())?.size ?? 0
  await store.map.clear()
  const version = await deriveInSteps(store, new UpperTree(nativeSha256), { size: 0, root: EMPTY_MAP_ROOT }, size, signal, (done) => progress(done, size))
  return { version, agrees: leaf === null ? null : bytesEqual(leaf.mapRoot, version.root) }
}
