// What a mirror holds: entries that a checkpoint with the root that they lead to covers, each judged by every rule. Only this
// writes to its store. spec/mirror.md#replica

import { DirectoryError } from '../src/core/errors.ts'
import type { SignatureAnswer, SignatureQuestion } from '../src/core/plc/signature.ts'
import { RecentChains } from '../src/core/recent-chains.ts'
import { chainsFromRows, planQuestions, planReplay, replay, type EntryRow, type IndexedChain, type ReplayPlan } from '../src/core/replay.ts'
import type { Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { StaleHeadError, type Head, type Store } from '../src/storage/store.ts'
import type { Tip } from '../src/storage/tip.ts'
import type { Appended } from './dates.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** What a replica stands on. */
export interface ReplicaPorts {
  readonly store: Store
  readonly tip: Tip
  /** Answers signature questions position by position: undefined where the question is null. */
  readonly verify: (questions: readonly (SignatureQuestion | null)[]) => Promise<readonly (SignatureAnswer | undefined)[]>
  /** Told what became durable before the tip moves to it. */
  readonly appended: (from: number, to: number, dids: readonly string[], what: Appended) => void
  /** Told of the entries that break a rule, as they become durable. */
  readonly rejected: (rows: readonly EntryRow[]) => void
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
}

/** A run of leaves whose signatures are checked. */
interface Prepared {
  readonly plan: ReplayPlan
  readonly chains: ReadonlyMap<string, IndexedChain>
  readonly answers: readonly (SignatureAnswer | undefined)[]
  /** The identities whose chains may have changed since they were read. */
  readonly moved: readonly string[]
}

/** The store of a mirror, and where it stands. One writer at a time. */
export class Replica {
  readonly #ports: ReplicaPorts
  readonly #recent = new RecentChains(MIRROR_LIMITS.recentOperations)
  #head: Head

  constructor(ports: ReplicaPorts, head: Head) {
    this.#ports = ports
    this.#head = head
  }

  /** The newest durable state. */
  get head(): Head {
    return this.#head
  }

  /** Reads where the store stands: after a failure, and at the start. Throws incidents of the store. */
  async refresh(): Promise<Head> {
    const head = await this.#ports.store.head()
    if (head === null) throw new Error('the store holds no log any more')
    this.#recent.forget()
    this.#head = head
    this.#ports.tip.advanceDurable(head.size)
    return head
  }

  /**
   * Replays runs of leaves that follow the head, and writes each in one transaction: while one is written those after it
   * are decoded and their signatures checked. The caller has shown that they are the entries of a signed tree. What
   * `runs` throws is thrown, after what came before it is written; so are incidents of the store, after which nothing
   * more is written and the caller calls `refresh`.
   */
  async append(runs: AsyncIterable<readonly Uint8Array[]> | Iterable<readonly Uint8Array[]>): Promise<void> {
    const prepared: Promise<Prepared>[] = []
    /** Those that may not be written when the next one is prepared. */
    let ahead: readonly ReplayPlan[] = []
    let writing: Promise<void> = Promise.resolve()
    const writeNext = async (): Promise<void> => {
      const next = prepared.shift()
      await writing
      if (next === undefined) return
      writing = next.then((checked) => this.#write(checked))
      writing.catch(() => undefined) // it is thrown where it is awaited
    }
    try {
      for await (const leaves of runs) {
        const plan = planReplay(leaves)
        const preparing = this.#prepare(plan, ahead)
        preparing.catch(() => undefined)
        prepared.push(preparing)
        ahead = [...ahead, plan].slice(-MIRROR_LIMITS.batchesAhead)
        if (prepared.length >= MIRROR_LIMITS.batchesAhead) await writeNext()
      }
    } finally {
      while (prepared.length > 0) await writeNext()
      await writing
    }
  }

  /** Publishes a verified checkpoint whose tree is the one held here. Throws StalePublicationError where a larger one is published, and incidents. */
  async publish({ size, root }: Checkpoint, note: string): Promise<void> {
    await this.#ports.store.publish({ size, root, note, publishedAt: this.#ports.now() })
    this.#ports.tip.advancePublished(size)
  }

  // `ahead` are the runs that may be written meanwhile: their operations may be followed by those of this one.
  async #prepare(plan: ReplayPlan, ahead: readonly ReplayPlan[]): Promise<Prepared> {
    const chains = await this.#chains(plan.dids)
    const own = new Set(plan.dids)
    const before = ahead.flatMap(entriesOf).filter((entry) => own.has(entry.did))
    const questions = planQuestions([...before, ...entriesOf(plan)], chains).slice(before.length).values()
    const answers = await this.#ports.verify(plan.decoded.map((entry) => (entry instanceof DirectoryError ? null : (questions.next().value ?? null))))
    const moved = [...new Set(before.map(({ did }) => did))]
    return { plan, chains, answers, moved }
  }

  // The chains of identities at the head, as they are stored.
  async #chains(dids: readonly string[]): Promise<Map<string, IndexedChain>> {
    const known = this.#recent.at(this.#head.size, dids)
    const rows = await this.#ports.store.history(dids.filter((did) => !known.has(did)), 0)
    return new Map([...known, ...chainsFromRows(rows)])
  }

  async #write({ plan, chains, answers, moved }: Prepared): Promise<void> {
    const { store, tip, appended, rejected } = this.#ports
    const from = this.#head
    const known = moved.length === 0 ? chains : new Map([...chains, ...(await this.#chains(moved))])
    const { rows, changed, nullified, growth, state } = replay({ edge: from.edge, clock: from.clock }, plan, known, answers)
    const to = { size: state.edge.size, root: growth.root, edge: state.edge, clock: state.clock }
    await store.underHead(async (locked) => {
      if (locked.head.guardId !== from.guardId) throw new StaleHeadError('the log in the database is no mirror any more')
      await locked.append({ from: { size: from.size, root: from.root }, entries: rows, nullified, tiles: growth.tiles, to })
    })
    this.#recent.note(from.size, to.size, changed)
    this.#head = { ...from, ...to }
    appended(from.size, to.size, plan.dids, { rows, before: from.clock, after: to.clock })
    tip.advanceDurable(to.size)
    const broken = rows.filter((row) => row.rejected !== null)
    if (broken.length > 0) rejected(broken)
  }
}

/** Cuts leaves into runs that fit in a transaction each. */
export function* cutIntoRuns(leaves: readonly Uint8Array[], { batchEntries, batchBytes }: { readonly batchEntries: number; readonly batchBytes: number }): Generator<readonly Uint8Array[]> {
  let run: Uint8Array[] = []
  let bytes = 0
  for (const leaf of leaves) {
    run.push(leaf)
    bytes += leaf.length
    if (run.length < batchEntries && bytes < batchBytes) continue
    yield run
    run = []
    bytes = 0
  }
  if (run.length > 0) yield run
}

function entriesOf({ decoded }: ReplayPlan): Exclude<ReplayPlan['decoded'][number], DirectoryError>[] {
  return decoded.flatMap((entry) => (entry instanceof DirectoryError ? [] : [entry]))
}
