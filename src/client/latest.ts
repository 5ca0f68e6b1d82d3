// Ways to show that nothing newer of an identity was left out. docs/client.md#latest

import type { Followed } from './follow.ts'
import { RESOLVE_LIMITS } from './limits.ts'
import { sleep } from './request.ts'
import type { ShownMap, VerifiedAnswer } from './proved.ts'
import type { ServerFaultCode } from './resolve-error.ts'
import type { CheckpointStore } from './checkpoint-store.ts'
import type { LogTrust, ResolveLog } from './resolve-log.ts'
import type { ResolveServer, Session } from './resolve-server.ts'

/** What a resolver has, for whoever proves more with it. */
export interface KnownLog {
  readonly log: ResolveLog
  readonly trust: LogTrust
  readonly store: CheckpointStore
  /** How long a server may be waited for that is not there yet, milliseconds. */
  readonly patienceMs: number
}

/** What a way is given. */
export interface LatestQuestion {
  readonly did: string
  /**
   * The answers of all servers, each `witnessed`, in a tree of at least `size` entries and no smaller one than the largest that was verified before;
   * those that do not count are named.
   */
  readonly all: (size: number) => Promise<readonly VerifiedAnswer[]>
  /** Such answers one after the other, the quickest server's first. */
  readonly each: () => AsyncIterable<VerifiedAnswer>
  /** Names a server whose answer turned out not to be the newest. */
  readonly skip: (answer: VerifiedAnswer, code: ServerFaultCode, words: string) => void
  /** Base URLs. */
  readonly servers: readonly string[]
  /** Why a server is named; undefined where it is not. */
  readonly faultOf: (server: string) => ServerFaultCode | undefined
  /** Does something more with a server, which may be waited for so long; null where that ends with a ServerFault, and then it is named. */
  readonly ask: <T>(server: string, waitMs: number, work: (server: ResolveServer, session: Session) => Promise<T>) => Promise<T | null>
  readonly known: KnownLog
  readonly signal: AbortSignal | undefined
}

/** An answer that was shown to be the newest. */
export interface ShownLatest {
  /** Where `absent`, one without operations. */
  readonly answer: VerifiedAnswer
  /** There is no such identity. Default: false. */
  readonly absent?: boolean
  /** Size of the tree in which nothing newer is. */
  readonly size: number
  /** How that was shown. */
  readonly words: string
  /** The map that showed it. Default: null, it was none. */
  readonly map?: ShownMap | null
}

/** A way to show it: the answer that it is shown for, or why it cannot be, in words. Throws incidents only. */
export type LatestWay = (question: LatestQuestion) => Promise<ShownLatest | string>

/** An operation in its place in the log. */
export interface PlacedOperation {
  readonly cid: string
  readonly index: number
}

/** What was found of an identity among all entries of a tree of `size`. */
export interface FollowedOperations {
  readonly size: number
  readonly operations: readonly PlacedOperation[]
  /** Entries that were rejected by a history that a server told (`FollowedRejection.told`): they may be the identity's all the same. Default: none. */
  readonly doubtful?: readonly PlacedOperation[]
}

/** Somebody of one's own who has replayed every entry of the log. */
export interface FollowedLog {
  /**
   * The operations of an identity that replay accepts, nullified ones included, among all entries of a tree of at least `size`; the size of that tree is
   * told, too. Waits a moment where it is not that far; null where it does not get there.
   */
  operations(did: string, size: number, signal?: AbortSignal): Promise<FollowedOperations | null>
}

/**
 * At least `count` servers (two or more) say the same, none of them lacks what another proves. Servers of one host and port count once; whether
 * they are of different people is the caller's choice of them. Throws RangeError for fewer than two.
 */
export function agreement(count = 2): LatestWay {
  if (!Number.isSafeInteger(count) || count < 2) throw new RangeError('it takes two to agree')
  return async ({ all, skip }) => {
    let size = 0
    for (;;) {
      const answers = await all(size)
      const everything = new Map(answers.flatMap(placedOperations).map((placed) => [placed.index, placed]))
      const agreed = answers.filter((answer) => !lacks(answer, [...everything.values()], skip))
      const hosts = new Set(agreed.map(({ server }) => new URL(server).host))
      const largest = agreed.toSorted((one, other) => sizeOf(other) - sizeOf(one))[0]
      if (largest !== undefined && hosts.size >= count) return { answer: largest, size: Math.min(...agreed.map(sizeOf)), words: `${[...hosts].join(', ')} agree` }
      // Whoever was only behind is asked once more, in a tree that has the newest operation.
      const newest = Math.max(-1, ...everything.keys())
      if (size > 0 || !answers.some((answer) => sizeOf(answer) <= newest)) return `${hosts.size} of the servers agree, ${count} have to`
      size = newest + 1
    }
  }
}

