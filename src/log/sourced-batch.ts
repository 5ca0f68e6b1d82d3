// One transaction of an import or of a notary: which records are new, what the rules say of them, and their entries.
// spec/log.md#entry

import { bytesEqual } from '../core/encoding/text.ts'
import { encodeEntry, type Entry } from '../core/entry.ts'
import { type DirectoryError, verdictOf } from '../core/errors.ts'
import { findLink } from '../core/plc/chain.ts'
import type { LedgerRecord } from '../core/plc/records.ts'
import type { SignatureAnswer, SignatureQuestion } from '../core/plc/signature.ts'
import { chainsFromRows, indexAt, planQuestions, replay, type IndexedChain, type Replayed, type ReplayPlan } from '../core/replay.ts'
import { NoLogError, UnknownOutcomeError, type Append, type Head, type LockedHead, type Store, type UpstreamNotes } from '../storage/store.ts'
import { OpenLogError, refuseMirror } from './open-log.ts'

/** How a batch is written. */
export interface BatchOptions {
  /** Name of where the records come from; it stands in every entry. */
  readonly source: string
  /** Answers signature questions position by position: undefined where the question is null. */
  readonly verifyAnswers: (questions: readonly (SignatureQuestion | null)[]) => Promise<readonly (SignatureAnswer | undefined)[]>
  /** Whether an invalid record is left out, rather than ending the batch before it. */
  readonly keepGoing: boolean
  /** What is to be noted in the same transaction, also where nothing is appended. Default: nothing. */
  readonly notes?: (outcome: BatchOutcome) => UpstreamNotes
  /** Told of a change once it is durable. Default: nobody is. */
  readonly appended?: (append: Append) => void
}

/** What the rules made of a batch. */
export type BatchOutcome = Omit<WrittenBatchOutcome, 'written'>

/** What became of a batch. */
export interface WrittenBatchOutcome {
  /** Index of the first entry that was appended. */
  readonly from: number
  /** How many entries were appended. */
  readonly appended: number
  /** Position by position: the index in the log; null for an invalid record and, where it ended the batch, for what follows. */
  readonly placed: readonly (number | null)[]
  /** Indices in the log that are known to be nullified: by these records, or since before. */
  readonly nullified: readonly number[]
  /** Invalid records, by position, and the verdict on each. */
  readonly invalid: ReadonlyMap<number, DirectoryError>
  readonly written: WrittenBatch
}

/** How often a batch is tried whose commit may have happened or not. */
const ATTEMPTS = 5

/** A batch whose signatures are checked. */
export interface PreparedBatch {
  readonly records: readonly LedgerRecord[]
  /** Size of the log before its chains were read. */
  readonly seenSize: number
  readonly dids: readonly string[]
  readonly chains: ReadonlyMap<string, IndexedChain>
  /** Verdicts on records that are too large for an entry, by position. */
  readonly tooLarge: ReadonlyMap<number, DirectoryError>
  readonly candidates: readonly Candidate[]
}

/** What a batch wrote: between these two sizes there is nothing else. */
export interface WrittenBatch {
  readonly from: number
  readonly to: number
  /** Of the tree of size `to`. */
  readonly root: Uint8Array
  readonly dids: ReadonlySet<string>
}

/**
 * The costly part: reads what the log holds of the records' identities, and has the signatures of those that are new
 * checked. `ahead` are the records of a batch that is being written meanwhile. Throws NoLogError where there is no log,
 * and incidents of the store.
 */
export async function prepareBatch(store: Store, records: readonly LedgerRecord[], options: BatchOptions, ahead: readonly LedgerRecord[]): Promise<PreparedBatch> {
  const dids = [...new Set(records.map((record) => record.did))]
  const head = await store.head()
  if (head === null) throw new NoLogError('the database holds no log')
  const { size: seenSize } = head
  const chains = chainsFromRows(await store.history(dids, 0))
  const tooLarge = new Map<number, DirectoryError>()
  const fresh = freshOf(records, chains, options.source, tooLarge)
  const own = new Set(dids)
  const before = ahead.filter((record) => own.has(record.did))
  const questions = planQuestions([...before, ...fresh.map(({ record }) => record)], chains).slice(before.length)
  const answers = await options.verifyAnswers(questions)
  return { records, seenSize, dids, chains, tooLarge, candidates: fresh.map((candidate, i) => ({ ...candidate, answer: answers[i] })) }
}

/**
 * Appends the records that the log does not hold as sourced entries, all in one transaction. Records that it holds
 * are skipped, so that a batch may be repeated. `last` is what was written last, as far as that is known. Throws
 * OpenLogError where the log has native entries, NoLogError where there is no log, and incidents of the store.
 */
export async function writeBatch(store: Store, prepared: PreparedBatch, options: BatchOptions, last: WrittenBatch | null): Promise<WrittenBatchOutcome> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryBatch(store, prepared, options, last)
    } catch (error) {
      if (!(error instanceof UnknownOutcomeError) || attempt >= ATTEMPTS) throw error
    }
  }
}

/** A record that may be new. */
interface Candidate {
  readonly record: LedgerRecord
  readonly position: number
  readonly entry: Entry
  readonly leaf: Uint8Array
  readonly answer: SignatureAnswer | undefined
}

