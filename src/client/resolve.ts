// What an identity is, proved and never believed: its operations are fetched, replayed and rendered here. docs/client.md

import { memoryCheckpoints, type CheckpointStore } from './checkpoint-store.ts'
import { keysOfPolicy } from './keys.ts'
import type { LatestWay } from './latest.ts'
import { RESOLVE_LIMITS } from './limits.ts'
import type { Proved, VerifiedAnswer } from './proved.ts'
import type { RequestOptions } from './request.ts'
import { ResolveError, ServerFault, type ServerFaultCode, type SkippedServer } from './resolve-error.ts'
import { resolveLog, type LogTrust } from './resolve-log.ts'
import { newServer, openServer, proveIncluded, readChain, readReceipts, type ResolveClock, type ResolveServer, type ServerMemory, type Session } from './resolve-server.ts'
import { assert, DirectoryError } from '../core/errors.ts'
import { headOf, type Chain } from '../core/plc/chain.ts'
import { isDid } from '../core/plc/did.ts'
import { renderDocument } from '../core/plc/document.ts'
import { dataOf, type IdentityData } from '../core/plc/operation.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import type { Policy } from '../core/tlog/policy.ts'

/** What can be proved of an answer; each level includes those before it. docs/client.md#levels */
export const LEVELS = ['signed', 'included', 'witnessed', 'latest'] as const

/** One of them. */
export type Level = (typeof LEVELS)[number]

/** What a resolver may be given. */
export interface ResolverOptions {
  /** Base URLs of servers of one log, or for `signed` of any directories. */
  readonly servers: readonly string[]
  /** The log's keys, for `included`. Default: those of the policy's logs, but for those of their maps. All have one name. */
  readonly logKeys?: readonly VerifierKey[]
  /** Whose cosignatures show that a checkpoint is what everybody sees, for `witnessed`. */
  readonly policy?: Policy
  /** How old these may be, milliseconds. Default: five minutes. */
  readonly maxAgeMs?: number
  /** How it is shown that nothing newer was left out, for `latest`: the first that shows it is enough. */
  readonly latest?: readonly LatestWay[]
  /** What is remembered of the log. Default: in memory. */
  readonly store?: CheckpointStore
  /** Default: the platform's. */
  readonly clock?: ResolveClock
  /** How long a server is waited for whose tree is not large enough yet, milliseconds. Default: `RESOLVE_LIMITS.patienceMs`. */
  readonly patienceMs?: number
  /** Default: one attempt of `RESOLVE_LIMITS.requestMs`, three where there is one server. */
  readonly request?: Omit<RequestOptions, 'signal'>
}

/** What was asked for. */
export interface Asked {
  readonly require: Level
  readonly signal?: AbortSignal
}

/** An answer that reaches the level that was required. */
export interface Resolution {
  readonly did: string
  /** It was proved that there is no such identity. */
  readonly absent: boolean
  /** The DID document, JSON as a directory would render it; null where the identity was ended, or is absent. */
  readonly document: string | null
  /** What it is made of; null where there is no document. */
  readonly data: IdentityData | null
  /** All operations. Their times are the server's word below `included`. */
  readonly chain: Chain
  /** One for each level, up to the one that was required; of what is absent `latest` alone. */
  readonly proved: readonly Proved[]
  /** Who gave the answer. */
  readonly server: string
  /** Who was asked, and why they do not count. */
  readonly skipped: readonly SkippedServer[]
}

/** Resolves identities of one log. */
export interface Resolver {
  /** Throws ResolveError where no answer reaches the level, MALFORMED_DID for what is no DID, and the signal's reason. */
  resolve(did: string, asked: Asked): Promise<Resolution>
}

