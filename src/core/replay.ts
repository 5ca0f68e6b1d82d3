// Every rule, applied to entries in the order of the log: the writer, mirrors, clients and fsck run this code.
// spec/log.md#replay

import { decodeEntry, type Entry } from './entry.ts'
import { assert, DirectoryError, verdictOf } from './errors.ts'
import { grow, type Growth } from './growth.ts'
import { applyOperation, emptyChain, signatureQuestion, type Chain, type Link } from './plc/chain.ts'
import type { Operation } from './plc/operation.ts'
import { findSigner, type SignatureAnswer, type SignatureQuestion } from './plc/signature.ts'
import type { Checkpoint } from './tlog/checkpoint.ts'
import { bytesEqual } from './encoding/text.ts'
import { edgeRoot, type Edge } from './tlog/edge.ts'

/** One entry of the log, with what replay derived for it. */
export interface EntryRow {
  /** Leaf index, from 0. `seq` of the export is one more. */
  readonly index: number
  readonly did: string
  /** CID of the operation, base32. */
  readonly cid: string
  /** The entry's own time, milliseconds since 1970. */
  readonly createdAt: number
  /** Index in the rotation keys of the operation named by `prev` (its own for a genesis) of the key that signed; null for a rejected entry. */
  readonly signer: number | null
  /** Whether a later entry of the log nullified this one. */
  readonly nullified: boolean
  /** Code of the verdict for an entry that breaks the rules and stays in the tree all the same; null for every other. */
  readonly rejected: string | null
  /** The leaf's bytes. */
  readonly entry: Uint8Array
}

/** What the rules of time remember of a log. */
export interface LogClock {
  /** `createdAt` of the newest native entry, milliseconds since 1970; null while every entry is sourced. */
  readonly lastNative: number | null
}

/** A log before its first entry. */
export const EMPTY_CLOCK: LogClock = { lastNative: null }

/** An identity's accepted operations and, position by position, the indices of their entries. */
export interface IndexedChain {
  readonly chain: Chain
  readonly indices: readonly number[]
}

/** One entry that kept the rules. */
export interface Applied {
  readonly identity: IndexedChain
  readonly clock: LogClock
  /** As `EntryRow.signer`. */
  readonly signer: number
  /** Log indices of the entries that it nullified. */
  readonly nullified: readonly number[]
}

/**
 * Applies one entry at `index` to its identity and to the log's clock. `answer` is the answer to the operation's
 * signature question; where it is undefined the question is answered here, by the portable implementation.
 * Throws the verdict where a rule of the chain or of time is broken.
 */
export function applyEntry(
  clock: LogClock,
  identity: IndexedChain,
  index: number,
  entry: Entry,
  answer: SignatureAnswer | undefined,
): Applied {
  checkTime(clock, identity.chain, entry)
  const signer = answer === undefined ? findSigner(signatureQuestion(entry.operation, identity.chain)) : answer
  const { chain, nullified } = applyOperation(identity.chain, entry.operation, entry.createdAt, signer)
  assert(signer !== null, 'an operation without a signer was applied')
  return {
    identity: { chain, indices: [...identity.indices, index] },
    clock: entry.source === null ? { lastNative: entry.createdAt } : clock,
    signer,
    nullified: nullified.map((position) => indexAt(identity, position)),
  }
}

/**
 * The rules of time. A native entry is later than every earlier entry of its DID (ENTRY_NOT_LATER) and not earlier
 * than any earlier native entry of the log (ENTRY_BEFORE_LOG); a sourced entry follows no native one
 * (SOURCED_AFTER_NATIVE). Rejected entries do not count. spec/log.md#time
 */
