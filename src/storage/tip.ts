// The tip of the log: two growing integers that streams, caches and waiting requests follow. spec/log.md#tip

/**
 * How far the log has come: `durable` entries are committed, `published` entries are covered by a published
 * checkpoint. Neither ever goes back, and what is published is durable.
 */
export class Tip {
  readonly #durable: Growing
  readonly #published: Growing

  constructor(start: { readonly durable: number; readonly published: number } = { durable: 0, published: 0 }) {
    this.#durable = new Growing(Math.max(start.durable, start.published))
    this.#published = new Growing(start.published)
  }

  /** Number of entries that are committed. */
  get durable(): number {
    return this.#durable.value
  }

  /** Number of entries that the newest published checkpoint covers. */
  get published(): number {
    return this.#published.value
  }

  /** Says that `size` entries are committed. A smaller size than known changes nothing. */
  advanceDurable(size: number): void {
    this.#durable.advance(size)
  }

  /** Says that a checkpoint of `size` entries is published. A smaller size than known changes nothing. */
  advancePublished(size: number): void {
    this.#durable.advance(size)
    this.#published.advance(size)
  }

  /** Resolves with `durable` as soon as it is above `size`; rejects with the signal's reason when it aborts. */
  pastDurable(size: number, signal: AbortSignal): Promise<number> {
    return this.#durable.past(size, signal)
  }

  /** Resolves with `published` as soon as it is above `size`; rejects with the signal's reason when it aborts. */
  pastPublished(size: number, signal: AbortSignal): Promise<number> {
    return this.#published.past(size, signal)
  }
}

/** A number that only grows, and that can be waited for. */
export class Growing {
  value: number
  readonly #waiting = new Set<{ readonly size: number; wake(value: number): void }>()

  constructor(value: number) {
    this.value = value
  }

  /** A value that is not above the present one changes nothing. */
  advance(value: number): void {
    if (!(value > this.value)) return
    this.value = value
    for (const waiter of this.#waiting) if (value > waiter.size) waiter.wake(value)
  }

  /** Resolves with the value as soon as it is above `size`; rejects with the signal's reason when it aborts. */
  async past(size: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    if (this.value > size) return this.value
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const waiter = { size, wake: resolve }
    const abort = (): void => reject(signal.reason)
    this.#waiting.add(waiter)
    signal.addEventListener('abort', abort)
    try {
      return await promise
    } finally {
      // A signal lives as long as its stream: a listener left behind per wait would pile up.
      this.#waiting.delete(waiter)
      signal.removeEventListener('abort', abort)
    }
  }
}
