// Following a plain did:plc directory: its pages until there are no more, then its stream, and beside it the same again from
// pages and audit logs, because nothing that it shows proves that it is all. spec/mirror.md#reading-a-plain-directory

import { MismatchError } from '../src/client/mismatch.ts'
import { ServerError, UnreachableError } from '../src/client/request.ts'
import { StreamClosedError } from '../src/client/stream-client.ts'
import { DirectoryError, verdictOf } from '../src/core/errors.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import type { Store } from '../src/storage/store.ts'
import { compareViews, lacking } from './identity-check.ts'
import { MIRROR_LIMITS } from './limits.ts'
import type { Notary, ShownBatch, TakenBatch } from './notary.ts'
import type { NotaryStanding } from './notary-standing.ts'
import { readAuditLog, type ShownLine } from './plain-line.ts'
import type { After, Page, PlainUpstream } from './plain-upstream.ts'

/** What following stands on. */
export interface PlainFollowingPorts {
  readonly store: Store
  readonly notary: Notary
  readonly upstream: PlainUpstream
  readonly standing: NotaryStanding
  readonly clock: Clock
  /** From 0 up to 1. */
  readonly random: () => number
  readonly log: LogLine
}

/** The stream lacks what pages have. */
class StreamBehindError extends Error {
  override readonly name = 'StreamBehindError'
}

/** Follows the upstream until `signal` is aborted. Throws nothing. */
export async function followPlain(ports: PlainFollowingPorts, signal: AbortSignal): Promise<void> {
  const following = new PlainFollowing(ports, signal)
  await Promise.all([following.run(), following.tend()])
}

class PlainFollowing {
  readonly #ports: PlainFollowingPorts
  readonly #signal: AbortSignal
  readonly #doubtful: Doubtful
  #retryMs: number = MIRROR_LIMITS.firstRetryMs
  /** Whether it is to be learnt how the upstream's operations are ordered. */
  #probe = true
  /** The stream that is followed; null for none. */
  #stream: AbortController | null = null
  /** Where the last reading of pages ended. */
  #sweptTo = 0
  #sweptAt = -Infinity
  #gapAt = -Infinity
  #sampledAt = -Infinity
  #sampled = 0
  /** The divergent identity that was compared last in its turn; null before the first. */
  #divergent: string | null = null
  /** A number that pages brought and the stream has not, and since when; null for none. */
  #owed: { readonly number: number; readonly since: number } | null = null

  constructor(ports: PlainFollowingPorts, signal: AbortSignal) {
    this.#ports = ports
    this.#signal = signal
    this.#doubtful = new Doubtful()
  }

