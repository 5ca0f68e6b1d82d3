// The addresses of one log: which is asked first, and what became of each. spec/mirror.md#upstreams

import { MismatchError } from '../src/client/mismatch.ts'
import type { ReadFromAny } from '../src/client/proven-tree.ts'
import type { RequestOptions } from '../src/client/request.ts'
import type { StreamOptions } from '../src/client/stream-client.ts'
import { httpTileReader, NotServedError, WithheldError, type TileReader } from '../src/client/tile-reader.ts'
import { DirectoryError } from '../src/core/errors.ts'
import type { Clock } from '../src/log/ports.ts'
import { MIRROR_LIMITS } from './limits.ts'

/** One address. */
export interface Upstream {
  readonly url: string
  readonly reader: TileReader
  /** How it fared when it was asked last: what it serves fits; it does not answer; it shows less than is known; it does not show the bytes of an entry; something that it served is wrong. */
  standing: 'good' | 'unknown' | 'silent' | 'stale' | 'withholding' | 'lying'
  /** Why, in words; empty where it is good. */
  words: string
  /** When that began, by `Clock.now`. */
  since: number
  /** When it was asked last for its checkpoint, by `Clock.now`; -Infinity before the first time. */
  askedAt: number
  /** How long that took, milliseconds. */
  latencyMs: number
  /** Size of the newest valid checkpoint that it showed; null before the first. */
  size: number | null
}

/** How addresses are reached. Default: as the platform does. */
export type Reach = Pick<RequestOptions, 'fetch'> & Pick<StreamOptions, 'WebSocket'>

/** Told when an upstream begins to be of another standing. */
export type OnStanding = (upstream: Upstream, error: unknown) => void

/** The addresses of one log, the best first. */
export class Upstreams {
  readonly #all: Upstream[]
  readonly #clock: Clock
  readonly #onStanding: OnStanding
  readonly reach: Reach

  constructor(urls: readonly string[], clock: Clock, signal: AbortSignal, onStanding: OnStanding, reach: Reach = {}) {
    this.reach = reach
    this.#clock = clock
    this.#onStanding = onStanding
    this.#all = urls.map((url) => ({
      url,
      reader: httpTileReader(url, { attempts: 1, timeoutMs: MIRROR_LIMITS.requestMs, signal, ...reach }),
      standing: 'unknown', words: '', since: clock.now(), askedAt: -Infinity, latencyMs: 0, size: null,
    }))
  }

  /** All, in the order in which they are to be asked. */
  ordered(): readonly Upstream[] {
    const rank = ({ standing, since }: Upstream): number => {
      if (standing === 'lying') return this.#clock.now() - since < MIRROR_LIMITS.distrustMs ? 3 : 2
      return standing === 'good' || standing === 'unknown' ? 0 : standing === 'stale' || standing === 'withholding' ? 1 : 2
    }
    return [...this.#all].sort((a, b) => rank(a) - rank(b) || (rank(a) === 0 ? a.latencyMs - b.latencyMs : a.askedAt - b.askedAt))
  }

  /** The one that was asked least recently. */
  leastAsked(): Upstream {
    return this.#all.reduce((least, upstream) => (upstream.askedAt < least.askedAt ? upstream : least))
  }

  /** The checkpoint that one shows, unverified. Throws as `TileReader.checkpoint`. */
  async checkpoint(upstream: Upstream): Promise<string> {
    upstream.askedAt = this.#clock.now()
    const note = await upstream.reader.checkpoint()
    upstream.latencyMs = this.#clock.now() - upstream.askedAt
    return note
  }

  /** Says that what an upstream served fits; `proved` where it was new. One that lied is believed again once something new of its own fits, or after a while. */
  good(upstream: Upstream, proved: boolean): void {
    if (upstream.standing === 'lying' && !proved && this.#clock.now() - upstream.since < MIRROR_LIMITS.distrustMs) return
    this.#turn(upstream, 'good', '', null)
  }

  /** Says that an upstream shows an older log than is known. */
  stale(upstream: Upstream, words: string): void {
    this.#turn(upstream, 'stale', words, null)
  }

  /** Says what went wrong with an upstream, and returns whether what it served was wrong: else it did not serve it. */
  failed(upstream: Upstream, error: unknown): boolean {
    const lying = isLie(error)
    this.#turn(upstream, lying ? 'lying' : error instanceof WithheldError ? 'withholding' : 'silent', error instanceof Error ? error.message : String(error), error)
    return lying
  }

  /** Reads from the first that has what `use` accepts; the others are marked as they fail. Throws what the last one gave, or the signal's reason. */
  any(signal: AbortSignal): ReadFromAny {
    return async (use) => {
      let last: unknown = new Error('there is no upstream')
      for (const upstream of this.ordered()) {
        try {
          return await use(upstream.reader)
        } catch (error) {
          signal.throwIfAborted()
          // One that is behind the others lacks what they have.
          if (error instanceof WithheldError || !(error instanceof NotServedError)) this.failed(upstream, error)
          if (!isLie(last) && (isLie(error) || !(last instanceof WithheldError))) last = error
        }
      }
      throw last
    }
  }

  #turn(upstream: Upstream, standing: Upstream['standing'], words: string, error: unknown): void {
    const changed = upstream.standing !== standing
    upstream.standing = standing
    upstream.words = words.slice(0, MAX_WORDS)
    if (changed || standing === 'lying') upstream.since = this.#clock.now()
    if (changed) this.#onStanding(upstream, error)
  }
}

/** Characters that are kept of what is wrong: a verdict may quote what was served. */
const MAX_WORDS = 2_000

/** Whether what was served is wrong, rather than not there. */
export function isLie(error: unknown): boolean {
  return error instanceof MismatchError || error instanceof DirectoryError
}
