// Writers that are used again: what each holds would be garbage of some hundred kilobytes.

import { ByteWriter } from './transcode.ts'

/** Writers of `capacity` bytes, of which at most `most` are kept while nobody has them. */
export class WriterPool {
  readonly #capacity: number
  readonly #most: number
  readonly #kept: ByteWriter[] = []

  constructor({ capacity, most }: { readonly capacity: number; readonly most: number }) {
    this.#capacity = capacity
    this.#most = most
  }

  /** An empty writer. Whoever takes it gives it back when nobody will read its bytes again, or never. */
  take(): ByteWriter {
    return this.#kept.pop() ?? new ByteWriter(this.#capacity)
  }

  /** Takes a writer back; one that has grown is not kept. */
  give(writer: ByteWriter): void {
    if (writer.bytes.length > this.#capacity || this.#kept.length === this.#most) return
    writer.length = 0
    this.#kept.push(writer)
  }
}
