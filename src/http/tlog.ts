// The log as static files: checkpoint, tiles, entry bundles, keys. spec/http.md#log

import type { ParsedUrlQuery } from 'node:querystring'
import { assert, verdictOf } from '../core/errors.ts'
import { encodeBundle } from '../core/tlog/bundle.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { parseTilePath, TILE_WIDTH, type TilePath } from '../core/tlog/tile.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { readCount } from './export.ts'
import type { CounterPorts } from './ports.ts'

/** GET /checkpoint */
export async function getCheckpoint({ ports }: Call): Promise<Answer> {
  const publication = await ports.store.publication()
  if (publication === null) throw new Refusal('NO_CHECKPOINT')
  return { type: TYPES.text, body: publication.note }
}

/** GET /tile/... */
export async function getTile({ ports, path }: Call): Promise<Answer> {
  const asked = readPath(path)
  if (asked.kind !== 'hashes') throw new Refusal('NO_SUCH_TILE')
  const { level, index, width } = asked.tile
  // Number of entries that the last of the hashes needs.
  await checkPublished(ports, (index * TILE_WIDTH + width) * TILE_WIDTH ** level)
  const [row] = await ports.store.tiles([asked.tile])
  const bytes = row?.subarray(0, width * HASH_BYTES)
  assert(bytes !== undefined && bytes.length === width * HASH_BYTES, `a published tile is missing: ${path}`)
  return { type: TYPES.bytes, body: bytes }
}

/** GET /tile/entries/... */
export async function getBundle({ ports, path }: Call): Promise<Answer> {
  const asked = readPath(path)
  if (asked.kind !== 'entries') throw new Refusal('NO_SUCH_TILE')
  const start = asked.index * TILE_WIDTH
  const end = start + asked.width
  await checkPublished(ports, end)
  const leaves = await ports.store.leaves(start, end)
  assert(leaves.length === asked.width, `published entries are missing: ${path}`)
  return { type: TYPES.bytes, body: encodeBundle(leaves) }
}

/** GET /log/vkey */
export async function getVerifierKeys({ ports }: Call): Promise<Answer> {
  return { type: TYPES.text, body: (await logKeys(ports)).map((vkey) => `${vkey}\n`).join('') }
}

/** GET /log/keys */
export async function getKeyStatement({ ports }: Call): Promise<Answer> {
  const statement = await ports.store.keyStatement()
  if (statement === null) throw new Refusal('NO_KEY_STATEMENT')
  return { type: TYPES.text, body: statement }
}

/** GET /log/checkpoints */
export async function getKeptCheckpoints({ ports }: Call): Promise<Answer> {
  const kept = await ports.store.keptCheckpoints()
  return { type: TYPES.jsonLines, body: kept.map(({ size, note }) => JSON.stringify({ size, note })).join('\n') }
}

/** GET /log/rejected */
export async function getRejected({ ports: { store, tip }, query }: Call): Promise<Answer> {
  const { count, from } = readPage(query())
  const rows = await store.rejected(from, tip.durable, count)
  return { type: TYPES.jsonLines, body: rows.map(({ index, did, cid, code }) => JSON.stringify({ index, did, cid, code })).join('\n') }
}

/** The log's verifier keys as they are now: another process may have changed them. */
export async function logKeys({ store }: CounterPorts): Promise<readonly string[]> {
  return (await store.head())?.vkeys ?? []
}

/** The published size, at least `needed` where it is that large: what another process published may not have been heard of here. */
export async function publishedSize({ store, tip }: CounterPorts, needed: number): Promise<number> {
  if (tip.published >= needed) return tip.published
  return Math.max(tip.published, (await store.publication())?.size ?? 0)
}

// As `after` and `count` of `/export`, but that nothing else than a sequence number counts.
function readPage(query: ParsedUrlQuery): { readonly from: number; readonly count: number } {
  const after = query['after'] ?? '0'
  if (typeof after !== 'string' || !/^\d+$/.test(after)) throw new Refusal('INVALID_AFTER')
  return { from: Math.min(Number(after), Number.MAX_SAFE_INTEGER), count: readCount(query) }
}

function readPath(path: string): TilePath {
  const { value, verdict } = verdictOf(() => parseTilePath(path.slice(1)))
  if (verdict !== null) throw new Refusal('NO_SUCH_TILE')
  return value
}

async function checkPublished(ports: CounterPorts, size: number): Promise<void> {
  if (!Number.isSafeInteger(size) || size > (await publishedSize(ports, size))) throw new Refusal('NO_SUCH_TILE')
}
