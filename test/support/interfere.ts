// A writer's store and guard with somebody in between: every call can be seen, delayed, lost, or be the last thing that its process does.

import type { Guard } from '../../src/log/guard.ts'
import { UnknownOutcomeError, type LockedHead, type MapStore, type Store } from '../../src/storage/store.ts'

/** What a process asks of its store. */
export type StoreCall = Exclude<keyof Store, 'kind' | 'watch' | typeof Symbol.asyncDispose> | `map ${keyof MapStore}` | 'locked now' | 'locked history' | 'append'
/** What it asks of its guard. */
export type GuardCall = 'last' | 'record' | 'retire'

/** What stands between a process and its store. A promise delays. */
export interface StoreInterference {
  /** Before the call reaches the store. What is thrown propagates, and nothing has changed. */
  readonly before?: (call: StoreCall) => void | Promise<void>
  /** After the store has done it. What is thrown propagates, or becomes the cause of an UnknownOutcomeError for a transaction: the reply is lost. */
  readonly after?: (call: StoreCall) => void | Promise<void>
  /** The work is done and the commit is sent, or a write of the map: what is thrown rolls back. `hangUp` gives the caller an unknown outcome at once, while the transaction goes on. */
  readonly commit?: (hangUp: () => void) => void | Promise<void>
}

/** What stands between a process and its guard: what is thrown propagates. */
export interface GuardInterference {
  readonly before?: (call: GuardCall) => void
  readonly after?: (call: GuardCall) => void
}

/** One process's life. After its end its calls are never answered, and its open transactions are rolled back. */
export class Life {
  readonly #end = Promise.withResolvers<never>()
  ended = false

  constructor() {
    this.#end.promise.catch(() => undefined)
  }

  /** Ends it. Throws nothing. */
  end(): void {
    this.ended = true
    this.#end.reject(new Error('the process has ended'))
  }

  /** Does not resolve any more once the life has ended. */
  async go(): Promise<void> {
    if (this.ended) await new Promise<never>(() => undefined)
  }

  /** What `work` gives, or a rejection as soon as the life ends. */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#end.promise])
  }
}

