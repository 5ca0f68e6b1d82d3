// What a handler is given and what it gives back: values, so that one place decides how answers travel.

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { ParsedUrlQuery } from 'node:querystring'
import type { AnswerCache } from './answer-cache.ts'
import type { CounterPorts, Taken } from './ports.ts'

/** One request, as far as handlers look at it. */
export interface Call {
  readonly ports: CounterPorts
  readonly answers: AnswerCache
  /** As it was sent, percent-encoding included. */
  readonly path: string
  /** The named parts of the path, decoded where they can be. */
  readonly params: Readonly<Record<string, string>>
  /** The parameters after the question mark, the first `queryParameters` of them. */
  readonly query: () => ParsedUrlQuery
  readonly headers: IncomingHttpHeaders
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The receipt of the entry at an index; null where no published checkpoint covers it yet. It holds nothing of the operation. */
  readonly receiptOf: (index: number) => Promise<string | null>
  /** What becomes of the operation that it submits, where that is under way already. */
  readonly taking: Promise<Taken> | null
  /** Counts this many reads more than the one that every request is. Throws TOO_MANY_REQUESTS where the client has none left. */
  readonly charge: (reads: number) => void
  /** Which of these content types the client likes best, the first where it does not care; false where none. */
  readonly accepts: (...types: string[]) => string | false
}

/** What is to be sent. */
export interface Answer {
  /** Default 200. */
  readonly status?: number
  /** Content type, as it is sent. */
  readonly type: string
  /** An iterable is sent piece by piece, without an ETag. */
  readonly body: string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<Uint8Array>
  readonly headers?: Readonly<Record<string, string>>
  /** The hash of the body, where it is known. */
  readonly tag?: string
  /** When it last changed, milliseconds since 1970. */
  readonly lastModified?: number
  /** Whether it changed twice within the second of `lastModified`: then an HTTP date cannot tell the versions apart. */
  readonly ambiguousDate?: boolean
}

/** One endpoint's work. Throws a DirectoryError or a Refusal where the request is wrong. */
export type Handler = (call: Call) => Answer | Promise<Answer>

/** Content types, as the deployed directory spells them. spec/http.md#conventions */
export const TYPES = {
  document: 'application/did+ld+json; charset=utf-8',
  json: 'application/json; charset=utf-8',
  jsonLines: 'application/jsonlines',
  text: 'text/plain; charset=utf-8',
  html: 'text/html; charset=utf-8',
  bytes: 'application/octet-stream',
  receipt: 'text/x.tlog-proof; charset=utf-8',
  stateProof: 'text/x.stele.state-proof; charset=utf-8',
} as const

/** One named part of the path. */
export function param(call: Call, name: string): string {
  return call.params[name] ?? ''
}
