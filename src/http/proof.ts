// Proofs: receipts for operations, inclusion and consistency by index and size. spec/http.md#proofs

import { decodeEntry } from '../core/entry.ts'
import { base64, parseDecimal } from '../core/encoding/text.ts'
import { assert, DirectoryError, verdictOf } from '../core/errors.ts'
import { formatReceipt } from '../core/receipt.ts'
import { EMPTY_ROOT } from '../core/tlog/hash.ts'
import { consistencyPlan, inclusionPlan, type Range } from '../core/tlog/proof.ts'
import { planTiles, proofFromTileList } from '../core/tlog/tile.ts'
import type { Store } from '../storage/store.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import { historyOf } from './did.ts'
import { Refusal } from './error-response.ts'
import { publishedSize } from './tlog.ts'

/** GET /:did/log/:cid/proof */
export async function getReceipt(call: Call): Promise<Answer> {
  const cid = param(call, 'cid')
  const row = (await historyOf(call, param(call, 'did'))).find((row) => row.cid === cid)
  if (row === undefined) throw new DirectoryError('OPERATION_NOT_FOUND', cid)
  const receipt = await call.receiptOf(row.index)
  if (receipt === null) throw new Refusal('NOT_COVERED')
  return { type: TYPES.receipt, body: receipt }
}

/** GET /log/proof/inclusion */
export async function getInclusion(call: Call): Promise<Answer> {
  const index = readNumber(call, 'index') ?? noNumber('index')
  const size = await readSize(call, 'size')
  const plan = inclusionPlan(index, size)
  const [leaf, root, ...proof] = await readHashes(call.ports.store, [{ start: index, end: index + 1 }, { start: 0, end: size }, ...plan], size)
  return json({ index, size, leaf: encode(leaf), root: encode(root), proof: proof.map(encode) })
}

/** GET /log/proof/consistency */
export async function getConsistency(call: Call): Promise<Answer> {
  const from = readNumber(call, 'from') ?? noNumber('from')
  const to = await readSize(call, 'to')
  const plan = consistencyPlan(from, to)
  const roots = [from, to].filter((size) => size > 0).map((size) => ({ start: 0, end: size }))
  const hashes = await readHashes(call.ports.store, [...roots, ...plan], to)
  const fromRoot = from === 0 ? EMPTY_ROOT : hashes[0]
  const toRoot = to === 0 ? EMPTY_ROOT : hashes[roots.length - 1]
  return json({ from, to, fromRoot: encode(fromRoot), toRoot: encode(toRoot), proof: hashes.slice(roots.length).map(encode) })
}

/** The receipt of the entry at `index` under the newest published checkpoint; null where that does not cover it yet. */
export async function receiptText(store: Store, index: number): Promise<string | null> {
  const publication = await store.publication()
  if (publication === null || publication.size <= index) return null
  const [row] = await store.entries(index, index + 1)
  assert(row !== undefined, `entry ${index} is missing`)
  const proof = await readHashes(store, inclusionPlan(index, publication.size), publication.size)
  return formatReceipt(decodeEntry(row.entry), index, proof, publication.note)
}

/** The hashes of ranges of the tree of `size`: plan, fetch, fold. */
async function readHashes(store: Store, ranges: readonly Range[], size: number): Promise<Uint8Array[]> {
  return proofFromTileList(ranges, size, await store.tiles(planTiles(ranges, size)))
}

function readNumber({ query }: Call, name: string): number | null {
  const text = query()[name]
  if (text === undefined) return null
  const { value } = verdictOf(() => parseDecimal(String(text)))
  return value ?? noNumber(name)
}

async function readSize(call: Call, name: string): Promise<number> {
  const asked = readNumber(call, name)
  const published = await publishedSize(call.ports, asked ?? 0)
  if (asked !== null && asked > published) throw new Refusal('NOT_PUBLISHED', `${name} is ${asked}, the tree has ${published} entries`)
  return asked ?? published
}

function noNumber(name: string): never {
  throw new Refusal('INVALID_NUMBER', name)
}

function encode(hash: Uint8Array | undefined): string {
  assert(hash !== undefined, 'a proof is as long as its plan')
  return base64.encode(hash)
}

function json(value: Record<string, unknown>): Answer {
  return { type: TYPES.json, body: JSON.stringify(value) }
}
