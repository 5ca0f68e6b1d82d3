// Whether the directory does its work, for load balancers and people. spec/http.md#health

import { base64 } from '../core/encoding/text.ts'
import { parseNote } from '../core/tlog/note.ts'
import type { Publication, Store } from '../storage/store.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { LIMITS } from './limits.ts'
import type { CounterPorts, MapStanding } from './ports.ts'
import { shared } from './shared.ts'

/** GET /_health */
export function getHealth({ ports }: Call): Promise<Answer> {
  const check = CHECKS.get(ports) ?? shared(() => checkHealth(ports))
  CHECKS.set(ports, check)
  return check()
}

// Health is not throttled, so it must cost little: whoever asks while the database is asked gets the same answer.
const CHECKS = new WeakMap<CounterPorts, () => Promise<Answer>>()

async function checkHealth(ports: CounterPorts): Promise<Answer> {
  const { version, origin, tip } = ports
  const known = { version, origin, size: tip.durable, published: tip.published, ...witnessesOf(ports), ...mapOf(ports) }
  if (!(await answers(ports.store))) return report(known, ['the database does not answer', ...ports.faults()])
  const publication = await ports.store.publication()
  const checkpointAge = publication === null ? null : secondsBetween(publication.publishedAt, ports.now())
  const seen = { ...known, published: publication?.size ?? 0, checkpointAge, ...mirrorOf(ports, publication) }
  // What a mirror holds is signed already: what it waits for is the rest of a tree.
  if (ports.mirror !== undefined) return report(seen, ports.faults())
  const waitingSeconds = await oldestWait(ports, seen.published, publication?.publishedAt ?? 0)
  const lag = waitingSeconds > LIMITS.checkpointLagSeconds ? [`an entry has waited ${waitingSeconds} seconds for a checkpoint`] : []
  return report(seen, [...lag, ...ports.faults()])
}

function witnessesOf({ witnesses, now }: CounterPorts): { witnesses?: readonly Record<string, unknown>[] } {
  const standing = witnesses?.() ?? null
  if (standing === null) return {}
  return {
    witnesses: standing.witnesses.map(({ name, cosignedAt, latencyMs, refusal }) => ({
      name,
      cosignedAge: cosignedAt === null ? null : secondsBetween(cosignedAt, now()),
      latencyMs: latencyMs === null ? null : Math.round(latencyMs),
      refusal,
    })),
  }
}

// A map that is not written keeps nobody from the rest: it is said, and the status stays.
function mapOf({ map }: CounterPorts): { map?: MapStanding } {
  return map === null || map === undefined ? {} : { map: map.standing() }
}

function mirrorOf({ mirror, notary }: CounterPorts, publication: Publication | null): Record<string, unknown> {
  const standing = mirror?.() ?? notary?.() ?? null
  if (standing === null) return {}
  const signatures = publication === null ? [] : parseNote(publication.note).signatures.map(({ name, id }) => `${name}+${id}`)
  return { ...standing, checkpoint: publication === null ? null : { size: publication.size, root: base64.encode(publication.root), signatures } }
}

/** Whether the database answers within `pingMs`. Never throws. */
export async function answers(store: Store): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, LIMITS.pingMs, false)
  try {
    return await Promise.race([store.ping().then(() => true, () => false), late])
  } finally {
    clearTimeout(timer)
  }
}

// The oldest entry that no checkpoint covers. One from elsewhere has an old time of its own: it cannot have come
// before the checkpoint that lacks it.
async function oldestWait({ store, now }: CounterPorts, published: number, publishedAt: number): Promise<number> {
  const [row] = await store.entries(published, published + 1)
  return row === undefined ? 0 : secondsBetween(Math.max(row.createdAt, publishedAt), now())
}

function report(known: Record<string, unknown>, faults: readonly string[]): Answer {
  if (faults.length === 0) return { type: TYPES.json, body: JSON.stringify(known) }
  return { status: 503, type: TYPES.json, body: JSON.stringify({ ...known, error: 'Service Unavailable', faults }) }
}

function secondsBetween(start: number, end: number): number {
  return Math.max(0, Math.floor((end - start) / 1000))
}
