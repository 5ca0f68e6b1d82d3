// One round, decided: which of the waiting operations enter the log, at which index, with which time.
// Pure: the sequencer brings the state and writes the outcome. spec/log.md#rounds

import { encodeEntry } from '../core/entry.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import { grow } from '../core/growth.ts'
import { checkRate } from '../core/plc/admission.ts'
import { disputedLink, findLink } from '../core/plc/chain.ts'
import type { Operation } from '../core/plc/operation.ts'
import type { SignatureAnswer } from '../core/plc/signature.ts'
import { applyEntry, emptyIdentity, indexAt, newestTime, type EntryRow, type IndexedChain, type LogClock } from '../core/replay.ts'
import type { Append, Head } from '../storage/store.ts'
import { UnavailableError, type Accepted } from './pool.ts'

/** What a round decides about. */
export interface Proposal {
  readonly did: string
  readonly operation: Operation
  readonly seenSize: number
}

/** What became of one: its place in the log, the verdict on it, or why it has to wait. */
export type Decision = Accepted | DirectoryError | UnavailableError

/** A round's outcome: what is to be written, nothing where no operation was new, and a decision for each proposal. */
export interface Round {
  readonly append: Append | null
  readonly decisions: readonly Decision[]
}

/**
 * Decides a round on `head`. `identities` holds the chains of the proposals' DIDs at that head, `answers` answer
 * their signature questions (undefined: not asked yet), `now` is the database's clock in milliseconds.
 */
export function decideRound(
  head: Head,
  proposals: readonly Proposal[],
  identities: ReadonlyMap<string, IndexedChain>,
  answers: readonly (SignatureAnswer | undefined)[],
  now: number,
  maxStampLeadMs: number,
): Round {
  const current = new Map(identities)
  const rows: EntryRow[] = []
  const nullified: number[] = []
  let clock = head.clock

  const decisions = proposals.map((proposal, position): Decision => {
    const { did, operation } = proposal
    const identity = current.get(did) ?? emptyIdentity(did)
    const { value, verdict } = verdictOf((): Accepted | UnavailableError => {
      const known = knownOperation(identity, operation)
      if (known !== null) return known
      checkStalePrev(identity, proposal)
      const createdAt = stamp(clock, identity, now)
      if (createdAt > now + maxStampLeadMs) return new UnavailableError('the clock is behind the newest entry')
      const entry = { did, createdAt, operation, source: null }
      const leaf = encodeEntry(entry)
      const index = head.size + rows.length
      const applied = applyEntry(clock, identity, index, entry, answers[position])
      checkRate(identity.chain, operation, createdAt)
      clock = applied.clock
      current.set(did, applied.identity)
      for (const earlier of applied.nullified) {
        const row = rows[earlier - head.size]
        if (row === undefined) nullified.push(earlier)
        else rows[earlier - head.size] = { ...row, nullified: true }
      }
      rows.push({ index, did, cid: operation.cid, createdAt, signer: applied.signer, nullified: false, rejected: null, entry: leaf })
      return { index }
    })
    return verdict ?? value
  })

  if (rows.length === 0) return { append: null, decisions }
  const { edge, root, tiles } = grow(head.edge, rows.map((row) => row.entry))
  const to = { size: edge.size, root, edge, clock }
  return { append: { from: { size: head.size, root: head.root }, entries: rows, nullified, tiles, to }, decisions }
}

// Posting the same operation again is answered as the first time. One that was nullified is not in effect, and
// an answer of "accepted" would say that it is.
function knownOperation(identity: IndexedChain, operation: Operation): Accepted | null {
  const position = findLink(identity.chain, operation.cid)
  if (position === null) return null
  if (identity.chain.links[position]?.nullified) throw new DirectoryError('MISORDERED')
  return { index: indexAt(identity, position) }
}

// An operation whose prev was the head when it was sent meant to be an update. What came first in the meantime
// would make it a recovery, which its sender did not ask for: it is told so instead. spec/http.md#conflicts
function checkStalePrev(identity: IndexedChain, { operation, seenSize }: Proposal): void {
  const disputed = disputedLink(identity.chain, operation)
  if (disputed !== null && indexAt(identity, disputed) >= seenSize) throw new DirectoryError('STALE_PREV')
}

// The rules of time, met from the start: not before the log's newest native entry, later than all of the DID.
function stamp(clock: LogClock, identity: IndexedChain, now: number): number {
  return Math.max(now, clock.lastNative ?? now, newestTime(identity.chain) + 1)
}
