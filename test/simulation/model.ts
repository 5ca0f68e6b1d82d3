// The rules of did:plc as a person would apply them with paper and pencil. An oracle: it shares no code with what it checks.

/** What an operation says, as far as the rules care. */
export interface Claim {
  readonly cid: string
  readonly prev: string | null
  readonly tombstone: boolean
  readonly rotationKeys: readonly string[]
  /** Who made it: a did:key; null where the signature is nobody's. */
  readonly signedBy: string | null
  /** The DID that this operation would begin. */
  readonly begins: string
}

/** An operation in the log. */
export interface Placed extends Claim {
  readonly index: number
  readonly createdAt: number
}

/** What the rules say: it is there already, it is refused, or it joins and undoes these. */
export type Judgement = { readonly known: number } | { readonly refused: string } | { readonly undoes: readonly Placed[] }

const HOURS_72_MS = 72 * 60 * 60 * 1000

/** The operations in effect: each stands on the one that it names, and whatever stood there falls. */
export function inEffect(history: readonly Placed[]): Placed[] {
  const tower: Placed[] = []
  for (const operation of history) {
    tower.length = tower.findIndex(({ cid }) => cid === operation.prev) + 1
    tower.push(operation)
  }
  return tower
}

/** What becomes of a claim to a DID with this history at the time `createdAt`. Rates are not considered. */
export function judge(did: string, history: readonly Placed[], claim: Claim, createdAt: number): Judgement {
  const tower = inEffect(history)
  const same = history.find(({ cid }) => cid === claim.cid)
  if (same !== undefined) return tower.includes(same) ? { known: same.index } : { refused: 'it was nullified' }
  if (history.length === 0) {
    if (claim.prev !== null || claim.tombstone) return { refused: 'it begins nothing' }
    if (claim.begins !== did) return { refused: 'it begins another DID' }
    return claim.signedBy !== null && claim.rotationKeys.includes(claim.signedBy) ? { undoes: [] } : { refused: 'a stranger signed it' }
  }
  const floor = tower.findIndex(({ cid }) => cid === claim.prev)
  const parent = tower[floor]
  if (parent === undefined) return { refused: 'it stands on nothing' }
  if (parent.tombstone) return { refused: 'it stands on a tombstone' }
  const rank = claim.signedBy === null ? -1 : parent.rotationKeys.indexOf(claim.signedBy)
  if (rank < 0) return { refused: 'a stranger signed it' }
  const undoes = tower.slice(floor + 1)
  const [first] = undoes
  if (first === undefined) return { undoes }
  if (rank >= parent.rotationKeys.indexOf(first.signedBy ?? '')) return { refused: 'its key is not stronger' }
  if (createdAt - first.createdAt > HOURS_72_MS) return { refused: 'it is too late' }
  return { undoes }
}
