// What is told of a log that is watched, one thing after the other: changes, with the way to undo them, and whether it can be looked at.
// docs/following.md#monitor

import { alertLines, alertOf, renderAlert, type Undo } from '../client/alert.ts'
import type { Followed } from '../client/follow.ts'
import { renderFollowed } from '../client/followed-json.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { watchSight, type Looking } from './looking.ts'
import { escapeControls, escapeLine } from './terminal.ts'

/** What is watched, and who is told. */
export interface Watching {
  /** Follows the log, and tells `looking` what it sees. */
  readonly source: (looking: Looking) => AsyncIterable<Followed>
  /** Of the log. */
  readonly origin: string
  readonly commandFor: CommandFor
  /** Is told one thing at a time. */
  readonly tell: (told: Told) => Promise<void>
  readonly clock: {
    /** Milliseconds since 1970. */
    timeOfDay(): number
    /** Milliseconds that never go back. */
    now(): number
  }
}

/** The command that undoes a change. */
export type CommandFor = (did: string, undo: Undo) => string

/** One thing to tell. */
export interface Told {
  /** Lines for people. */
  readonly lines: readonly string[]
  /** One line. */
  readonly json: string
  /** For the environment of a command. */
  readonly facts: Readonly<Record<string, string>>
  /** Names the delivery. */
  readonly id: string
}

/** Tells what comes, until the source ends. Throws what source and `tell` throw. */
export async function tellChanges(watching: Watching): Promise<void> {
  const { source, tell, clock } = watching
  // What is told at any moment waits its turn.
  let telling: Promise<void> = Promise.resolve()
  const inTurn = (told: Told): Promise<void> => {
    telling = telling.then(() => tell(told))
    return telling
  }
  const looking = watchSight(
    ({ type, words }) => {
      const now = clock.timeOfDay()
      const told = { lines: [`${formatTimestamp(now)} ${words}`], json: JSON.stringify({ type, words }), facts: { STELE_EVENT: type, STELE_WORDS: escapeLine(words) }, id: `${type}-${now}` }
      inTurn(told).catch(() => undefined) // it is thrown where the next one is awaited
    },
    () => clock.timeOfDay(),
    () => clock.now(),
  )
  for await (const one of source(looking)) await inTurn(changeOf(one, watching))
}

function changeOf(one: Followed, { origin, commandFor, clock }: Watching): Told {
  const { index } = one
  const where = `entry ${index} of ${origin}`
  const id = `${index}-${index}`
  if (one.type === 'rejected') {
    const { code } = one.verdict
    const did = one.entry?.did ?? ''
    const meaning = one.told ? 'by the history that the server tells of it. Ask another server: where that is wrong, the entry counts' : 'it changes nothing, and the log should not hold it'
    const words = `${where}, said to be of ${did}, breaks a rule (${code}): ${meaning}`
    return { lines: [words], json: renderFollowed(one), facts: { STELE_EVENT: 'rejected', STELE_DID: did, STELE_SEQ: String(index + 1), STELE_WORDS: escapeLine(words) }, id }
  }
  const { chain } = one
  const now = clock.timeOfDay()
  const alert = alertOf(chain, now)
  const command = (undo: Undo): string => commandFor(chain.did, undo)
  const [undo] = alert.undo
  return {
    lines: alertLines(alert, where, command, now),
    json: renderAlert(alert, index + 1, chain, command),
    facts: {
      STELE_EVENT: 'change',
      STELE_DID: chain.did,
      STELE_CID: alert.cid,
      STELE_SEQ: String(index + 1),
      STELE_WORDS: escapeLine(alert.changes.map(({ words }) => `it ${words}`).join('; ')),
      STELE_SIGNER: alert.signer.key,
      STELE_UNDO_UNTIL: undo === undefined ? '' : formatTimestamp(undo.until),
      STELE_UNDO_COMMAND: undo === undefined ? '' : escapeControls(command(undo)),
    },
    id,
  }
}
