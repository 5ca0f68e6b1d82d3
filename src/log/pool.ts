// Operations that wait for a round: bounded, in the order in which they came. spec/log.md#rounds

import type { Operation } from '../core/plc/operation.ts'

/** Where an operation stands in the log. */
export interface Accepted {
  readonly index: number
}

/** An operation on its way into a round. */
export interface Submission {
  readonly did: string
  readonly operation: Operation
  /** Size of the log when it arrived: what its sender can have known. */
  readonly seenSize: number
  readonly accept: (accepted: Accepted) => void
  readonly refuse: (reason: unknown) => void
}

/** The service cannot take an operation now; nothing is wrong with the operation. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError'
}

/** A bounded queue between the operations that arrive and the rounds that take them. */
export class SubmissionPool {
  readonly #waiting: Submission[] = []
  readonly #maxSubmissions: number
  #wake: (() => void) | null = null
  #closed = false

  constructor(options: { readonly maxSubmissions: number }) {
    this.#maxSubmissions = options.maxSubmissions
  }

  /** Operations that wait. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Queues an operation; resolves with its place once its round is durable. Throws UnavailableError where the pool is full or closed, the verdict where it is refused. */
  submit(did: string, operation: Operation, seenSize: number): Promise<Accepted> {
    if (this.#closed) return Promise.reject(new UnavailableError('the directory is stopping'))
    if (this.#waiting.length >= this.#maxSubmissions) return Promise.reject(new UnavailableError('too many operations are waiting'))
    return new Promise((accept, refuse) => {
      this.#waiting.push({ did, operation, seenSize, accept, refuse })
      this.#wake?.()
    })
  }

  /** The next operations, at least one and at most `most`; none once the pool is closed and empty. One caller at a time. */
  async take(most: number): Promise<Submission[]> {
    while (this.#waiting.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
    return this.#waiting.splice(0, most)
  }

  /** Puts operations that were taken back to the front, in their order. */
  giveBack(submissions: readonly Submission[]): void {
    this.#waiting.unshift(...submissions)
  }

  /** Takes no more operations; those that wait are still handed out. */
  close(): void {
    this.#closed = true
    this.#wake?.()
  }
}
