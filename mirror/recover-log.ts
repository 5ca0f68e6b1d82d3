// Filling the database of a directory that lacks what its guard has signed, with the bytes that a mirror has kept of it. Nothing is
// signed here. spec/mirror.md#recovering

import { readRoot } from '../src/client/log-client.ts'
import { MismatchError } from '../src/client/mismatch.ts'
import { leavesFrom, openProvenTree, type ProvenTree } from '../src/client/proven-tree.ts'
import { NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { verdictOf } from '../src/core/errors.ts'
import { openCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import { RECOVERING } from '../src/log/open-log.ts'
import type { Head, Store } from '../src/storage/store.ts'
import { Tip } from '../src/storage/tip.ts'
import type { Signed } from './cosigner.ts'
import { tilesOf } from './checkpoints.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readStatement } from './log-keys.ts'
import { Replica, type ReplicaPorts } from './replica.ts'

/** What a recovery stands on. */
export interface RecoveryPorts {
  readonly store: Store
  /** Where the log is served. */
  readonly url: string
  readonly reader: TileReader
  /** What the guard remembers as signed last, and its id. Held by the caller, so that nobody signs meanwhile. */
  readonly guard: { readonly id: string; readonly size: number; readonly root: Uint8Array }
  readonly origin: string
  /** The keys of the log, all of them. */
  readonly keys: readonly VerifierKey[]
  readonly verify: ReplicaPorts['verify']
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
  readonly onProgress: (done: number, of: number) => void
  readonly signal: AbortSignal
}

/** What was done. */
export interface Recovered {
  /** Entries that were held before. */
  readonly from: number
  /** Entries that are held now. */
  readonly to: number
  /** Size of the checkpoint that is published now; null for none. */
  readonly published: number | null
}

/** The log cannot be recovered in this way: words for the operator. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError'
}

/**
 * Fills the store up to the size and root that the guard remembers, and publishes the checkpoint that is served with them. Cut
 * short anywhere it can be called again; until it is done nobody opens the log. Throws RecoveryError, and has changed
 * nothing, where what is served does not lead there; what the reader throws; and incidents of the store.
 */
export async function recoverLog(ports: RecoveryPorts): Promise<Recovered> {
  const { store, url, guard, origin } = ports
  const held = await store.head()
  if (held !== null) await checkHeld(held, ports)
  const shown = await readShown(ports)
  if (shown.checkpoint.size > guard.size) {
    throw new RecoveryError(
      `${url} shows ${shown.checkpoint.size} entries that this log's key has signed, but the guard remembers ${guard.size}: it is not the newest guard, or somebody else has the key. Nothing was changed. ` +
        'Bring back the newest guard; where the key was stolen, see docs/operations.md',
    )
  }
  const from = held?.size ?? 0
  if (from < guard.size) await fill(ports, held, await provenTree(ports, shown, held))
  const head = await finish(ports)
  if (head === null) throw new RecoveryError(`the database holds no log, and the guard of ${origin} has signed no entries: create it again with \`stele init --origin ${origin}\``)
  const published = await publish(ports, head, shown)
  return { from, to: head.size, published }
}

async function checkHeld(held: Head, { store, guard, origin }: RecoveryPorts): Promise<void> {
  if (held.origin !== origin) throw new RecoveryError(`the database holds the log ${held.origin}, not ${origin}`)
  if (held.guardId !== guard.id && held.guardId !== RECOVERING + guard.id) {
    throw new RecoveryError(`the database names another guard (${held.guardId}) as this log's signer; this one is ${guard.id}. Recover the log where that guard is`)
  }
  if (held.size >= guard.size && !bytesEqual(await readRoot(tilesOf(store), guard.size, held.size), guard.root)) throw strange(held, guard)
}

async function readShown({ reader, url, keys, origin }: RecoveryPorts): Promise<Signed> {
  const note = await reader.checkpoint()
  const { value, verdict } = verdictOf(() => openCheckpoint(note, keys))
  if (verdict !== null) throw new RecoveryError(`${url} does not serve the log ${origin}: its checkpoint is not signed by the key of this log (${verdict.message})`)
  return { checkpoint: value.checkpoint, note }
}

// The tree that was signed, as it is served: with the entries that are held as its first ones.
async function provenTree({ reader, url, guard, origin }: RecoveryPorts, shown: Signed, held: Head | null): Promise<ProvenTree> {
  let tree: ProvenTree
  try {
    tree = await openProvenTree((use) => use(reader), { origin, size: guard.size, root: guard.root })
  } catch (error) {
    if (error instanceof NotServedError) {
      throw new RecoveryError(
        `${url} does not hold all of the ${guard.size} entries that were signed, but ${shown.checkpoint.size}, or a few more. Nothing was changed. Ask another mirror; ` +
          'where nobody holds them, retire this log (docs/operations.md)',
      )
    }
    if (error instanceof MismatchError) throw new RecoveryError(`what ${url} serves does not lead to the root that was signed at ${guard.size} entries (${error.message}). Nothing was changed. Ask another mirror`)
    throw error
  }
  if (held === null || held.size === 0) return tree
  if (bytesEqual(await readRoot(tree, held.size, guard.size), held.root)) return tree
  throw strange(held, guard)
}

function strange(held: Head, guard: RecoveryPorts['guard']): RecoveryError {
  return new RecoveryError(
    `the database's ${held.size} entries do not go with the ${guard.size} that were signed: it took operations after it had been restored, or it is another database. Nothing was changed. ` +
      'Keep it (`stele export --database`), and recover into an empty one, or into a copy from before',
  )
}

async function fill(ports: RecoveryPorts, held: Head | null, tree: ProvenTree): Promise<void> {
  const { store, guard, origin, keys, url, verify, now, signal, onProgress } = ports
  const marked = RECOVERING + guard.id
  if (held === null) {
    const statement = await readStatement(url, keys, signal)
    await store.create({ origin, guardId: marked, vkeys: keys.map(formatVerifierKey), ...(statement === null ? {} : { statement: statement.note }) })
  } else if (held.guardId !== marked) await store.setSigner(guard.id, { guardId: marked, vkeys: held.vkeys })
  const begun = await store.head()
  if (begun === null) throw new Error('the log that was created is gone')
  const told = (from: number, to: number): void => onProgress(to, Math.max(from, guard.size))
  const replica = new Replica({ store, tip: new Tip(), verify, appended: told, rejected: () => undefined, now }, begun)
  await replica.append(leavesFrom(tree, begun.size, signal, MIRROR_LIMITS))
}

// The log is opened again once it holds what was signed, and not before.
async function finish({ store, guard }: RecoveryPorts): Promise<Head | null> {
  const head = await store.head()
  if (head === null || head.guardId === guard.id) return head
  if (head.size !== guard.size || !bytesEqual(head.root, guard.root)) throw new Error(`the database holds ${head.size} entries after its recovery, and not those that were signed`)
  await store.setSigner(head.guardId, { guardId: guard.id, vkeys: head.vkeys })
  return head
}

// The published checkpoint is lost with the database; whoever served it still has it.
async function publish({ store, now }: RecoveryPorts, head: Head, { checkpoint, note }: Signed): Promise<number | null> {
  const known = await store.publication()
  if (known !== null && known.size >= checkpoint.size) return known.size
  if (checkpoint.size > head.size || !bytesEqual(await readRoot(tilesOf(store), checkpoint.size, head.size), checkpoint.root)) return known?.size ?? null
  await store.publish({ size: checkpoint.size, root: checkpoint.root, note, publishedAt: now() })
  return checkpoint.size
}
