// Entries of a log's stream that no checkpoint covers yet. spec/stream.md#log-stream

import type { EntriesFrame } from '../core/frame.ts'
import { MismatchError } from './mismatch.ts'

/** How much may wait. */
export interface TailLimits {
  readonly tailEntries: number
  readonly tailBytes: number
}

/** Entries in their order, from an index on, within limits. */
export class Tail {
  leaves: Uint8Array[] = []
  start: number
  readonly #limits: TailLimits
  readonly #tooMuch: () => Error
  #bytes = 0

  /** `tooMuch` makes the error for more than the limits. */
  constructor(start: number, limits: TailLimits, tooMuch: () => Error) {
    this.start = start
    this.#limits = limits
    this.#tooMuch = tooMuch
  }

  /** Index of the entry that has to come. */
  get end(): number {
    return this.start + this.leaves.length
  }

  /** Takes what a frame brings. Throws MismatchError where it does not go on from the end, and what `tooMuch` makes. */
  add({ start, entries }: EntriesFrame): void {
    if (start !== this.end) throw new MismatchError(`its stream gives entry ${start} where ${this.end} has to come`, {})
    for (const leaf of entries) {
      this.leaves.push(leaf)
      this.#bytes += leaf.length
    }
    if (this.leaves.length > this.#limits.tailEntries || this.#bytes > this.#limits.tailBytes) throw this.#tooMuch()
  }

  /** Drops what stands below an index. */
  cut(index: number): void {
    this.leaves = this.leaves.slice(Math.max(0, index - this.start))
    this.#bytes = this.leaves.reduce((sum, leaf) => sum + leaf.length, 0)
    this.start = index
  }
}
