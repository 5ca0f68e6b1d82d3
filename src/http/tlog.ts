// The log as static files: checkpoint, tiles, entry bundles, keys. spec/http.md#log

import type { ParsedUrlQuery } from 'node:querystring'
import { base64 } from '../core/encoding/text.ts'
import { assert, verdictOf } from '../core/errors.ts'
import { encodeBundle } from '../core/tlog/bundle.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { parseTilePath, TILE_WIDTH, type TilePath } from '../core/tlog/tile.ts'
import type { SignedLog, Store } from '../storage/store.ts'
import { NOTHING_WITHHELD } from '../storage/withheld.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { readCount } from './export.ts'
import type { CounterPorts } from './ports.ts'

/** GET /checkpoint */
export function getCheckpoint({ ports }: Call): Promise<Answer> {
  return checkpointOf(ports.store)
}

/** GET /tile/... */
export function getTile({ ports, path }: Call): Promise<Answer> {
  return tileOf(ports.store, path, (size) => servedSize(ports, size))
}

/** GET /tile/entries/... */
export function getBundle({ ports, path }: Call): Promise<Answer> {
  return bundleOf(ports.store, path, (size) => servedSize(ports, size))
}

/** The checkpoint of a log. */
export async function checkpointOf(log: Pick<Store, 'publication'>): Promise<Answer> {
  const publication = await log.publication()
  if (publication === null) throw new Refusal('NO_CHECKPOINT')
  return { type: TYPES.text, body: publication.note }
}

/** The tile of a log that a path names. `served` gives the size up to which there are tiles, at least the one needed where it is that large. */
export async function tileOf(log: Pick<Store, 'tiles'>, path: string, served: ServedSize): Promise<Answer> {
  const asked = readPath(path)
  if (asked.kind !== 'hashes') throw new Refusal('NO_SUCH_TILE')
  const { level, index, width } = asked.tile
  // Number of entries that the last of the hashes needs.
  await checkServed(served, (index * TILE_WIDTH + width) * TILE_WIDTH ** level)
  const [row] = await log.tiles([asked.tile])
  const bytes = row?.subarray(0, width * HASH_BYTES)
  assert(bytes !== undefined && bytes.length === width * HASH_BYTES, `a published tile is missing: ${path}`)
  return { type: TYPES.bytes, body: bytes }
}

/** The bundle of a log that a path names. `served` as for `tileOf`. */
export async function bundleOf(log: Pick<Store, 'leaves'>, path: string, served: ServedSize): Promise<Answer> {
  const asked = readPath(path)
  if (asked.kind !== 'entries') throw new Refusal('NO_SUCH_TILE')
  const start = asked.index * TILE_WIDTH
  const end = start + asked.width
  await checkServed(served, end)
  const leaves = await log.leaves(start, end)
  assert(leaves.length === asked.width, `published entries are missing: ${path}`)
  return { type: TYPES.bytes, body: encodeBundle(leaves) }
}

/** GET /log/vkey */
export async function getVerifierKeys({ ports }: Call): Promise<Answer> {
  return { type: TYPES.text, body: (await logKeys(ports)).map((vkey) => `${vkey}\n`).join('') }
}

/** GET /log/keys */
export function getKeyStatement({ ports }: Call): Promise<Answer> {
  return keyStatementOf(ports.store)
}

/** What a log says of its keys. */
export async function keyStatementOf(log: Pick<SignedLog, 'keyStatement'>): Promise<Answer> {
  const statement = await log.keyStatement()
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

/** GET /log/withheld */
export async function getWithheld({ ports: { store, tip, withheld = NOTHING_WITHHELD }, query }: Call): Promise<Answer> {
  const { count, from } = readPage(query())
  const listed = [...withheld].filter(([index]) => index >= from && index < tip.durable).slice(0, count)
  const tiles = await store.tiles(listed.map(([index]) => ({ level: 0, index: Math.floor(index / TILE_WIDTH), width: TILE_WIDTH })))
  const lines = listed.map(([index, reason], i) => {
    const at = (index % TILE_WIDTH) * HASH_BYTES
    return JSON.stringify({ index, leaf: base64.encode(tiles[i]?.slice(at, at + HASH_BYTES) ?? new Uint8Array()), reason })
  })
  return { type: TYPES.jsonLines, body: lines.join('\n') }
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

/** As `after` and `count` of `/export`, but that nothing else than a number counts. Throws INVALID_AFTER, INVALID_COUNT. */
export function readPage(query: ParsedUrlQuery): { readonly from: number; readonly count: number } {
  const after = query['after'] ?? '0'
  if (typeof after !== 'string' || !/^\d+$/.test(after)) throw new Refusal('INVALID_AFTER')
  return { from: Math.min(Number(after), Number.MAX_SAFE_INTEGER), count: readCount(query) }
}

function readPath(path: string): TilePath {
  const { value, verdict } = verdictOf(() => parseTilePath(path.slice(1)))
  if (verdict !== null) throw new Refusal('NO_SUCH_TILE')
  return value
}

/** The size up to which there are tiles; at least the one needed, where it is that large. */
type ServedSize = (needed: number) => Promise<number>

async function checkServed(served: ServedSize, size: number): Promise<void> {
  if (!Number.isSafeInteger(size) || size > (await served(size))) throw new Refusal('NO_SUCH_TILE')
}

// What a mirror holds is signed already.
function servedSize(ports: CounterPorts, needed: number): Promise<number> {
  return ports.mirror === undefined ? publishedSize(ports, needed) : Promise.resolve(ports.tip.durable)
}