/** A resolver. It measures its servers and keeps their tiles: make one, and keep it. Throws RangeError where the keys are of several logs. */
export function createResolver(options: ResolverOptions): Resolver {
  const { policy = null, latest = [], maxAgeMs = RESOLVE_LIMITS.cosignatureAgeMs, clock = SYSTEM_CLOCK, patienceMs = RESOLVE_LIMITS.patienceMs } = options
  const keys = options.logKeys ?? keysOfPolicy(policy).logKeys
  const store = options.store ?? memoryCheckpoints()
  const trust: LogTrust = { keys, policy, maxAgeMs }
  if (new Set(keys.map(({ name }) => name)).size > 1) throw new RangeError('a resolver is of one log: give it the keys of one')
  const memories = [...new Set(options.servers.map((url) => url.replace(/\/+$/, '')))].map(newServer)
  const log = resolveLog(trust, store)
  const highest = keys.length === 0 ? 'signed' : (policy?.quorum ?? null) === null ? 'included' : latest.length === 0 ? 'witnessed' : 'latest'
  const usual = { attempts: memories.length > 1 ? 1 : 3, timeoutMs: RESOLVE_LIMITS.requestMs, ...options.request }

  function memoryOf(url: string): ServerMemory {
    const memory = memories.find((one) => one.url === url)
    if (memory === undefined) throw new RangeError(`${url} is none of the servers`)
    return memory
  }

  /** Verifies what a server says up to a level that one server can reach, in a tree of at least `floor` entries. Throws ServerFault. */
  async function verify(server: ResolveServer, did: string, level: Level, floor: number, session: Session): Promise<VerifiedAnswer> {
    const since = clock.elapsed()
    const chain = await readChain(server, did)
    server.memory.latencyMs = clock.elapsed() - since
    const head = headOf(chain)
    assert(head !== null, 'a verified chain has a newest operation in effect')
    const signed: VerifiedAnswer = {
      server: server.memory.url, chain, data: dataOf(head.operation), seen: null, indices: [],
      proved: [{ level: 'signed', operations: chain.links.length, head: head.operation.cid }],
    }
    if (level === 'signed') return signed
    const [receipts, early] = await Promise.all([readReceipts(server, chain, session), log.see(server, floor, session)])
    const newest = Math.max(...receipts.map(({ index }) => index))
    const seen = newest < early.checkpoint.size ? early : await log.see(server, newest + 1, session)
    const indices = await proveIncluded(server, chain, receipts, seen.checkpoint)
    const included: Proved = { level: 'included', checkpoint: seen.checkpoint, indices }
    const witnessed: Proved[] = level === 'included' ? [] : [{ level: 'witnessed', by: log.witnessed(seen, clock.now()) }]
    return { ...signed, seen, indices, proved: [...signed.proved, included, ...witnessed] }
  }

  return {
    async resolve(did, { require, signal }) {
      if (!isDid(did)) throw new DirectoryError('MALFORMED_DID', did.slice(0, 80))
      if (memories.length === 0 || rank(require) > rank(highest)) throw new ResolveError('UNPROVABLE', memories.length === 0 ? 'no server' : `${require}: at most ${highest}`)
      signal?.throwIfAborted()
      const asked: RequestOptions = signal === undefined ? usual : { ...usual, signal }
      const servers = memories.map((memory) => openServer(memory, asked))
      const skipped = new Map<string, SkippedServer>()
      const level = require === 'latest' ? 'witnessed' : require
      const floor = level === 'signed' ? 0 : await log.size()

      const skip = (server: string, code: ServerFaultCode, words: string): void => void skipped.set(server, { server, code, words })

      async function within<T>(memory: ServerMemory, waitMs: number, work: (server: ResolveServer, session: Session) => Promise<T>): Promise<T | null> {
        const [done, late] = [new AbortController(), AbortSignal.timeout(RESOLVE_LIMITS.serverMs + waitMs)]
        const until = AbortSignal.any([done.signal, late, ...(signal === undefined ? [] : [signal])])
        try {
          const request = { ...usual, signal: until }
          const found = await work(openServer(memory, request), { clock, deadline: clock.elapsed() + waitMs, servers, request, signal: until })
          memory.failedAt = null
          skipped.delete(memory.url)
          return found
        } catch (error) {
          signal?.throwIfAborted()
          if (error instanceof ResolveError) throw new ResolveError(error.code, error.words, [...skipped.values()], error.evidence)
          const fault = late.aborted ? new ServerFault('UNREACHABLE', `it took more than ${RESOLVE_LIMITS.serverMs + waitMs} ms in all`, error) : error
          if (!(fault instanceof ServerFault)) throw fault
          if (fault.code !== 'NOT_FOUND') memory.failedAt = clock.elapsed()
          memory.tiles.clear()
          skip(memory.url, fault.code, fault.message)
          return null
        } finally {
          done.abort() // of what one failure left under way
        }
      }

      const ask = ({ memory }: ResolveServer, waitMs: number, size = floor): Promise<VerifiedAnswer | null> =>
        within(memory, waitMs, (server, session) => verify(server, did, level, size, session))

      // First without waiting for anybody; then those again that may only be late.
      async function* each(): AsyncGenerator<VerifiedAnswer> {
        for (const server of inOrder(servers, clock.elapsed())) {
          const answer = await ask(server, 0)
          if (answer !== null) yield answer
        }
        for (const server of inOrder(servers, clock.elapsed())) {
          const code = skipped.get(server.memory.url)?.code
          if (code !== 'STALE' && code !== 'NOT_PUBLISHED') continue
          const answer = await ask(server, patienceMs)
          if (answer !== null) yield answer
        }
      }

      async function all(size: number): Promise<readonly VerifiedAnswer[]> {
        const answers = await Promise.all(servers.map((server) => ask(server, patienceMs, Math.max(floor, size))))
        return answers.filter((answer) => answer !== null)
      }

      const resolution = ({ server, chain, data, proved }: VerifiedAnswer, more: readonly Proved[], absent = false): Resolution => ({
        did, absent, document: data === null ? null : renderDocument(did, data), data, chain, proved: [...proved, ...more], server, skipped: [...skipped.values()],
      })

      if (require !== 'latest') {
        for await (const answer of each()) return resolution(answer, [])
        throw noAnswer([...skipped.values()])
      }
      const reasons: string[] = []
      for (const way of latest) {
        const shown = await way({
          did, all, each, signal,
          skip: (answer, code, words) => skip(answer.server, code, words),
          servers: memories.map(({ url }) => url),
          faultOf: (server) => skipped.get(server)?.code,
          ask: (url, waitMs, work) => within(memoryOf(url), waitMs, work),
          known: { log, trust, store, patienceMs },
        })
        if (typeof shown === 'string') {
          reasons.push(shown)
          continue
        }
        const { answer, absent, size, words, map = null } = shown
        return resolution(answer, [{ level: 'latest', size, words, map }], absent)
      }
      throw new ResolveError('NOT_LATEST', reasons.join('; '), [...skipped.values()])
    },
  }
}

const SYSTEM_CLOCK: ResolveClock = { now: () => Date.now(), elapsed: () => performance.now() }

function rank(level: Level): number {
  return LEVELS.indexOf(level)
}

// The quickest first; those that failed a short while ago last.
function inOrder(servers: readonly ResolveServer[], now: number): readonly ResolveServer[] {
  const costOf = ({ failedAt, latencyMs }: ServerMemory): number => latencyMs + (failedAt !== null && now - failedAt < RESOLVE_LIMITS.distrustMs ? RESOLVE_LIMITS.distrustMs : 0)
  return servers.toSorted((one, other) => costOf(one.memory) - costOf(other.memory))
}

function noAnswer(skipped: readonly SkippedServer[]): ResolveError {
  const codes = new Set(skipped.map(({ code }) => code))
  const [first] = skipped
  const code = first !== undefined && codes.size === 1 ? first.code : 'NO_ANSWER'
  return new ResolveError(code, skipped.map(({ server, words }) => `${server}: ${words}`).join('; '), skipped)
}
