// The port of every store, contract in comments: what the writer, the counter and the tools ask of a database.
// One contract suite (test/storage/contract.ts) holds for all implementations. spec/log.md#storage

import type { StoredEntry } from '../core/entry-json.ts'
import type { TileGrowth } from '../core/growth.ts'
import type { EntryRow, LogClock } from '../core/replay.ts'
import type { Edge } from '../core/tlog/edge.ts'
import type { TileId } from '../core/tlog/tile.ts'
import type { MapStore } from './map-store.ts'
import type { NotaryStore, UpstreamNotes } from './notary-store.ts'

export type { StoredEntry } from '../core/entry-json.ts'
export type { EntryRow } from '../core/replay.ts'
export type { BucketRow, MapAppend, MapChange, MapHead, MapStore, MapVersion } from './map-store.ts'
export type { Divergence, KeptAside, NotaryStore, NumberRun, SetAside, UpstreamNotes, UpstreamPosition } from './notary-store.ts'

/** The newest durable state of the log. */
export interface Head {
  /** Name of the log, equal to its key's name. */
  readonly origin: string
  /** Id of the only guard whose holder may sign. */
  readonly guardId: string
  /** Verifier keys of the log, as the signer last stored them; what processes that do not sign show and check with. */
  readonly vkeys: readonly string[]
  /** Number of entries. */
  readonly size: number
  /** Root of the tree of all entries, 32 bytes. */
  readonly root: Uint8Array
  readonly edge: Edge
  readonly clock: LogClock
}

/** What the database knows of the log's signer. */
export interface SignerRecord extends Pick<Head, 'guardId' | 'vkeys'> {
  /** What the log says of its keys, a signed note; without one the stored statement stays. */
  readonly statement?: string
}

/** One round's change, committed whole or not at all. */
export interface Append {
  /** The head it was decided on: the compare of the compare-and-swap. */
  readonly from: { readonly size: number; readonly root: Uint8Array }
  /** New entries, their indices without a gap from `from.size`. */
  readonly entries: readonly EntryRow[]
  /** Indices below `from.size` of the entries that become nullified. */
  readonly nullified: readonly number[]
  /** Hashes to append to tiles; each names the length that the tile's row must have now. */
  readonly tiles: readonly TileGrowth[]
  readonly to: { readonly size: number; readonly root: Uint8Array; readonly edge: Edge; readonly clock: LogClock }
  /** What a notary notes of its upstream together with it. A change that has this may have no entries. */
  readonly upstream?: UpstreamNotes
}

/** A published checkpoint. */
export interface Publication {
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** The signed note as it is served. */
  readonly note: string
  /** When it was published, milliseconds since 1970. */
  readonly publishedAt: number
}

/** A checkpoint that was published once, kept for the cosignatures that came to it. */
export type KeptCheckpoint = Pick<Publication, 'size' | 'note'>

/** An entry that breaks the rules and stays in the tree all the same. */
export interface RejectedRow extends Pick<EntryRow, 'index' | 'did' | 'cid'> {
  /** Code of the verdict. */
  readonly code: string
}

/** The head while its row is held: nobody else appends until the work ends. */
export interface LockedHead {
  readonly head: Head
  /** The database's clock, milliseconds since 1970: as it was read when the row was held, and what has passed since. */
  now(): Promise<number>
  /** As `Store.history`, inside the transaction. */
  history(dids: readonly string[], from: number): Promise<EntryRow[]>
  /** Writes one change. At most one a transaction. Throws StaleHeadError, and writes nothing, unless `from` is the head and every tile has the length that its growth names. A transaction whose change was refused never commits, whatever the work goes on to do. */
  append(append: Append): Promise<void>
}

/** What a signer needs of a store: of its log, or of the log of its map. */
export interface SignedLog extends Pick<Store, 'create' | 'tiles' | 'publication' | 'publish' | 'keptCheckpoints' | 'keepCheckpoint' | 'keyStatement' | 'setSigner'> {
  head(): Promise<Omit<Head, 'clock'> | null>
}

/** Told of a commit. `own`: it was this store's, whose caller knows what he wrote; not given where that is not known. */
export type OnMove = (own?: boolean) => void

/** What the directory, its counter and its tools need of a database. Every method may throw an incident; none throws a verdict. */
export interface Store extends AsyncDisposable {
  /** Which implementation, for logs: `memory`, `postgres`. */
  readonly kind: string

  /** What only a notary keeps, beside the log. */
  readonly notary: NotaryStore

  /** The map of newest states, and the log of its roots. */
  readonly map: MapStore

  /** The newest durable head; null where no log has been created. */
  head(): Promise<Head | null>

  /** Creates an empty log of this origin. Throws LogExistsError where there is one, and changes nothing. */
  create(log: { readonly origin: string } & SignerRecord): Promise<void>

  /** Entries `[start, end)` in order, those that exist. */
  entries(start: number, end: number): Promise<EntryRow[]>

