// The log of the map, filled again beside its log with the leaves that a mirror has kept of it; and the last one, where it was signed and
// nobody was shown it, derived again. Nothing is signed here. spec/mirror.md#recovering-the-map

import { DerivedMap } from '../src/client/derive-map.ts'
import { readRoot } from '../src/client/log-client.ts'
import { MismatchError } from '../src/client/mismatch.ts'
import { leavesFrom, openProvenTree, type ProvenTree } from '../src/client/proven-tree.ts'
import { NotServedError } from '../src/client/tile-reader.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { assert, verdictOf } from '../src/core/errors.ts'
import { grow } from '../src/core/growth.ts'
import { decodeMapLeaf, encodeMapLeaf } from '../src/core/map/map-leaf.ts'
import { openCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../src/core/tlog/edge.ts'
import { formatVerifierKey } from '../src/core/tlog/note.ts'
import { RECOVERING } from '../src/log/open-log.ts'
import { MAP_LIMITS } from '../src/map/limits.ts'
import { nativeSha256 } from '../src/crypto/sha256.ts'
import type { MapHead, Store } from '../src/storage/store.ts'
import type { Signed } from './cosigner.ts'
import { tilesOf } from './checkpoints.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readStatement } from './log-keys.ts'
import { RecoveryError, type Recovered, type RecoveryPorts } from './recover-log.ts'

/** What the recovery of a map stands on: all of its log, which the store holds already, has been recovered. */
export type MapRecoveryPorts = Pick<RecoveryPorts, 'store' | 'url' | 'reader' | 'guard' | 'origin' | 'keys' | 'now' | 'signal'>

/**
 * Fills the map's log up to the size and root that its guard remembers, and publishes the checkpoint that is served with them; `reader`, `guard`, `origin` and
 * `keys` are of the map's log. The rows of the map are left as they are: whoever writes the map derives them from the leaf on that they are of. Cut short
 * anywhere it can be called again; until it is done nobody opens the map's log. Throws RecoveryError, and has changed nothing, where what is served
 * does not lead there; what the reader throws; and incidents of the store.
 */
export async function recoverMap(ports: MapRecoveryPorts): Promise<Recovered> {
  const { guard } = ports
  const held = await ports.store.map.head()
  if (held !== null) await checkHeld(held, ports)
  const shown = await readShown(ports)
  const { size } = shown.checkpoint
  if (size > guard.size) throw new RecoveryError(`${ports.url} shows ${size} versions of the map that its key has signed, but the guard remembers ${guard.size}: it is not the newest guard, or somebody else has the key. Nothing was changed`)
  if (size === guard.size && !bytesEqual(shown.checkpoint.root, guard.root)) throw new RecoveryError(`${ports.url} shows other versions of the map than the ${guard.size} that were signed here: two have signed with one key. Nothing was changed`)
  const from = held?.size ?? 0
  if (from < guard.size || held?.guardId.startsWith(RECOVERING) === true) await fill(ports, held, shown)
  const head = await ports.store.map.head()
  assert(head !== null, 'the log of the map is there')
  return { from, to: head.size, published: await publish(ports, head, shown) }
}

async function checkHeld(held: MapHead, { store, guard, origin }: MapRecoveryPorts): Promise<void> {
  if (held.origin !== origin) throw new RecoveryError(`the database holds the map's log ${held.origin}, not ${origin}`)
  if (held.guardId !== guard.id && held.guardId !== RECOVERING + guard.id) throw new RecoveryError(`the database names another guard (${held.guardId}) for the map; this one is ${guard.id}. Recover it where that guard is`)
  if (held.size >= guard.size && !bytesEqual(await readRoot(tilesOf(store.map), guard.size, held.size), guard.root)) throw strange(held, guard)
}

async function readShown({ reader, url, keys, origin }: MapRecoveryPorts): Promise<Signed> {
  const note = await reader.checkpoint().catch((error: unknown) => {
    throw error instanceof NotServedError ? new RecoveryError(`${url} has no map. Ask another mirror`) : error
  })
  const { value, verdict } = verdictOf(() => openCheckpoint(note, keys))
  if (verdict !== null) throw new RecoveryError(`${url} does not serve the map ${origin}: its checkpoint is not signed by the key of this map (${verdict.message})`)
  return { checkpoint: value.checkpoint, note }
}

function strange(held: Pick<MapHead, 'size'>, guard: MapRecoveryPorts['guard']): RecoveryError {
  return new RecoveryError(`the database's ${held.size} versions of the map do not go with the ${guard.size} that were signed: it is another database. Nothing was changed`)
}

async function fill(ports: MapRecoveryPorts, held: MapHead | null, shown: Signed): Promise<void> {
  const { store, guard, origin, keys, signal } = ports
  const tree = await provenTree(ports, shown)
  const from = held?.size ?? 0
  const common = Math.min(from, tree.size)
  if (!bytesEqual(await readRoot(tree, common, tree.size), await readRoot(tilesOf(store.map), common, from))) throw strange({ size: from }, guard)
  // A version is signed before it is published: one may be lost that nobody but the guard has seen.
  const own = Math.max(from, tree.size)
  if (own + 1 < guard.size) throw new RecoveryError(`${ports.url} holds ${tree.size} of the ${guard.size} versions of the map that were signed. Nothing was changed. Ask another mirror`)
  const missing = own < guard.size ? await deriveMissing(ports, held, tree) : null
  const marked = RECOVERING + guard.id
  if (held === null) {
    const statement = await readStatement(ports.url, keys, signal, {}, 'map/keys')
    await store.map.create({ origin, guardId: marked, vkeys: keys.map(formatVerifierKey), ...(statement === null ? {} : { statement: statement.note }) })
  } else if (held.guardId !== marked) await store.map.setSigner(guard.id, { guardId: marked, vkeys: held.vkeys })
  if (from < tree.size) for await (const leaves of leavesFrom(tree, from, signal, MIRROR_LIMITS)) for (const leaf of leaves) await append(store, leaf)
  if (missing !== null) await append(store, missing)
  const head = await store.map.head()
  if (head?.size !== guard.size || !bytesEqual(head.root, guard.root)) throw new Error(`the database holds ${head?.size} versions of the map after its recovery, and not those that were signed`)
  await store.map.setSigner(marked, { guardId: guard.id, vkeys: head.vkeys })
}

// What is shown is signed by the map's own key, and so are its leaves.
async function provenTree({ reader, url }: MapRecoveryPorts, { checkpoint }: Signed): Promise<ProvenTree> {
  try {
    return await openProvenTree((use) => use(reader), checkpoint)
  } catch (error) {
    if (error instanceof MismatchError || error instanceof NotServedError) throw new RecoveryError(`what ${url} serves of the map does not lead to the checkpoint that it shows (${error.message}). Nothing was changed. Ask another mirror`)
    throw error
  }
}

// The leaf after those that are held or served: of one of the sizes that the log has had since. The guard's root says of which.
async function deriveMissing({ store, guard, url, signal }: MapRecoveryPorts, held: MapHead | null, tree: ProvenTree): Promise<Uint8Array> {
  const before = await leavesBefore(store, held, tree, signal)
  const { edge } = grow(EMPTY_EDGE, before)
  const last = before.at(-1)
  const since = last === undefined ? 0 : decodeMapLeaf(last).size
  const log = await store.head()
  assert(log !== null, 'the log is there')
  const map = new DerivedMap(nativeSha256)
  const fits = async (size: number): Promise<Uint8Array | null> => {
    const leaf = encodeMapLeaf({ mapRoot: map.root(), size, root: await readRoot(tilesOf(store), size, log.size) })
    return bytesEqual(grow(edge, [leaf]).root, guard.root) ? leaf : null
  }
  if (last === undefined) {
    const first = await fits(0)
    if (first !== null) return first
  }
  for (let at = 0; at < Math.min(log.size, since + MIRROR_LIMITS.leafCandidates); at += MAP_LIMITS.readEntries) {
    signal.throwIfAborted()
    const rows = await store.entries(at, Math.min(log.size, at + MAP_LIMITS.readEntries))
    map.add({ rows: rows.filter(({ index }) => index < since) })
    for (const row of rows.filter(({ index }) => index >= since)) {
      map.add({ rows: [row] })
      const leaf = await fits(row.index + 1)
      if (leaf !== null) return leaf
    }
  }
  throw new RecoveryError(`${url} holds ${tree.size} of the ${guard.size} versions of the map that were signed, and the last one cannot be derived from the log's ${log.size} entries. Nothing was changed. Ask another mirror`)
}

async function leavesBefore(store: Store, held: MapHead | null, tree: ProvenTree, signal: AbortSignal): Promise<readonly Uint8Array[]> {
  if (held !== null && held.size >= tree.size) return store.map.leaves(0, held.size)
  const leaves: Uint8Array[] = []
  for await (const run of leavesFrom(tree, 0, signal, MIRROR_LIMITS)) leaves.push(...run)
  return leaves
}

async function append({ map }: Store, leaf: Uint8Array): Promise<void> {
  const head = await map.head()
  assert(head !== null, 'the log of the map is there')
  const { edge, root, tiles } = grow(head.edge, [leaf])
  await map.append({ from: { size: head.size, root: head.root }, to: { size: edge.size, root, edge }, leaf, tiles })
}

async function publish({ store, now }: MapRecoveryPorts, head: MapHead, { checkpoint, note }: Signed): Promise<number | null> {
  const known = await store.map.publication()
  if (known !== null && known.size >= checkpoint.size) return known.size
  if (checkpoint.size > head.size || !bytesEqual(await readRoot(tilesOf(store.map), checkpoint.size, head.size), checkpoint.root)) return known?.size ?? null
  await store.map.publish({ size: checkpoint.size, root: checkpoint.root, note, publishedAt: now() })
  return checkpoint.size
}
