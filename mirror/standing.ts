// How a mirror fares: what its health says. spec/mirror.md#health

import type { MirrorStanding } from '../src/http/ports.ts'
import type { Clock } from '../src/log/ports.ts'
import { MIRROR_LIMITS } from './limits.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

/** What a mirror knows of itself. Times are those of `Clock.now`. */
export class Standing {
  readonly #clock: Clock
  readonly #upstreams: Upstreams
  /** Why nothing is followed any more, for ever; null while it is. */
  halted: string | null = null
  /** Entries that break the rules. */
  rejected = 0
  /** The upstream that is followed. */
  current: Upstream | null = null
  /** Entries that are held here and that no checkpoint covers. */
  provisional = 0
  /** What keeps the mirror itself from its work, such as a full disk; null for nothing. */
  trouble: string | null = null
  #provisionalSince = 0
  #verified: number
  #newest: number
  /** Checkpoints that were shown and are not reached, by size, each with when that was. */
  #ahead: Ahead[] = []
  #apartMs = 0
  #heardAt: number

  constructor(clock: Clock, upstreams: Upstreams, verified: number) {
    this.#clock = clock
    this.#upstreams = upstreams
    this.#verified = verified
    this.#newest = verified
    this.#heardAt = clock.now()
  }

  /** An upstream showed a valid checkpoint of this size. */
  heard(size: number): void {
    this.#heardAt = this.#clock.now()
    if (size > this.#newest) this.#isAhead(size, this.#heardAt)
    this.#newest = Math.max(this.#newest, size)
  }

  /** So many entries are verified and durable. */
  verified(size: number): void {
    this.#verified = size
    this.#newest = Math.max(this.#newest, size)
    this.#ahead = this.#ahead.filter((one) => one.size > size)
    if (this.#ahead.length === 0) this.#apartMs = 0
  }

  // One that comes soon after another is told apart from it where there are few.
  #isAhead(size: number, since: number): void {
    const last = this.#ahead.at(-1)
    if (last !== undefined && since - last.since < this.#apartMs) this.#ahead[this.#ahead.length - 1] = { size, since: last.since }
    else this.#ahead.push({ size, since })
    if (this.#ahead.length <= MOST_AHEAD) return
    this.#apartMs = (since - (this.#ahead[0]?.since ?? 0)) / (MOST_AHEAD / 2)
    this.#ahead = joinedInPairs(this.#ahead)
  }

  /** So many entries wait for a checkpoint. */
  waiting(count: number): void {
    if (this.provisional === 0 || count < this.provisional) this.#provisionalSince = this.#clock.now()
    this.provisional = count
  }

  /** How long ago the first checkpoint was shown that is not reached, milliseconds; 0 where all are. */
  get behindMs(): number {
    const [first] = this.#ahead
    return first === undefined ? 0 : this.#clock.now() - first.since
  }

  /** What is wrong, in words; none where all is well. */
  faults(): string[] {
    const silent = Math.floor((this.#clock.now() - this.#heardAt) / 1000)
    const waited = this.provisional === 0 ? 0 : Math.floor((this.#clock.now() - this.#provisionalSince) / 1000)
    const behind = Math.floor(this.behindMs / 1000)
    const faults = this.#upstreams.ordered().flatMap((upstream) => this.#faultsOf(upstream))
    if (this.rejected > 0) faults.unshift(`${this.rejected} of the log's entries break its rules: GET /log/rejected lists them`)
    if (this.trouble !== null) faults.unshift(this.trouble)
    if (waited > MIRROR_LIMITS.provisionalSeconds) faults.unshift(`${this.provisional} entries have waited ${waited} seconds for a checkpoint that covers them`)
    if (behind > MIRROR_LIMITS.lagSeconds) faults.unshift(`this mirror is ${this.#newest - this.#verified} entries behind, for ${behind} seconds`)
    if (this.halted === null && silent > MIRROR_LIMITS.silentSeconds) faults.unshift(`no upstream has shown a checkpoint of the log for ${silent} seconds`)
    if (this.halted !== null) faults.unshift(`following has stopped at ${this.#verified} entries: ${this.halted}`)
    return faults
  }

  /** What health shows beside the faults. */
  report(): MirrorStanding {
    const unheardMs = this.#clock.now() - this.#heardAt
    const grace = 2 * MIRROR_LIMITS.pollMs + MIRROR_LIMITS.requestMs / 2
    const lagMs = Math.max(this.behindMs, unheardMs > grace ? unheardMs : 0)
    const lying = this.#upstreams.ordered().find(({ standing }) => standing === 'lying')
    return {
      upstream: this.current?.url ?? null,
      verifiedSize: this.#verified,
      lagEntries: this.#newest - this.#verified,
      lagSeconds: Math.floor(lagMs / 1000),
      provisional: this.provisional,
      rejected: this.rejected,
      alarm: this.halted ?? (lying === undefined ? null : `${lying.url}: ${lying.words}`),
      upstreams: this.#upstreams.ordered().map(({ url, standing, words, size }) => ({ url, standing, words: words === '' ? null : words, size })),
    }
  }

  #faultsOf({ url, standing, words, since }: Upstream): string[] {
    if (standing === 'lying') return [`${url} serves what is not the log: ${words}`]
    if (standing === 'withholding') return [`the mirror waits for an entry that is withheld, until another upstream shows it: ${words}`]
    const seconds = Math.floor((this.#clock.now() - since) / 1000)
    return standing === 'stale' && seconds > MIRROR_LIMITS.staleSeconds ? [`${url} has shown an older log for ${seconds} seconds: ${words}`] : []
  }
}

interface Ahead {
  readonly size: number
  readonly since: number
}

/** So many checkpoints that are ahead are told apart. */
const MOST_AHEAD = 64

// Two that follow each other become the later one, since the earlier.
function joinedInPairs(ahead: readonly Ahead[]): Ahead[] {
  return ahead.filter((_, i) => i % 2 === 1 || i === ahead.length - 1).map(({ size }, i) => ({ size, since: ahead[2 * i]?.since ?? 0 }))
}
