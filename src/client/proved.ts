// What a resolver finds proved, of one server's answer and level by level. docs/client.md#levels

import type { SeenCheckpoint, WitnessedBy } from './resolve-log.ts'
import type { Chain } from '../core/plc/chain.ts'
import type { IdentityData } from '../core/plc/operation.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'

/** What one server was found to say, verified. */
export interface VerifiedAnswer {
  /** Base URL. */
  readonly server: string
  readonly chain: Chain
  /** Of the newest operation in effect; null where the identity was ended. */
  readonly data: IdentityData | null
  /** The checkpoint that all operations are under; null where only `signed` was asked for. */
  readonly seen: SeenCheckpoint | null
  /** Of the operations in the log; empty where only `signed` was asked for. */
  readonly indices: readonly number[]
  readonly proved: readonly Proved[]
}

/** What was proved. */
export type Proved =
  /** The operations, nullified ones included, are a chain that keeps the rules, from the genesis that the DID is the hash of; `head`, a CID, is the newest in effect. */
  | { readonly level: 'signed'; readonly operations: number; readonly head: string }
  /** All are in the tree of the checkpoint at these indices, at the times that `chain` says. */
  | { readonly level: 'included'; readonly checkpoint: Checkpoint; readonly indices: readonly number[] }
  /** These have seen this tree, lately enough. */
  | { readonly level: 'witnessed'; readonly by: readonly WitnessedBy[] }
  /** Nothing newer is in the tree of `size` entries, in these words. `map` is the one that showed it; null where it was shown in another way. */
  | { readonly level: 'latest'; readonly size: number; readonly words: string; readonly map: ShownMap | null }

/** A version of the map: the newest of its log, which the quorum has seen lately enough. */
export interface ShownMap {
  /** Index of its leaf. */
  readonly version: number
  readonly by: readonly WitnessedBy[]
  /** Of these the mirrors, who say that they derived it; one at least. */
  readonly derivedBy: readonly WitnessedBy[]
  /** Entries that the log is known to have had since, all of them lately. */
  readonly since: number
}
