// Evidence and alarms, as files of the data folder: written once, never replaced. spec/mirror.md#alarms

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { alarmWords, formatAlarm, MAX_ALARM_LENGTH, type AlarmPart } from '../src/core/alarm.ts'
import { verdictOf } from '../src/core/errors.ts'
import { describeContradiction, formatEvidence, verifyEvidence, type Evidence } from '../src/core/evidence.ts'
import type { VerifierKey } from '../src/core/tlog/note.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** A contradiction of the log with itself that is kept here. */
export interface KeptContradiction {
  readonly file: string
  /** What it proves, in one sentence. */
  readonly words: string
}

/** The folders of one mirror. */
export class EvidenceFolder {
  readonly #evidence: string
  readonly #alarms: string
  readonly #origin: string
  readonly #now: () => number

  /** `now` is the time of day, milliseconds since 1970. Makes no folder before there is something to keep. */
  constructor(dataDir: string, origin: string, now: () => number) {
    this.#evidence = join(dataDir, 'evidence')
    this.#alarms = join(dataDir, 'alarms')
    this.#origin = origin
    this.#now = now
  }

  /** Keeps evidence under a name; returns its file. */
  keepEvidence(name: string, evidence: Evidence): string {
    return keep(this.#evidence, `${name}.evidence`, formatEvidence(evidence))
  }

  /** Whether there is evidence of that name. */
  has(name: string): boolean {
    return existsSync(join(this.#evidence, `${name}.evidence`))
  }

  /** Keeps an alarm; returns its file, or null where so many are kept that one more tells nothing. */
  keepAlarm(words: string, parts: readonly AlarmPart[]): string | null {
    if (existsSync(this.#alarms) && readdirSync(this.#alarms).length >= MIRROR_LIMITS.alarms) return null
    const time = this.#now()
    const alarm = { origin: this.#origin, time, words: alarmWords(words) }
    // In base64 a part is a third longer.
    let left = MAX_ALARM_LENGTH / 2
    const fitting = parts.filter(({ bytes }) => (left -= bytes.length) > 0)
    return keep(this.#alarms, `${new Date(time).toISOString().replaceAll(/[:.]/g, '-')}.alarm`, formatAlarm({ ...alarm, parts: fitting }))
  }

  /** The first contradiction of the log with itself among the evidence; null for none. Broken rules are no reason to stop. */
  contradiction(keys: readonly VerifierKey[]): KeptContradiction | null {
    const names = existsSync(this.#evidence) ? readdirSync(this.#evidence).filter((name) => name.endsWith('.evidence')).sort() : []
    for (const name of names) {
      const file = join(this.#evidence, name)
      const { value } = verdictOf(() => verifyEvidence(readFileSync(file), keys))
      if (value !== null && value.evidence.kind !== 'broken-rule' && value.replay === null) return { file, words: describeContradiction(value) }
    }
    return null
  }
}

function keep(folder: string, name: string, text: string): string {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, name)
  if (!existsSync(file)) writeFileSync(file, text, { flush: true })
  return file
}
