// Simulated time: an agenda of things to come, and one source of chance that all of the simulation draws from.

import { randomOf, type Random } from '../fuzz/random.ts'

/** When every simulation begins, milliseconds since 1970. */
export const BEGINNING_MS = 1_700_000_000_000

interface Event {
  readonly at: number
  readonly order: number
  readonly act: () => void
}

/** A world in which time passes only while everybody waits. */
export class World {
  readonly random: Random
  #now = BEGINNING_MS
  #steps = 0
  // A heap: the earliest event first; of two at the same time chance decides.
  readonly #agenda: Event[] = []

  constructor(seed: number) {
    this.random = randomOf('simulation', seed)
  }

  /** The true time, milliseconds since 1970. */
  get now(): number {
    return this.#now
  }

  /** How many things have happened. */
  get steps(): number {
    return this.#steps
  }

  /** Does something in `ms` milliseconds. */
  in(ms: number, act: () => void): void {
    const event = { at: this.#now + Math.max(0, ms), order: this.random.below(2 ** 30), act }
    const agenda = this.#agenda
    let position = agenda.length
    agenda.push(event)
    while (position > 0) {
      const above = Math.floor((position - 1) / 2)
      const parent = agenda[above]
      if (parent === undefined || !isBefore(event, parent)) break
      agenda[position] = parent
      agenda[above] = event
      position = above
    }
  }

  /** Resolves in `ms` milliseconds, or as soon as the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.in(ms, resolve)
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Lets the next thing happen, and everything that follows from it at once. False where nothing is to come. */
  async step(): Promise<boolean> {
    const event = this.#next()
    if (event === undefined) return false
    this.#now = event.at
    this.#steps++
    event.act()
    // All that waits for a promise runs before this.
    await new Promise((resolve) => setImmediate(resolve))
    return true
  }

  #next(): Event | undefined {
    const agenda = this.#agenda
    const first = agenda[0]
    const last = agenda.pop()
    if (first === undefined || last === undefined || agenda.length === 0) return first
    let position = 0
    for (;;) {
      const [left, right] = [2 * position + 1, 2 * position + 2]
      const [a, b] = [agenda[left], agenda[right]]
      const [below, child] = a !== undefined && b !== undefined && isBefore(b, a) ? [right, b] : [left, a]
      if (child === undefined || !isBefore(child, last)) break
      agenda[position] = child
      position = below
    }
    agenda[position] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
