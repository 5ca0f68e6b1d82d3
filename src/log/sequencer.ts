// The sequencer: takes what waits, decides it in one transaction, and answers when that is durable. spec/log.md#rounds

import { assert, DirectoryError } from '../core/errors.ts'
import { bytesEqual } from '../core/encoding/text.ts'
import type { SignatureAnswer, SignatureQuestion } from '../core/plc/signature.ts'
import { chainsFromRows, planQuestions, type IndexedChain } from '../core/replay.ts'
import { UnknownOutcomeError, type Append, type Head, type LockedHead, type Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { startBackoff } from './backoff.ts'
import { WRITER_LIMITS } from './limits.ts'
import { UnavailableError, type Submission, type SubmissionPool } from './pool.ts'
import { clockFault, type ClockReading } from './clock-check.ts'
import { checkMemory, HeadBehindError } from './follow-head.ts'
import { decideRound, type Decision } from './round.ts'
import type { Clock, LogLine, WriterObserver } from './ports.ts'

/** What the sequencer works with. */
export interface SequencerPorts {
  readonly store: Store
  readonly tip: Tip
  readonly pool: SubmissionPool
  /** Answers signature questions, position by position; undefined where the question is null. */
  readonly verify: (questions: readonly (SignatureQuestion | null)[]) => Promise<(SignatureAnswer | undefined)[]>
  readonly clock: Clock
  /** How far clocks may disagree, or a time stamp lie after the clock, milliseconds. */
  readonly maxClockSkewMs: number
  /** The time of day by each witness that was heard lately, milliseconds since 1970. Default: none. */
  readonly witnessTimes?: () => readonly number[]
  /** Told of what a round wrote, once that is durable and before anybody hears of it. Must not throw. Default: nobody is told. */
  readonly appended?: (append: Append) => void
  readonly observer: WriterObserver
  readonly log: LogLine
}

/**
 * Runs rounds until the pool is closed and empty: while one is written, the next one is prepared. Throws HeadBehindError, after
 * refusing what waits, where the database has gone back: nothing may be written then. Every other incident costs its round and no more.
 */
export async function runSequencer(ports: SequencerPorts): Promise<void> {
  const { pool } = ports
  const state: SequencerState = { firstReading: null, last: null, known: null }
  const backoff = startBackoff(ports.clock)
  let behind: HeadBehindError | null = null

  const failed = async (submissions: readonly Submission[], error: unknown): Promise<void> => {
    settle(submissions, submissions.map(() => new UnavailableError('the operation could not be written; ask again')))
    if (error instanceof HeadBehindError) {
      behind = error
      pool.close()
      return
    }
    ports.observer.roundFailed()
    ports.log('error', { error, operations: submissions.length }, 'a round failed')
    await backoff.wait()
  }
  const write = async (submissions: readonly Submission[], prepared: Prepared): Promise<void> => {
    try {
      settle(submissions, await runRound(ports, state, submissions, prepared))
      backoff.reset()
    } catch (error) {
      await failed(submissions, error)
    }
  }

  let writing = Promise.resolve()
  for (;;) {
    const taken = await pool.take(WRITER_LIMITS.maxRound)
    if (taken.length === 0) break
    let prepared: Prepared
    try {
      prepared = await prepare(ports, taken)
    } catch (error) {
      await failed(taken, error)
      continue
    }
    pool.giveBack(taken.slice(prepared.count))
    const submissions = taken.slice(0, prepared.count)
    await writing
    if (behind === null) writing = write(submissions, prepared)
    else settle(submissions, submissions.map(() => new UnavailableError('the directory is stopping')))
  }
  await writing
  if (behind !== null) throw behind
}

interface SequencerState {
  /** The clocks at the first round: what later ones must continue. */
  firstReading: ClockReading | null
  /** The last round that wrote and is known to be durable. */
  last: Written | null
  /** What the last round left; null where only the database can tell. */
  known: Known | null
}

/** The log and the time as they were when a round ended. */
interface Known {
  readonly head: Head
  /** The database's clock, milliseconds since 1970, and the process's when it was asked for and when it was here. */
  readonly database: number
  readonly asked: number
  readonly at: number
}

/** What a round wrote: the size of the log before and after it, its root then, and whose operations. */
interface Written {
  readonly from: number
  readonly to: number
  readonly root: Uint8Array
  readonly dids: ReadonlySet<string>
}

async function runRound(
  ports: SequencerPorts,
  state: SequencerState,
  submissions: readonly Submission[],
  prepared: Prepared,
): Promise<readonly Decision[]> {
  const startedAt = ports.clock.now()
  const attempt: Attempt = { append: null }
  try {
    const { decisions, size, written, known } = (await writeNext(ports, state, submissions, prepared, attempt)) ?? (await writeUnderRow(ports, state, submissions, prepared, attempt))
    state.known = known
    if (written !== null) {
      state.last = { from: written.from.size, to: written.to.size, root: written.to.root, dids: new Set(written.entries.map((row) => row.did)) }
      ports.appended?.(written)
    }
    ports.tip.advanceDurable(size)
    observe(ports, decisions, ports.clock.now() - startedAt)
    return decisions
  } catch (error) {
    const { append } = attempt
    if (!(error instanceof UnknownOutcomeError) || append === null) throw error
    ports.observer.outcomeUnknown()
    ports.log('warn', { error }, 'the outcome of a round is unknown: looking for its entries')
    const written = await findRound(ports, append)
    if (!written) throw error
    return submissions.map((submission) => decisionAfter(submission, written))
  }
}

/** What a round is about to write: where the reply is lost, it is looked for. */
interface Attempt {
  append: Append | null
}

/** What came of a round that is durable. */
interface Outcome {
  readonly decisions: readonly Decision[]
  /** Of the log. */
  readonly size: number
  readonly written: Append | null
  readonly known: Known | null
}

// Where the head is known, and the time, one step is enough: that nobody else has moved it shows when it is written. Null, and nothing
// was written, where the row has to be taken all the same: to refuse, too.
async function writeNext(ports: SequencerPorts, state: SequencerState, submissions: readonly Submission[], { size, dids, identities, answers }: Prepared, attempt: Attempt): Promise<Outcome | null> {
  const { store, tip, clock, maxClockSkewMs } = ports
  const { known, last } = state
  // What goes wrong is not known to have gone right.
  state.known = null
  if (known === null || known.head.size !== tip.durable || clock.now() - known.asked > WRITER_LIMITS.knownClockMs) return null
  const { head } = known
  if (head.size !== size && (!isOwn(last, size, head) || dids.some((did) => last.dids.has(did)))) return null
  if ([...identities.values()].some((identity) => isBeyond(identity, head))) return null
  const reading = readClocks(ports, known.database + Math.floor(clock.now() - known.at))
  if (state.firstReading === null || clockFault(reading, state.firstReading, maxClockSkewMs) !== null) return null
  const { append, decisions } = decideRound(head, submissions, identities, answers, reading.database, maxClockSkewMs)
  if (append === null) return null
  attempt.append = append
  const asked = clock.now()
  const database = await store.appendNext(append, reading.database + WRITER_LIMITS.knownClockMs)
  if (database === null) {
    attempt.append = null
    return null
  }
  return { decisions, size: append.to.size, written: append, known: { head: { ...head, ...append.to }, database, asked, at: clock.now() } }
}

function writeUnderRow(ports: SequencerPorts, state: SequencerState, submissions: readonly Submission[], prepared: Prepared, attempt: Attempt): Promise<Outcome> {
  const { store, tip, clock, maxClockSkewMs } = ports
  const before = { durable: tip.durable }
  return store.underHead(async (locked) => {
    const { head } = locked
    checkMemory(before, head.size)
    const identities = await refresh(locked, prepared, state.last)
    const answers = identities === prepared.identities ? prepared.answers : await answerRest(ports, submissions, identities, prepared.answers)
    const reading = readClocks(ports, await locked.now())
    const at = clock.now()
    if (!isTrusted(ports, state, reading)) return { decisions: submissions.map(() => new UnavailableError('the clock cannot be trusted')), size: head.size, written: null, known: null }
    const { append, decisions } = decideRound(head, submissions, identities, answers, reading.database, maxClockSkewMs)
    attempt.append = append
    if (append !== null) await locked.append(append)
    return { decisions, size: append?.to.size ?? head.size, written: append, known: { head: { ...head, ...append?.to }, database: reading.database, asked: at, at } }
  })
}

function readClocks({ clock, witnessTimes }: SequencerPorts, database: number): ClockReading {
  return { database, machine: clock.timeOfDay(), monotonic: clock.now(), witnesses: witnessTimes?.() ?? [] }
}

// Whether no clock contradicts another.
function isTrusted({ maxClockSkewMs, observer, log }: SequencerPorts, state: SequencerState, reading: ClockReading): boolean {
  state.firstReading ??= reading
  const fault = clockFault(reading, state.firstReading, maxClockSkewMs)
  observer.clockFault(fault)
  if (fault === null) return true
  log('error', { ...reading }, `operations are refused: ${fault}`)
  return false
}

function observe({ observer }: SequencerPorts, decisions: readonly Decision[], ms: number): void {
  const refused = decisions.flatMap((decision) => (decision instanceof DirectoryError ? [decision.code] : []))
  const waiting = decisions.filter((decision) => decision instanceof UnavailableError).length
  observer.round({ operations: decisions.length, accepted: decisions.length - refused.length - waiting, refused, ms })
}

interface Prepared {
  /** Size of the log before its chains were read. */
  readonly size: number
  /** How many of the operations, from the first on, the round takes. */
  readonly count: number
  readonly dids: readonly string[]
  readonly identities: ReadonlyMap<string, IndexedChain>
  readonly answers: readonly (SignatureAnswer | undefined)[]
}

// The costly part, before the row is taken: one query for all chains, all signatures. What begins an identity needs no chain for
// its signature, which is checked meanwhile. Identities with long histories make rounds with fewer operations, so that what one round reads stays bounded.
async function prepare(ports: SequencerPorts, submissions: readonly Submission[]): Promise<Prepared> {
  const { store, tip } = ports
  const size = tip.durable
  const begun = answerRest(ports, submissions, new Map(), submissions.map(() => undefined))
  begun.catch(() => undefined) // it is thrown where it is awaited
  for (let count = submissions.length; ; count = Math.ceil(count / 2)) {
    const taken = submissions.slice(0, count)
    const dids = [...new Set(taken.map((submission) => submission.did))]
    const rows = await store.history(dids, 0, dids.length === 1 ? undefined : WRITER_LIMITS.maxHistory)
    if (dids.length > 1 && rows.length > WRITER_LIMITS.maxHistory) continue
    const identities = chainsFromRows(rows)
    return { size, count, dids, identities, answers: await answerRest(ports, taken, identities, (await begun).slice(0, count)) }
  }
}

// Under the row only what changed meanwhile is read again. The answers stay true: each depends on its operation
// and on the one that its prev names, both of which are named by their hashes.
async function refresh(locked: LockedHead, { size, dids, identities }: Prepared, last: Written | null): Promise<ReadonlyMap<string, IndexedChain>> {
  const beyond = dids.filter((did) => isBeyond(identities.get(did), locked.head))
  const moved = [...new Set([...beyond, ...(await movedSince(locked, size, dids, last))])]
  if (moved.length === 0) return identities
  const kept = new Map(identities)
  for (const did of moved) kept.delete(did)
  return new Map([...kept, ...chainsFromRows(await locked.history(moved, 0))])
}

// Read when the log was larger than it is: from a database that was lost since, with what nobody had been told of.
function isBeyond(identity: IndexedChain | undefined, head: Head): boolean {
  return (identity?.indices.at(-1) ?? -1) >= head.size
}

// What could not be asked before, because the operation named by a `prev` was not at hand, or on its way into the log.
async function answerRest(
  { verify }: SequencerPorts,
  submissions: readonly Submission[],
  identities: ReadonlyMap<string, IndexedChain>,
  answers: Prepared['answers'],
): Promise<Prepared['answers']> {
  const rest = planQuestions(submissions, identities).map((question, position) => (answers[position] === undefined ? question : null))
  if (rest.every((question) => question === null)) return answers
  const more = await verify(rest)
  return answers.map((answer, position) => (answer === undefined ? more[position] : answer))
}

// Those of these DIDs with entries from index `size` on. What this process itself wrote meanwhile it knows.
async function movedSince(locked: LockedHead, size: number, dids: readonly string[], last: Written | null): Promise<readonly string[]> {
  if (locked.head.size === size) return []
  const moved = isOwn(last, size, locked.head) ? last.dids : new Set((await locked.history(dids, size)).map((row) => row.did))
  return dids.filter((did) => moved.has(did))
}

// Whether nothing but this process's last round leads from `size` to this head.
function isOwn(last: Written | null, size: number, head: Head): last is Written {
  return last !== null && last.from === size && last.to === head.size && bytesEqual(last.root, head.root)
}

/**
 * Whether a round whose outcome is unknown is in the log: asks, under the head's row, which no unfinished
 * transaction can hold, until the database answers. A statement that is still on its way to the database then finds
 * another head, comes too late, or is written after all: whoever was told to ask again learns that when he does.
 */
async function findRound(ports: SequencerPorts, append: Append): Promise<Append | null> {
  const dids = [...new Set(append.entries.map((row) => row.did))]
  const backoff = startBackoff(ports.clock)
  for (;;) {
    // Others may move the tip before the answer is here.
    const known = { durable: ports.tip.durable }
    const answer = await ports.store
      .underHead(async (locked) => ({ size: locked.head.size, rows: await locked.history(dids, append.from.size) }))
      .catch((error: unknown) => {
        ports.log('warn', { error }, 'the database does not answer')
        return null
      })
    if (answer === null) {
      await backoff.wait()
      continue
    }
    checkMemory(known, answer.size)
    ports.tip.advanceDurable(answer.size)
    const found = new Map(answer.rows.map((row) => [row.index, row]))
    const ours = append.entries.filter(({ index, entry }) => bytesEqual(found.get(index)?.entry ?? new Uint8Array(), entry))
    assert(ours.length === 0 || ours.length === append.entries.length, 'a round is in the log whole or not at all')
    return ours.length > 0 ? append : null
  }
}

// After a lost reply only what was written is certain; what was refused in that round is asked to come again.
function decisionAfter({ did, operation }: Submission, written: Append): Decision {
  const row = written.entries.find((row) => row.did === did && row.cid === operation.cid)
  return row === undefined ? new UnavailableError('the outcome of the round is not known; ask again') : { index: row.index }
}

function settle(submissions: readonly Submission[], decisions: readonly Decision[]): void {
  for (const [position, submission] of submissions.entries()) {
    const decision = decisions[position]
    assert(decision !== undefined, 'every submission is decided')
    if (decision instanceof DirectoryError || decision instanceof UnavailableError) submission.refuse(decision)
    else submission.accept(decision)
  }
}
