// What was served does not fit what the log has signed, or what is known of it.

import { alarmPart, type AlarmPart } from '../core/alarm.ts'

/** Nothing of it is taken. It proves nothing against the log: whoever serves a log need not be whoever signs it. */
export class MismatchError extends Error {
  override readonly name = 'MismatchError'
  /** What was at hand. */
  readonly parts: readonly AlarmPart[]

  constructor(words: string, parts: Readonly<Record<string, string | Uint8Array>>, options: ErrorOptions = {}) {
    super(words, options)
    this.parts = Object.entries(parts).map(([name, content]) => alarmPart(name, content))
  }
}