export function checkTime(clock: LogClock, chain: Chain, entry: Entry): void {
  if (entry.source !== null) {
    if (clock.lastNative !== null) throw new DirectoryError('SOURCED_AFTER_NATIVE', entry.source)
    return
  }
  if (entry.createdAt <= newestTime(chain)) throw new DirectoryError('ENTRY_NOT_LATER')
  if (clock.lastNative !== null && entry.createdAt < clock.lastNative) throw new DirectoryError('ENTRY_BEFORE_LOG')
}

/** The latest `createdAt` of a chain's operations, nullified ones included; -Infinity for none. */
export function newestTime(chain: Chain): number {
  return chain.links.reduce((newest, link) => Math.max(newest, link.createdAt), -Infinity)
}

/** A run of entries, decoded: what is needed before they can be folded. */
export interface ReplayPlan {
  readonly leaves: readonly Uint8Array[]
  /** Position by position: the entry, or the verdict on bytes that are none. */
  readonly decoded: readonly (Entry | DirectoryError)[]
  /** The identities whose chains the fold needs. */
  readonly dids: readonly string[]
}

/** Decodes a run of leaves. Throws no verdict. */
export function planReplay(leaves: readonly Uint8Array[]): ReplayPlan {
  const decoded = leaves.map((leaf) => {
    const { value, verdict } = verdictOf(() => decodeEntry(leaf))
    return verdict ?? value
  })
  const dids = decoded.flatMap((entry) => (entry instanceof DirectoryError ? [] : [entry.did]))
  return { leaves, decoded, dids: [...new Set(dids)] }
}

/**
 * The signature questions of operations in their order, position by position; null where there is nothing to ask
 * because `prev` names no operation known. An operation may follow one that stands earlier in the same run, and what
 * stands earlier may come to nothing: every operation that a fold of the run can ask about has its question here.
 * An answer depends on the operation and on the one named by its `prev` alone, so it never goes stale.
 */
export function planQuestions(
  operations: readonly { readonly did: string; readonly operation: Operation }[],
  chains: ReadonlyMap<string, IndexedChain>,
): (SignatureQuestion | null)[] {
  const runs = new Map<string, QuestionedRun>()
  return operations.map(({ did, operation }) => {
    const run = runs.get(did) ?? newRun(chains.get(did))
    runs.set(did, run)
    const same = run.asked.get(operation.cid)
    if (same !== undefined) return same
    const links = operation.prev === null ? run.before : run.links
    const { value } = verdictOf(() => signatureQuestion(operation, { did, links }))
    if (value === null) return null
    run.asked.set(operation.cid, value)
    run.links.push({ operation, createdAt: 0, signer: 0, nullified: false })
    return value
  })
}

/** Where a replay stands: all that is kept of a log beside its identities. */
export interface ReplayState {
  readonly edge: Edge
  readonly clock: LogClock
}

/** A run of entries, replayed. */
export interface Replayed {
  readonly state: ReplayState
  readonly growth: Growth
  /** The new entries; one that nullified an earlier of the same run is reflected in that one's row. */
  readonly rows: readonly EntryRow[]
  /** The identities that changed, as they stand after the run. */
  readonly changed: ReadonlyMap<string, IndexedChain>
  /** Indices below the run of the entries that became nullified. */
  readonly nullified: readonly number[]
  /** The verdicts on the entries that broke a rule, by index. */
  readonly verdicts: ReadonlyMap<number, DirectoryError>
}

/**
 * Folds a run of entries into a log. `chains` holds the identities of `plan.dids` as they stood before the run
 * (one that is missing has no operations); `answers`, where given, answer `planQuestions` position by position.
 * Throws no verdict: entries that break a rule stay in the tree and are named in `verdicts`.
 */
