// Token buckets, one an address, in a bounded table. spec/http.md#throttling

/** How much one address may ask. */
export interface ThrottleOptions {
  /** Requests a second, above 0. */
  readonly rate: number
  /** Requests that an address that was quiet may make at once, at least 1. */
  readonly burst: number
  /** Most addresses that have a bucket of their own. */
  readonly addresses: number
}

/**
 * A token bucket for each key. A bucket is one number: the time at which it is full again, which is also how far it
 * is in debt. A full bucket is the same as none, so it can be dropped. Where the table is full of buckets that are
 * not, the one that is closest to full makes room and its debt passes to whoever comes next: so nobody is ever given
 * more than the rate, however many keys ask, nobody else's debt is forgotten, and newcomers are held back only by as
 * much as the least indebted of all keys.
 */
export class Throttle {
  readonly #msPerRequest: number
  readonly #burstMs: number
  readonly #addresses: number
  readonly #buckets = new Map<string, Bucket>()
  /** The same buckets as a binary heap, the fullest first. */
  readonly #heap: Bucket[] = []

  constructor({ rate, burst, addresses }: ThrottleOptions) {
    this.#msPerRequest = 1000 / rate
    this.#burstMs = burst * this.#msPerRequest
    this.#addresses = addresses
  }

  /** Keys that have a bucket. */
  get size(): number {
    return this.#heap.length
  }

  /**
   * Counts `count` requests of `key` at `now` (milliseconds, never going back), at most the burst. Returns 0 where they
   * may be served, else after how many milliseconds they could be; what is refused costs nothing.
   */
  take(key: string, now: number, count = 1): number {
    let bucket = this.#buckets.get(key)
    const debtFrom = Math.max(bucket?.fullAt ?? this.#makeRoom(now), now)
    const fullAt = debtFrom + count * this.#msPerRequest
    const waitMs = fullAt - now - this.#burstMs
    // Sums of fractions: a millionth of a millisecond is not a debt.
    const served = waitMs <= 1e-6
    if (bucket === undefined) {
      bucket = { key, fullAt: served ? fullAt : debtFrom, place: this.#heap.length }
      this.#heap.push(bucket)
      this.#buckets.set(key, bucket)
      this.#rise(bucket)
    } else if (served) {
      bucket.fullAt = fullAt
      this.#sink(bucket)
    }
    return served ? 0 : waitMs
  }

  /** Drops what is full, two for each that comes, and whatever is fullest where that was not enough; returns its debt. */
  #makeRoom(now: number): number {
    for (let dropped = 0; dropped < 2 && (this.#heap[0]?.fullAt ?? Infinity) <= now; dropped++) this.#dropFullest()
    return this.#heap.length < this.#addresses ? -Infinity : (this.#dropFullest()?.fullAt ?? -Infinity)
  }

  #dropFullest(): Bucket | undefined {
    const [fullest] = this.#heap
    const last = this.#heap.pop()
    if (fullest === undefined || last === undefined) return undefined
    this.#buckets.delete(fullest.key)
    if (last !== fullest) {
      this.#put(last, 0)
      this.#sink(last)
    }
    return fullest
  }

  #rise(bucket: Bucket): void {
    while (bucket.place > 0) {
      const parent = this.#heap[Math.floor((bucket.place - 1) / 2)]
      if (parent === undefined || parent.fullAt <= bucket.fullAt) return
      this.#swap(parent, bucket)
    }
  }

  #sink(bucket: Bucket): void {
    for (;;) {
      const left = this.#heap[2 * bucket.place + 1]
      const right = this.#heap[2 * bucket.place + 2]
      const least = right !== undefined && left !== undefined && right.fullAt < left.fullAt ? right : left
      if (least === undefined || bucket.fullAt <= least.fullAt) return
      this.#swap(bucket, least)
    }
  }

  #swap(a: Bucket, b: Bucket): void {
    const { place } = a
    this.#put(a, b.place)
    this.#put(b, place)
  }

  #put(bucket: Bucket, place: number): void {
    bucket.place = place
    this.#heap[place] = bucket
  }
}

interface Bucket {
  readonly key: string
  /** Milliseconds, on the same clock as `now`. */
  fullAt: number
  /** Where it stands in the heap. */
  place: number
}
