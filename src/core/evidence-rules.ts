// Which entries contradict the rules whatever else the log holds: the part of replay's verdicts that a few entries prove.
// spec/evidence.md#rules

import { normalizeCid } from './encoding/cid.ts'
import { decodeEntry, type Entry } from './entry.ts'
import { DirectoryError, verdictOf } from './errors.ts'
import { applyOperation, emptyChain, parentOf, prevCid, RECOVERY_WINDOW_MS, signatureQuestion, type Chain, type Link } from './plc/chain.ts'
import { rotationKeysOf, type Operation } from './plc/operation.ts'
import { findSigner } from './plc/signature.ts'
import { applyEntry, checkTime, EMPTY_CLOCK, emptyIdentity } from './replay.ts'

/** The rules whose breach a few entries prove. spec/evidence.md#rules */
export const PROVABLE_RULES = ['entry', 'genesis', 'prev', 'signature', 'twice', 'place', 'time', 'recovery', 'nullified'] as const

export type ProvableRule = (typeof PROVABLE_RULES)[number]

/** A leaf in its place. Every row of a store is one. */
export interface PlacedLeaf {
  readonly index: number
  /** The leaf's bytes. */
  readonly entry: Uint8Array
}

/** Entries, ordered by index, that cannot all stand in a log that keeps a rule, and operations that are named by hash. */
export interface Breach {
  readonly rule: ProvableRule
  readonly leaves: readonly PlacedLeaf[]
  readonly operations: readonly Operation[]
}

/** Most operations of a breach. */
export const MAX_BREACH_OPERATIONS = 100

/** How many leaves show the breach of a rule, and how many operations beside them. */
export const BREACH_SHAPES: Readonly<Record<ProvableRule, { readonly leaves: number; readonly fewest: number; readonly most: number }>> = {
  entry: { leaves: 1, fewest: 0, most: 0 },
  genesis: { leaves: 1, fewest: 0, most: 0 },
  prev: { leaves: 1, fewest: 0, most: 0 },
  signature: { leaves: 1, fewest: 1, most: 1 },
  twice: { leaves: 2, fewest: 0, most: 0 },
  place: { leaves: 2, fewest: 0, most: 0 },
  time: { leaves: 2, fewest: 0, most: 0 },
  recovery: { leaves: 2, fewest: 1, most: 1 },
  nullified: { leaves: 3, fewest: 0, most: MAX_BREACH_OPERATIONS },
}

/**
 * The verdict that follows from a breach's leaves and operations: in every log that holds these leaves at these
 * indices, replay rejects one of them, or an entry before them. Null where that does not follow. The leaves' places
 * are taken as given. spec/evidence.md#rules
 */
export function verdictOn({ rule, leaves, operations }: Breach): DirectoryError | null {
  const { leaves: count, fewest, most } = BREACH_SHAPES[rule]
  const ordered = leaves.every(({ index }, i) => index > (leaves[i - 1]?.index ?? -1))
  if (leaves.length !== count || operations.length < fewest || operations.length > most || !ordered) return null
  const decoded = leaves.map(({ entry }) => verdictOf(() => decodeEntry(entry)))
  if (rule === 'entry') return decoded[0]?.verdict ?? null
  const entries = decoded.flatMap(({ value }) => (value === null ? [] : [value]))
  return entries.length === count ? JUDGES[rule](entries, operations) : null
}

/**
 * A breach that shows why replay rejected an entry: the first that `rejected` makes with leaves among `known`, of which
 * those of its DID, the newest accepted native entry before it, and those of the operation itself and of the one named by
 * its `prev`, wherever they stand, are of use. Null where they prove nothing: the rejection is no more than an alarm then.
 */
export function findBreach(rejected: PlacedLeaf, known: readonly PlacedLeaf[]): Breach | null {
  for (const breach of candidates(rejected, known)) if (verdictOn(breach) !== null) return breach
  return null
}

type Judge = (entries: readonly Entry[], operations: readonly Operation[]) => DirectoryError | null

