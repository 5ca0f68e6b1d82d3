// What is kept of an exchange with a witness that contradicts the log. spec/log.md#witnesses

import { createHash } from 'node:crypto'
import { alarmPart, alarmWords, formatAlarm } from '../core/alarm.ts'
import type { PolicyWitness } from '../core/tlog/policy.ts'
import type { SignedCheckpoint, WitnessAlarm } from './witness-client.ts'

/** Witnesses at one address. */
export interface AskedWitnesses {
  readonly url: string
  readonly witnesses: readonly PolicyWitness[]
}

/** The text of an alarm: the exchange with these witnesses at one address, what they show to others (null where that is not known), and the time of day, milliseconds since 1970. */
export function alarmText({ witnesses, url }: AskedWitnesses, { origin, note }: SignedCheckpoint, { reason, request, reply }: WitnessAlarm, theirs: string | null, time: number): string {
  const names = witnesses.map(({ name }) => name).join(', ')
  const parts = [
    ...witnesses.map(({ vkey }) => alarmPart('witness-vkey', vkey)),
    alarmPart('witness-url', url),
    alarmPart('request', request),
    alarmPart('response', `${reply.status} ${reply.type}\n\n${reply.body}`),
    alarmPart('checkpoint', note),
    ...(theirs === null ? [] : [alarmPart('witness-checkpoint', theirs)]),
  ]
  return formatAlarm({ origin, time, words: alarmWords(`the witness ${names}: ${reason}`), parts })
}

/** The name of an alarm: the same exchange, seen again after a restart, is the same one. */
export function alarmName({ request, reply }: WitnessAlarm): string {
  return createHash('sha256').update(JSON.stringify([request, reply])).digest('hex').slice(0, 16)
}
