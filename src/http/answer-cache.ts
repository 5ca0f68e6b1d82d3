// Answers about identities, ready to be sent, kept as long as they are the newest. spec/http.md#kept-answers

import { assert } from '../core/errors.ts'
import type { Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { LIMITS } from './limits.ts'
import { shared } from './shared.ts'

/** The answer with status 200 to a GET of one path. */
export interface ReadyAnswer {
  /** The path of its endpoint's row. */
  readonly route: string
  /** Content type, as it is sent. */
  readonly type: string
  readonly body: string
  /** Of the body, in bytes of UTF-8. */
  readonly length: number
  /** The body's hash, as in its `ETag`. */
  readonly tag: string
  /** When it last changed, milliseconds since 1970. */
  readonly lastModified: number
}

/** How much is kept. */
export type AnswerCacheLimits = Readonly<Record<'keptAnswers' | 'keptBytes' | 'followedEntries', number>>

/**
 * Answers by path, those that were asked for lately. Two rules keep every one of them true.
 *
 * It knows the log up to a size, `followed`: whatever entries below it changed is not kept any more. Where the tip has
 * gone on, nothing is answered from here until the entries between the two have been looked at: so once this process
 * has said of an operation that it is durable, nobody who asks afterwards is shown what was before it.
 *
 * An answer that is being made was perhaps read before a change and would be kept after it. So the making is noted,
 * a change of its identity strikes the note out, and only what is still noted is kept. No sizes have to be compared:
 * a making that begins after the strike reads a store that has the change.
 *
 * A kept answer is a path of `PATHS` under its DID; what is not found, or has ended, is not kept.
 */
export class AnswerCache {
  readonly #store: Pick<Store, 'entries'>
  readonly #tip: Pick<Tip, 'durable'>
  readonly #limits: AnswerCacheLimits
  /** By path, in the order in which they may have to go. */
  readonly #answers = new Map<string, KeptAnswer>()
  readonly #underWay = new Map<string, Promise<ReadyAnswer>>()
  #bytes = 0
  #followed: number
  /** Once at a time. Where the store fails, whoever asks it now hears of that. */
  readonly #catchUp = shared(() => this.follow(this.#tip.durable).catch(() => undefined))

  constructor({ store, tip }: { readonly store: Pick<Store, 'entries'>; readonly tip: Pick<Tip, 'durable'> }, limits: AnswerCacheLimits = LIMITS) {
    this.#store = store
    this.#tip = tip
    this.#limits = limits
    this.#followed = tip.durable
  }

  /** Answers that are kept, and the bytes of their bodies. */
  get size(): { readonly answers: number; readonly bytes: number } {
    return { answers: this.#answers.size, bytes: this.#bytes }
  }

  /** The answer to a GET of this path, where it is kept and known to be the newest. */
  get(path: string): ReadyAnswer | undefined {
    if (!this.#isCurrent()) return undefined
    const kept = this.#answers.get(path)
    if (kept === undefined) return undefined
    kept.asked = true
    return kept.answer
  }

  /** The answer to a GET of this path: as `get`, or what `make` reads from the store, once for all who ask meanwhile. What `make` throws propagates. */
  async read(path: string, make: () => Promise<ReadyAnswer>): Promise<ReadyAnswer> {
    const known = this.#isCurrent() ? (this.get(path) ?? this.#underWay.get(path)) : undefined
    if (known !== undefined) return known
    const making = make()
    this.#underWay.set(path, making)
    try {
      const answer = await making
      if (this.#underWay.get(path) === making) this.#keep(path, answer)
      return answer
    } finally {
      if (this.#underWay.get(path) === making) this.#underWay.delete(path)
    }
  }

  /** Says that the entries `[start, end)`, all of which are durable, are of these DIDs. */
  changed(start: number, end: number, dids: Iterable<string>): void {
    for (const did of dids) {
      for (const path of PATHS) {
        this.#drop(`/${did}${path}`)
        this.#underWay.delete(`/${did}${path}`)
      }
    }
    if (start <= this.#followed) this.#followed = Math.max(this.#followed, end)
  }

  /** Looks at the entries below `size`, all of which are durable, that it does not know yet. What the store throws propagates. */
  async follow(size: number): Promise<void> {
    while (this.#followed < size) {
      const start = this.#followed
      const end = Math.min(size, start + ENTRIES_AT_ONCE)
      if (size - start > this.#limits.followedEntries) {
        this.#forget(size)
        return
      }
      const rows = await this.#store.entries(start, end)
      assert(rows.length === end - start, 'durable entries can be read')
      this.changed(start, end, rows.map((row) => row.did))
    }
  }

  // Whoever finds it behind sets it to work, and goes to the store meanwhile.
  #isCurrent(): boolean {
    if (this.#followed >= this.#tip.durable) return true
    void this.#catchUp()
    return false
  }

  #forget(size: number): void {
    this.#answers.clear()
    this.#underWay.clear()
    this.#bytes = 0
    this.#followed = size
  }

  #keep(path: string, answer: ReadyAnswer): void {
    this.#put(path, answer)
    // To put an answer last whenever it is asked for would have the map built anew all the time. So it gets another turn
    // when it is its turn to go, a few of them each time.
    let turns = OTHER_TURNS
    for (const [first, { answer: other, asked }] of this.#answers) {
      if (this.#answers.size <= this.#limits.keptAnswers && this.#bytes <= this.#limits.keptBytes) return
      this.#drop(first)
      if (asked && turns-- > 0) this.#put(first, other)
    }
  }

  #put(path: string, answer: ReadyAnswer): void {
    this.#drop(path)
    this.#answers.set(path, { answer, asked: false })
    this.#bytes += answer.length
  }

  #drop(path: string): void {
    const kept = this.#answers.get(path)
    if (kept === undefined) return
    this.#answers.delete(path)
    this.#bytes -= kept.answer.length
  }
}

interface KeptAnswer {
  readonly answer: ReadyAnswer
  /** Whether anybody has asked for it since it was put where it stands. */
  asked: boolean
}

/** The paths that are kept, below a DID. */
const PATHS = ['', '/data', '/log/last'] as const

/** Answers that may stay once more where one comes that is too much. */
const OTHER_TURNS = 8

/** Entries that are read together to learn whose they are. */
const ENTRIES_AT_ONCE = 256
