// What the streams ask of others: a composition root supplies it. spec/stream.md

import type { IncomingMessage } from 'node:http'
import type { Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import type { Withheld } from '../storage/withheld.ts'

/** One log line: fields first, words last. */
export type LogLine = (level: 'debug' | 'info' | 'warn' | 'error', fields: Record<string, unknown>, words: string) => void

/** The streams, by what their subscribers are sent: JSON, entries of the log, or those that a filter lets through. */
export type StreamName = 'export' | 'log' | 'matches'

/** Told of what the streams do, for metrics. None of these may throw. */
export interface StreamObserver {
  opened(stream: StreamName): void
  /** `reason` is one of a fixed list. */
  closed(stream: StreamName, reason: string): void
  sent(stream: StreamName, messages: number, bytes: number): void
}

/** What the streams stand on. */
export interface StreamPorts {
  /** For reading only. */
  readonly store: Store
  /** Entries whose bytes are not shown. Default: none. */
  readonly withheld?: Withheld
  readonly tip: Tip
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
  /** What a request's client is counted under. */
  readonly clientKey: (request: IncomingMessage) => string
  /** Counts the opening of a stream: 0 where it may be, else after how many milliseconds it could be. */
  readonly admit: (key: string) => number
  /** How old the entry after a cursor may be, milliseconds; null for any age. */
  readonly maxCursorAgeMs: number | null
  readonly observer: StreamObserver
  readonly log: LogLine
}
