// Whether the stored tree extends one that was signed: asked before every signature. spec/log.md#signing

import { DirectoryError } from '../core/errors.ts'
import { consistencyPlan, verifyConsistency } from '../core/tlog/proof.ts'
import { planTiles, proofFromTileList } from '../core/tlog/tile.ts'
import type { Store } from '../storage/store.ts'
import type { SignedHead } from './guard.ts'

/** The stored tree contradicts what was signed: words for the operator. Nothing may be signed. */
export class ContradictionError extends Error {
  override readonly name = 'ContradictionError'
}

/**
 * Reads from the stored tiles the proof that the tree `to` extends the tree `from`, and checks it. Throws
 * ContradictionError where `to` is smaller or the proof fails.
 */
export async function checkExtends(store: Pick<Store, 'tiles'>, from: SignedHead, to: SignedHead): Promise<void> {
  if (to.size < from.size) {
    throw new ContradictionError(
      `the database holds ${to.size} entries, but ${from.size} were signed: it was restored from a backup or failed over to a copy that lags. ` +
        'Signing it would contradict what others hold. Bring back the newest database, or take what is missing from a mirror: stele recover-log --from URL',
    )
  }
  try {
    const proof = await readConsistency(store, from.size, to.size)
    verifyConsistency({ oldSize: from.size, oldRoot: from.root, newSize: to.size, newRoot: to.root, proof })
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
    throw new ContradictionError(
      `the database's tree of ${to.size} entries does not extend the tree of ${from.size} entries that was signed (${error.code}): ` +
        'it is another database, or it was changed. Signing it would contradict what others hold. Bring back the database that the guard belongs to',
    )
  }
}

/** The proof that the stored tree of `newSize` continues that of `oldSize`, out of the stored tiles; not checked. */
export async function readConsistency(store: Pick<Store, 'tiles'>, oldSize: number, newSize: number): Promise<Uint8Array[]> {
  if (oldSize === 0) return []
  const plan = consistencyPlan(oldSize, newSize)
  return proofFromTileList(plan, newSize, await store.tiles(planTiles(plan, newSize)))
}
