// Keys and operations for tests: deterministic, and signed once only.

import { sha256 } from '@noble/hashes/sha2.js'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import type { CborMap } from '../../src/core/encoding/dag-cbor.ts'
import { applyOperation, emptyChain, signatureQuestion, type Chain } from '../../src/core/plc/chain.ts'
import type { Curve } from '../../src/core/plc/did-key.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, tombstoneValue, type IdentityData, type Operation } from '../../src/core/plc/operation.ts'
import { findSigner, signOperation, type OperationSigner } from '../../src/core/plc/signature.ts'
import { fastSigner } from './fast-signer.ts'

/** A key pair of the tests. */
export interface TestKey extends OperationSigner {
  readonly curve: Curve
}

const keys = new Map<number, TestKey>()

/** Key `n`: secp256k1 for even numbers, P-256 for odd ones. Its secret is SHA-256 of `key n`. */
export function testKey(n: number): TestKey {
  let key = keys.get(n)
  if (key === undefined) {
    const curve = n % 2 === 0 ? 'k256' : 'p256'
    key = { curve, ...fastSigner(curve, sha256(utf8Encode(`key ${n}`))) }
    keys.set(n, key)
  }
  return key
}

/** What an ordinary identity says, with these rotation keys. */
export function identityData(rotationKeys: readonly string[], handle = 'alice.example'): IdentityData {
  return {
    rotationKeys,
    verificationMethods: new Map([['atproto', testKey(0).did]]),
    alsoKnownAs: [`at://${handle}`],
    services: new Map([['atproto_pds', { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' }]]),
  }
}

/** A legacy `create`, unsigned. */
export function createValue(fields: { signingKey: string; recoveryKey: string; handle: string; service: string }): CborMap {
  return new Map([['type', 'create'], ...Object.entries(fields), ['prev', null] as const])
}

/** An identity whose rotation keys are the test keys of these numbers. */
export interface TestIdentity {
  readonly did: string
  readonly genesis: Operation
}

/** A genesis, signed by the strongest of its rotation keys unless `by` names another. */
export function makeIdentity(rotation: readonly number[], by = rotation[0] ?? 0, handle?: string): TestIdentity {
  const data = identityData(rotation.map((n) => testKey(n).did), handle)
  const genesis = signOperation(operationValue({ ...data, prev: null }), testKey(by))
  return { did: didOf(genesis.bytes), genesis }
}

/** An update after the operation `prev`, signed by test key `by`; its rotation keys are the test keys of these numbers. */
export function makeUpdate(prev: string, by: number, rotation: readonly number[], handle?: string): Operation {
  const data = identityData(rotation.map((n) => testKey(n).did), handle)
  return signOperation(operationValue({ ...data, prev }), testKey(by))
}

/** A tombstone after the operation `prev`, signed by test key `by`. */
export function makeTombstone(prev: string, by: number): Operation {
  return signOperation(tombstoneValue(prev), testKey(by))
}

/** Asks, verifies and folds, as a verifier does. */
export function accept(chain: Chain, operation: Operation, createdAt: number): { chain: Chain; nullified: readonly number[] } {
  return applyOperation(chain, operation, createdAt, findSigner(signatureQuestion(operation, chain)))
}

/** The chain of operations accepted one after the other. */
export function chainOf(did: string, ...accepted: readonly (readonly [operation: Operation, createdAt: number])[]): Chain {
  return accepted.reduce((chain, [operation, createdAt]) => accept(chain, operation, createdAt).chain, emptyChain(did))
}
