// The publisher: signs trees that are already durable, never two that contradict each other. spec/log.md#signing

import { signCheckpoint } from '../core/tlog/checkpoint.ts'
import type { SigningKey } from '../core/tlog/note.ts'
import type { Store } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { startBackoff } from './backoff.ts'
import { checkExtends, ContradictionError } from './consistency.ts'
import { GuardError, type Guard } from './guard.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { Clock, LogLine, WriterObserver } from './ports.ts'

/** What the publisher works with. */
export interface PublisherPorts {
  readonly store: Store
  readonly tip: Tip
  readonly guard: Guard
  /** The log's keys; each signs every checkpoint. */
  readonly keys: readonly SigningKey[]
  /** Shortest time between two checkpoints, milliseconds. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly observer: WriterObserver
  readonly log: LogLine
}

/**
 * Publishes until `signal` is aborted, then once more what is durable by then. Throws ContradictionError or
 * GuardError where signing would contradict an earlier signature; every other incident is tried again.
 */
export async function runPublisher(ports: PublisherPorts, signal: AbortSignal): Promise<void> {
  const { tip, clock, intervalMs } = ports
  const backoff = startBackoff(clock)
  let lastAt = -Infinity
  for (;;) {
    await waitForWork(tip, clock, signal)
    await clock.sleep(lastAt + intervalMs - clock.now(), signal)
    if (signal.aborted) break
    lastAt = clock.now()
    try {
      await publishOnce(ports)
      backoff.reset()
    } catch (error) {
      if (error instanceof ContradictionError || error instanceof GuardError) throw error
      ports.log('error', { error }, 'no checkpoint could be published')
      await backoff.wait(signal)
    }
  }
  if (tip.durable > tip.published) await publishOnce(ports)
}

/**
 * Signs the newest durable tree and publishes it. The order keeps the promise: guard read first, then the head
 * (which can only have grown since); the proof that it extends what was signed; the guard written; the signature
 * made; the checkpoint stored, and only then shown.
 */
export async function publishOnce({ store, tip, guard, keys, clock, observer }: Omit<PublisherPorts, 'intervalMs' | 'log'>): Promise<void> {
  const last = guard.last()
  const head = await store.head()
  if (head === null) throw new ContradictionError('the database holds no log any more')
  if (head.guardId !== guard.id) {
    throw new GuardError(`the database names another guard (${head.guardId}) as this log's signer: two signers with one key would contradict each other`)
  }
  await checkExtends(store, last, head)
  guard.record({ size: head.size, root: head.root })
  const note = signCheckpoint({ origin: head.origin, size: head.size, root: head.root }, keys)
  await store.publish({ size: head.size, root: head.root, note, publishedAt: clock.timeOfDay() })
  tip.advanceDurable(head.size)
  tip.advancePublished(head.size)
  observer.published(head.size)
}

// Until there is something to sign, or an idle log's checkpoint has to be renewed.
async function waitForWork(tip: Tip, clock: Clock, signal: AbortSignal): Promise<void> {
  const done = new AbortController()
  const either = AbortSignal.any([signal, done.signal])
  try {
    await Promise.race([tip.pastDurable(tip.published, either).catch(() => undefined), clock.sleep(WRITER_LIMITS.idleCheckpointMs, either)])
  } finally {
    done.abort()
  }
}