async function tryBatch(store: Store, prepared: PreparedBatch, options: BatchOptions, last: WrittenBatch | null): Promise<WrittenBatchOutcome> {
  const { records, tooLarge, candidates } = prepared
  const { done, change } = await store.underHead(async (locked) => {
    const { head } = locked
    refuseMirror(head)
    if (head.clock.lastNative !== null) {
      throw new OpenLogError(`the log ${head.origin} has accepted operations of its own, and history can only come before them: import into a new log, before it serves`)
    }
    const chains = await refreshed(locked, prepared, last)
    const stillNew = candidates.filter(({ record }) => placeOf(chains, record) === null)
    const { kept, replayed, invalid } = decide(head, stillNew, chains, tooLarge, options.keepGoing)
    const appended = new Map(kept.map(({ record }, i) => [`${record.did} ${record.cid}`, head.size + i]))
    const end = options.keepGoing ? records.length : Math.min(...invalid.keys(), records.length)
    const placed = records.map((record, position) => {
      if (position >= end || invalid.has(position)) return null
      return placeOf(chains, record) ?? appended.get(`${record.did} ${record.cid}`) ?? null
    })
    const outcome = { from: head.size, appended: kept.length, placed, nullified: [...nullifiedIn(chains), ...nullifiedBy(replayed)], invalid }
    const upstream = options.notes?.(outcome)
    const change = { ...changeOf(head, replayed), ...(upstream === undefined ? {} : { upstream }) }
    if (kept.length > 0 || upstream !== undefined) await locked.append(change)
    const written = { from: head.size, to: replayed.state.edge.size, root: replayed.growth.root, dids: new Set(kept.map(({ record }) => record.did)) }
    return { done: { ...outcome, written }, change }
  })
  if (done.appended > 0) options.appended?.(change)
  return done
}

// Under the row only what changed meanwhile is read again. The answers stay true: each depends on its operation and on
// the one that its prev names, both of which are named by their hashes.
async function refreshed(locked: LockedHead, { seenSize, dids, chains }: PreparedBatch, last: WrittenBatch | null): Promise<ReadonlyMap<string, IndexedChain>> {
  const { size, root } = locked.head
  if (size === seenSize) return chains
  const ours = last !== null && last.from === seenSize && last.to === size && bytesEqual(last.root, root)
  const moved = ours ? dids.filter((did) => last.dids.has(did)) : [...new Set((await locked.history(dids, seenSize)).map((row) => row.did))]
  return moved.length === 0 ? chains : new Map([...chains, ...chainsFromRows(await locked.history(moved, 0))])
}

// The records that the log does not hold, each once, with its leaf.
function freshOf(
  records: readonly LedgerRecord[],
  chains: ReadonlyMap<string, IndexedChain>,
  source: string,
  tooLarge: Map<number, DirectoryError>,
): Omit<Candidate, 'answer'>[] {
  const met = new Set<string>()
  return records.flatMap((record, position) => {
    const { did, createdAt, operation, cid } = record
    if (met.has(`${did} ${cid}`) || placeOf(chains, record) !== null) return []
    met.add(`${did} ${cid}`)
    const entry = { did, createdAt, operation, source }
    const { value: leaf, verdict } = verdictOf(() => encodeEntry(entry))
    if (verdict !== null) tooLarge.set(position, verdict)
    return leaf === null ? [] : [{ record, position, entry, leaf }]
  })
}

// What is kept of the candidates. An invalid one has no effect on what follows it, so that leaving it out changes no
// other verdict; without `keepGoing` nothing from the first invalid one on is kept.
function decide(
  head: Head,
  candidates: readonly Candidate[],
  chains: ReadonlyMap<string, IndexedChain>,
  tooLarge: ReadonlyMap<number, DirectoryError>,
  keepGoing: boolean,
): { kept: readonly Candidate[]; replayed: Replayed; invalid: ReadonlyMap<number, DirectoryError> } {
  const fold = (kept: readonly Candidate[]): Replayed =>
    replay({ edge: head.edge, clock: head.clock }, planOf(kept), chains, kept.map(({ answer }) => answer))
  const tried = fold(candidates)
  const found = new Map(tooLarge)
  for (const [position, candidate] of candidates.entries()) {
    const verdict = tried.verdicts.get(head.size + position)
    if (verdict !== undefined) found.set(candidate.position, verdict)
  }
  if (found.size === 0) return { kept: candidates, replayed: tried, invalid: found }
  const first = Math.min(...found.keys())
  const kept = candidates.filter(({ position }) => (keepGoing ? !found.has(position) : position < first))
  const invalid = keepGoing ? found : new Map([...found].filter(([position]) => position === first))
  return { kept, replayed: fold(kept), invalid }
}

// As `planReplay` of the leaves, without decoding what has just been encoded.
function planOf(kept: readonly Candidate[]): ReplayPlan {
  return { leaves: kept.map(({ leaf }) => leaf), decoded: kept.map(({ entry }) => entry), dids: [...new Set(kept.map(({ record }) => record.did))] }
}

function changeOf({ size, root }: Head, { rows, nullified, growth, state }: Replayed): Append {
  return { from: { size, root }, entries: rows, nullified, tiles: growth.tiles, to: { size: state.edge.size, root: growth.root, edge: state.edge, clock: state.clock } }
}

function placeOf(chains: ReadonlyMap<string, IndexedChain>, { did, cid }: LedgerRecord): number | null {
  const identity = chains.get(did)
  const position = identity === undefined ? null : findLink(identity.chain, cid)
  return identity === undefined || position === null ? null : indexAt(identity, position)
}

function nullifiedIn(chains: ReadonlyMap<string, IndexedChain>): number[] {
  return [...chains.values()].flatMap((identity) => identity.chain.links.flatMap((link, position) => (link.nullified ? [indexAt(identity, position)] : [])))
}

function nullifiedBy({ rows, nullified }: Replayed): number[] {
  return [...nullified, ...rows.filter((row) => row.nullified).map((row) => row.index)]
}
