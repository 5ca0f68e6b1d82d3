// Work that many subscribers need at about the same time, done once: a bounded table of results. spec/stream.md#cost

/** What is kept. */
export interface Weighted {
  /** Bytes that it holds. */
  readonly weight: number
}

/** Results by key, at most `maxBytes` of them, those longest unused going first. One that is being made is waited for; one that failed is forgotten. */
export class SharedCache {
  readonly #maxBytes: number
  readonly #kept = new Map<string, Promise<Weighted>>()
  readonly #weights = new Map<string, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** What `key` stands for; `make` is called where it is not kept. Callers give one type a key. */
  get<T extends Weighted>(key: string, make: () => Promise<T>): Promise<T> {
    const kept = this.#kept.get(key) as Promise<T> | undefined
    const result = kept ?? this.#make(key, make)
    this.#kept.delete(key)
    this.#kept.set(key, result)
    return result
  }

  /** Forgets what `key` stands for, unless it is being made. */
  forget(key: string): void {
    if (this.#weights.has(key)) this.#forget(key)
  }

  async #make<T extends Weighted>(key: string, make: () => Promise<T>): Promise<T> {
    try {
      const result = await make()
      this.#weights.set(key, result.weight)
      this.#bytes += result.weight
      for (const oldest of this.#kept.keys()) {
        if (this.#bytes <= this.#maxBytes) break
        if (this.#weights.has(oldest)) this.#forget(oldest)
      }
      return result
    } catch (error) {
      this.#forget(key)
      throw error
    }
  }

  #forget(key: string): void {
    this.#kept.delete(key)
    this.#bytes -= this.#weights.get(key) ?? 0
    this.#weights.delete(key)
  }
}
