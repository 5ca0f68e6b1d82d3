// The log as static files: checkpoint, tiles, entry bundles, keys. spec/http.md#log

import { assert, verdictOf } from '../core/errors.ts'
import { encodeBundle } from '../core/tlog/bundle.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { parseTilePath, TILE_WIDTH, type TilePath } from '../core/tlog/tile.ts'
import { TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
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

/** The log's verifier keys as they are now: another process may have changed them. */
export async function logKeys({ store }: CounterPorts): Promise<readonly string[]> {
  return (await store.head())?.vkeys ?? []
}

/** The published size, at least `needed` where it is that large: what another process published may not have been heard of here. */
export async function publishedSize({ store, tip }: CounterPorts, needed: number): Promise<number> {
  if (tip.published >= needed) return tip.published
  return Math.max(tip.published, (await store.publication())?.size ?? 0)
}

function readPath(path: string): TilePath {
  const { value, verdict } = verdictOf(() => parseTilePath(path.slice(1)))
  if (verdict !== null) throw new Refusal('NO_SUCH_TILE')
  return value
}

async function checkPublished(ports: CounterPorts, size: number): Promise<void> {
  if (!Number.isSafeInteger(size) || size > (await publishedSize(ports, size))) throw new Refusal('NO_SUCH_TILE')
}
