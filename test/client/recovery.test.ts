import { describe, expect, it } from 'vitest'
import { describeDuration, forksOf, obstacleTo } from '../../src/client/recovery.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { RECOVERY_WINDOW_MS, type Chain } from '../../src/core/plc/chain.ts'
import { accept, chainOf, identityData, makeIdentity, makeTombstone, makeUpdate, testKey } from '../support/identities.ts'
import { operationValue } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { didOf } from '../../src/core/plc/did.ts'

describe('the places from which a recovery could go on', () => {
  const { did, genesis } = makeIdentity([0, 1, 2])
  const theft = makeUpdate(genesis.cid, 2, [0, 1, 2], 'mallory.example')
  const more = makeUpdate(theft.cid, 1, [1])
  const chain = chainOf(did, [genesis, 1_000], [theft, 2_000], [more, 3_000])

  it('are those in effect that others follow, the newest first, with who can undo what until when', () => {
    expect(forksOf(chain)).toEqual([
      { position: 1, undone: [2], keys: [testKey(0).did], until: 3_000 + RECOVERY_WINDOW_MS },
      { position: 0, undone: [1, 2], keys: [testKey(0).did, testKey(1).did], until: 2_000 + RECOVERY_WINDOW_MS },
    ])
    expect(forksOf(chainOf(did, [genesis, 1_000]))).toEqual([])
  })

  it('leave out what was undone before', () => {
    const recovered = chainOf(did, [genesis, 1_000], [theft, 2_000], [makeUpdate(genesis.cid, 1, [0, 1, 2]), 3_000])
    expect(forksOf(recovered)).toEqual([{ position: 0, undone: [2], keys: [testKey(0).did], until: 3_000 + RECOVERY_WINDOW_MS }])
  })

  it('are judged as the rules judge, for every key, place and time', () => {
    const ended = chainOf(did, [genesis, 1_000], [theft, 2_000], [makeTombstone(theft.cid, 2), 3_000])
    for (const history of [chain, ended]) {
      for (const fork of forksOf(history)) {
        for (const key of [0, 1, 2, 3]) {
          for (const now of [4_000, fork.until, fork.until + 1]) {
            const prev = history.links[fork.position]?.operation.cid ?? ''
            const allowed = isAccepted(history, prev, key, now)
            expect(obstacleTo(history, fork, testKey(key).did, now) === null, `${fork.position} ${key} ${now}`).toBe(allowed)
          }
        }
      }
    }
  })

  it('say in words why not', () => {
    const [, fork] = forksOf(chain)
    if (fork === undefined) throw new Error('there are two')
    expect(obstacleTo(chain, fork, testKey(2).did, 4_000)).toEqual({
      why: 'too-weak',
      words: 'The key is too weak: it is rotation key 3 of 3 there. Only a rotation key that stands before number 3, which signed the first operation to be undone, can undo it.',
    })
    expect(obstacleTo(chain, fork, testKey(0).did, fork.until + 7_200_000)?.words).toMatch(/^It is too late, by 2 h\. .* within 72 hours/)
    expect(obstacleTo(chain, fork, testKey(5).did, 4_000)).toMatchObject({ why: 'not-listed' })
    const byStrongest = chainOf(did, [genesis, 1_000], [makeUpdate(genesis.cid, 0, [0]), 2_000])
    const [only] = forksOf(byStrongest)
    expect(only === undefined ? null : obstacleTo(byStrongest, only, testKey(0).did, 4_000)?.words).toContain('it stands for ever')
  })

  it('know that a key behind one that cannot be parsed does not count', () => {
    const data = { ...identityData([testKey(0).did, 'did:key:zBroken', testKey(1).did, testKey(2).did]) }
    const first = signOperation(operationValue({ ...data, prev: null }), testKey(0))
    const broken = chainOf(didOf(first.bytes), [first, 1_000])
    // No signature behind the broken key counts, so only a chain that nobody could make has such a theft; the words hold all the same.
    const chain: Chain = { ...broken, links: [...broken.links, { operation: makeUpdate(first.cid, 2, [2]), createdAt: 2_000, signer: 3, nullified: false }] }
    const [fork] = forksOf(chain)
    expect(fork === undefined ? null : obstacleTo(chain, fork, testKey(1).did, 3_000)).toMatchObject({ why: 'unreachable' })
  })
})

describe('a length of time', () => {
  it('is told in words', () => {
    const [minute, hour] = [60_000, 3_600_000]
    expect([0, minute - 1, minute, 90 * minute, 2 * hour, 71 * hour + 59 * minute, 72 * hour, 100 * hour, 1_000 * hour].map(describeDuration)).toEqual(
      ['less than a minute', 'less than a minute', '1 min', '90 min', '2 h', '71 h 59 min', '72 h', '4 days', '41 days'],
    )
  })
})

function isAccepted(chain: Chain, prev: string, key: number, now: number): boolean {
  try {
    accept(chain, makeUpdate(prev, key, [0, 1, 2], 'recovered.example'), now)
    return true
  } catch (error) {
    if (error instanceof DirectoryError) return false
    throw error
  }
}