/** The store as one process sees it. `watch` is passed through; closing it does nothing. */
export function interfereStore(store: Store, life: Life, { before, after, commit }: StoreInterference): Store {
  async function pass<T>(call: StoreCall, work: () => Promise<T>): Promise<T> {
    await life.go()
    await before?.(call)
    await life.go()
    try {
      const result = await work()
      await after?.(call)
      return result
    } finally {
      await life.go()
    }
  }

  const passLocked = (locked: LockedHead): LockedHead => ({
    head: locked.head,
    now: () => pass('locked now', () => locked.now()),
    history: (dids, from) => pass('locked history', () => locked.history(dids, from)),
    append: (append) => pass('append', () => locked.append(append)),
  })

  // What commits: `transact` is given what makes the outcome unknown at once; where `after` throws, the reply is lost.
  async function passCommit<T>(call: StoreCall, transact: (hangUp: () => void) => Promise<T>): Promise<T> {
    await life.go()
    await before?.(call)
    await life.go()
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    transact(() => reject(new UnknownOutcomeError('the reply to the commit was lost')))
      .then(async (result) => {
        try {
          await after?.(call)
        } catch (cause) {
          throw new UnknownOutcomeError('the reply to the commit was lost', { cause })
        }
        resolve(result)
      })
      .catch(reject)
    try {
      return await promise
    } finally {
      await life.go()
    }
  }

  // One statement: it is sent, and its reply may be lost.
  function passWrite(call: StoreCall, work: () => Promise<void>): Promise<void> {
    return pass(call, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const written = (async () => {
        await commit?.(() => reject(new UnknownOutcomeError('the reply to a write was lost')))
        await work()
      })()
      written.then(resolve, reject)
      return promise
    })
  }

  const { map } = store
  const passMap: MapStore = {
    head: () => pass('map head', () => map.head()),
    create: (log) => pass('map create', () => map.create(log)),
    append: (append) => passWrite('map append', () => map.append(append)),
    leaves: (start, end) => pass('map leaves', () => map.leaves(start, end)),
    tiles: (tiles) => pass('map tiles', () => map.tiles(tiles)),
    publication: () => pass('map publication', () => map.publication()),
    publish: (publication, change) => passWrite('map publish', () => map.publish(publication, change)),
    version: () => pass('map version', () => map.version()),
    change: (change) => passWrite('map change', () => map.change(change)),
    clear: () => pass('map clear', () => map.clear()),
    buckets: (buckets) => pass('map buckets', () => map.buckets(buckets)),
    blocks: (blocks) => pass('map blocks', () => map.blocks(blocks)),
    bucketHashes: (bucket, count) => pass('map bucketHashes', () => map.bucketHashes(bucket, count)),
    keptCheckpoints: () => pass('map keptCheckpoints', () => map.keptCheckpoints()),
    keepCheckpoint: (checkpoint, outdated) => pass('map keepCheckpoint', () => map.keepCheckpoint(checkpoint, outdated)),
    keyStatement: () => pass('map keyStatement', () => map.keyStatement()),
    setSigner: (from, to) => pass('map setSigner', () => map.setSigner(from, to)),
  }

  return {
    kind: store.kind,
    notary: store.notary,
    map: passMap,
    head: () => pass('head', () => store.head()),
    create: (log) => pass('create', () => store.create(log)),
    entries: (start, end) => pass('entries', () => store.entries(start, end)),
    history: (dids, from, most) => pass('history', () => store.history(dids, from, most)),
    newest: (did) => pass('newest', () => store.newest(did)),
    newestOf: (dids) => pass('newestOf', () => store.newestOf(dids)),
    leaves: (start, end) => pass('leaves', () => store.leaves(start, end)),
    exportFrom: (from, to, count, use) => pass('exportFrom', () => store.exportFrom(from, to, count, use)),
    exportAfter: (after, to, count) => pass('exportAfter', () => store.exportAfter(after, to, count)),
    rejected: (from, to, count) => pass('rejected', () => store.rejected(from, to, count)),
    tiles: (tiles) => pass('tiles', () => store.tiles(tiles)),
    publication: () => pass('publication', () => store.publication()),
    publish: (publication) => pass('publish', () => store.publish(publication)),
    keptCheckpoints: () => pass('keptCheckpoints', () => store.keptCheckpoints()),
    keepCheckpoint: (checkpoint, outdated) => pass('keepCheckpoint', () => store.keepCheckpoint(checkpoint, outdated)),
    keyStatement: () => pass('keyStatement', () => store.keyStatement()),
    setSigner: (from, to) => pass('setSigner', () => store.setSigner(from, to)),
    watch: (onMove, pollMs) => store.watch(onMove, pollMs),
    underHead: (work) =>
      passCommit('underHead', (hangUp) =>
        store.underHead(async (locked) => {
          const result = await life.race(work(passLocked(locked)))
          await commit?.(hangUp)
          return result
        }),
      ),
    appendNext: (append, latest) =>
      passCommit('appendNext', async (hangUp) => {
        await commit?.(hangUp)
        return life.race(store.appendNext(append, latest))
      }),
    ping: () => pass('ping', () => store.ping()),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** The guard as one process sees it. Once its life has ended every call throws. */
export function interfereGuard(guard: Guard, life: Life, { before, after }: GuardInterference): Guard {
  function pass<T>(call: GuardCall, work: () => T): T {
    if (life.ended) throw new Error('the process has ended')
    before?.(call)
    if (life.ended) throw new Error('the process has ended')
    const result = work()
    after?.(call)
    if (life.ended) throw new Error('the process has ended')
    return result
  }
  return {
    id: guard.id,
    origin: guard.origin,
    last: () => pass('last', () => guard.last()),
    record: (head) => pass('record', () => guard.record(head)),
    retire: (to) => pass('retire', () => guard.retire(to)),
    [Symbol.dispose]: () => guard[Symbol.dispose](),
  }
}
