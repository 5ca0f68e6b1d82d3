import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DirectoryError, verdictOf } from '../../../src/core/errors.ts'
import { base32, base58btc } from '../../../src/core/encoding/text.ts'
import {
  applyOperation,
  disputedLink,
  emptyChain,
  findLink,
  headOf,
  RECOVERY_WINDOW_MS,
  signatureQuestion,
  type Chain,
} from '../../../src/core/plc/chain.ts'
import { didOf } from '../../../src/core/plc/did.ts'
import { operationValue, parseOperation, tombstoneValue, type Operation } from '../../../src/core/plc/operation.ts'
import { findSigner, signOperation } from '../../../src/core/plc/signature.ts'
import { accept, chainOf, createValue, identityData, makeIdentity, makeTombstone, makeUpdate, testKey } from '../../support/identities.ts'

const T = 1_700_000_000_000
const { did, genesis } = makeIdentity([0, 1, 2])

describe('a genesis', () => {
  it('is accepted for the DID that is its hash, whichever of its own rotation keys signed it', () => {
    for (const by of [0, 1, 2]) {
      const identity = makeIdentity([0, 1, 2], by)
      const { chain, nullified } = accept(emptyChain(identity.did), identity.genesis, T)
      expect(chain.links).toEqual([{ operation: identity.genesis, createdAt: T, signer: by, nullified: false }])
      expect(nullified).toEqual([])
    }
  })

  it('is judged in the deployed order: tombstone, signature, hash', () => {
    const elsewhere = emptyChain(`did:plc:${'a'.repeat(24)}`)
    expect(codeOf(() => accept(elsewhere, makeTombstone(genesis.cid, 0), T))).toBe('MISORDERED')
    const unsigned = signOperation(operationValue({ ...identityData([testKey(0).did]), prev: null }), testKey(1))
    expect(codeOf(() => accept(elsewhere, unsigned, T))).toBe('INVALID_SIGNATURE')
    expect(verdictOf(() => accept(elsewhere, genesis, T)).verdict).toMatchObject({ code: 'GENESIS_HASH', detail: did })
  })

  it('has a null prev, and is refused before its own keys could answer for those of another operation', () => {
    const update = makeUpdate(genesis.cid, 0, [0])
    const own = emptyChain(didOf(update.bytes))
    expect(codeOf(() => signatureQuestion(update, own))).toBe('GENESIS_PREV')
    expect(codeOf(() => signatureQuestion(update, emptyChain(did)))).toBe('GENESIS_HASH')
  })

  it('may be a legacy create, signed by its recovery key or its signing key', () => {
    const value = createValue({ signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'a.example', service: 'b.example' })
    for (const signer of [0, 1]) {
      const create = signOperation(value, testKey(signer))
      const chain = chainOf(didOf(create.bytes), [create, T])
      expect(headOf(chain)?.signer).toBe(signer)
      expect(codeOf(() => accept(chain, makeUpdate(create.cid, 1, [0]), T + 1))).toBe('accepted')
    }
  })

  it('comes once: a second one, create or not, is misordered', () => {
    const chain = chainOf(did, [genesis, T])
    const value = createValue({ signingKey: testKey(0).did, recoveryKey: testKey(0).did, handle: 'a.example', service: 'b.example' })
    for (const second of [makeIdentity([0]).genesis, signOperation(value, testKey(0))]) {
      expect(codeOf(() => accept(chain, second, T + 1))).toBe('MISORDERED')
    }
  })
})

