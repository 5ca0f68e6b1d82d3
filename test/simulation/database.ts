// A simulated database: the store in memory behind connections that are slow, fail, hang, and lose or delay commits.

import { memoryStore } from '../../src/storage/memory.ts'
import type { Append, Store } from '../../src/storage/store.ts'
import { interfereStore, type Life } from '../support/interfere.ts'
import type { World } from './world.ts'

/** How it goes: `calm` never fails, `slow` hangs, `rough` loses calls and replies, `down` refuses everything. */
export type Weather = 'calm' | 'slow' | 'rough' | 'down'

/** Told of what a process does. */
export interface Watcher {
  /** A call is about to be made, or was answered, or a commit is sent. */
  onCall(): void
  /** An append is about to be made: with the database's time that its transaction has read. */
  /** `reading`: of the database's clock in the transaction; null where it is not read there. */
  onAppend(append: Append, reading: number | null): void
}

/** A database with one log. */
export class Database {
  readonly #world: World
  readonly #watchers = new Set<() => void>()
  /** The store itself: what an oracle reads. */
  readonly store: Store
  #weather: Weather = 'calm'
  #calmSince = 0
  /** How far its clock is ahead, milliseconds. */
  clockOffsetMs = 0

  constructor(world: World) {
    this.#world = world
    this.store = memoryStore({ now: () => this.time() })
  }

  get weather(): Weather {
    return this.#weather
  }

  set weather(next: Weather) {
    if (this.#weather !== 'calm') this.#calmSince = this.#world.now
    this.#weather = next
  }

  /** For how long it has been calm, milliseconds. */
  get calmForMs(): number {
    return this.#weather === 'calm' ? this.#world.now - this.#calmSince : 0
  }

  /** Its time of day. */
  time(): number {
    return this.#world.now + this.clockOffsetMs
  }

  /** The store as a process sees it through its connections. */
  connect(life: Life, watcher: Watcher): Store {
    const { random } = this.#world
    const seen = interfereStore(this.store, life, {
      before: (call) => {
        watcher.onCall()
        return this.#pass(call.startsWith('locked') || call.startsWith('map ') || call === 'append' ? 40 : 12)
      },
      after: async (call) => {
        watcher.onCall()
        if (isRound(call) || call === 'publish' || call === 'setSigner') this.#notify()
        // Long enough for others to write, and for their news to be here before this reply.
        if (isRound(call) && this.weather === 'rough' && random.oneIn(4)) await this.#world.sleep(random.below(3_000))
        await this.#pass(12)
      },
      commit: async (hangUp) => {
        watcher.onCall()
        await this.#pass(8)
        if (this.weather === 'rough' && random.oneIn(4)) {
          hangUp()
          await this.#world.sleep(random.below(random.oneIn(2) ? 1_000 : 20_000))
          if (random.oneIn(2)) throw new Error('the transaction was lost')
        }
        if (life.ended && random.oneIn(2)) throw new Error('its process is gone')
      },
    })
    return {
      ...seen,
      underHead: (work) =>
        seen.underHead((locked) => {
          let reading = NaN
          return work({
            ...locked,
            now: async () => (reading = await locked.now()),
            append(append) {
              watcher.onAppend(append, reading)
              return locked.append(append)
            },
          })
        }),
      appendNext(append, latest) {
        watcher.onAppend(append, null)
        return seen.appendNext(append, latest)
      },
      watch: (onMove, pollMs) => this.#watch(life, onMove, pollMs),
    }
  }

  // One call in `rare` fails in rough weather.
  async #pass(rare: number): Promise<void> {
    const { random } = this.#world
    const world = this.#world
    if (this.weather === 'calm') {
      if (random.oneIn(3)) await world.sleep(random.below(5))
      return
    }
    const hangs = random.oneIn(this.weather === 'slow' ? 6 : 15)
    await world.sleep(hangs ? random.below(this.weather === 'slow' ? 6_000 : 800) : random.below(20))
    if (this.weather === 'down' || (this.weather === 'rough' && random.oneIn(rare))) throw new Error('the connection was lost')
  }

  #notify(): void {
    const { random } = this.#world
    for (const watcher of this.#watchers) {
      if (this.weather !== 'calm' && random.oneIn(3)) continue
      this.#world.in(random.below(20), watcher)
    }
  }

  #watch(life: Life, onMove: () => void, pollMs: number): AsyncDisposable {
    const watchers = this.#watchers
    const world = this.#world
    const watcher = (): void => {
      if (watchers.has(watcher) && !life.ended) onMove()
    }
    function poll(): void {
      if (!watchers.has(watcher) || life.ended) {
        watchers.delete(watcher)
        return
      }
      onMove()
      world.in(pollMs, poll)
    }
    watchers.add(watcher)
    world.in(0, poll)
    return {
      async [Symbol.asyncDispose]() {
        watchers.delete(watcher)
      },
    }
  }
}

function isRound(call: string): boolean {
  return call === 'underHead' || call === 'appendNext'
}
