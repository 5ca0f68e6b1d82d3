// A store in memory, for tests and simulations: the same contract, with faults on demand. spec/log.md#storage

import { assert } from '../core/errors.ts'
import { parseCid } from '../core/encoding/cid.ts'
import { bytesEqual, concatBytes } from '../core/encoding/text.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { EMPTY_EDGE, edgeRoot } from '../core/tlog/edge.ts'
import { mapMemory, type MapFaultPoint } from './map-memory.ts'
import { notaryMemory } from './notary-memory.ts'
import { checkAppend, checkKept, checkNotes, checkPublication } from './rules.ts'
import {
  LogExistsError,
  NoLogError,
  StaleHeadError,
  StalePublicationError,
  StaleSignerError,
  UnknownOutcomeError,
  type Append,
  type EntryRow,
  type Head,
  type LockedHead,
  type Publication,
  type Store,
  type StoredEntry,
} from './store.ts'

/**
 * Where a fault may strike.
 * - `begin`: the head is taken, the work has not begun.
 * - `before commit`: the work is done, nothing is durable. What is thrown propagates and nothing changed.
 * - `after commit`: the change is durable. What is thrown becomes the cause of an UnknownOutcomeError: the reply is lost.
 * - `before publish`, `after publish`: as for a commit, but what is thrown propagates as it is.
 */
export type FaultPoint = 'begin' | 'before commit' | 'after commit' | 'before publish' | 'after publish' | MapFaultPoint

export interface MemoryOptions {
  /** The database's clock, milliseconds since 1970. Default: the machine's. */
  readonly now?: () => number
  /** Called at every point; throwing plays the fault, and a promise delays. */
  readonly fault?: (point: FaultPoint) => void | Promise<void>
}