export function replay(
  state: ReplayState,
  plan: ReplayPlan,
  chains: ReadonlyMap<string, IndexedChain>,
  answers: readonly (SignatureAnswer | undefined)[] = [],
): Replayed {
  const first = state.edge.size
  const changed = new Map<string, IndexedChain>()
  const rows: EntryRow[] = []
  const nullified: number[] = []
  const verdicts = new Map<number, DirectoryError>()
  let clock = state.clock
  for (const [position, entry] of plan.decoded.entries()) {
    const index = first + position
    const leaf = plan.leaves[position]
    assert(leaf !== undefined, 'a plan has a leaf for each entry')
    const outcome = verdictOf(() => {
      if (entry instanceof DirectoryError) throw entry
      return applyEntry(clock, changed.get(entry.did) ?? chains.get(entry.did) ?? emptyIdentity(entry.did), index, entry, answers[position])
    })
    if (outcome.verdict !== null) {
      verdicts.set(index, outcome.verdict)
      rows.push({ ...describe(entry, index, leaf), signer: null, rejected: outcome.verdict.code })
      continue
    }
    const { value: applied } = outcome
    changed.set(applied.identity.chain.did, applied.identity)
    clock = applied.clock
    rows.push({ ...describe(entry, index, leaf), signer: applied.signer, rejected: null })
    for (const earlier of applied.nullified) {
      const row = rows[earlier - first]
      if (row === undefined) nullified.push(earlier)
      else rows[earlier - first] = { ...row, nullified: true }
    }
  }
  const growth = grow(state.edge, plan.leaves)
  return { state: { edge: growth.edge, clock }, growth, rows, changed, nullified, verdicts }
}

/** Throws ROOT_MISMATCH where a replay that has reached the checkpoint's size has another root. */
export function checkRoot(state: ReplayState, checkpoint: Checkpoint): void {
  assert(state.edge.size === checkpoint.size, 'a root is checked at its own size')
  if (!bytesEqual(edgeRoot(state.edge), checkpoint.root)) throw new DirectoryError('ROOT_MISMATCH', String(checkpoint.size))
}

/** The identities in rows, which are ordered by index: their chains as they were derived when the rows were written. Throws no verdict. */
export function chainsFromRows(rows: readonly EntryRow[]): Map<string, IndexedChain> {
  const parts = new Map<string, { links: Link[]; indices: number[] }>()
  for (const row of rows) {
    if (row.rejected !== null) continue
    const { operation } = decodeEntry(row.entry, row.cid)
    assert(row.signer !== null, `entry ${row.index} has no signer`)
    const part = parts.get(row.did) ?? { links: [], indices: [] }
    part.links.push({ operation, createdAt: row.createdAt, signer: row.signer, nullified: row.nullified })
    part.indices.push(row.index)
    parts.set(row.did, part)
  }
  return new Map([...parts].map(([did, { links, indices }]) => [did, { chain: { did, links }, indices }]))
}

/** An identity without operations. */
export function emptyIdentity(did: string): IndexedChain {
  return { chain: emptyChain(did), indices: [] }
}

/** The log index of a chain's operation at `position`. */
export function indexAt(identity: IndexedChain, position: number): number {
  const index = identity.indices[position]
  assert(index !== undefined, 'every operation of a chain has an index')
  return index
}

/** What of one identity a run may be asked against. */
interface QuestionedRun {
  /** Its operations before the run: all that a genesis can meet. */
  readonly before: readonly Link[]
  /** These, and the run's own that were asked about. */
  readonly links: Link[]
  /** Questions of the run's operations, by CID. */
  readonly asked: Map<string, SignatureQuestion>
}

function newRun(identity: IndexedChain | undefined): QuestionedRun {
  const before = (identity?.chain.links ?? []).map((link) => ({ ...link, nullified: false }))
  return { before, links: [...before], asked: new Map() }
}

function describe(entry: Entry | DirectoryError, index: number, leaf: Uint8Array): Omit<EntryRow, 'signer' | 'rejected'> {
  const known = entry instanceof DirectoryError ? { did: '', cid: '', createdAt: 0 } : { did: entry.did, cid: entry.operation.cid, createdAt: entry.createdAt }
  return { index, ...known, nullified: false, entry: leaf }
}