describe('an update', () => {
  const chain = chainOf(did, [genesis, T])

  it('is signed by any rotation key of the operation it follows, never by its own', () => {
    for (const by of [0, 1, 2]) expect(headOf(accept(chain, makeUpdate(genesis.cid, by, [3]), T + 1).chain)?.signer).toBe(by)
    expect(verdictOf(() => accept(chain, makeUpdate(genesis.cid, 3, [3]), T + 1)).verdict).toMatchObject({
      code: 'INVALID_SIGNATURE',
      detail: expect.stringMatching(/^\{"sig":"[\w-]{86}","prev":"bafyrei/),
    })
  })

  it('may be as old as the operation it follows, or older: only a recovery compares times', () => {
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 0, [0]), T - 5))).toBe('accepted')
  })

  it('follows an operation spelled in base32 or base58btc and in no other way', () => {
    const bytes = base32.decode(genesis.cid.slice(1))
    const spellings: [string, string][] = [
      [`z${base58btc.encode(bytes)}`, 'accepted'],
      [genesis.cid.toUpperCase(), 'MISORDERED'],
      [`z${base58btc.encode(bytes)}1`, 'MISORDERED'],
      [`z1${base58btc.encode(bytes)}`, 'MISORDERED'],
      [`z${'2'.repeat(5000)}`, 'MISORDERED'],
      [`b${base32.encode(bytes.with(1, 0x55))}`, 'MISORDERED'],
      [`${genesis.cid.slice(0, -1)}z`, 'MISORDERED'],
      [`${genesis.cid} `, 'MISORDERED'],
      ['', 'MISORDERED'],
      ['z', 'MISORDERED'],
      ['QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', 'MISORDERED'],
    ]
    for (const [prev, verdict] of spellings) expect([prev, codeOf(() => accept(chain, makeUpdate(prev, 0, [0]), T + 1))]).toEqual([prev, verdict])
  })

  it('can never be signed after an operation that leaves no rotation keys, though a stronger key may undo that one', () => {
    const locked = makeUpdate(genesis.cid, 1, [])
    const chain = chainOf(did, [genesis, T], [locked, T + 1])
    expect(codeOf(() => accept(chain, makeUpdate(locked.cid, 0, [0]), T + 2))).toBe('INVALID_SIGNATURE')
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 0, [0]), T + 2))).toBe('recovery')
  })

  it('is refused where a key that cannot be parsed comes before the one that signed', () => {
    for (const [keys, verdict] of [[['did:key:zQ3s', testKey(0).did], 'INVALID_SIGNATURE'], [[testKey(0).did, 'did:key:zQ3s'], 'accepted']] as const) {
      const update = signOperation(operationValue({ ...identityData(keys), prev: genesis.cid }), testKey(0))
      const chain = chainOf(did, [genesis, T], [update, T + 1])
      expect(codeOf(() => accept(chain, makeUpdate(update.cid, 0, [0]), T + 2))).toBe(verdict)
    }
  })

  it('is a duplicate where the chain holds it, and misordered where it holds it nullified', () => {
    const update = makeUpdate(genesis.cid, 2, [2])
    const recovery = makeUpdate(genesis.cid, 1, [1])
    const updated = chainOf(did, [genesis, T], [update, T + 1])
    expect(codeOf(() => accept(updated, update, T + 2))).toBe('DUPLICATE_OPERATION')
    expect(codeOf(() => accept(updated, genesis, T + 2))).toBe('DUPLICATE_OPERATION')
    expect(codeOf(() => accept(accept(updated, recovery, T + 2).chain, update, T + 3))).toBe('MISORDERED')
    expect(codeOf(() => signatureQuestion(update, accept(updated, recovery, T + 2).chain))).toBe('MISORDERED')
  })
})

