// The map: the log of its roots as static files, and the proof of an identity's newest state. spec/http.md#map

import { DirectoryError } from '../core/errors.ts'
import { isDid } from '../core/plc/did.ts'
import { NOTHING_WITHHELD, WithheldError } from '../storage/withheld.ts'
import { param, TYPES, type Answer, type Call } from './answer.ts'
import { Refusal } from './error-response.ts'
import { bundleOf, checkpointOf, keyStatementOf, tileOf } from './tlog.ts'

/** GET /map/checkpoint */
export function getMapCheckpoint({ ports }: Call): Promise<Answer> {
  return checkpointOf(ports.store.map)
}

/** GET /map/tile/... */
export function getMapTile(call: Call): Promise<Answer> {
  return tileOf(call.ports.store.map, pathBelow(call), () => publishedLeaves(call))
}

/** GET /map/tile/entries/... */
export function getMapBundle(call: Call): Promise<Answer> {
  return bundleOf(call.ports.store.map, pathBelow(call), () => publishedLeaves(call))
}

/** GET /map/vkey */
export async function getMapVerifierKeys({ ports }: Call): Promise<Answer> {
  const head = await ports.store.map.head()
  if (head === null) throw new Refusal('NO_MAP')
  return { type: TYPES.text, body: head.vkeys.map((vkey) => `${vkey}\n`).join('') }
}

/** GET /map/keys */
export async function getMapKeyStatement({ ports }: Call): Promise<Answer> {
  if ((await ports.store.map.head()) === null) throw new Refusal('NO_MAP')
  return keyStatementOf(ports.store.map)
}

/** GET /map/next */
export async function getNextMapLeaf(call: Call): Promise<Answer> {
  const size = await publishedLeaves(call)
  const [leaf] = await call.ports.store.map.leaves(size, size + 1)
  if (leaf === undefined) throw new Refusal('NO_NEXT_LEAF')
  return { type: TYPES.text, body: leaf }
}

/** GET /:did/state-proof */
export async function getStateProof(call: Call): Promise<Answer> {
  const did = param(call, 'did')
  if (!isDid(did)) throw new DirectoryError('DID_NOT_REGISTERED', did)
  await checkShown(call, did)
  const proof = (await call.ports.map?.prove(did)) ?? null
  if (proof === null) throw new Refusal('NO_STATE_PROOF')
  return { type: TYPES.stateProof, body: proof }
}

// The proof holds the bytes of every entry of the identity.
async function checkShown({ ports: { store, withheld = NOTHING_WITHHELD } }: Call, did: string): Promise<void> {
  if (withheld.size === 0) return
  const row = (await store.history([did], 0)).find(({ index }) => withheld.has(index))
  if (row !== undefined) throw new WithheldError(row.index, withheld.get(row.index) ?? null)
}

function pathBelow({ path }: Call): string {
  return path.slice('/map'.length)
}

async function publishedLeaves({ ports }: Call): Promise<number> {
  return (await ports.store.map.publication())?.size ?? 0
}