  /** Pages, then the stream, and again. */
  async run(): Promise<void> {
    const { clock, random, standing } = this.#ports
    while (!this.#signal.aborted) {
      let opened = Infinity
      try {
        await this.#catchUp()
        standing.level()
        opened = clock.now()
        if (this.#ports.notary.position.numbered) await this.#followStream()
      } catch (error) {
        if (this.#signal.aborted) return
        this.#fail(error)
      }
      // A stream that held for a while is opened again at once.
      if (clock.now() - opened > MIRROR_LIMITS.pollPlainMs) this.#retryMs = MIRROR_LIMITS.firstRetryMs
      const waitMs = this.#ports.notary.position.numbered ? this.#retryMs * (1 - random() / 2) : MIRROR_LIMITS.pollPlainMs
      await clock.sleep(waitMs, this.#signal)
      this.#retryMs = Math.min(this.#retryMs * 2, MIRROR_LIMITS.pollPlainMs)
    }
  }

  /** What is done beside: pages are read again, identities compared. */
  async tend(): Promise<void> {
    const { clock, standing } = this.#ports
    for (let busy = false; ; ) {
      if (!busy) await clock.sleep(TEND_MS, this.#signal)
      busy = false
      if (this.#signal.aborted) return
      if (!standing.isLevel) continue
      try {
        if (this.#stream !== null && clock.now() - this.#sweptAt >= MIRROR_LIMITS.sweepMs) await this.#sweep(this.#sweptTo)
        if (this.#owed !== null && clock.now() - this.#owed.since > MIRROR_LIMITS.streamLagMs) {
          this.#stream?.abort(new StreamBehindError('the stream lacks what pages have: it is opened again'))
        }
        busy = await this.#checkOne()
      } catch (error) {
        if (this.#signal.aborted) return
        this.#fail(error)
      }
    }
  }

  #fail(error: unknown): void {
    const { standing, log, upstream } = this.#ports
    const words = error instanceof Error ? error.message : String(error)
    if (error instanceof StreamClosedError || error instanceof StreamBehindError) {
      log(error instanceof StreamBehindError ? 'info' : 'debug', { upstream: upstream.url }, words)
    } else if (error instanceof ServerError || error instanceof UnreachableError) {
      standing.silent(words)
      log('warn', { upstream: upstream.url }, words)
    } else if (error instanceof MismatchError || error instanceof DirectoryError) {
      standing.strange(words)
      log('error', { upstream: upstream.url }, `the upstream serves what cannot be followed: ${words}`)
    } else {
      standing.trouble = `entries cannot be stored: ${words}`
      log('error', { error }, standing.trouble)
    }
  }

  // From a little before the cursor, and from further back where nothing is there any more.
  async #catchUp(): Promise<void> {
    const { notary, standing, log, clock } = this.#ports
    standing.behind()
    if (this.#probe) await this.#learnOrder()
    const { numbered, cursor } = notary.position
    this.#sweptAt = clock.now()
    for (let back = numbered ? MIRROR_LIMITS.overlapNumbers : MIRROR_LIMITS.overlapMs; ; back *= GO_BACK) {
      const start = Math.max(0, cursor - back)
      const reached = await this.#takePages({ numbered, position: start })
      if (reached === start && start > 0) continue
      this.#sweptTo = reached
      if (reached < cursor) {
        const words = `the upstream showed operations up to ${cursor} and shows them up to ${reached} now: it was restored from a backup, or hides the newest`
        log('error', { upstream: this.#ports.upstream.url }, words)
        await this.#doubtFrom(reached)
        await notary.take([{ lines: [], cursor: { numbered, cursor: reached }, back: true }])
      }
      break
    }
    standing.good()
  }

  // `after=0` is a number for those that number, and a date of the last century for those that do not.
  async #learnOrder(): Promise<void> {
    const { notary, upstream, log } = this.#ports
    const { numbered, cursor } = notary.position
    if (!numbered || cursor === 0) {
      const { lines } = await upstream.page({ numbered: true, position: 0 })
      const shown = lines.length === 0 ? numbered : lines.some(({ number }) => number !== null)
      if (shown !== numbered) {
        log('info', { upstream: upstream.url }, `the upstream's operations are read by their ${shown ? 'numbers' : 'times'}`)
        await notary.take([{ lines: [], cursor: { numbered: shown, cursor: 0 }, back: true }])
      }
    }
    this.#probe = false
  }

  /** Takes all pages after a position; resolves with where they end. */
  async #takePages(start: After): Promise<number> {
    let reached = start.position
    const read = this.#readPages(start, (position) => (reached = position))
    await this.#ports.notary.take(inBatches(readAhead(read, MIRROR_LIMITS.pagesAhead)), (done) => this.#taken(done))
    return reached
  }

  async *#readPages({ numbered, position }: After, reached: (position: number) => void): AsyncGenerator<ShownBatch> {
    const { upstream, clock, log } = this.#ports
    for (let after = position; ; ) {
      const page = await upstream.page({ numbered, position: after })
      this.#signal.throwIfAborted()
      if (page.length === 0) return
      const end = numbered ? this.#endOfNumbers(page, after) : endOfTimes(page, after, clock.timeOfDay())
      yield { lines: page.lines, cursor: { numbered, cursor: Math.max(end, after) } }
      reached(Math.max(end, after))
      if (numbered) {
        after = end
      } else {
        // Some of the last millisecond may be on the next page.
        if (page.length < MIRROR_LIMITS.pageLines) return
        if (end - 1 <= after) log('error', { upstream: upstream.url, time: end }, 'more operations than a page holds are of one millisecond: those beyond it cannot be read')
        after = end - 1 > after ? end - 1 : end
      }
    }
  }

  #endOfNumbers({ lines }: Page, after: number): number {
    const numbers = lines.flatMap(({ number }) => number ?? [])
    const end = numbers.reduce((largest, number) => Math.max(largest, number), 0)
    if (numbers.length === 0) this.#probe = true
    if (end <= after) throw new MismatchError(`its page after ${after} ${numbers.length === 0 ? 'has no numbers' : `ends at ${end}`}`, {})
    return end
  }

  async #followStream(): Promise<void> {
    const { upstream, notary, clock } = this.#ports
    const stream = new AbortController()
    this.#stream = stream
    try {
      for await (const lines of upstream.stream(notary.position.cursor, AbortSignal.any([this.#signal, stream.signal]))) {
        const { cursor } = notary.position
        const numbers = lines.flatMap(({ number }) => number ?? [])
        const end = numbers.reduce((largest, number) => Math.max(largest, number), cursor)
        if (this.#owed !== null && end >= this.#owed.number) this.#owed = null
        if (hasGap(numbers, cursor) && clock.now() - this.#gapAt >= MIRROR_LIMITS.gapMs) {
          this.#gapAt = clock.now()
          await this.#sweep(cursor)
        }
        await notary.take([{ lines, cursor: { numbered: true, cursor: end } }], (done) => this.#taken(done))
      }
    } finally {
      this.#stream = null
      this.#owed = null
      stream.abort()
    }
  }

  // What the stream brought, again from pages.
  async #sweep(from: number): Promise<void> {
    const { clock, notary, standing } = this.#ports
    this.#sweptAt = clock.now()
    const { cursor, numbered } = notary.position
    let largest = 0
    const read = this.#readPages({ numbered, position: Math.max(0, Math.min(from, cursor) - MIRROR_LIMITS.overlapNumbers) }, () => undefined)
    await notary.take(inBatches(readAhead(read, 1)), (done) => {
      largest = Math.max(largest, done.largest)
      this.#taken(done)
    })
    this.#sweptTo = cursor
    if (largest > 0) this.#owed ??= { number: largest, since: clock.now() }
    standing.good()
  }

  #taken(done: TakenBatch): void {
    const { standing, store, log } = this.#ports
    standing.trouble = null
    for (const did of done.doubtful) this.#doubtful.add(did, 0)
    for (const { did, cid, code, upstream } of done.aside) log('debug', { did, cid, code, number: upstream }, 'what the upstream showed is set aside')
    if (done.aside.length > 0 || standing.hasRefused) standing.countRefused(store).catch(() => undefined)
  }

  /** The identities of the entries whose numbers are above this one. */
  async #doubtFrom(number: number): Promise<void> {
    const { store } = this.#ports
    const index = await store.notary.firstIndexAbove(number)
    const size = (await store.head())?.size ?? 0
    if (index === null) return
    for (const { did } of await store.entries(Math.max(index, size - MIRROR_LIMITS.checksWaiting), size)) this.#doubtful.add(did, 0)
  }

  /** Compares one identity that is doubtful, or else, now and then, any. Returns whether there was one. */
  async #checkOne(): Promise<boolean> {
    const { clock } = this.#ports
    const did = this.#doubtful.next(clock.now()) ?? (clock.now() - this.#sampledAt >= MIRROR_LIMITS.sampleMs ? await this.#sample() : null)
    if (did === null) return false
    try {
      await this.#check(did)
      return true
    } catch (error) {
      this.#doubtful.add(did, clock.now() + MIRROR_LIMITS.settledSeconds * 1000)
      throw error
    }
  }

  // In turn: one that diverges, which may be over; one of the newest entries; one of all.
  async #sample(): Promise<string | null> {
    const { store, clock, random } = this.#ports
    this.#sampledAt = clock.now()
    this.#sampled++
    if (this.#sampled % 3 === 0) {
      this.#divergent = (await this.#nextDivergent(this.#divergent)) ?? (await this.#nextDivergent(''))
      if (this.#divergent !== null) return this.#divergent
    }
    const size = (await store.head())?.size ?? 0
    const start = this.#sampled % 3 === 1 ? Math.max(0, size - MIRROR_LIMITS.sampleNewest) : 0
    const index = start + Math.floor(random() * (size - start))
    return (await store.entries(index, index + 1))[0]?.did ?? null
  }

  async #nextDivergent(after: string | null): Promise<string | null> {
    const [next] = await this.#ports.store.notary.divergences(after ?? '', 1, true)
    return next?.did ?? null
  }

  /** Compares one identity, takes what was missed, and keeps what differs. */
  async #check(did: string): Promise<void> {
    const { store, notary, upstream, clock, standing, log } = this.#ports
    const shown = await upstream.auditLog(did)
    const { value: lines } = verdictOf(() => (shown === null ? [] : readAuditLog(shown)))
    const theirs: readonly ShownLine[] = lines ?? []
    let ours = await store.history([did], 0)
    // Those of one millisecond may be shown in the wrong order: then one more time brings more.
    for (let left = lacking(ours, theirs); left.length > 0; ) {
      await notary.take([{ lines: left, cursor: null }], (done) => this.#taken({ ...done, doubtful: [] }))
      ours = await store.history([did], 0)
      const more = lacking(ours, theirs)
      if (more.length === left.length) break
      left = more
    }
    const now = clock.timeOfDay()
    const { kinds, unsettled } = lines === null ? { kinds: ['unreadable'], unsettled: false } : compareViews(ours, theirs, now - MIRROR_LIMITS.settledSeconds * 1000)
    standing.good()
    if (unsettled) return this.#doubtful.add(did, clock.now() + MIRROR_LIMITS.settledSeconds * 1000)
    const known = await store.notary.divergence(did)
    if (kinds.length === 0) {
      if (known === null || known.endedAt !== null) return
      await store.notary.keepDivergence({ ...known, checkedAt: now, endedAt: now }, MIRROR_LIMITS.divergences)
      log('info', { did }, 'the upstream shows the history of an identity as it was notarised again')
    } else {
      const view = shown ?? '[]'
      const since = known !== null && known.endedAt === null ? known.since : now
      const theirView = Buffer.byteLength(view) > MIRROR_LIMITS.theirsBytes ? null : view
      const kept = await store.notary.keepDivergence({ did, since, checkedAt: now, endedAt: null, kinds, theirs: theirView }, MIRROR_LIMITS.divergences)
      if (since === now) log('error', { did, kinds, kept }, 'the upstream shows another history of an identity than was notarised')
    }
    await standing.countDivergent(store)
  }
}

/** How often it is looked at what is to be done, milliseconds. */
const TEND_MS = 200

/** How much further back it is looked each time. */
const GO_BACK = 8

/** How far ahead of the clock an operation's time may be and still be where the next page begins, milliseconds. */
const AHEAD_MS = 600_000

/** Identities that wait to be compared, each once, and from when on, by `Clock.now`. */
class Doubtful {
  readonly #dids = new Map<string, number>()

  add(did: string, from: number): void {
    if (this.#dids.size < MIRROR_LIMITS.checksWaiting && !this.#dids.has(did)) this.#dids.set(did, from)
  }

  /** One whose time has come, which waits no longer; null for none. */
  next(now: number): string | null {
    for (const [did, from] of this.#dids) {
      if (from > now) continue
      this.#dids.delete(did)
      return did
    }
    return null
  }
}

function hasGap(numbers: readonly number[], cursor: number): boolean {
  let next = cursor + 1
  for (const number of numbers) {
    if (number > next) return true
    next = Math.max(next, number + 1)
  }
  return false
}

// A time beyond the clock would skip all that comes until then.
function endOfTimes({ lines }: Page, after: number, now: number): number {
  const times = lines.flatMap(({ time }) => (time === null || time > now + AHEAD_MS ? [] : [time]))
  const end = times.reduce((latest, time) => Math.max(latest, time), -1)
  if (end <= after) throw new MismatchError(`its page after ${new Date(after).toISOString()} holds nothing later`, {})
  return end
}

// As many pages as fit in a transaction.
async function* inBatches(pages: AsyncIterable<ShownBatch>): AsyncGenerator<ShownBatch> {
  let lines: ShownLine[] = []
  let length = 0
  let cursor: ShownBatch['cursor'] = null
  let failure: { readonly reason: unknown } | null = null
  try {
    for await (const page of pages) {
      lines.push(...page.lines)
      length += page.lines.reduce((sum, { line }) => sum + line.length, 0)
      cursor = page.cursor
      if (lines.length + MIRROR_LIMITS.pageLines <= MIRROR_LIMITS.batchEntries && length < MIRROR_LIMITS.batchBytes) continue
      yield { lines, cursor }
      lines = []
      length = 0
      cursor = null
    }
  } catch (reason) {
    failure = { reason }
  }
  // What came before a failure need not be asked for again.
  if (cursor !== null) yield { lines, cursor }
  if (failure !== null) throw failure.reason
}

// What a generator is asked for meanwhile waits in its own queue.
async function* readAhead<T>(source: AsyncGenerator<T, undefined>, most: number): AsyncGenerator<T> {
  const asked: Promise<IteratorResult<T, undefined>>[] = []
  for (;;) {
    while (asked.length < most) {
      const next = source.next()
      next.catch(() => undefined) // it is thrown where it is awaited
      asked.push(next)
    }
    const result = await asked.shift()
    if (result === undefined || result.done === true) return
    yield result.value
  }
}