describe('a recovery', () => {
  const first = makeUpdate(genesis.cid, 1, [1, 2])
  const second = makeUpdate(first.cid, 2, [2])
  const chain = chainOf(did, [genesis, T], [first, T + 1000], [second, T + 2000])

  it('undoes everything in effect after its prev, and says from where', () => {
    const recovery = makeUpdate(genesis.cid, 0, [0])
    expect(disputedLink(chain, recovery)).toBe(1)
    const after = accept(chain, recovery, T + 3000)
    expect(after.nullified).toEqual([1, 2])
    expect(after.chain.links.map((link) => link.nullified)).toEqual([false, true, true, false])
    expect(headOf(after.chain)?.operation).toBe(recovery)
    expect(findLink(after.chain, second.cid)).toBe(2)
    expect(codeOf(() => accept(after.chain, makeUpdate(second.cid, 2, [2]), T + 4000))).toBe('MISORDERED')
  })

  it('needs a key strictly stronger than the one that signed the first operation it undoes', () => {
    expect([0, 1, 2].map((by) => codeOf(() => accept(chain, makeUpdate(genesis.cid, by, [0]), T + 3000)))).toEqual([
      'recovery',
      'INVALID_SIGNATURE',
      'INVALID_SIGNATURE',
    ])
  })

  it('counts a repeated rotation key where it stands first, for both sides', () => {
    const identity = makeIdentity([0, 1, 0])
    for (const [disputed, by, verdict] of [[0, 0, 'INVALID_SIGNATURE'], [1, 0, 'recovery']] as const) {
      const chain = chainOf(identity.did, [identity.genesis, T], [makeUpdate(identity.genesis.cid, disputed, [3]), T + 1])
      expect(codeOf(() => accept(chain, makeUpdate(identity.genesis.cid, by, [0]), T + 2))).toBe(verdict)
    }
  })

  it('comes within 72 hours of the first operation it undoes, that millisecond included, and says how late it is', () => {
    const recovery = makeUpdate(genesis.cid, 0, [0])
    expect(codeOf(() => accept(chain, recovery, T + 1000 + RECOVERY_WINDOW_MS))).toBe('recovery')
    expect(() => accept(chain, recovery, T + 1001 + RECOVERY_WINDOW_MS)).toThrow(
      'Recovery operation occurred outside of the allowed 72 hr recovery window. Time lapsed: 259200001',
    )
    expect(codeOf(() => accept(chain, makeUpdate(first.cid, 1, [0]), T + 2000 + RECOVERY_WINDOW_MS))).toBe('recovery')
  })

  it('is later than the newest operation in effect', () => {
    const recovery = makeUpdate(genesis.cid, 0, [0])
    expect([1999, 2000, 2001].map((ms) => codeOf(() => accept(chain, recovery, T + ms)))).toEqual(['MISORDERED', 'MISORDERED', 'recovery'])
  })

  it('is judged in the deployed order: signature, order in time, window', () => {
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 1, [0]), T))).toBe('INVALID_SIGNATURE')
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 1, [0]), T + 9 * RECOVERY_WINDOW_MS))).toBe('INVALID_SIGNATURE')
  })

  it('may be undone in its turn by a stronger key, as often as there are stronger keys', () => {
    let { chain } = accept(emptyChain(did), genesis, T)
    for (const [i, by] of [2, 1, 0].entries()) chain = accept(chain, makeUpdate(genesis.cid, by, [by]), T + 1 + i).chain
    expect(chain.links.map((link) => link.nullified)).toEqual([false, true, true, false])
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 0, [3]), T + 9))).toBe('INVALID_SIGNATURE')
  })
})

describe('a tombstone', () => {
  const tombstone = makeTombstone(genesis.cid, 1)
  const chain = chainOf(did, [genesis, T], [tombstone, T + 1])

  it('is signed like an update, and ends the identity: nothing follows it', () => {
    expect(headOf(chain)?.operation.type).toBe('plc_tombstone')
    expect(codeOf(() => accept(chain, makeUpdate(tombstone.cid, 0, [0]), T + 2))).toBe('MISORDERED')
  })

  it('is undone within 72 hours by a stronger key, and not by the one that signed it', () => {
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 1, [0]), T + 2))).toBe('INVALID_SIGNATURE')
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 0, [0]), T + 2))).toBe('recovery')
    expect(codeOf(() => accept(chain, makeUpdate(genesis.cid, 0, [0]), T + 2 + RECOVERY_WINDOW_MS))).toBe('LATE_RECOVERY')
  })

  it('may itself be a recovery', () => {
    const chain = chainOf(did, [genesis, T], [makeUpdate(genesis.cid, 2, [2]), T + 1])
    expect(codeOf(() => accept(chain, makeTombstone(genesis.cid, 1), T + 2))).toBe('recovery')
  })
})

describe('the question of a signature', () => {
  it('names all rotation keys of the operation named by prev, so that its answer stays right while the chain grows', () => {
    const recovery = makeUpdate(genesis.cid, 1, [1])
    const early = chainOf(did, [genesis, T])
    const late = chainOf(did, [genesis, T], [makeUpdate(genesis.cid, 2, [2]), T + 1])
    const question = signatureQuestion(recovery, early)
    expect(question.keys).toEqual([0, 1, 2].map((n) => testKey(n).did))
    expect(signatureQuestion(recovery, late)).toEqual(question)
    expect(applyOperation(late, recovery, T + 2, findSigner(question)).nullified).toEqual([1])
  })

  it('has null for an answer that no operation survives', () => {
    const chain = chainOf(did, [genesis, T])
    expect(codeOf(() => applyOperation(emptyChain(did), genesis, T, null))).toBe('INVALID_SIGNATURE')
    expect(codeOf(() => applyOperation(chain, makeUpdate(genesis.cid, 0, [0]), T, null))).toBe('INVALID_SIGNATURE')
  })
})

