// Every operation of a simulation, signed once and remembered with its signer, so that nobody has to verify it again.

import { createHash } from 'node:crypto'
import { base64url } from '../../src/core/encoding/text.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { parseOperation, rotationKeysOf, unsignedBytes, type Operation } from '../../src/core/plc/operation.ts'
import type { SignatureAnswer, SignatureQuestion } from '../../src/core/plc/signature.ts'
import { makeIdentity, makeTombstone, makeUpdate, testKey } from '../support/identities.ts'
import type { Claim } from './model.ts'

/** An operation with what it claims. */
export interface Made {
  readonly operation: Operation
  readonly claim: Claim
}

/** What to make. Keys are numbers of test keys. */
export interface Recipe {
  /** CID of the operation before; null for a genesis. */
  readonly prev: string | null
  readonly by: number
  /** The new rotation keys; null for a tombstone. */
  readonly rotation: readonly number[] | null
  readonly handle: string
}

/** Keys that anybody in the simulation has, numbered from 0. */
export const KEY_COUNT = 8
/** A key that only owners have. */
export const OWNER_KEY = KEY_COUNT

const made = new Map<string, Made>()
const byCid = new Map<string, Made>()
const signers = new Map<string, string>()
const MOST = 20_000

/** Makes an operation; the same one for the same recipe. */
export function make(recipe: Recipe): Made {
  const key = JSON.stringify(recipe)
  return made.get(key) ?? remember(key, sign(recipe), testKey(recipe.by).did)
}

/** An operation with the signature of another: nobody's. */
export function forge({ operation }: Made): Made {
  const key = `forged ${operation.cid}`
  const sig = base64url.encode(base64url.decode(operation.sig).reverse())
  return made.get(key) ?? remember(key, parseOperation(new Map([...operation.value, ['sig', sig]])), null)
}

/** An operation that is in the log. Throws for one that nobody has made. */
export function madeAs(cid: string): Made {
  const known = byCid.get(cid)
  if (known === undefined) throw new Error(`nobody has made ${cid}`)
  return known
}

/** The answer to a signature question, from memory. */
export function recall({ message, sig, keys }: SignatureQuestion): SignatureAnswer {
  const signer = signers.get(nameOf(message, sig))
  const index = signer === undefined ? -1 : keys.indexOf(signer)
  return index < 0 ? null : index
}

/** Number of a test key, by its did:key. */
export function keyNumber(did: string): number {
  return numbers.get(did) ?? -1
}

/** Between two simulations: forgets what has piled up. */
export function tidy(): void {
  if (made.size < MOST) return
  made.clear()
  byCid.clear()
  signers.clear()
}

const numbers = new Map(Array.from({ length: KEY_COUNT + 1 }, (_, n) => [testKey(n).did, n]))

function sign({ prev, by, rotation, handle }: Recipe): Operation {
  if (rotation === null) return makeTombstone(prev ?? '', by)
  return prev === null ? makeIdentity(rotation, by, handle).genesis : makeUpdate(prev, by, rotation, handle)
}

function remember(key: string, operation: Operation, signedBy: string | null): Made {
  const tombstone = operation.type === 'plc_tombstone'
  const claim = { cid: operation.cid, prev: operation.prev, tombstone, rotationKeys: rotationKeysOf(operation), signedBy, begins: didOf(operation.bytes) }
  const result = { operation, claim }
  made.set(key, result)
  byCid.set(operation.cid, result)
  if (signedBy !== null) signers.set(nameOf(unsignedBytes(operation), operation.sig), signedBy)
  return result
}

function nameOf(message: Uint8Array, sig: string): string {
  return `${sig} ${createHash('sha256').update(message).digest('base64')}`
}