/** A new, empty store. Disposing it does nothing, so that a test may open a log over it again after a crash. */
export function memoryStore(options: MemoryOptions = {}): Store {
  const now = options.now ?? Date.now
  const fault = options.fault ?? (() => {})
  const rows: EntryRow[] = []
  const indicesOf = new Map<string, number[]>()
  const tiles = new Map<string, Uint8Array>()
  let head: Head | null = null
  let publication: Publication | null = null
  let statement: string | null = null
  /** Notes by size. */
  const kept = new Map<number, string>()
  let turn: Promise<unknown> = Promise.resolve()
  const watchers = new Set<() => void>()
  const notary = notaryMemory()

  function rowsOf(dids: readonly string[], from: number): EntryRow[] {
    const indices = [...new Set(dids)].flatMap((did) => indicesOf.get(did) ?? [])
    return indices.filter((index) => index >= from).sort((a, b) => a - b).map(rowAt)
  }

  function newest(did: string): EntryRow | null {
    return rowsOf([did], 0).findLast((row) => !row.nullified && row.rejected === null) ?? null
  }

  function rowAt(index: number): EntryRow {
    const row = rows[index]
    assert(row !== undefined, `entry ${index} is missing`)
    return row
  }

  function checkTiles({ tiles: grown }: Append): void {
    for (const { level, index, offset } of grown) {
      const length = tiles.get(tileKey(level, index))?.length ?? 0
      if (length !== offset * HASH_BYTES) throw new StaleHeadError(`tile ${level}/${index} has another length`)
    }
  }

  function commit(current: Head, { entries, nullified, tiles: grown, to, upstream }: Append): void {
    for (const row of entries) {
      rows.push(row)
      if (row.did !== '') indicesOf.set(row.did, [...(indicesOf.get(row.did) ?? []), row.index])
    }
    for (const index of nullified) rows[index] = { ...rowAt(index), nullified: true }
    for (const { level, index, hashes } of grown) {
      const key = tileKey(level, index)
      tiles.set(key, concatBytes(tiles.get(key) ?? new Uint8Array(), hashes))
    }
    head = { ...current, ...to }
    if (upstream !== undefined) notary.note(upstream)
    moved()
  }

  function moved(): void {
    for (const watcher of watchers) queueMicrotask(watcher)
  }

  async function replied(): Promise<void> {
    try {
      await fault('after commit')
    } catch (cause) {
      throw new UnknownOutcomeError('the reply to the commit was lost', { cause })
    }
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(work)
    turn = result.catch(() => {})
    return result
  }

  async function transaction<T>(work: (locked: LockedHead) => Promise<T>): Promise<T> {
    if (head === null) throw new NoLogError('no log has been created')
    const current = head
    let pending: Append | null = null
    let failure: unknown = null
    let open = true
    await fault('begin')
    try {
      const result = await work({
        head: current,
        now: async () => now(),
        async history(dids, from) {
          assert(open, 'the head is no longer held')
          const known = rowsOf(dids, from)
          return pending === null ? known : overlay(known, pending, dids, from)
        },
        async append(append) {
          assert(open, 'the head is no longer held')
          assert(pending === null && failure === null, 'one change a transaction')
          try {
            checkAppend(append)
            if (append.upstream !== undefined) checkNotes(append.upstream)
            if (!isFrom(current, append)) throw new StaleHeadError('another writer moved the head')
            checkTiles(append)
          } catch (error) {
            failure = error
            throw error
          }
          pending = append
        },
      })
      if (failure !== null) throw failure
      await fault('before commit')
      if (pending !== null) commit(current, pending)
      await replied()
      return result
    } finally {
      open = false
    }
  }

  return {
    kind: 'memory',
    notary: notary.store,
    map: mapMemory(fault),
    head: async () => head,
    async create({ origin, guardId, vkeys, statement: first = null }) {
      if (head !== null) throw new LogExistsError(`the store holds the log ${head.origin}`)
      statement = first
      head = { origin, guardId, vkeys: [...vkeys], size: 0, root: edgeRoot(EMPTY_EDGE), edge: EMPTY_EDGE, clock: { lastNative: null } }
    },
    entries: async (start, end) => rows.slice(start, Math.max(start, end)),
    history: async (dids, from, most = Infinity) => rowsOf(dids, from).slice(0, most + 1),
    newest: async (did) => newest(did),
    newestOf: async (dids) => [...new Set(dids)].map(newest).filter((row) => row !== null),
    leaves: async (start, end) => rows.slice(start, Math.max(start, end)).map((row) => row.entry),
    async exportFrom(from, to, count, use) {
      for (let [index, left] = [from, count]; index < Math.min(to, rows.length) && left > 0; index++) {
        const row = rowAt(index)
        if (row.rejected !== null) continue
        use(storedEntry(row))
        left--
      }
    },
    exportAfter: async (after, to, count) =>
      rows
        .slice(0, to)
        .filter((row) => row.rejected === null && (after === null || row.createdAt > after))
        .sort((a, b) => a.createdAt - b.createdAt || (a.cid < b.cid ? -1 : a.cid > b.cid ? 1 : a.index - b.index))
        .slice(0, count)
        .map(storedEntry),
    rejected: async (from, to, count) =>
      rows
        .slice(from, Math.max(from, to))
        .flatMap(({ index, did, cid, rejected }) => (rejected === null ? [] : [{ index, did, cid, code: rejected }]))
        .slice(0, count),
    tiles: async (asked) => asked.map(({ level, index }) => tiles.get(tileKey(level, index)) ?? new Uint8Array()),
    publication: async () => publication,
    async publish(next) {
      checkPublication(next)
      await fault('before publish')
      if (publication !== null) {
        const sameTree = next.size > publication.size || (next.size === publication.size && bytesEqual(next.root, publication.root))
        if (!sameTree) throw new StalePublicationError(`size ${publication.size} is published`)
      }
      publication = next
      moved()
      await fault('after publish')
    },
    keptCheckpoints: async () => [...kept].map(([size, note]) => ({ size, note })).sort((a, b) => a.size - b.size),
    async keepCheckpoint(checkpoint, outdated) {
      checkKept(checkpoint)
      for (const size of outdated) kept.delete(size)
      kept.set(checkpoint.size, checkpoint.note)
    },
    keyStatement: async () => statement,
    setSigner: (from, { guardId, vkeys, statement: next = statement }) =>
      inTurn(async () => {
        if (head === null) throw new NoLogError('no log has been created')
        if (head.guardId !== from) throw new StaleSignerError(`the log's guard is ${head.guardId}`)
        head = { ...head, guardId, vkeys: [...vkeys] }
        statement = next
        moved()
      }),
    watch(onMove, pollMs) {
      // Asked again when it is run: whoever has disposed is not called any more.
      const watcher = (): void => {
        if (watchers.has(watcher)) onMove()
      }
      watchers.add(watcher)
      queueMicrotask(watcher)
      const timer = setInterval(watcher, pollMs)
      return {
        async [Symbol.asyncDispose]() {
          watchers.delete(watcher)
          clearInterval(timer)
        },
      }
    },
    underHead: (work) => inTurn(() => transaction(work)),
    async appendNext(append, latest) {
      checkAppend(append)
      assert(append.upstream === undefined, 'what is noted of an upstream is written under the row')
      return inTurn(async () => {
        await fault('begin')
        if (head === null || !isFrom(head, append) || now() > latest) return null
        checkTiles(append)
        await fault('before commit')
        const at = now()
        commit(head, append)
        await replied()
        return at
      })
    },
    ping: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

// What the transaction sees of its own change.
function overlay(known: readonly EntryRow[], { entries, nullified }: Append, dids: readonly string[], from: number): EntryRow[] {
  const undone = new Set(nullified)
  return [
    ...known.map((row) => (undone.has(row.index) ? { ...row, nullified: true } : row)),
    ...entries.filter((row) => row.index >= from && dids.includes(row.did)),
  ]
}

function isFrom({ size, root }: Head, { from }: Append): boolean {
  return from.size === size && bytesEqual(from.root, root)
}

function storedEntry({ index, cid, nullified, entry }: EntryRow): StoredEntry {
  return { index, digest: parseCid(cid), nullified, entry }
}

function tileKey(level: number, index: number): string {
  return `${level}/${index}`
}
