// The chain of an identity's operations: genesis, rotation, recovery, tombstones. spec/did-plc.md#chain

import { assert, DirectoryError, verdictOf } from '../errors.ts'
import { normalizeCid } from '../encoding/cid.ts'
import { didOfCid } from './did.ts'
import { quote, rotationKeysOf, unsignedBytes, type Operation } from './operation.ts'
import type { SignatureAnswer, SignatureQuestion } from './signature.ts'

/** An accepted operation in its place. */
export interface Link {
  readonly operation: Operation
  /** Milliseconds since 1970, as the directory accepted it. */
  readonly createdAt: number
  /** Index, in the rotation keys of the operation named by `prev` (its own for a genesis), of the first key that verifies. */
  readonly signer: number
  /** Whether a later operation undid it. */
  readonly nullified: boolean
}

/** Every accepted operation of one identity in order, nullified ones included. */
export interface Chain {
  readonly did: string
  readonly links: readonly Link[]
}

/** How long, in milliseconds, after an operation a stronger key may undo it: 72 hours, the last millisecond included. spec/did-plc.md#recovery */
export const RECOVERY_WINDOW_MS = 259_200_000

/** The chain of an identity that has no operation yet. */
export function emptyChain(did: string): Chain {
  return { did, links: [] }
}

/**
 * What has to be verified before an operation can join a chain: its signature, against all rotation keys of the
 * operation named by its `prev` (its own for a genesis). The answer depends on these two operations alone, so it
 * stays right while the chain grows. Throws MISORDERED, DUPLICATE_OPERATION, GENESIS_HASH or GENESIS_PREV where
 * there is nothing to ask. spec/did-plc.md#signatures
 */
export function signatureQuestion(operation: Operation, chain: Chain): SignatureQuestion {
  const parent = parentOf(chain, operation)
  return {
    message: unsignedBytes(operation),
    sig: operation.sig,
    keys: rotationKeysOf(parent === null ? operation : linkAt(chain, parent).operation),
  }
}

/**
 * The chain after an operation that was accepted at `createdAt` (milliseconds since 1970), and the positions of the
 * links that it nullifies. `answer` is what `findSigner` says to `signatureQuestion(operation, chain)`.
 * Throws MISORDERED, DUPLICATE_OPERATION, INVALID_SIGNATURE, LATE_RECOVERY, GENESIS_HASH or GENESIS_PREV.
 * spec/did-plc.md#chain
 */
export function applyOperation(
  chain: Chain,
  operation: Operation,
  createdAt: number,
  answer: SignatureAnswer,
): { readonly chain: Chain; readonly nullified: readonly number[] } {
  const parent = parentOf(chain, operation)
  if (answer === null) throw invalidSignature(operation)
  if (parent === null) assertHash(chain.did, operation)
  const disputed = parent === null ? null : inEffectAfter(chain, parent)
  if (disputed !== null) assertRecovery(chain, disputed, operation, createdAt, answer)

  const nullified: number[] = []
  const links = chain.links.map((link, position) => {
    if (disputed === null || position < disputed || link.nullified) return link
    nullified.push(position)
    return { ...link, nullified: true }
  })
  links.push({ operation, createdAt, signer: answer, nullified: false })
  return { chain: { did: chain.did, links }, nullified }
}

/** The newest operation in effect; null for an empty chain. */
export function headOf(chain: Chain): Link | null {
  return chain.links.findLast((link) => !link.nullified) ?? null
}

/** The position of the operation with this CID (base32), nullified or not; null where the chain does not hold it. */
export function findLink(chain: Chain, cid: string): number | null {
  const position = chain.links.findLastIndex((link) => link.operation.cid === cid)
  return position < 0 ? null : position
}

/**
 * The position from which an operation would nullify: that of the first operation in effect after the one named by
 * its `prev`. Null where `prev` is the head, or for a genesis. Throws as `parentOf` where the operation has no
 * place in the chain. spec/did-plc.md#recovery
 */
export function disputedLink(chain: Chain, operation: Operation): number | null {
  const parent = parentOf(chain, operation)
  return parent === null ? null : inEffectAfter(chain, parent)
}

/** The CID, in base32, that an operation's `prev` means; null for a genesis and for a spelling that means none. spec/did-plc.md#prev */
export function prevCid({ prev }: Pick<Operation, 'prev'>): string | null {
  if (prev === null || prev[0] !== 'z') return prev
  return verdictOf(() => normalizeCid(prev)).value
}

/**
 * The position of the operation in effect that an operation follows; null for a genesis. Throws DUPLICATE_OPERATION
 * for one that the chain holds, MISORDERED for one that it holds nullified or that follows none it holds, and
 * GENESIS_HASH or GENESIS_PREV where the chain is empty and `prev` is not null. spec/did-plc.md#chain
 */
export function parentOf(chain: Chain, operation: Operation): number | null {
  const same = findLink(chain, operation.cid)
  if (same !== null) throw new DirectoryError(linkAt(chain, same).nullified ? 'MISORDERED' : 'DUPLICATE_OPERATION')
  if (chain.links.length === 0) {
    if (operation.type === 'plc_tombstone') throw new DirectoryError('MISORDERED')
    if (operation.prev === null) return null
    // Refused before its signature: its own keys must not answer for those of the operation that it names.
    assertHash(chain.did, operation)
    throw new DirectoryError('GENESIS_PREV')
  }
  const prev = prevCid(operation)
  const parent = prev === null ? null : findLink(chain, prev)
  if (parent === null) throw new DirectoryError('MISORDERED')
  const link = linkAt(chain, parent)
  if (link.nullified || link.operation.type === 'plc_tombstone') throw new DirectoryError('MISORDERED')
  return parent
}

function assertHash(did: string, operation: Operation): void {
  const computed = didOfCid(operation.cid)
  if (computed !== did) throw new DirectoryError('GENESIS_HASH', computed)
}

// The first operation undone fixes the bar: only keys stronger than its signer may undo it, and only for so long.
function assertRecovery(chain: Chain, disputed: number, operation: Operation, createdAt: number, answer: number): void {
  const first = linkAt(chain, disputed)
  const head = headOf(chain)
  assert(head !== null, 'what is disputed is in effect')
  if (answer >= first.signer) throw invalidSignature(operation)
  if (createdAt <= head.createdAt) throw new DirectoryError('MISORDERED')
  const lapsed = createdAt - first.createdAt
  if (lapsed > RECOVERY_WINDOW_MS) throw new DirectoryError('LATE_RECOVERY', String(lapsed))
}

function inEffectAfter(chain: Chain, position: number): number | null {
  const next = chain.links.findIndex((link, at) => at > position && !link.nullified)
  return next < 0 ? null : next
}

function linkAt(chain: Chain, position: number): Link {
  const link = chain.links[position]
  assert(link !== undefined, 'positions come from the chain itself')
  return link
}

function invalidSignature(operation: Operation): DirectoryError {
  return new DirectoryError('INVALID_SIGNATURE', quote(operation.value))
}
