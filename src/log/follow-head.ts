// Following a database that other processes write: the tip of this process moves with theirs. spec/log.md#tip

import type { Publication, Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { LogLine } from './ports.ts'

/** The database holds fewer entries than this process has seen durable: it was restored, or failed over to a copy that lags. */
export class HeadBehindError extends Error {
  override readonly name = 'HeadBehindError'
}

/** Throws HeadBehindError where the database, asked after `tip` was read, holds fewer entries than that. */
export function checkMemory(tip: Pick<Tip, 'durable'>, size: number): void {
  if (size >= tip.durable) return
  throw new HeadBehindError(
    `the database holds ${size} entries, but ${tip.durable} were durable before: it was restored from a backup or failed over to a copy that lags. ` +
      'Nothing was written. Bring back the newest database, then start again',
  )
}

/** What follows a database. */
export interface FollowPorts {
  readonly store: Store
  readonly tip: Tip
  /** Called with each size that was read before the tip moves to it; what it throws is an incident, and the tip stays. Default: nobody is. */
  readonly ahead?: (size: number) => Promise<void>
  /** Told of the published checkpoint at every look. Must not throw. Default: nobody is. */
  readonly seen?: (publication: Publication) => void
  readonly log: LogLine
}

/**
 * Moves `tip` with the database until `signal` is aborted, then resolves. Throws HeadBehindError where the database
 * has gone back; other incidents are said and tried again at the next occasion.
 */
export async function followHead(ports: FollowPorts, signal: AbortSignal): Promise<void> {
  let wake: () => void = () => undefined
  let moved = true
  // What this process wrote itself has moved its tip already.
  const notice = (own = false): void => {
    if (own) return
    moved = true
    wake()
  }
  const end = (): void => notice()
  await using _watching = ports.store.watch(notice, WRITER_LIMITS.headPollMs)
  signal.addEventListener('abort', end)
  try {
    while (!signal.aborted) {
      if (!moved) await new Promise<void>((resolve) => (wake = resolve))
      moved = false
      if (signal.aborted) return
      try {
        await readTip(ports)
      } catch (error) {
        if (error instanceof HeadBehindError) throw error
        ports.log('warn', { error }, 'the head of the log cannot be read')
      }
    }
  } finally {
    signal.removeEventListener('abort', end)
  }
}

// What this process knows is remembered before the question: an answer that was on its way may be older than what
// the process has learnt meanwhile.
async function readTip({ store, tip, ahead, seen }: FollowPorts): Promise<void> {
  const known = { durable: tip.durable }
  const publication = await store.publication()
  if (publication !== null) seen?.(publication)
  const head = await store.head()
  if (head === null) throw new HeadBehindError('the database holds no log any more')
  checkMemory(known, head.size)
  await ahead?.(head.size)
  tip.advanceDurable(head.size)
  if (publication !== null) tip.advancePublished(publication.size)
}
