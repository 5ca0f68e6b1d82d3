// What has happened to the log, as subscribers to it follow it: entries that became durable, checkpoints that were
// published. spec/stream.md#log-stream

import { setTimeout as delay } from 'node:timers/promises'
import type { Publication, Store } from '../storage/store.ts'
import { Growing, type Tip } from '../storage/tip.ts'
import type { LogLine } from './ports.ts'

/** The newest of both, and a number that grows with each change. */
export interface Feed {
  readonly tip: Tip
  /** The newest published checkpoint that is known here; null before the first. */
  readonly publication: Publication | null
  readonly changes: Growing
}

/** Follows `tip` and the published checkpoint, whose note may change while its size does not, until `signal` is aborted. */
export function followFeed(ports: { readonly store: Pick<Store, 'publication'>; readonly tip: Tip; readonly log: LogLine }, refreshMs: number, signal: AbortSignal): Feed {
  const { store, tip, log } = ports
  const changes = new Growing(0)
  const feed: { tip: Tip; publication: Publication | null; changes: Growing } = { tip, publication: null, changes }
  const changed = (): void => changes.advance(changes.value + 1)

  async function followEntries(): Promise<void> {
    for (let size = tip.durable; ; changed()) size = await tip.pastDurable(size, signal)
  }

  async function followCheckpoints(): Promise<void> {
    for (;;) {
      const { published } = tip
      const newest = await store.publication().catch((error: unknown) => {
        log('warn', { error }, 'the published checkpoint cannot be read')
        return null
      })
      if (newest !== null && newest.size >= (feed.publication?.size ?? 0) && newest.note !== feed.publication?.note) {
        feed.publication = newest
        changed()
      }
      const done = new AbortController()
      const either = AbortSignal.any([signal, done.signal])
      try {
        await Promise.race([delay(refreshMs, undefined, { signal: either, ref: false }), tip.pastPublished(published, either)])
      } finally {
        done.abort()
      }
    }
  }

  // Both end with the signal, and with nothing else.
  for (const followed of [followEntries(), followCheckpoints()]) followed.catch(() => undefined)
  return feed
}
