// Whether followed entries keep the rules of their identities' chains. What is not remembered of an identity is asked of the
// server, and checked from its genesis on. docs/following.md#what-is-proved

import { decodeEntry, type Entry } from '../core/entry.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import { applyOperation, emptyChain, findLink, prevCid, type Chain } from '../core/plc/chain.ts'
import type { Operation } from '../core/plc/operation.ts'
import type { LedgerRecord } from '../core/plc/records.ts'
import { applyEntry, EMPTY_CLOCK, planQuestions, type IndexedChain, type LogClock } from '../core/replay.ts'
import { parseAuditLog } from './audit.ts'
import type { VerifyAnswers } from './check-tree.ts'
import { directoryClient } from './directory-client.ts'
import { FOLLOW_LIMITS } from './follow-limits.ts'
import { MismatchError } from './mismatch.ts'
import { ServerError, type RequestOptions } from './request.ts'

/** A leaf in its place, with what the rules say of it. */
export type Judged = Kept | Broken

/** An entry that keeps the rules. */
export interface Kept {
  readonly index: number
  readonly leaf: Uint8Array
  readonly entry: Entry
  /** Every operation of the identity up to this one, which is the last. */
  readonly chain: Chain
  /** CIDs of the operations that it undid. */
  readonly undid: readonly string[]
  readonly verdict: null
}

/** A leaf that breaks a rule. */
export interface Broken {
  readonly index: number
  readonly leaf: Uint8Array
  /** null where the bytes are no entry. */
  readonly entry: Entry | null
  readonly verdict: DirectoryError
  /** Whether the identity's history was not read from the log but told by a server, which may have left out what the entry follows. */
  readonly told: boolean
}

/** Every record that a server has of an identity, in order; none where it knows none. */
export type ReadHistory = (did: string) => Promise<readonly LedgerRecord[]>

/** Judges entries; remembers identities, as many as `FOLLOW_LIMITS.identities`. */
export class Judge {
  readonly #verify: VerifyAnswers
  readonly #remembers: boolean
  readonly #known = new Map<string, Chain>()
  /** Those of them whose history a server told. */
  readonly #told = new Set<string>()

  /** `remembers`: whether every entry of an identity that comes at all comes here, so that what is remembered of it is whole. */
  constructor(verify: VerifyAnswers, remembers: boolean) {
    this.#verify = verify
    this.#remembers = remembers
  }

