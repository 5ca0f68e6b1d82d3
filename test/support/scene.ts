// One log through faults and restarts: what was acknowledged, signed and published, held against what is there.

import { expect } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import type { Guard } from '../../src/log/guard.ts'
import { UnavailableError } from '../../src/log/pool.ts'
import type { Witnesses } from '../../src/log/witnesses.ts'
import type { Store } from '../../src/storage/store.ts'
import { interfereGuard, interfereStore, Life, type GuardInterference, type StoreInterference } from './interfere.ts'
import { naiveLeafHash, naiveRoot } from './naive-tree.ts'
import { newLog, openWriter, type Remains, type Writer } from './writer.ts'

/** What stands between one process and its store and guard. */
export interface Trouble {
  readonly store?: StoreInterference
  readonly guard?: GuardInterference
  /** Wraps the store last: for calls that are made twice. */
  readonly wrapStore?: (store: Store) => Store
  readonly wrapGuard?: (guard: Guard) => Guard
}

/** A log with a memory of everything that was promised about it. */
export interface Scene extends Disposable {
  readonly remains: Remains
  readonly life: Life
  readonly writer: Writer
  /** Every note that was signed, published or not. */
  readonly notes: string[]
  /** Opens a writer over what is left; the one before is dead, whatever it was doing. */
  restart(trouble?: Trouble): Promise<void>
  /** Submits; resolves with the index, the code of the verdict, or `unavailable`. What is accepted is remembered. */
  submit(did: string, operation: Operation): Promise<number | string>
  /** Publishes; resolves with the error, null where there was none. */
  publish(): Promise<unknown>
  /** Fails unless every promise is kept. */
  check(): Promise<void>
}

/** A new log with its first writer at work. `witnesses`: those of a writer whose life this is. */
export async function newScene(witnesses?: (store: Store, guard: Guard, life: Life) => Witnesses): Promise<Scene> {
  const remains = await newLog()
  const notes: string[] = []
  const first = await remains.store.publication()
  if (first !== null) notes.push(first.note)
  const acknowledged = new Map<string, number>()
  let published = 0
  let life = new Life()
  let writer: Writer | null = null

  const current = (): Writer => {
    if (writer === null) throw new Error('no writer is open')
    return writer
  }

  async function restart({ store: storeTrouble = {}, guard: guardTrouble = {}, wrapStore, wrapGuard }: Trouble = {}): Promise<void> {
    life.end()
    writer?.guard[Symbol.dispose]()
    const own = new Life()
    life = own
    const wrapped = wrapStore?.(remains.store) ?? remains.store
    const seen = interfereStore(wrapped, own, storeTrouble)
    const store: Store = {
      ...seen,
      publish(publication) {
        notes.push(publication.note)
        return seen.publish(publication)
      },
    }
    const seenThrough = (guard: Guard): Guard => interfereGuard(wrapGuard?.(guard) ?? guard, own, guardTrouble)
    const witnessed = witnesses === undefined ? {} : { witnesses: (store: Store, guard: Guard) => witnesses(store, guard, own) }
    writer = await openWriter({ ...remains, store, seenThrough, ...witnessed })
  }

  async function check(): Promise<void> {
    await current().check(remains.store)
    const rows = await remains.store.entries(0, Number.MAX_SAFE_INTEGER)
    for (const [cid, index] of acknowledged) expect(rows[index]?.cid, 'what was acknowledged is where it was').toBe(cid)
    expect(new Set(rows.map((row) => `${row.did} ${row.cid}`)).size, 'nothing is in the log twice').toBe(rows.length)
    checkNotes(notes, remains, rows.map((row) => naiveLeafHash(row.entry)))
    const size = (await remains.store.publication())?.size ?? 0
    expect(size, 'a publication never goes back').toBeGreaterThanOrEqual(published)
    published = size
  }

  await restart()
  return {
    remains,
    notes,
    restart,
    check,
    get life() {
      return life
    },
    get writer() {
      return current()
    },
    async submit(did, operation) {
      try {
        const { index } = await current().submit(did, operation)
        const before = acknowledged.get(operation.cid)
        expect(index, 'an operation keeps its index').toBe(before ?? index)
        acknowledged.set(operation.cid, index)
        return index
      } catch (error) {
        if (error instanceof UnavailableError) return 'unavailable'
        if (error instanceof DirectoryError) return error.code
        throw error
      }
    },
    publish: () => current().publish().then(() => null, (error: unknown) => error),
    [Symbol.dispose]() {
      life.end()
      writer?.guard[Symbol.dispose]()
      remains[Symbol.dispose]()
    },
  }
}

/** Fails unless every signed note is of a tree that the stored one extends: then no two of them contradict each other. */
export function checkNotes(notes: readonly string[], { keys }: Pick<Remains, 'keys'>, leaves: readonly Uint8Array[]): void {
  for (const note of new Set(notes)) {
    const { size, root } = openCheckpoint(note, keys).checkpoint
    expect(size, 'only a durable tree is signed').toBeLessThanOrEqual(leaves.length)
    expect(root, `the root that was signed at size ${size}`).toEqual(naiveRoot(leaves.slice(0, size)))
  }
}
