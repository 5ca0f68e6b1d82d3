// The part of the store's port that holds the map: its buckets, and the log of its roots. spec/map.md#storage

import type { Edge } from '../core/tlog/edge.ts'
import type { Append, Head, Publication, SignedLog } from './store.ts'

/** The newest durable state of the map's log. */
export type MapHead = Omit<Head, 'clock'>

/** Which version of the map the buckets hold. */
export interface MapVersion {
  /** Number of entries of the log that it is derived from. */
  readonly size: number
  /** Root of the map, 32 bytes. */
  readonly root: Uint8Array
}

/** One bucket. */
export interface BucketRow {
  /** 0 to 2^20 - 1. */
  readonly bucket: number
  /** Of the subtree of its keys, 32 bytes. */
  readonly hash: Uint8Array
  /** Of each key, in order, the key and its value: 64 bytes. */
  readonly entries: Uint8Array
}

/** The step from one version of the buckets to a later one. */
export interface MapChange {
  readonly from: MapVersion
  readonly to: MapVersion
  /** What the buckets that change become. */
  readonly rows: readonly BucketRow[]
}

/** One new leaf of the map's log. */
export interface MapAppend extends Pick<Append, 'from' | 'tiles'> {
  readonly leaf: Uint8Array
  readonly to: { readonly size: number; readonly root: Uint8Array; readonly edge: Edge }
}

/** What a store keeps of the map. Every method may throw an incident; none throws a verdict. No checkpoints are kept beside the published one. */
export interface MapStore extends SignedLog {
  /** As `Store.head`, of the map's log. */
  head(): Promise<MapHead | null>

  /** Appends a leaf. Throws StaleHeadError, and changes nothing, unless `from` is the head and the tiles have the lengths that their growth names. */
  append(append: MapAppend): Promise<void>

  /** The leaves `[start, end)` of the map's log in order, those that exist. */
  leaves(start: number, end: number): Promise<Uint8Array[]>

  /**
   * As `SignedLog.publish`; with a change, that as well, both or neither. The change may have been made before. Throws StaleHeadError, and changes nothing, where the buckets
   * hold another version than it begins or ends with.
   */
  publish(publication: Publication, change?: MapChange): Promise<void>

  /** Which version the buckets hold; null where there is no map. */
  version(): Promise<MapVersion | null>

  /** Makes a change of the buckets. Throws StaleHeadError, and changes nothing, where they hold another version than it begins with. */
  change(change: MapChange): Promise<void>

  /** Empties the buckets: they hold the version of no entries. */
  clear(): Promise<void>

  /** The entries of these buckets, in the order asked; empty where there are none. */
  buckets(buckets: readonly number[]): Promise<Uint8Array[]>

  /** Of these blocks, those that have a bucket: the hashes of its sixteen buckets one after the other, zeros for an empty one, 512 bytes, which are the caller's own. */
  blocks(blocks: readonly number[]): Promise<Map<number, Uint8Array>>

  /** Up to `count` buckets that are not empty, from `bucket` on, in order, each with its hash. */
  bucketHashes(bucket: number, count: number): Promise<Pick<BucketRow, 'bucket' | 'hash'>[]>
}
