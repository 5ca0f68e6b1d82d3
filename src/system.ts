// The real clock and the log lines: what the composition root hands to everybody who asks for time or a place for words.

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { destination, pino, stdSerializers } from 'pino'
import type { Config } from './config.ts'
import { escapeControls } from './escape.ts'
import type { Clock, LogLine } from './log/ports.ts'

/** The machine's clocks. */
export const systemClock: Clock = {
  now: () => performance.now(),
  timeOfDay: () => Date.now(),
  async sleep(ms, signal) {
    if (ms <= 0) return
    try {
      await delay(ms, undefined, { ...(signal === undefined ? {} : { signal }), ref: true })
    } catch {
      // Aborted: the caller looks at its signal.
    }
  },
}

/** JSON lines on stderr, written at once, at `level` and above. Errors are given under the field `error`. What is not harmless on a terminal is escaped, as JSON may. */
export function openLogLines(level: Config['logLevel'], out: { write(line: string): unknown } = destination({ fd: 2, sync: true })): LogLine {
  const logger = pino(
    { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"`, formatters: { level: (label) => ({ level: label }) }, serializers: { error: stdSerializers.err } },
    { write: (line) => void out.write(escapeControls(line)) },
  )
  return (level, fields, words) => logger[level](fields, words)
}

/** Resolves with the first failure of work that goes on in the background; never where all of it ends in order. */
export function firstFailure(work: readonly Promise<void>[]): Promise<Error> {
  return Promise.all(work).then(
    () => new Promise<Error>(() => undefined),
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  )
}
