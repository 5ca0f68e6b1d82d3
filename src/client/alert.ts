// What a change of an identity means to its owner: what, by whom, and who could undo it until when. docs/following.md#monitor

import { renderJson } from '../core/encoding/json.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import type { Chain } from '../core/plc/chain.ts'
import { describeLink, describeSigner, signedBy, type Change, type SignedBy } from './changes.ts'
import { describeDuration, forksOf } from './recovery.ts'

/** A change of an identity. */
export interface Alert {
  readonly did: string
  /** Of the operation, in base32. */
  readonly cid: string
  /** When the directory accepted it, milliseconds since 1970. */
  readonly createdAt: number
  readonly changes: readonly Change[]
  readonly signer: SignedBy
  /** Ways to undo it at the moment at which it was asked, the one that undoes least first. */
  readonly undo: readonly Undo[]
  /** How many more there would have been before it was too late. */
  readonly missed: number
}

/** A way to undo an operation. */
export interface Undo {
  /** CID of the last operation that stays. */
  readonly from: string
  /** How many operations it undoes. */
  readonly operations: number
  /** The last moment, milliseconds since 1970. */
  readonly until: number
  /** did:keys that can do it, strongest first. */
  readonly keys: readonly string[]
}

/** What the last operation of a chain changed, and who can undo it at `now`, milliseconds since 1970. The chain is not empty. */
export function alertOf(chain: Chain, now: number): Alert {
  const position = chain.links.length - 1
  const { operation, createdAt } = chain.links[position] ?? fail()
  const forks = forksOf(chain).filter(({ undone, keys }) => undone.includes(position) && keys.length > 0)
  const open = forks.filter(({ until }) => now <= until)
  return {
    did: chain.did,
    cid: operation.cid,
    createdAt,
    changes: describeLink(chain, position),
    signer: signedBy(chain, position),
    undo: open.map(({ position, undone, until, keys }) => ({ from: chain.links[position]?.operation.cid ?? '', operations: undone.length, until, keys })),
    missed: forks.length - open.length,
  }
}

/** An alert in lines for people, without the names of things that only the reader knows. `command` gives the command for a way to undo it. They quote what others chose: escape them for a terminal. */
export function alertLines(alert: Alert, where: string, command: (undo: Undo) => string, now: number): string[] {
  const lines = [`${alert.did} has changed: ${where}, accepted ${formatTimestamp(alert.createdAt)}`]
  for (const { words } of alert.changes) lines.push(`  it ${words}`)
  lines.push(`  signed by ${describeSigner(alert.signer)}`)
  if (alert.undo.length === 0) {
    const words = alert.signer.priority === 1 ? 'that is the strongest key' : alert.missed > 0 ? 'the 72 hours are over' : 'no stronger key can undo it'
    return [...lines, `  nothing can undo it: ${words}`]
  }
  for (const [at, undo] of alert.undo.entries()) {
    const others = undo.operations === 1 ? 'it' : `it and ${undo.operations - 1} more`
    lines.push(`  ${at === 0 ? '' : 'or, '}until ${formatTimestamp(undo.until)} (${describeDuration(undo.until - now)} left), ${undo.keys.length === 1 ? 'this key can' : 'any of these keys can'} undo ${others}:`)
    for (const [index, key] of undo.keys.entries()) lines.push(`    ${index + 1}  ${key}`)
    lines.push(`  to see first what that would do, add --dry-run; this does it:`, `    ${command(undo)}`)
  }
  return lines
}

/** An alert as JSON in one line. */
export function renderAlert(alert: Alert, seq: number, chain: Chain, command: (undo: Undo) => string): string {
  const operation = chain.links.at(-1)?.operation.value
  const facts = {
    did: alert.did,
    cid: alert.cid,
    createdAt: formatTimestamp(alert.createdAt),
    changes: alert.changes,
    signer: alert.signer,
    undo: alert.undo.map((undo) => ({ ...undo, until: formatTimestamp(undo.until), command: command(undo) })),
  }
  return `{"type":"change","seq":${seq},${JSON.stringify(facts).slice(1, -1)},"operation":${renderJson(operation ?? null)}}`
}

function fail(): never {
  throw new RangeError('a chain without operations has no last one')
}