  /**
   * Judges leaves in the order of the log. `clock` is where the log's time stands before them; null where not every entry is looked
   * at, so that it is not known. Throws MismatchError where a history that the server gives breaks the rules, and what `read` throws.
   */
  async judge(leaves: readonly { readonly index: number; readonly leaf: Uint8Array }[], clock: LogClock | null, read: ReadHistory): Promise<{ readonly judged: readonly Judged[]; readonly clock: LogClock | null }> {
    const decoded = leaves.map(({ leaf }) => verdictOf(() => decodeEntry(leaf)))
    const entries = decoded.flatMap(({ value }) => (value === null ? [] : [value]))
    const { chains, told } = await this.#chainsBefore(entries, read)
    const asked = (await this.#verify(planQuestions(entries, new Map([...chains].map(([did, chain]) => [did, indexed(chain)]))))).values()
    const judged: Judged[] = []
    for (const [position, { index, leaf }] of leaves.entries()) {
      const { value: entry, verdict } = decoded[position] ?? { value: null, verdict: new DirectoryError('MALFORMED_ENTRY') }
      if (entry === null) {
        judged.push({ index, leaf, entry, verdict, told: false })
        continue
      }
      const answer = asked.next().value
      const apply = (before: Chain): Kept => {
        const { identity, nullified } = applyEntry(clock ?? EMPTY_CLOCK, indexed(before), index, entry, answer)
        return { index, leaf, entry, chain: identity.chain, undid: nullified.map((at) => before.links[at]?.operation.cid ?? ''), verdict: null }
      }
      const outcome = verdictOf(() => apply(chains.get(entry.did) ?? emptyChain(entry.did)))
      if (outcome.value === null) {
        judged.push({ index, leaf, entry, verdict: outcome.verdict, told: told.has(entry.did) })
        // The next time somebody else may be asked, who tells the truth.
        if (told.has(entry.did)) this.#forget(entry.did)
        continue
      }
      judged.push(outcome.value)
      chains.set(entry.did, outcome.value.chain)
      this.#remember(outcome.value.chain, told.has(entry.did))
      if (clock !== null && entry.source === null) clock = { lastNative: entry.createdAt }
    }
    return { judged, clock }
  }

  async #chainsBefore(entries: readonly Entry[], read: ReadHistory): Promise<{ readonly chains: Map<string, Chain>; readonly told: ReadonlySet<string> }> {
    const first = new Map<string, Entry>()
    for (const entry of entries) if (!first.has(entry.did)) first.set(entry.did, entry)
    const chains = new Map<string, Chain>()
    const missing: Entry[] = []
    for (const entry of first.values()) {
      const known = this.#known.get(entry.did) ?? (entry.operation.prev === null ? emptyChain(entry.did) : undefined)
      if (known === undefined) missing.push(entry)
      else chains.set(entry.did, known)
    }
    for (let at = 0; at < missing.length; at += FOLLOW_LIMITS.historiesAtOnce) {
      const some = missing.slice(at, at + FOLLOW_LIMITS.historiesAtOnce)
      for (const chain of await Promise.all(some.map((entry) => readChainBefore(entry, read, this.#verify)))) chains.set(chain.did, chain)
    }
    const told = new Set([...missing.map(({ did }) => did), ...[...first.keys()].filter((did) => this.#told.has(did))])
    return { chains, told }
  }

  #remember(chain: Chain, told: boolean): void {
    if (!this.#remembers) return
    this.#known.delete(chain.did)
    this.#known.set(chain.did, chain)
    if (told) this.#told.add(chain.did)
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= FOLLOW_LIMITS.identities) break
      this.#forget(oldest)
    }
  }

  #forget(did: string): void {
    this.#known.delete(did)
    this.#told.delete(did)
  }
}

/** An identity's chain up to an entry, or as far as the server knows it: every signature and rule is checked. Throws MismatchError where the history that is given breaks them, and what `read` throws. */
export async function readChainBefore({ did, operation }: Entry, read: ReadHistory, verify: VerifyAnswers): Promise<Chain> {
  const records = await read(did)
  const end = records.findIndex(({ cid }) => cid === operation.cid)
  const before = end < 0 ? records : records.slice(0, end)
  const answers = await verify(planQuestions(before, new Map()))
  const { value, verdict } = verdictOf(() => before.reduce<Chain>((chain, record, at) => join(chain, record, answers[at] ?? null), emptyChain(did)))
  if (verdict !== null) throw new MismatchError(`the history that is given of ${did} breaks a rule: ${verdict.message}`, {})
  return value
}

/** The histories that the directory or mirror at a URL gives. */
export function historyOf(url: string, options: RequestOptions): ReadHistory {
  const directory = directoryClient(url, options)
  return async (did) => {
    try {
      return parseAuditLog(await directory.auditLog(did))
    } catch (error) {
      if (error instanceof ServerError && error.status === 404) return []
      throw error
    }
  }
}

/** The operation that a kept entry followed; null for a genesis. */
export function operationBefore({ chain, entry }: Kept): Operation | null {
  const prev = prevCid(entry.operation)
  const position = prev === null ? null : findLink(chain, prev)
  return position === null ? null : (chain.links[position]?.operation ?? null)
}

function join(chain: Chain, { did, operation, createdAt }: LedgerRecord, answer: number | null): Chain {
  if (did !== chain.did) throw new DirectoryError('MALFORMED_RECORD', 'of another DID')
  return applyOperation(chain, operation, createdAt, answer).chain
}

// Positions in the chain stand for indices of the log, which nobody asks for here.
function indexed(chain: Chain): IndexedChain {
  return { chain, indices: chain.links.map((_, position) => position) }
}
