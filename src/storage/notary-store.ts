// The part of the store's port that only a notary fills: what it knows of its upstream, beside the log. spec/mirror.md#notary

/** Which directory a notary follows, and how far it has read. */
export interface UpstreamPosition {
  /** The upstream's name, as in the `source` of every entry. */
  readonly source: string
  /** Whether its operations are numbered; else they are read by their times. */
  readonly numbered: boolean
  /** All that it shows up to here was read: one of its numbers, or milliseconds since 1970. */
  readonly cursor: number
  /** The largest of its numbers that was seen; 0 before the first. */
  readonly highest: number
}

/** Entries from `index` on and the upstream's numbers of them, which count on together. */
export interface NumberRun {
  readonly index: number
  readonly number: number
  readonly count: number
  /** Whether an earlier run has larger numbers, or a later index. */
  readonly late: boolean
}

/** What the upstream showed and what is no entry, or was described wrongly. */
export interface SetAside {
  /** What it is about: one that is set aside already is not set aside again. */
  readonly key: string
  /** Empty where it names no identity, or no operation can be read. */
  readonly did: string
  readonly cid: string
  /** Of the verdict. */
  readonly code: string
  readonly words: string
  /** The upstream's number of it; null where it gave none. */
  readonly upstream: number | null
  /** Of the entry that it was made all the same; null where there is none. */
  readonly index: number | null
  /** Milliseconds since 1970. */
  readonly seenAt: number
  /** Bytes of the whole line. */
  readonly length: number
  /** The line, or its beginning. */
  readonly line: Uint8Array
}

/** One that is kept, with its number, from 1. */
export interface KeptAside extends SetAside {
  readonly number: number
}

/** What is committed of the upstream together with a round. */
export interface UpstreamNotes {
  readonly position: UpstreamPosition
  readonly runs: readonly NumberRun[]
  /** What is set aside: while fewer than `mostAside` are; more are counted. */
  readonly aside: readonly SetAside[]
  readonly mostAside: number
  /** Keys of what was set aside and became an entry since: it is set aside no longer. */
  readonly settled: readonly string[]
}

/** How the upstream's view of an identity differs from ours. */
export interface Divergence {
  readonly did: string
  /** Milliseconds since 1970, all three; `endedAt` is null while it lasts. */
  readonly since: number
  readonly checkedAt: number
  readonly endedAt: number | null
  /** At least one. */
  readonly kinds: readonly string[]
  /** The upstream's audit log, JSON, as it was shown when it differed last; null where that is too long. */
  readonly theirs: string | null
}

/** What a notary keeps. Every method may throw an incident. */
export interface NotaryStore {
  /** Where the upstream was read to; null in a store that is no notary's. */
  upstream(): Promise<UpstreamPosition | null>

  /** Makes this a notary's store, which has read nothing yet. Changes nothing where it is one. */
  begin(source: string): Promise<void>

  /** The upstream's numbers of up to `count` entries with an index of at least `from`, by index. An entry may have none. */
  numbers(from: number, count: number): Promise<{ readonly index: number; readonly number: number }[]>

  /** The smallest index of an entry whose number is above this one; null where there is none. */
  firstIndexAbove(number: number): Promise<number | null>

  /** The smallest number of an entry with an index of at least `index`; null where there is none. */
  smallestNumberFrom(index: number): Promise<number | null>

  /** Up to `count` of what was set aside with a number above `after`, by number. */
  setAside(after: number, count: number): Promise<KeptAside[]>

  /** How many are set aside, how many of them were seen at `from` (milliseconds since 1970) or later, and how often one more was only counted. */
  setAsideCounts(from: number): Promise<{ readonly kept: number; readonly recent: number; readonly dropped: number }>

  /** Keeps a divergence, in place of what is known of its DID. Returns whether it is kept: a new one is not where `most` are. */
  keepDivergence(divergence: Divergence, most: number): Promise<boolean>

  /** What is known of a DID; null for nothing. */
  divergence(did: string): Promise<Divergence | null>

  /** Up to `count` whose DID comes after this one, ordered by DID; with `lasting` only those that last. */
  divergences(after: string, count: number, lasting?: boolean): Promise<Divergence[]>

  /** How many last, and how many of them began at `from` (milliseconds since 1970) or later. */
  openDivergences(from: number): Promise<{ readonly all: number; readonly recent: number }>
}
