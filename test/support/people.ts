// Identities for tests: deterministic keys and the operations that their owners make.

import { sha256 } from '@noble/hashes/sha2.js'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { didOf } from '../../src/core/plc/did.ts'
import type { Curve } from '../../src/core/plc/did-key.ts'
import { operationValue, tombstoneValue, type Operation, type OperationFields } from '../../src/core/plc/operation.ts'
import { signOperation, type OperationSigner } from '../../src/core/plc/signature.ts'
import { fastSigner } from './fast-signer.ts'

/** The signer that belongs to a name: always the same. */
export function signer(name: string, curve: Curve = 'k256'): OperationSigner {
  return fastSigner(curve, sha256(utf8Encode(`test signer ${name}`)))
}

/** Fields of an operation: what is not given is usual. */
export function fields(given: Partial<OperationFields> & Pick<OperationFields, 'rotationKeys'>): OperationFields {
  return { verificationMethods: new Map(), alsoKnownAs: [], services: new Map(), prev: null, ...given }
}

/** A person with rotation keys, strongest first, and what they can sign. */
export interface Person {
  readonly did: string
  readonly genesis: Operation
  readonly keys: readonly OperationSigner[]
  /** An update after `prev` by key number `key` (0 is the strongest). */
  update(prev: Operation, options?: { readonly key?: number; readonly handle?: string }): Operation
  tombstone(prev: Operation, options?: { readonly key?: number }): Operation
}

/** A person named `name` with `count` rotation keys. */
export function person(name: string, count = 3): Person {
  const keys = Array.from({ length: count }, (_, i) => signer(`${name} ${i}`))
  const [strongest] = keys
  if (strongest === undefined) throw new Error('a person has a key')
  const rotationKeys = keys.map((key) => key.did)
  const keyAt = (index: number): OperationSigner => keys[index] ?? strongest
  const genesis = signOperation(operationValue(fields({ rotationKeys, alsoKnownAs: [`at://${name}.test`] })), strongest)
  return {
    did: didOf(genesis.bytes),
    genesis,
    keys,
    update(prev, { key = 0, handle = 'new' } = {}) {
      return signOperation(operationValue(fields({ rotationKeys, alsoKnownAs: [`at://${handle}.${name}.test`], prev: prev.cid })), keyAt(key))
    },
    tombstone: (prev, { key = 0 } = {}) => signOperation(tombstoneValue(prev.cid), keyAt(key)),
  }
}
