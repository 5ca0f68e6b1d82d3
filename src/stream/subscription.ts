// The streams: loops over a cursor, up to what is durable or published. No queue, no backfill that is cut over to
// anything: whoever comes back goes on where he was. spec/stream.md

import { assert } from '../core/errors.ts'
import { consistencyPlan, inclusionPlan } from '../core/tlog/proof.ts'
import type { Publication, Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { frameBlock, type Block, type Blocks } from './blocks.ts'
import type { Feed } from './feed.ts'
import { matchesAmong, matchesOfDids, type Filter } from './filter.ts'
import type { StreamLimits } from './limits.ts'
import { readProofs } from './prove.ts'
import { StreamEnd } from './refusal.ts'

/** What the loops read. */
export interface Source {
  readonly store: Pick<Store, 'history' | 'tiles'>
  readonly blocks: Blocks
  readonly feed: Feed
  readonly limits: StreamLimits
}

/** How old the entry after a cursor may be. */
export interface CursorRule {
  /** Milliseconds; null for any age. */
  readonly maxAgeMs: number | null
  /** The time of day, milliseconds since 1970. */
  readonly now: () => number
}

/** Throws StreamEnd where a cursor is ahead of the log, or what follows it older than the rule allows. */
export async function checkCursor(store: Pick<Store, 'entries'>, tip: Tip, cursor: number, { maxAgeMs, now }: CursorRule): Promise<void> {
  if (cursor > tip.durable) throw new StreamEnd('FutureCursor')
  if (maxAgeMs === null || cursor === tip.durable) return
  const [next] = await store.entries(cursor, cursor + 1)
  assert(next !== undefined, `durable entry ${cursor} is missing`)
  if (next.createdAt < now() - maxAgeMs) throw new StreamEnd('OutdatedCursor')
}

/** The messages of `/export/stream` from the entry at `cursor` on, as soon as they are durable. Ends by throwing the signal's reason. */
export async function* followExport({ blocks, feed: { tip } }: Source, cursor: number, signal: AbortSignal): AsyncGenerator<Block, never> {
  for (;;) {
    const size = await tip.pastDurable(cursor, signal)
    const block = await blocks.exported(cursor, size)
    cursor = block.end
    const next = blocks.endOfRead(cursor)
    if (next < size) ahead(blocks.exported(next, size, true))
    if (block.messages > 0) yield block
  }
}

/**
 * The messages of `/log/stream` from the entry at `from` on: entries as soon as they are durable, and each checkpoint,
 * unless a newer one was published meanwhile, after the entries that it covers. Ends by throwing the signal's reason.
 */
export async function* followLog({ blocks, feed }: Source, from: number, signal: AbortSignal): AsyncGenerator<Block, never> {
  let cursor = from
  let sent: Publication | null = null
  // The checkpoint that is sent next: where there is one, entries below its size are no longer provisional.
  let next: Publication | null = null
  for (;;) {
    signal.throwIfAborted()
    const seen = feed.changes.value
    const { tip, publication } = feed
    if (next === null && publication !== null && publication.note !== sent?.note && publication.size >= Math.max(from, sent?.size ?? 0)) next = publication
    const size = Math.max(tip.durable, next?.size ?? 0)
    // At the start of a process the checkpoint that covers most of the log is about to be read.
    const expected = publication === null && tip.published > 0
    if (next !== null && next.size <= cursor) {
      yield frameBlock({ type: 'checkpoint', note: next.note, consistency: null })
      sent = next
      next = null
    } else if (cursor < size && !expected) {
      const to = next?.size ?? size
      const block = await blocks.logged(cursor, to, next === null)
      cursor = block.end
      const further = blocks.endOfRead(cursor)
      if (further < to) ahead(blocks.logged(further, to, next === null, true))
      yield block
    } else {
      await feed.changes.past(seen, signal)
    }
  }
}

/**
 * The messages of `/log/stream` with a filter: each checkpoint with the proof that it continues the one before (at
 * first, the tree of size `from`), then the entries between the two that the filter lets through, each with its proof
 * in it. Ends by throwing the signal's reason, or StreamEnd.
 */
export async function* followMatches(source: Source, filter: Filter, from: number, signal: AbortSignal): AsyncGenerator<Block, never> {
  const { feed, store, limits } = source
  if (filter.services.size > 0 && from < feed.tip.published - limits.scanEntries) throw new StreamEnd('OutdatedCursor')
  let known = from
  let sent: string | null = null
  for (;;) {
    signal.throwIfAborted()
    const seen = feed.changes.value
    const { publication } = feed
    if (publication === null || publication.note === sent || publication.size < known) {
      await feed.changes.past(seen, signal)
      continue
    }
    const { size, note } = publication
    const [consistency = []] = await readProofs(store, [consistencyPlan(known, size)], size)
    yield frameBlock({ type: 'checkpoint', note, consistency })
    for await (const matches of matchesBetween(source, filter, known, size)) {
      for (let at = 0; at < matches.length; at += limits.blockEntries) {
        const some = matches.slice(at, at + limits.blockEntries)
        const proofs = await readProofs(store, some.map(({ index }) => inclusionPlan(index, size)), size)
        for (const [i, { index, entry }] of some.entries()) yield frameBlock({ type: 'match', index, entry, proof: proofs[i] ?? [] })
      }
    }
    known = size
    sent = note
  }
}

// What is read next is read while this is sent; where that fails, it is read again when it is due.
function ahead(block: Promise<Block>): void {
  block.catch(() => undefined)
}

async function* matchesBetween({ store, blocks, limits }: Source, filter: Filter, from: number, to: number): AsyncGenerator<Awaited<ReturnType<typeof matchesAmong>>> {
  if (filter.services.size === 0) {
    if (from < to) yield await matchesOfDids(store, filter, from, to, limits.matchEntries)
    return
  }
  for (let at = from; at < to; ) {
    const { rows } = await blocks.rows(at, to)
    yield await matchesAmong(store, filter, rows, limits.matchEntries)
    at += rows.length
  }
}