  /**
   * All entries of these DIDs with an index of at least `from`, ordered by index; rejected ones included. One query.
   * Where `most` is given and there are more, an arbitrary `most + 1` of them, so that the caller sees that it is too much.
   */
  history(dids: readonly string[], from: number, most?: number): Promise<EntryRow[]>

  /** The newest entry of a DID that is neither nullified nor rejected: the operation in effect; null for an unknown DID. */
  newest(did: string): Promise<EntryRow | null>

  /** The newest entries, as `newest`, of those of these DIDs that have one, once each, in no order. One query. */
  newestOf(dids: readonly string[]): Promise<EntryRow[]>

  /** The bytes of the leaves `[start, end)` in order, those that exist. */
  leaves(start: number, end: number): Promise<Uint8Array[]>

  /**
   * Calls `use` with up to `count` entries that are not rejected, with an index of at least `from` and below `to`, in
   * order. What it is given lasts as long as the call. What it throws is thrown.
   */
  exportFrom(from: number, to: number, count: number, use: (entry: StoredEntry) => void): Promise<void>

  /** Up to `count` entries that are not rejected, with an index below `to` and `createdAt > after` (all where null), ordered by createdAt, then by the CID's bytes as text. */
  exportAfter(after: number | null, to: number, count: number): Promise<StoredEntry[]>

  /** The entries that break the rules, up to `count` with an index of at least `from` and below `to`, in order. `did` and `cid` are empty where the leaf's bytes are no entry. */
  rejected(from: number, to: number, count: number): Promise<RejectedRow[]>

  /** The hashes stored for each tile (32 bytes times however many there are; empty where there is none), in the order asked; `width` is ignored. */
  tiles(tiles: readonly TileId[]): Promise<Uint8Array[]>

  /** The newest published checkpoint. */
  publication(): Promise<Publication | null>

  /** Replaces the published checkpoint, by a larger one or by the same tree with another note, such as one with more signatures. Throws StalePublicationError, and changes nothing, where the stored one is larger, or as large with another root. */
  publish(publication: Publication): Promise<void>

  /** The checkpoints that are kept beside the published one, by size. */
  keptCheckpoints(): Promise<KeptCheckpoint[]>

  /** Keeps a checkpoint, in place of one of its size, and those of the other sizes in `outdated` no longer; all or nothing. */
  keepCheckpoint(checkpoint: KeptCheckpoint, outdated: readonly number[]): Promise<void>

  /** The statement about the log's keys that was stored last; null where there is none. */
  keyStatement(): Promise<string | null>

  /** Replaces the record of the signer, who held the guard `from`. Throws StaleSignerError, and changes nothing, where another guard is recorded, NoLogError where there is no log. */
  setSigner(from: string, to: SignerRecord): Promise<void>

  /**
   * Calls `onMove` after every commit of a round or publication by any process, soon after it and perhaps more than
   * once, and at least every `pollMs` milliseconds; also once at the beginning and after every loss of the
   * connection. Whoever is called reads what he needs. Until the result is disposed.
   */
  watch(onMove: OnMove, pollMs: number): AsyncDisposable

  /**
   * Runs `work` in one transaction that first takes the head's row for update, and commits. What `work` throws
   * rolls back and propagates. Throws UnknownOutcomeError where the commit was sent and its reply lost, or the
   * connection failed in it: the change may be durable or not, and only reading the head tells.
   * Throws NoLogError where no log has been created.
   */
  underHead<T>(work: (locked: LockedHead) => Promise<T>): Promise<T>

  /**
   * Writes one change as `LockedHead.append`, in a transaction of its own and in one step, and resolves with the database's clock in it,
   * milliseconds since 1970; with null, where the head is not the change's `from` or there is none, or where that clock is past `latest`
   * when the head is held, and then writes nothing. Throws StaleHeadError, and writes nothing, where a tile has another length;
   * UnknownOutcomeError as `underHead`. Not for changes that note something of an upstream.
   */
  appendNext(append: Append, latest: number): Promise<number | null>

  /** Resolves where the database answers; throws an incident where it does not. */
  ping(): Promise<void>
}

/** The head, or a tile, is not what the change was decided on: another writer moved it. */
export class StaleHeadError extends Error {
  override readonly name = 'StaleHeadError'
}

/** A smaller checkpoint, or another root of the same size, was about to replace the published one. */
export class StalePublicationError extends Error {
  override readonly name = 'StalePublicationError'
}

/** The commit may have happened or not. `cause` is what the database said. */
export class UnknownOutcomeError extends Error {
  override readonly name = 'UnknownOutcomeError'
}

/** The signer was to be replaced, but another one is recorded. */
export class StaleSignerError extends Error {
  override readonly name = 'StaleSignerError'
}

/** A log was to be created where one exists. */
export class LogExistsError extends Error {
  override readonly name = 'LogExistsError'
}

/** The store holds no log yet. */
export class NoLogError extends Error {
  override readonly name = 'NoLogError'
}