const JUDGES: Readonly<Record<Exclude<ProvableRule, 'entry'>, Judge>> = {
  genesis: onOne((entry) => {
    const { verdict } = verdictOf(() => applyEntry(EMPTY_CLOCK, emptyIdentity(entry.did), 0, entry, undefined))
    // With a prev it may have followed another operation, unless it is itself the one that the DID is made of.
    return entry.operation.prev === null || verdict?.code === 'GENESIS_PREV' ? verdict : null
  }),
  prev: onOne(({ operation: { prev } }) => (prev !== null && verdictOf(() => normalizeCid(prev)).verdict !== null ? new DirectoryError('MISORDERED') : null)),
  signature: onOne(({ did, operation, createdAt }, [parent]) => {
    if (parent === undefined || prevCid(operation) !== parent.cid) return null
    return verdictOf(() => follow({ did, links: [linkOf(parent, 0)] }, operation, createdAt)).verdict
  }),
  twice: onTwo((first, second) => {
    const chain = { did: second.did, links: [linkOf(first.operation, first.createdAt)] }
    return first.operation.cid === second.operation.cid ? verdictOf(() => parentOf(chain, second.operation)).verdict : null
  }),
  place: onTwo((first, second) => {
    const before = prevCid(first.operation) === second.operation.cid
    const elsewhere = prevCid(second.operation) === first.operation.cid && first.did !== second.did
    return before || elsewhere ? new DirectoryError('MISORDERED') : null
  }),
  time: onTwo((first, second) => {
    const clock = { lastNative: first.source === null ? first.createdAt : null }
    const chain = first.did === second.did ? { did: second.did, links: [linkOf(first.operation, first.createdAt)] } : emptyChain(second.did)
    return verdictOf(() => checkTime(clock, chain, second)).verdict
  }),
  recovery: onTwo((disputed, recovery, [parent]) => {
    const [one, other] = [disputed.operation, recovery.operation]
    if (parent === undefined || disputed.did !== recovery.did || one.cid === other.cid) return null
    if (prevCid(one) !== parent.cid || prevCid(other) !== parent.cid) return null
    const start = { did: disputed.did, links: [linkOf(parent, 0)] }
    const { value: chain } = verdictOf(() => follow(start, one, disputed.createdAt))
    if (chain === null) return null
    const { verdict } = verdictOf(() => follow(chain, other, recovery.createdAt))
    if (verdict?.code !== 'LATE_RECOVERY') return verdict?.code === 'INVALID_SIGNATURE' ? verdict : null
    // What is disputed in the log may be a recovery between the two, by a key between theirs, and its time is later.
    const between = signersBetween(rotationKeysOf(parent), findSigner(signatureQuestion(other, start)), findSigner(signatureQuestion(one, start)))
    return recovery.createdAt - disputed.createdAt > RECOVERY_WINDOW_MS * (1 + between) ? verdict : null
  }),
  nullified([parent, recovery, entry], path) {
    if (parent === undefined || recovery === undefined || entry === undefined) return null
    const fork = prevCid(recovery.operation)
    if (fork === null || parent.did !== recovery.did || parent.did !== entry.did || prevCid(entry.operation) !== parent.operation.cid) return null
    // From the operation that is followed back to the one after the fork: the recovery must not be among them.
    let at = parent.operation
    for (const earlier of path) {
      if (prevCid(at) === fork || prevCid(at) !== earlier.cid) return null
      at = earlier
    }
    return prevCid(at) === fork && at.cid !== recovery.operation.cid ? new DirectoryError('MISORDERED') : null
  },
}

function onOne(judge: (entry: Entry, operations: readonly Operation[]) => DirectoryError | null): Judge {
  return ([entry], operations) => (entry === undefined ? null : judge(entry, operations))
}

function onTwo(judge: (first: Entry, second: Entry, operations: readonly Operation[]) => DirectoryError | null): Judge {
  return ([first, second], operations) => (first === undefined || second === undefined ? null : judge(first, second, operations))
}

/** The chain after an operation, by the rules of chains. Throws as `applyOperation`. */
function follow(chain: Chain, operation: Operation, createdAt: number): Chain {
  return applyOperation(chain, operation, createdAt, findSigner(signatureQuestion(operation, chain))).chain
}

// What an operation says of its own signer is of no use where it stands for the operation named by another's prev.
function linkOf(operation: Operation, createdAt: number): Link {
  return { operation, createdAt, signer: 0, nullified: false }
}

/** How many keys between two could have signed: one that stands twice counts where it stands first. */
function signersBetween(keys: readonly string[], strong: number | null, weak: number | null): number {
  if (strong === null || weak === null) return 0
  return keys.slice(strong + 1, weak).filter((key, i) => keys.indexOf(key) === strong + 1 + i).length
}

interface Known extends PlacedLeaf {
  readonly decoded: Entry
}

function* candidates(rejected: PlacedLeaf, leaves: readonly PlacedLeaf[]): Generator<Breach> {
  const own = { index: rejected.index, entry: rejected.entry }
  const { value: entry } = verdictOf(() => decodeEntry(rejected.entry))
  const one = (rule: ProvableRule, ...operations: Operation[]): Breach => ({ rule, leaves: [own], operations })
  if (entry === null) {
    yield one('entry')
    return
  }
  yield one('genesis')
  yield one('prev')
  const known = leaves.flatMap(({ index, entry }): Known[] => {
    const { value: decoded } = index === rejected.index ? { value: null } : verdictOf(() => decodeEntry(entry))
    return decoded === null ? [] : [{ index, entry, decoded }]
  })
  const of = (rule: ProvableRule, others: readonly Known[], ...operations: Operation[]): Breach => {
    const placed = others.map(({ index, entry }) => ({ index, entry }))
    return { rule, leaves: [...placed, own].sort((a, b) => a.index - b.index), operations }
  }
  const prev = prevCid(entry.operation)
  const parents = known.filter(({ decoded }) => decoded.operation.cid === prev)
  const earlier = known.filter(({ index }) => index < rejected.index)
  const siblings = earlier.filter(({ decoded }) => decoded.did === entry.did)
  for (const parent of parents) yield one('signature', parent.decoded.operation)
  for (const other of known.filter(({ decoded }) => decoded.operation.cid === entry.operation.cid)) yield of('twice', [other])
  for (const parent of parents) yield of('place', [parent])
  for (const other of earlier) yield of('time', [other])
  for (const parent of parents) {
    for (const other of siblings) if (prevCid(other.decoded.operation) === prev) yield of('recovery', [other], parent.decoded.operation)
    for (const other of siblings) {
      const path = other.index > parent.index ? pathTo(parent.decoded.operation, prevCid(other.decoded.operation), siblings) : null
      if (path !== null) yield of('nullified', [parent, other], ...path)
    }
  }
}

/** The operations before one, last first, back to the one that follows `fork`; null where they are not known or too many. */
function pathTo(operation: Operation, fork: string | null, known: readonly Known[]): Operation[] | null {
  const path: Operation[] = []
  for (let at = operation; prevCid(at) !== fork; ) {
    const before = known.find(({ decoded }) => decoded.operation.cid === prevCid(at))
    if (before === undefined || path.length === MAX_BREACH_OPERATIONS) return null
    at = before.decoded.operation
    path.push(at)
  }
  return path
}