/** The client's own follower has read every entry up to the checkpoint, and accepted the same operations. */
export function followed(log: FollowedLog): LatestWay {
  return async ({ did, each, skip, signal }) => {
    let reason = 'no server gave an answer'
    for await (const answer of each()) {
      const own = await log.operations(did, sizeOf(answer), signal)
      if (own === null) return `the follower has not read ${sizeOf(answer)} entries yet`
      const [doubt] = own.doubtful ?? []
      if (doubt !== undefined) return `whether entry ${doubt.index} is one of the identity depends on the word of the server that was followed`
      if (isAllOf(answer, own, skip)) return { answer, size: own.size, words: `a replay of all ${own.size} entries has nothing newer` }
      reason = 'no server gave the answer that the replay gives'
    }
    return reason
  }
}

/**
 * An index in memory of what `follow` hands over, from entry 0 on and without a filter: of a log that fits. `operations` waits for
 * `RESOLVE_LIMITS.patienceMs`. `add` throws RangeError where an entry was left out.
 */
export function indexFollowed(): FollowedLog & { add(one: Followed): void } {
  const operations = new Map<string, PlacedOperation[]>()
  const doubtful = new Map<string, PlacedOperation[]>()
  const read = { size: 0 }
  return {
    add(one) {
      if (one.index > read.size) throw new RangeError(`entry ${read.size} was left out`)
      if (one.index < read.size) return // it comes again after a crash
      read.size++
      if (one.entry === null || (one.type === 'rejected' && !one.told)) return
      const { did, operation } = one.entry
      const found = one.type === 'operation' ? operations : doubtful
      found.set(did, [...(found.get(did) ?? []), { cid: operation.cid, index: one.index }])
    },
    async operations(did, size, signal) {
      for (let waitedMs = 0; read.size < size; waitedMs += RESOLVE_LIMITS.againMs) {
        if (waitedMs >= RESOLVE_LIMITS.patienceMs) return null
        await sleep(RESOLVE_LIMITS.againMs, signal)
      }
      return { size: read.size, operations: operations.get(did) ?? [], doubtful: doubtful.get(did) ?? [] }
    },
  }
}

/** Whether an answer holds what is accepted in a tree, and nothing else of it; else the server is named. */
export function isAllOf(answer: VerifiedAnswer, { size, operations }: FollowedOperations, skip: LatestQuestion['skip']): boolean {
  const accepted = new Set(operations.map(({ cid, index }) => `${index} ${cid}`))
  const refused = placedOperations(answer).find(({ cid, index }) => index < size && !accepted.has(`${index} ${cid}`))
  if (refused !== undefined) skip(answer, 'INVALID_HISTORY', `entry ${refused.index} breaks a rule of the log`)
  return refused === undefined && !lacks(answer, operations, skip)
}

/** The operations of a chain at these indices. */
export function placedOperations({ chain, indices }: Pick<VerifiedAnswer, 'chain' | 'indices'>): PlacedOperation[] {
  return chain.links.flatMap(({ operation }, at) => {
    const index = indices[at]
    return index === undefined ? [] : [{ cid: operation.cid, index }]
  })
}

// Names a server that lacks an operation that is known to be in the log: one that its own tree holds, or one that came later.
function lacks(answer: VerifiedAnswer, known: readonly PlacedOperation[], skip: LatestQuestion['skip']): boolean {
  const own = new Set(answer.indices)
  const missing = known.filter(({ index }) => !own.has(index))
  const left = missing.find(({ index }) => index < sizeOf(answer))
  const [later] = missing
  if (left !== undefined) skip(answer, 'OMITTED', `entry ${left.index}, ${left.cid}`)
  else if (later !== undefined) skip(answer, 'BEHIND', `entry ${later.index}, ${later.cid}`)
  return later !== undefined
}

function sizeOf({ seen }: VerifiedAnswer): number {
  return seen?.checkpoint.size ?? 0
}
