// The times of witnesses, as a process sees them that asks none: in the checkpoints that another one publishes. spec/log.md#witnesses

import { verdictOf } from '../core/errors.ts'
import { decodeTimestamp, TIMESTAMP_BYTES } from '../core/tlog/cosigned-message.ts'
import { parseNote, type NoteSignature } from '../core/tlog/note.ts'
import type { Publication } from '../storage/store.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { Clock } from './ports.ts'
import { distance, type WitnessTime } from './witness-client.ts'

/**
 * What cosignatures tell of this machine's clock. One that is new was made since the look before, or, as long as a
 * checkpoint may wait for its quorum, before that. One that was there at the first look only says that it is not earlier.
 * The signatures are not verified: whoever writes this database is believed with its clock, too.
 */
export class PublishedTimes {
  readonly #clock: Clock
  /** By name and id of the key. */
  readonly #times = new Map<string, WitnessTime>()
  #note = ''
  #lines = new Set<string>()
  #lookedAt: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes note of the published checkpoint; to be told at every look, whether or not it has changed. Never throws. */
  see({ note }: Publication): void {
    const now = { monotonic: this.#clock.now(), machine: this.#clock.timeOfDay() }
    const sinceMs = this.#lookedAt === null ? Infinity : now.monotonic - this.#lookedAt + WRITER_LIMITS.witnessDeadlineMs
    this.#lookedAt = now.monotonic
    if (note === this.#note) return
    const lines = new Map(cosignaturesOf(note).map((signature) => [`${signature.name} ${signature.id} ${Buffer.from(signature.signature).toString('base64')}`, signature]))
    for (const [line, { name, id, signature }] of lines) {
      const seconds = this.#lines.has(line) ? null : verdictOf(() => decodeTimestamp(signature)).value
      if (seconds === null) continue
      const offset = distance([seconds * 1000, seconds * 1000 + 999], [now.machine - sinceMs, now.machine])
      if (sinceMs < Infinity || offset > 0) this.#times.set(`${name} ${id}`, { ...now, witness: now.machine + offset })
    }
    this.#note = note
    this.#lines = new Set(lines.keys())
    for (const [key, { monotonic }] of this.#times) if (now.monotonic - monotonic > WRITER_LIMITS.witnessTimeMs) this.#times.delete(key)
  }

  /** The time of day by each witness that was heard lately, milliseconds since 1970. */
  times(): readonly number[] {
    const now = this.#clock.now()
    return [...this.#times.values()].flatMap(({ witness, monotonic }) => (now - monotonic > WRITER_LIMITS.witnessTimeMs ? [] : [witness + now - monotonic]))
  }
}

// The log publishes its own signatures and cosignatures by witnesses, each of which begins with its time.
function cosignaturesOf(note: string): readonly NoteSignature[] {
  const { value } = verdictOf(() => parseNote(note))
  return value?.signatures.filter(({ name, signature }) => !value.text.startsWith(`${name}\n`) && signature.length > TIMESTAMP_BYTES) ?? []
}
