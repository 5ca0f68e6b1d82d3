// A writer of the map over a log in memory, which can be stopped and started again; and the oracle of all that it leaves behind.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { stateOfRows } from '../../src/core/did-state.ts'
import { didKey, stateValue } from '../../src/core/map/did-state.ts'
import { decodeMapLeaf, mapOrigin } from '../../src/core/map/map-leaf.ts'
import { verifyStateProof, type ProvedState } from '../../src/core/state-proof.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { createLog } from '../../src/log/create-log.ts'
import { openGuard, type Guard } from '../../src/log/guard.ts'
import { HeldMap } from '../../src/map/held-map.ts'
import { runMap, type MapPorts } from '../../src/map/run-map.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { systemClock } from '../../src/system.ts'
import { naiveMapRoot } from './naive-map.ts'
import { naiveRoot } from './naive-tree.ts'
import { appendLeaves, LOG_KEY, publishAll } from './stored-log.ts'

/** The key of the map of the logs of stored-log. */
export const MAP_KEY = makeSigningKey(mapOrigin(LOG_KEY.name), KEY_TYPES.ed25519, new Uint8Array(32).fill(8))

/** How long a test waits for a state. */
const WAIT = { timeout: 30_000, interval: 2 }

/** A map that is written, beside a log that grows by hand. */
export interface MapSite extends AsyncDisposable {
  readonly store: Store
  readonly tip: Tip
  /** The map of the writer that runs, or ran last. */
  held: HeldMap
  /** Every head that the guard was told, in order: what may have been signed. */
  readonly recorded: { readonly size: number; readonly root: string }[]
  readonly words: string[]
  /** How the writer ended, once it has. */
  ended: unknown
  /** Appends leaves to the log and publishes its checkpoint. */
  grow(leaves: readonly Uint8Array[]): Promise<void>
  start(more?: Partial<MapPorts>): void
  stop(): Promise<void>
  /** Resolves once proofs are made of the version of this many entries. */
  shows(size: number): Promise<void>
  /** The proof for a DID, verified. */
  proved(did: string): Promise<ProvedState>
}

/** The map of a log that is stored, begun and not yet written. */
export async function mapSite(store: Store, spoil: (guard: Guard) => Guard = (guard) => guard): Promise<MapSite> {
  const folder = mkdtempSync(join(tmpdir(), 'stele-map-'))
  const guardPath = join(folder, 'guard.sqlite')
  const guard = await createLog(store.map, { origin: MAP_KEY.name, keys: [MAP_KEY], guardPath, guardId: 'guard of the map' }, systemClock)
  guard[Symbol.dispose]()
  const [head, publication] = [await store.head(), await store.publication()]
  const tip = new Tip({ durable: head?.size ?? 0, published: publication?.size ?? 0 })
  let stop: () => Promise<void> = () => Promise.resolve()
  const site: MapSite = {
    store,
    tip,
    held: new HeldMap(store, systemClock),
    recorded: [],
    words: [],
    ended: null,
    async grow(leaves) {
      await appendLeaves(store, leaves)
      await publishAll(store)
      tip.advancePublished((await store.head())?.size ?? 0)
    },
    start(more = {}) {
      const opened = openGuard(guardPath, MAP_KEY.name)
      const guard = spoil({
        ...opened,
        record(head) {
          opened.record(head)
          site.recorded.push({ size: head.size, root: Buffer.from(head.root).toString('hex') })
        },
      })
      site.held = new HeldMap(store, systemClock)
      site.ended = null
      const aborting = new AbortController()
      const ports: MapPorts = {
        store, tip, held: site.held, guard, keys: [MAP_KEY], witnesses: null, intervalMs: 1, checkpointIntervalMs: 1, clock: systemClock,
        log: (_level, { error }, words) => site.words.push(error instanceof Error ? `${words}: ${error.message}` : words),
      }
      const running = runMap({ ...ports, ...more }, aborting.signal).catch((error: unknown) => (site.ended = error))
      stop = async () => {
        stop = () => Promise.resolve()
        aborting.abort()
        await running
        opened[Symbol.dispose]()
      }
    },
    stop: () => stop(),
    async shows(size) {
      await vi.waitFor(() => {
        if (site.ended !== null) throw site.ended
        expect(site.held.shown?.leaf.size).toBe(size)
      }, WAIT)
    },
    async proved(did) {
      const text = await site.held.prove(did)
      if (text === null) throw new Error('no version is shown')
      return verifyStateProof(text, did, { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null })
    },
    async [Symbol.asyncDispose]() {
      await stop()
      rmSync(folder, { recursive: true })
    },
  }
  return site
}

/** Fails unless leaves, buckets, tiles' root and publication are what the definitions say of the log's entries, and no size was recorded with two roots. */
export async function checkMap({ store, recorded }: Pick<MapSite, 'store' | 'recorded'>): Promise<void> {
  const rows = await store.entries(0, Number.MAX_SAFE_INTEGER)
  const hashes = rows.map((row) => leafHash(row.entry))
  const head = await store.map.head()
  if (head === null) throw new Error('there is no map')
  const leaves = await store.map.leaves(0, Number.MAX_SAFE_INTEGER)
  expect(head).toMatchObject({ size: leaves.length, root: naiveRoot(leaves.map(leafHash)) })
  let before = -1
  for (const { mapRoot, size, root } of leaves.map(decodeMapLeaf)) {
    expect(size).toBeGreaterThan(before)
    expect(root).toEqual(naiveRoot(hashes.slice(0, size)))
    expect(mapRoot).toEqual(rootOf(size))
    before = size
  }
  const publication = await store.map.publication()
  const { checkpoint } = openCheckpoint(publication?.note ?? '', [MAP_KEY])
  expect(checkpoint).toEqual({ origin: MAP_KEY.name, size: publication?.size, root: naiveRoot(leaves.slice(0, checkpoint.size).map(leafHash)) })
  const version = await store.map.version()
  expect(version?.root).toEqual(rootOf(version?.size ?? -1))
  for (const { size, root } of recorded) expect(root).toBe(Buffer.from(naiveRoot(leaves.slice(0, size).map(leafHash))).toString('hex'))

  function rootOf(size: number): Uint8Array {
    const accepted = rows.slice(0, size).filter((row) => row.rejected === null)
    return naiveMapRoot([...Map.groupBy(accepted, (row) => row.did)].map(([did, own]) => ({ key: didKey(did), value: stateValue(stateOfRows(own)) })))
  }
}
