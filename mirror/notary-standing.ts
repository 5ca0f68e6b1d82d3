// How a notary fares: what its health says. spec/mirror.md#health-of-a-notary

import type { NotaryReport } from '../src/http/ports.ts'
import type { Clock } from '../src/log/ports.ts'
import type { Store, UpstreamPosition } from '../src/storage/store.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** What a notary knows of itself. */
export class NotaryStanding {
  readonly #url: string
  readonly #clock: Clock
  readonly #size: () => number
  readonly #position: () => UpstreamPosition
  readonly #acknowledged: number
  /** Identities whose history the upstream shows differently, and those of which the operator does not know yet. */
  #divergent = { all: 0, recent: 0 }
  /** What is set aside. */
  #refused = { all: 0, recent: 0 }
  /** What keeps the notary itself from its work; null for nothing. */
  trouble: string | null = null
  #failure: { readonly words: string; readonly since: number } | null = null
  #strange: string | null = null
  #behindSince: number | null

  /**
   * `position` says how far the upstream was read, `size` how many entries there are. What was set aside or diverged before `acknowledged`,
   * milliseconds since 1970, the operator knows: it is listed, and no fault.
   */
  constructor(url: string, clock: Clock, position: () => UpstreamPosition, size: () => number, acknowledged = 0) {
    this.#acknowledged = acknowledged
    this.#url = url
    this.#clock = clock
    this.#position = position
    this.#size = size
    this.#behindSince = clock.now()
  }

  /** Whether anything is set aside. */
  get hasRefused(): boolean {
    return this.#refused.all > 0
  }

  /** Counts anew what is set aside. */
  async countRefused({ notary }: Pick<Store, 'notary'>): Promise<void> {
    const { kept, recent, dropped } = await notary.setAsideCounts(this.#acknowledged)
    this.#refused = { all: kept + dropped, recent: recent + dropped }
  }

  /** Counts anew the identities that diverge. */
  async countDivergent({ notary }: Pick<Store, 'notary'>): Promise<void> {
    this.#divergent = await notary.openDivergences(this.#acknowledged)
  }

  /** Whether all that the upstream showed was read when it was asked last. */
  get isLevel(): boolean {
    return this.#behindSince === null
  }

  /** All that the upstream shows is read. */
  level(): void {
    this.#behindSince = null
  }

  /** The upstream may show what was not read. */
  behind(): void {
    this.#behindSince ??= this.#clock.now()
  }

  /** The upstream answered, and what it said can be followed. */
  good(): void {
    this.#failure = null
    this.#strange = null
  }

  /** The upstream does not answer. */
  silent(words: string): void {
    this.#failure ??= { words: words.slice(0, MAX_WORDS), since: this.#clock.now() }
  }

  /** The upstream answered with what cannot be followed. */
  strange(words: string): void {
    this.#strange = words.slice(0, MAX_WORDS)
  }

  /** What is wrong, in words; none where all is well. */
  faults(): string[] {
    const behind = this.#secondsSince(this.#behindSince)
    const silent = this.#secondsSince(this.#failure?.since ?? null)
    const faults: string[] = []
    if (this.trouble !== null) faults.push(this.trouble)
    if (silent > MIRROR_LIMITS.silentSeconds) faults.push(`the upstream has not answered for ${silent} seconds: ${this.#failure?.words ?? ''}`)
    if (behind > MIRROR_LIMITS.lagSeconds) faults.push(`what the upstream shows has not been read to its end for ${behind} seconds`)
    const alarm = this.#alarm()
    if (alarm !== null) faults.push(alarm)
    if (this.#divergent.recent > 0) faults.push(`the upstream shows another history of ${this.#divergent.recent} identities than was notarised: GET /log/divergent lists them`)
    if (this.#refused.recent > 0) faults.push(`${this.#refused.recent} lines of the upstream break the rules or cannot be read: GET /log/refused lists them`)
    return faults
  }

  /** What health shows beside the faults. */
  report(): NotaryReport {
    const { source, numbered, cursor } = this.#position()
    return {
      upstream: this.#url,
      source,
      cursor: numbered ? cursor : new Date(cursor).toISOString(),
      verifiedSize: this.#size(),
      lagSeconds: this.#secondsSince(this.#behindSince),
      divergent: this.#divergent.all,
      refused: this.#refused.all,
      alarm: this.#alarm(),
    }
  }

  #alarm(): string | null {
    if (this.#strange !== null) return `the upstream serves what cannot be followed: ${this.#strange}`
    const { numbered, cursor, highest } = this.#position()
    if (numbered && cursor < highest) return `the upstream showed operations up to ${highest}, and ends at ${cursor} now: it was restored from a backup, or hides the newest`
    return null
  }

  #secondsSince(moment: number | null): number {
    return moment === null ? 0 : Math.floor((this.#clock.now() - moment) / 1000)
  }
}

/** Characters that are kept of what is wrong: a verdict may quote what was served. */
const MAX_WORDS = 2_000
