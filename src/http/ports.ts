// What the counter asks of others: a composition root supplies it. spec/http.md

import type { IncomingHttpHeaders } from 'node:http'
import type { ErrorCode } from '../core/errors.ts'
import type { CurveOf } from '../core/plc/document.ts'
import type { Operation } from '../core/plc/operation.ts'
import type { Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import type { Withheld, WithheldViews } from '../storage/withheld.ts'
import type { AnswerCache } from './answer-cache.ts'
import type { RefusalCode, RefusalOptions } from './error-response.ts'

/** What became of an operation that was not refused. `retryAfterS` is null where no time is known after which it could be otherwise. */
export type Submitted =
  | { readonly outcome: 'accepted'; readonly index: number }
  | { readonly outcome: 'unavailable'; readonly retryAfterS: number | null; readonly reason: string }

/** An operation that was admitted, and what became of it. */
export interface Taken {
  readonly operation: Operation
  readonly submitted: Submitted
}

/** One log line: fields first, words last. */
export type LogLine = (level: 'debug' | 'info' | 'warn' | 'error', fields: Record<string, unknown>, words: string) => void

/** A submission that another directory shall decide, as it came. */
export interface ForwardedSubmission {
  /** Well-formed. */
  readonly did: string
  /** Not unpacked, at most `bodyBytes`. */
  readonly body: Uint8Array
  /** Of the request; most are not passed on. */
  readonly headers: IncomingHttpHeaders
}

/** What the other directory answered. */
export interface ForwardedAnswer {
  readonly status: number
  readonly type: string
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/** Passes a submission on. Throws a Refusal where the other directory cannot be reached or gives no usable answer. */
export type ForwardPort = (submission: ForwardedSubmission, signal: AbortSignal) => Promise<ForwardedAnswer>

/** One request once its answer is made. */
export interface RequestFacts {
  /** The path of the endpoint's row, such as `/:did/data`; `none` where no row matched or the request never came to one. */
  readonly route: string
  /** As it was sent: any text. */
  readonly method: string
  /** null where the client left first. */
  readonly status: number | null
  /** How long it took, in milliseconds. */
  readonly ms: number
  /** The code of the verdict or refusal, from a fixed list; null without one. */
  readonly refused: ErrorCode | RefusalCode | null
}

/** How the witnesses of the log fare, as the process that signs knows it. */
export interface WitnessesStanding {
  /** In the order of the policy. */
  readonly witnesses: readonly {
    readonly name: string
    /** When its newest cosignature came, milliseconds since 1970; null before the first. */
    readonly cosignedAt: number | null
    /** How long that took, milliseconds. */
    readonly latencyMs: number | null
    /** Why it did not cosign when it was asked last; null where it did. */
    readonly refusal: string | null
  }[]
  readonly quorumMissed: boolean
  readonly alarm: boolean
}

/** How a mirror fares. spec/mirror.md#health */
export interface MirrorStanding {
  /** The address that is followed; null before the first. */
  readonly upstream: string | null
  /** Entries that are verified and served. */
  readonly verifiedSize: number
  /** By how many entries the newest checkpoint that an upstream showed is ahead of them. */
  readonly lagEntries: number
  /** For how long it has been, or since when nothing was heard. */
  readonly lagSeconds: number
  /** Entries that are held and that no checkpoint covers. */
  readonly provisional: number
  /** Entries of the log that break its rules. */
  readonly rejected: number
  /** What was served or signed and should not have been, in words; null for nothing. */
  readonly alarm: string | null
  readonly upstreams: readonly {
    readonly url: string
    readonly standing: 'good' | 'unknown' | 'silent' | 'stale' | 'withholding' | 'lying'
    /** Why; null where it is good. */
    readonly words: string | null
    /** Of its newest valid checkpoint. */
    readonly size: number | null
  }[]
}

/** How a notary fares. spec/mirror.md#health-of-a-notary */
export interface NotaryReport {
  /** The address that is followed. */
  readonly upstream: string
  /** The upstream's name, as in every entry. */
  readonly source: string
  /** How far it was read: one of its numbers, or a time. */
  readonly cursor: number | string
  /** Entries that are verified and served. */
  readonly verifiedSize: number
  /** For how long what it shows has not been read to its end. */
  readonly lagSeconds: number
  /** Identities of which it shows another history. */
  readonly divergent: number
  /** What is set aside. */
  readonly refused: number
  /** What it showed and should not have, in words; null for nothing. */
  readonly alarm: string | null
}

/** How the map fares. spec/http.md#health */
export interface MapStanding {
  /** Entries of the log that the version of which proofs are made is derived from; null where there is none. */
  readonly size: number | null
  /** Versions that are published. */
  readonly leaves: number
  /** Why no new version comes, in words for the operator; null where all is well. */
  readonly fault: string | null
}

/** The map that this process holds. */
export interface MapPort {
  /** The state proof of a DID by the newest version; null where there is none. */
  prove(did: string): Promise<string | null>
  standing(): MapStanding
}

/** What an operator may choose. */
export interface CounterOptions extends RefusalOptions {
  /** Submissions a second that one address may make, 0 for any number. Default: the limit of that name. */
  readonly writeRate?: number
  /** Other requests a second that one address may make, 0 for any number. Default: the limit of that name. */
  readonly readRate?: number
  /** Header, in lower case, whose last address is the client's; null where that of the connection is. Default null. */
  readonly clientIpHeader?: string | null
  /** Told of every request, for metrics. Must not throw. */
  readonly onRequest?: (facts: RequestFacts) => void
  /** Milliseconds since some moment, never going back. Default: those of the process. */
  readonly elapsed?: () => number
}

/** What a counter stands on. */
export interface CounterPorts {
  /** For reading only. */
  readonly store: Store
  /** Entries whose bytes are not shown. Default: none. */
  readonly withheld?: Withheld
  /** Of a notary. Default: nothing. */
  readonly withheldViews?: WithheldViews
  readonly tip: Tip
  /** Of the same store and tip. Default: one that looks at what is new when it is asked. */
  readonly answers?: AnswerCache
  /** By a library that is faster than the core's own. Default: that. */
  readonly curveOf?: CurveOf
  /** Resolves once the operation is durable and has its index; throws a DirectoryError where it is refused. `did` is well-formed. */
  readonly submit: (did: string, operation: Operation) => Promise<Submitted>
  /** Where it is given, submissions are passed on and `submit` is not called. */
  readonly forward?: ForwardPort | null
  readonly origin: string
  readonly version: string
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
  /** What keeps it from all of its work, in words for the operator; none where all is well. */
  readonly faults: () => readonly string[]
  /** null, the default, in a process that holds no map. */
  readonly map?: MapPort | null
  /** null, the default, in a process that asks no witnesses. */
  readonly witnesses?: () => WitnessesStanding | null
  /** null, the default, in a process that is no mirror. */
  readonly mirror?: () => MirrorStanding | null
  /** null, the default, in a process that is no notary. */
  readonly notary?: () => NotaryReport | null
  readonly log: LogLine
}
