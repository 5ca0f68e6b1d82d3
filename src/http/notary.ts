// What a notary says of the directory that it follows: its numbers, what was set aside, whose history it shows differently.
// spec/http.md#notary

import type { Divergence, KeptAside, UpstreamPosition } from '../storage/store.ts'
import { NOTHING_WITHHELD } from '../storage/withheld.ts'
import { isDid } from '../core/plc/did.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { readCount } from './export.ts'
import { LIMITS } from './limits.ts'
import type { CounterPorts } from './ports.ts'
import { auditJson } from './rows.ts'
import { readPage } from './tlog.ts'

/** GET /log/upstream */
export async function getUpstreamNumbers(call: Call): Promise<Answer> {
  await requireNotary(call)
  const { from, count } = readPage(call.query())
  const numbers = await call.ports.store.notary.numbers(from, count)
  return { type: TYPES.jsonLines, body: numbers.map(({ index, number }) => JSON.stringify({ seq: index + 1, upstream: number })).join('\n') }
}

/** GET /log/upstream/cursor */
export async function getUpstreamCursor(call: Call): Promise<Answer> {
  const { numbered, highest } = await requireNotary(call)
  if (!numbered) throw new Refusal('NOT_NUMBERED')
  const { store, tip } = call.ports
  const query = call.query()
  const [ours, theirs] = [readNumber(query['seq']), readNumber(query['upstream'])]
  if ((ours === null) === (theirs === null)) throw new Refusal('INVALID_NUMBER')
  const size = tip.durable
  if (theirs !== null) {
    const index = await store.notary.firstIndexAbove(theirs)
    return json({ seq: Math.min(index ?? size, size), upstream: theirs })
  }
  const smallest = await store.notary.smallestNumberFrom(ours ?? 0)
  return json({ seq: ours, upstream: smallest === null ? highest : smallest - 1 })
}

/** GET /log/refused */
export async function getRefused(call: Call): Promise<Answer> {
  await requireNotary(call)
  const { from, count } = readPage(call.query())
  const lines = await call.ports.store.notary.setAside(from, Math.min(count, LIMITS.refusedLines))
  return { type: TYPES.jsonLines, body: lines.map((line) => JSON.stringify(asideJson(line, call.ports))).join('\n') }
}

/** GET /log/divergent */
export async function getDivergences(call: Call): Promise<Answer> {
  await requireNotary(call)
  const query = call.query()
  const after = query['after'] ?? ''
  if (typeof after !== 'string' || (after !== '' && !isDid(after))) throw new Refusal('INVALID_AFTER')
  const found = await call.ports.store.notary.divergences(after, readCount(query))
  return { type: TYPES.jsonLines, body: found.map((divergence) => JSON.stringify(divergenceJson(divergence))).join('\n') }
}

/** GET /log/divergent/:did */
export async function getDivergence(call: Call): Promise<Answer> {
  await requireNotary(call)
  const { store } = call.ports
  const did = param(call, 'did')
  const divergence = isDid(did) ? await store.notary.divergence(did) : null
  if (divergence === null) throw new Refusal('NOT_DIVERGENT')
  const theirs = call.ports.withheldViews?.divergent.has(did) ? null : divergence.theirs
  const ours = Buffer.from(auditJson((await store.history([did], 0)).filter((row) => row.rejected === null))).toString()
  return { type: TYPES.json, body: `${JSON.stringify(divergenceJson(divergence)).slice(0, -1)},"ours":${ours},"theirs":${JSON.stringify(theirs)}}` }
}

async function requireNotary({ ports }: Call): Promise<UpstreamPosition> {
  const position = await ports.store.notary.upstream()
  if (position === null) throw new Refusal('NO_NOTARY')
  return position
}

function json(value: Record<string, unknown>): Answer {
  return { type: TYPES.json, body: JSON.stringify(value) }
}

// Bytes that are no UTF-8 are shown with replacements: `length` and `code` say that there is more to it.
function asideJson({ number, upstream, index, seenAt, did, cid, code, words, length, line }: KeptAside, { withheld = NOTHING_WITHHELD, withheldViews }: CounterPorts): Record<string, unknown> {
  const shown = (index !== null && withheld.has(index)) || withheldViews?.refused.has(number) ? '' : new TextDecoder().decode(line)
  return { number, upstream, seq: index === null ? null : index + 1, seenAt: formatTimestamp(seenAt), did, cid, code, words, length, line: shown }
}

function divergenceJson({ did, since, checkedAt, endedAt, kinds }: Divergence): Record<string, unknown> {
  return { did, kinds, since: formatTimestamp(since), checkedAt: formatTimestamp(checkedAt), endedAt: endedAt === null ? null : formatTimestamp(endedAt) }
}

function readNumber(text: string | readonly string[] | undefined): number | null {
  if (text === undefined) return null
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) throw new Refusal('INVALID_NUMBER')
  return Number(text)
}