// The rule said again in the plainest way, with signers given instead of signatures: every operation has the one
// accepted last after it for its successor, and those on the way from the genesis are in effect.
describe('a naive reading of the rule', () => {
  interface Step {
    readonly parent: number
    readonly signer: number
    readonly wait: number
    readonly tombstone: boolean
  }
  interface Accepted extends Step {
    readonly operation: Operation
    readonly createdAt: number
  }

  const steps = fc.array(
    fc.record<Step>({
      parent: fc.nat(9),
      signer: fc.nat(4),
      wait: fc.constantFrom(-1, 0, 1, 1, 1, 1, RECOVERY_WINDOW_MS / 2, RECOVERY_WINDOW_MS - 1, RECOVERY_WINDOW_MS, RECOVERY_WINDOW_MS + 1),
      tombstone: fc.nat(5).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 10 },
  )

  it('accepts and nullifies the same operations', () => {
    let recoveries = 0
    fc.assert(
      fc.property(steps, (steps) => {
        const root = parseOperation(new Map([...operationValue({ ...identityData([]), prev: null }), ['sig', '']]))
        const accepted: Accepted[] = [{ parent: -1, signer: 0, wait: 0, tombstone: false, operation: root, createdAt: T }]
        let { chain } = applyOperation(emptyChain(didOf(root.bytes)), root, T, 0)
        let now = T
        for (const [i, step] of steps.entries()) {
          now += step.wait
          const parent = accepted[step.parent % accepted.length]?.operation.cid ?? ''
          const unsigned = step.tombstone ? tombstoneValue(parent) : operationValue({ ...identityData([]), prev: parent })
          const operation = parseOperation(new Map([...unsigned, ['sig', String(i)]]))
          const proposal: Accepted = { ...step, parent: step.parent % accepted.length, operation, createdAt: now }
          const { value } = verdictOf(() => applyOperation(chain, operation, now, step.signer))
          expect(value !== null).toBe(naivelyValid(accepted, proposal))
          if (value === null) continue
          if (value.nullified.length > 0) recoveries++
          accepted.push(proposal)
          chain = value.chain
          expect(inEffect(chain)).toEqual(pathOf(accepted).map(({ operation }) => operation.cid))
        }
      }),
      { numRuns: 3000 },
    )
    expect(recoveries).toBeGreaterThan(100)
  })

  function pathOf(accepted: readonly Accepted[]): Accepted[] {
    const path: Accepted[] = []
    for (let at = 0; at >= 0; at = accepted.findLastIndex(({ parent }) => parent === at)) {
      const operation = accepted[at]
      if (operation !== undefined) path.push(operation)
    }
    return path
  }

  function naivelyValid(accepted: readonly Accepted[], proposal: Accepted): boolean {
    const path = pathOf(accepted)
    const parent = accepted[proposal.parent]
    if (parent === undefined || !path.includes(parent) || parent.tombstone) return false
    const successor = path[path.indexOf(parent) + 1]
    const tip = path.at(-1)
    if (successor === undefined || tip === undefined) return true
    const lapsed = proposal.createdAt - successor.createdAt
    return proposal.signer < successor.signer && proposal.createdAt > tip.createdAt && lapsed <= 72 * 60 * 60 * 1000
  }

  function inEffect(chain: Chain): string[] {
    return chain.links.filter((link) => !link.nullified).map((link) => link.operation.cid)
  }
})

/** `accepted`, `recovery`, or the code of the verdict. */
function codeOf(work: () => unknown): string {
  const { value, verdict } = verdictOf(work)
  if (verdict instanceof DirectoryError) return verdict.code
  const nullified = typeof value === 'object' && value !== null && 'nullified' in value ? value.nullified : []
  return Array.isArray(nullified) && nullified.length > 0 ? 'recovery' : 'accepted'
}
