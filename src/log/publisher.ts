// The publisher: signs trees that are already durable, never two that contradict each other. spec/log.md#signing

import { signCheckpoint } from '../core/tlog/checkpoint.ts'
import type { SigningKey } from '../core/tlog/note.ts'
import type { KeptCheckpoint, SignedLog } from '../storage/store.ts'
import type { Tip } from '../storage/tip.ts'
import { startBackoff } from './backoff.ts'
import { checkExtends, ContradictionError } from './consistency.ts'
import { ownCheckpoint } from './cosigned-trees.ts'
import { GuardError, type Guard } from './guard.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { Clock, LogLine, WriterObserver } from './ports.ts'
import type { SignedCheckpoint } from './witness-client.ts'
import { SplitViewError, type Witnesses } from './witnesses.ts'

/** What the publisher works with. */
export interface PublisherPorts {
  readonly store: SignedLog
  readonly tip: Tip
  readonly guard: Guard
  /** The log's keys; each signs every checkpoint. */
  readonly keys: readonly SigningKey[]
  /** Shortest time between two checkpoints, milliseconds. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly observer: WriterObserver
  readonly log: LogLine
  /** Who must have seen a checkpoint before it is published; null for nobody. */
  readonly witnesses: Witnesses | null
}

/** The witnesses have not cosigned a checkpoint in time: it is abandoned, and its successor signed instead. */
export class QuorumMissedError extends Error {
  override readonly name = 'QuorumMissedError'
}

/**
 * Publishes until `signal` is aborted, then once more what is durable by then. Throws ContradictionError or
 * GuardError where signing would contradict an earlier signature; every other incident is tried again. Where a
 * witness contradicts the log nothing is signed any more, and the rest of the directory goes on.
 */
export async function runPublisher(ports: PublisherPorts, signal: AbortSignal): Promise<void> {
  const { tip, clock, intervalMs, witnesses } = ports
  if (witnesses !== null) witnesses.onCosigned = (size) => void mergeCosignatures(ports, witnesses, size)
  const backoff = startBackoff(clock)
  // With witnesses the first checkpoint is due at once: nobody has waited for it at the start.
  let due = witnesses !== null
  let lastAt = -Infinity
  for (;;) {
    if (!due) await waitForWork(tip, clock, signal)
    await clock.sleep(lastAt + intervalMs - clock.now(), signal)
    if (signal.aborted) break
    lastAt = clock.now()
    try {
      if (witnesses?.ready === false) await witnesses.ask(await ports.store.publication())
      if (witnesses?.ready === false) throw new QuorumMissedError('too few witnesses have said how much they have seen')
      await publishOnce(ports)
      due = false
      backoff.reset()
    } catch (error) {
      if (error instanceof ContradictionError || error instanceof GuardError) throw error
      if (error instanceof SplitViewError) return
      due = true
      ports.log(error instanceof QuorumMissedError ? 'debug' : 'error', { error }, 'no checkpoint could be published')
      await backoff.wait(signal)
    }
  }
  if (tip.durable > tip.published && witnesses?.ready !== false) await publishOnce(ports).catch(unlessMissed)
}

/**
 * Signs the newest durable tree and publishes it. The order keeps the promise: guard read first, then the head
 * (which can only have grown since); the proof that it extends what was signed; the guard written; the signature
 * made; the witnesses asked; the checkpoint stored, and only then shown. Throws QuorumMissedError where the witnesses
 * have not cosigned it, SplitViewError where one of them contradicts the log.
 */
export async function publishOnce({ store, tip, guard, keys, clock, observer, witnesses }: Omit<PublisherPorts, 'intervalMs' | 'log'>): Promise<void> {
  if (witnesses !== null && witnesses.alarm !== null) throw witnesses.alarm
  const last = guard.last()
  const head = await store.head()
  if (head === null) throw new ContradictionError('the database holds no log any more')
  if (head.guardId !== guard.id) {
    throw new GuardError(`the database names another guard (${head.guardId}) as this log's signer: two signers with one key would contradict each other`)
  }
  await checkExtends(store, last, head)
  guard.record({ size: head.size, root: head.root })
  const { origin, size, root } = head
  const signed = { origin, size, root, note: signCheckpoint({ origin, size, root }, keys), signedAt: clock.timeOfDay() }
  if (witnesses === null) await publish(store, signed, signed.note)
  else {
    if (!(await witnesses.cosign(signed))) throw new QuorumMissedError(`the quorum of witnesses has not cosigned size ${size}`)
    await witnesses.inTurn(async () => {
      await publish(store, signed, witnesses.noteOf(signed))
      witnesses.notePublished(signed)
    })
  }
  tip.advanceDurable(size)
  tip.advancePublished(size)
  observer.published(size)
}

function publish(store: SignedLog, { size, root, signedAt }: SignedCheckpoint, note: string): Promise<void> {
  return store.publish({ size, root, note, publishedAt: signedAt })
}

/**
 * Adds what has been cosigned of the tree of `size` to its checkpoint, where that is still the published one. Where it
 * was before, or a witness has cosigned it that is not asked for each, it is kept beside. Never throws: incidents are said.
 */
export async function mergeCosignatures({ store, keys, log }: Pick<PublisherPorts, 'store' | 'keys' | 'log'>, witnesses: Witnesses, size: number): Promise<void> {
  try {
    await witnesses.inTurn(async () => {
      const publication = await store.publication()
      const isNewest = publication?.size === size
      // One that was abandoned is shown to nobody, whoever cosigned it.
      const signed = isNewest ? ownCheckpoint(publication, keys) : witnesses.published(size)
      if (signed === null) return
      const note = witnesses.noteOf(signed)
      if (isNewest && note !== publication.note) await publish(store, signed, note)
      if (!isNewest || witnesses.hasSlow(size)) await keep(store, witnesses, { size, note })
    })
  } catch (error) {
    log('warn', { error }, 'a late cosignature could not be added to its checkpoint')
  }
}

async function keep(store: SignedLog, witnesses: Witnesses, checkpoint: KeptCheckpoint): Promise<void> {
  const kept = await store.keptCheckpoints()
  if (kept.some(({ size, note }) => size === checkpoint.size && note === checkpoint.note)) return
  const others = kept.filter(({ size }) => size !== checkpoint.size)
  const outdated = witnesses.outdated([...others, checkpoint].sort((a, b) => a.size - b.size))
  if (!outdated.includes(checkpoint.size)) await store.keepCheckpoint(checkpoint, outdated)
}

function unlessMissed(error: unknown): void {
  if (!(error instanceof QuorumMissedError) && !(error instanceof SplitViewError)) throw error
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
