// The map of the log that is mirrored: derived here from the entries that are held, and held against every leaf of the map's log.
// spec/mirror.md#map

import { proveConsistency } from '../src/client/log-client.ts'
import { ServerError } from '../src/client/request.ts'
import { httpTileReader, NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { alarmPart, type AlarmPart } from '../src/core/alarm.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { assert, DirectoryError } from '../src/core/errors.ts'
import { grow } from '../src/core/growth.ts'
import { decodeMapLeaf, mapOrigin, type MapLeaf } from '../src/core/map/map-leaf.ts'
import { decodeBundle } from '../src/core/tlog/bundle.ts'
import { openCheckpoint, type Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { EMPTY_ROOT } from '../src/core/tlog/hash.ts'
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import { planTiles, proofFromTileList, TILE_WIDTH } from '../src/core/tlog/tile.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import { deriveInSteps, deriveVersion, type Derived } from '../src/map/derive.ts'
import type { HeldMap } from '../src/map/held-map.ts'
import { MAP_LIMITS } from '../src/map/limits.ts'
import type { MapHead, MapVersion, Store } from '../src/storage/store.ts'
import type { Tip } from '../src/storage/tip.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { readShownKeys } from './log-keys.ts'

/** Where the map's log of an upstream is read. */
export interface MapSource {
  readonly url: string
  readonly reader: TileReader
  /** The keys that the upstream says are its map's. Throws NotServedError where it has no map. */
  readonly keys: () => Promise<readonly VerifierKey[]>
}

/** What following the map stands on. */
export interface MapFollowing {
  readonly store: Store
  /** Of the log: what is held of it is verified. */
  readonly tip: Tip
  readonly held: HeldMap
  /** Of the log. */
  readonly origin: string
  /** The guard's stand-in in the store of a mirror. */
  readonly guardId: string
  readonly sources: () => readonly MapSource[]
  /** Keeps what contradicts the log, for people to look at. */
  readonly keepAlarm: (words: string, parts: readonly AlarmPart[]) => string | null
  readonly clock: Clock
  readonly log: LogLine
}

/** The map's log of an upstream, over HTTP. */
export function mapSource(url: string, signal: AbortSignal): MapSource {
  return {
    url,
    reader: httpTileReader(`${url}/map`, { attempts: 1, timeoutMs: MIRROR_LIMITS.requestMs, signal }),
    keys: () =>
      readShownKeys(url, signal, 'map/vkey').catch((error: unknown) => {
        throw error instanceof ServerError && error.status === 404 ? new NotServedError(`${url} has no map`) : error
      }),
  }
}

/** The map that was signed is not the one that the log leads to: following it ends. */
export class WrongMapError extends Error {
  override readonly name = 'WrongMapError'
  readonly parts: readonly AlarmPart[]

  constructor(words: string, parts: readonly AlarmPart[]) {
    super(words)
    this.parts = parts
  }
}

/** Leaves that are read and shown to be the map log's before they are derived. */
const LEAVES_TOGETHER = 16 * TILE_WIDTH

/** Follows the map until `signal` is aborted. Throws WrongMapError, once it has kept an alarm, where the map is not the log's; everything else is tried again. */
export async function followMap(following: MapFollowing, signal: AbortSignal): Promise<void> {
  const { clock, held, sources, keepAlarm, log } = following
  const state: HeldState = { version: null }
  while (!signal.aborted) {
    for (const source of sources()) {
      try {
        const head = await beginMap(following, source)
        state.version ??= await held.load()
        await readMap(following, source, head, state, signal)
        break
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof WrongMapError) {
          log('error', { url: source.url, alarm: keepAlarm(error.message, error.parts) }, error.message)
          throw error
        }
        if (!(error instanceof NotServedError)) log('warn', { url: source.url, error }, 'the map cannot be read')
      }
    }
    await clock.sleep(MIRROR_LIMITS.pollMs, signal)
  }
}

/** What rows and tree hold; null where that is not certain. */
interface HeldState {
  version: MapVersion | null
}

// The keys of the map are those that are stored, or else the ones that were shown first.
async function beginMap({ store, origin, guardId, log }: MapFollowing, { url, keys }: MapSource): Promise<MapHead> {
  const known = await store.map.head()
  if (known !== null) return known
  const own = (await keys()).filter(({ name }) => name === mapOrigin(origin))
  if (own.length === 0) throw new NotServedError(`${url} shows no key of ${mapOrigin(origin)}`)
  log('info', { url, keys: own.map(formatVerifierKey) }, "the map's key that is shown is believed, now and from now on")
  await store.map.create({ origin: mapOrigin(origin), guardId, vkeys: own.map(formatVerifierKey) })
  const begun = await store.map.head()
  assert(begun !== null, 'the log of the map was begun')
  return begun
}

// From the leaves that are held to the checkpoint that is shown, as far as the entries for it are here.
async function readMap(following: MapFollowing, { reader }: MapSource, from: MapHead, state: HeldState, signal: AbortSignal): Promise<void> {
  const { store, tip, clock } = following
  let head = from
  const note = await reader.checkpoint()
  const { checkpoint } = openCheckpoint(note, head.vkeys.map(parseVerifierKey))
  if (checkpoint.size < head.size) return
  for (;;) {
    const end = Math.min(checkpoint.size, head.size + LEAVES_TOGETHER)
    const leaves = await readLeaves(reader, head.size, end)
    await showPrefix(reader, { origin: checkpoint.origin, size: end, root: grow(head.edge, leaves).root }, checkpoint)
    for (const bytes of leaves) {
      const leaf = decodeMapLeaf(bytes)
      if (leaf.size > tip.durable) return
      const { version } = state
      assert(version !== null, 'rows and tree are one version')
      // Whatever fails from here on, the rows are read anew.
      state.version = null
      const derived = await deriveLeaf(following, version, leaf, [alarmPart('checkpoint', note), alarmPart('leaf', bytes), alarmPart('index', String(head.size))], signal)
      const grown = grow(head.edge, [bytes])
      await store.map.append({ from: head, to: { size: grown.edge.size, root: grown.root, edge: grown.edge }, leaf: bytes, tiles: grown.tiles })
      head = { ...head, size: grown.edge.size, root: grown.root, edge: grown.edge }
      if (head.size === checkpoint.size) {
        await store.map.publish({ size: head.size, root: head.root, note, publishedAt: clock.timeOfDay() }, derived.change)
        following.held.tree.apply(derived.upper)
        following.held.show({ leaves: head.size, leaf })
        state.version = derived.change.to
        return
      }
      await store.map.change(derived.change)
      following.held.tree.apply(derived.upper)
      following.held.show(null)
      state.version = derived.change.to
    }
    if (head.size === checkpoint.size) {
      // The same tree, perhaps with more signatures.
      const known = await store.map.publication()
      if (known?.note !== note && known?.size === head.size) await store.map.publish({ size: head.size, root: head.root, note, publishedAt: clock.timeOfDay() })
      return
    }
  }
}

async function readLeaves(reader: TileReader, start: number, end: number): Promise<Uint8Array[]> {
  const leaves: Uint8Array[] = []
  for (let bundle = Math.floor(start / TILE_WIDTH); bundle * TILE_WIDTH < end; bundle++) {
    const width = Math.min(TILE_WIDTH, end - bundle * TILE_WIDTH)
    const bytes = decodeBundle(await reader.bundle(bundle, width), width)
    leaves.push(...bytes.slice(Math.max(0, start - bundle * TILE_WIDTH)))
  }
  return leaves
}

// That the leaves held, and those that were read, are the first of the tree that was signed. Throws INVALID_PROOF.
async function showPrefix(reader: TileReader, prefix: Checkpoint, checkpoint: Checkpoint): Promise<void> {
  if (prefix.size < checkpoint.size) await proveConsistency(reader, prefix, checkpoint)
  else if (!bytesEqual(prefix.root, checkpoint.root)) throw new DirectoryError('ROOT_MISMATCH', `${checkpoint.size} leaves of the map`)
}

async function deriveLeaf({ store, held }: MapFollowing, from: MapVersion, leaf: MapLeaf, parts: readonly AlarmPart[], signal: AbortSignal): Promise<Derived> {
  const wrong = (words: string): WrongMapError => new WrongMapError(`the map that was signed for ${leaf.size} entries is not the log's: ${words}`, parts)
  if (leaf.size < from.size) throw wrong(`it comes after one of ${from.size} entries`)
  const range = [{ start: 0, end: leaf.size }]
  const [root = EMPTY_ROOT] = leaf.size === 0 ? [] : proofFromTileList(range, leaf.size, await store.tiles(planTiles(range, leaf.size)))
  if (!bytesEqual(root, leaf.root)) throw wrong('it names another tree of that size')
  const near = leaf.size - from.size > MAP_LIMITS.stepEntries ? await deriveInSteps(store, held.tree, from, leaf.size, signal) : from
  const derived = await deriveVersion(store, held.tree, near, leaf.size, signal)
  if (!bytesEqual(derived.change.to.root, leaf.mapRoot)) throw wrong('the entries lead to another root')
  return derived
}
