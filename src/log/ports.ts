// What the writer asks of the world: time and a place for log lines.

/** Time. `now` never goes back; it is not the time of day. */
export interface Clock {
  /** Milliseconds since some moment. */
  now(): number
  /** The time of day, milliseconds since 1970. */
  timeOfDay(): number
  /** Resolves after `ms` milliseconds, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** One log line: fields first, words last. */
export type LogLine = (level: 'debug' | 'info' | 'warn' | 'error', fields: Record<string, unknown>, words: string) => void

/** Told of what the writer does, for metrics and health. None of these may throw. */
export interface WriterObserver {
  /** A round was decided and is durable. `refused` holds the codes of its verdicts; `ms` is its whole duration. */
  round(facts: { readonly operations: number; readonly accepted: number; readonly refused: readonly string[]; readonly ms: number }): void
  /** A round failed: what waited in it was told to ask again. */
  roundFailed(): void
  /** The reply to a commit was lost. */
  outcomeUnknown(): void
  /** A checkpoint of this size is published. */
  published(size: number): void
  /** Why time stamps are refused, in words; null where they are not. */
  clockFault(words: string | null): void
}

/** An observer that does nothing. */
export const UNOBSERVED: WriterObserver = {
  round() {},
  roundFailed() {},
  outcomeUnknown() {},
  published() {},
  clockFault() {},
}
