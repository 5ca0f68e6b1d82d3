// The writer of the map: derives a version, appends its leaf, has it signed and witnessed, and shows it; one after the other.
// spec/map.md#storage

import { bytesEqual } from '../core/encoding/text.ts'
import { assert } from '../core/errors.ts'
import { grow } from '../core/growth.ts'
import { encodeMapLeaf, type MapLeaf } from '../core/map/map-leaf.ts'
import type { SigningKey } from '../core/tlog/note.ts'
import { startBackoff } from '../log/backoff.ts'
import { ContradictionError } from '../log/consistency.ts'
import { GuardError, type Guard } from '../log/guard.ts'
import { openLog } from '../log/open-log.ts'
import { UNOBSERVED, type Clock, type LogLine } from '../log/ports.ts'
import { runPublisher } from '../log/publisher.ts'
import type { Witnesses } from '../log/witnesses.ts'
import type { MapHead, MapVersion, SignedLog, Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { deriveInSteps, deriveVersion, type Derived } from './derive.ts'
import { MapDamagedError, readLeaf, type HeldMap } from './held-map.ts'
import { MAP_LIMITS } from './limits.ts'

/** What the writer of the map works with. */
export interface MapPorts {
  readonly store: Store
  /** Of the log. */
  readonly tip: Tip
  readonly held: HeldMap
  /** Of the map's log, as are the keys and the witnesses. */
  readonly guard: Guard
  readonly keys: readonly SigningKey[]
  readonly witnesses: Witnesses | null
  /** Shortest time between two leaves, milliseconds. */
  readonly intervalMs: number
  /** Shortest time between two checkpoints of the map's log, milliseconds. */
  readonly checkpointIntervalMs: number
  readonly clock: Clock
  readonly log: LogLine
}

/** A leaf that is durable and not yet published: what will lead to its version. */
interface Pending {
  readonly leaves: number
  readonly leaf: MapLeaf
  readonly derived: Derived
}

/**
 * Writes the map until `signal` is aborted. Throws ContradictionError, GuardError or MapDamagedError, in words for the operator, where it must not go on;
 * every other incident is tried again, from what the store holds.
 */
export async function runMap(ports: MapPorts, signal: AbortSignal): Promise<void> {
  const backoff = startBackoff(ports.clock)
  while (!signal.aborted) {
    try {
      await writeMap(ports, signal, () => backoff.reset())
    } catch (error) {
      ports.held.show(null)
      if (error instanceof ContradictionError || error instanceof GuardError || error instanceof MapDamagedError) throw error
      if (signal.aborted) return
      ports.log('warn', { error }, 'the map could not be written; trying again')
      await backoff.wait(signal)
    }
  }
}

async function writeMap(ports: MapPorts, signal: AbortSignal, wrote: () => void): Promise<void> {
  const { store, guard, keys, witnesses, checkpointIntervalMs: intervalMs, clock, log } = ports
  const tip = await openLog(store.map, keys, guard)
  const state: WriterState = { version: await heldVersion(ports, tip.published, signal), published: tip.published, pending: null }
  // Before anything is signed it is known what rows belong to it.
  if (tip.durable > tip.published) state.pending = await derivePending(ports, state, tip.durable, signal)
  const stop = new AbortController()
  const ended = AbortSignal.any([signal, stop.signal])
  const published = runPublisher({ store: publishing(ports, state), tip, guard, keys, intervalMs, clock, observer: UNOBSERVED, log, witnesses }, ended)
  const written = writeLeaves(ports, state, tip, ended, wrote)
  try {
    // The publisher ends in order where it is told to, or where a witness contradicts the map: then nothing is ever published again.
    await Promise.race([written, published.then(() => written)])
  } finally {
    stop.abort()
    await Promise.allSettled([written, published])
  }
}

// A rebuild that was cut short leaves rows of an earlier version than the published one.
async function heldVersion({ store, held }: MapPorts, leaves: number, signal: AbortSignal): Promise<MapVersion> {
  const version = await held.load()
  const leaf = await readLeaf(store, leaves - 1)
  if (leaf === null || version.size >= leaf.size) return version
  const derived = await deriveInSteps(store, held.tree, version, leaf.size, signal)
  if (!bytesEqual(derived.root, leaf.mapRoot)) throw otherMap(leaf)
  held.show({ leaves, leaf })
  return derived
}

function otherMap({ size }: MapLeaf): MapDamagedError {
  return new MapDamagedError(`the map of ${size} entries is not the one whose root stands in its log: run \`stele map rebuild\`, while no directory runs on this database`)
}

interface WriterState {
  /** What rows and tree hold. */
  version: MapVersion
  /** Leaves that the published checkpoint covers. */
  published: number
  pending: Pending | null
}

async function writeLeaves(ports: MapPorts, state: WriterState, mapTip: Tip, signal: AbortSignal, wrote: () => void): Promise<void> {
  const { tip, clock, intervalMs } = ports
  let lastAt = -Infinity
  try {
    for (;;) {
      if (state.pending !== null) {
        const { leaves } = state.pending
        mapTip.advanceDurable(leaves)
        await mapTip.pastPublished(leaves - 1, signal)
        wrote()
      }
      const { head, newest } = await newestLeaf(ports.store)
      if (head.size > state.published) {
        // An append whose reply was lost has arrived.
        state.pending = await derivePending(ports, state, head.size, signal)
        continue
      }
      await tip.pastPublished(newest?.size ?? -1, signal)
      await clock.sleep(lastAt + intervalMs - clock.now(), signal)
      signal.throwIfAborted()
      lastAt = clock.now()
      await appendLeaf(ports, state, head, newest?.size ?? -1, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function newestLeaf(store: Store): Promise<{ readonly head: MapHead; readonly newest: MapLeaf | null }> {
  const head = await store.map.head()
  assert(head !== null, 'there is a log of the map')
  return { head, newest: await readLeaf(store, head.size - 1) }
}

// The last leaf was appended and not published: the log's same entries lead to the same version, or nothing is signed.
async function derivePending({ store, held }: MapPorts, { version }: WriterState, leaves: number, signal: AbortSignal): Promise<Pending> {
  const leaf = await readLeaf(store, leaves - 1)
  assert(leaf !== null, 'the log of the map has its leaves')
  const derived = await deriveVersion(store, held.tree, version, leaf.size, signal)
  if (bytesEqual(derived.change.to.root, leaf.mapRoot)) return { leaves, leaf, derived }
  throw otherMap(leaf)
}

async function appendLeaf({ store, held }: MapPorts, state: WriterState, head: MapHead, before: number, signal: AbortSignal): Promise<void> {
  const publication = await store.publication()
  if (publication === null || publication.size <= before) return
  const { size, root } = publication
  if (size - state.version.size > MAP_LIMITS.stepEntries) {
    held.show(null)
    state.version = await deriveInSteps(store, held.tree, state.version, size, signal)
  }
  const derived = await deriveVersion(store, held.tree, state.version, size, signal)
  const leaf = { mapRoot: derived.change.to.root, size, root }
  const bytes = encodeMapLeaf(leaf)
  const grown = grow(head.edge, [bytes])
  // First what belongs to it, then the leaf: whoever finds the leaf signs it.
  state.pending = { leaves: grown.edge.size, leaf, derived }
  await store.map.append({ from: { size: head.size, root: head.root }, to: { size: grown.edge.size, root: grown.root, edge: grown.edge }, leaf: bytes, tiles: grown.tiles })
}

// The map's log for its publisher: with the checkpoint of a version, its rows are written, and then it is shown.
function publishing({ store, held }: MapPorts, state: WriterState): SignedLog {
  return {
    ...store.map,
    async publish(publication) {
      const { pending } = state
      if (pending === null || pending.leaves !== publication.size) {
        assert(publication.size <= state.published, 'a version of the map is published with its rows')
        await store.map.publish(publication)
        return
      }
      await store.map.publish(publication, pending.derived.change)
      held.tree.apply(pending.derived.upper)
      held.show({ leaves: pending.leaves, leaf: pending.leaf })
      Object.assign(state, { version: pending.derived.change.to, published: pending.leaves, pending: null })
    },
  }
}
