import { describe, expect, it } from 'vitest'
import { describeData, describeLink, describeOperation, describeSigner, handleOf, isRecovery, show, signedBy } from '../../src/client/changes.ts'
import type { IdentityData } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { chainOf, createValue, identityData, makeIdentity, makeTombstone, makeUpdate, testKey } from '../support/identities.ts'

const [A, B, C] = [testKey(0).did, testKey(1).did, testKey(2).did]
const PDS = { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' }
const base: IdentityData = identityData([A, B])

const CASES: readonly (readonly [name: string, after: Partial<IdentityData>, before: Partial<IdentityData>, expected: readonly string[]])[] = [
  ['nothing', {}, {}, []],
  ['another handle', { alsoKnownAs: ['at://bob.example'] }, {}, ['handle: changed the handle to bob.example from alice.example']],
  ['a first handle', {}, { alsoKnownAs: [] }, ['handle: took the handle alice.example']],
  ['no handle any more', { alsoKnownAs: [] }, {}, ['handle: removed the handle alice.example']],
  [
    'a handle put before the old one',
    { alsoKnownAs: ['at://bob.example', 'at://alice.example'] },
    {},
    ['handle: changed the handle to bob.example from alice.example, which stays as another name'],
  ],
  ['another name', { alsoKnownAs: ['at://alice.example', 'https://alice.example'] }, {}, ['names: added the name https://alice.example']],
  ['one name less', {}, { alsoKnownAs: ['at://alice.example', 'at://second.example'] }, ['names: removed the name at://second.example']],
  [
    'names in another order',
    { alsoKnownAs: ['at://a.example', 'https://x.example', 'https://y.example'] },
    { alsoKnownAs: ['at://a.example', 'https://y.example', 'https://x.example'] },
    ['names: put its names in another order'],
  ],
  [
    'another server',
    { services: new Map([['atproto_pds', { ...PDS, endpoint: 'https://new.example' }]]) },
    {},
    ['server: moved to the server https://new.example from https://pds.example'],
  ],
  ['a first server', {}, { services: new Map() }, ['server: named the server https://pds.example']],
  ['no server any more', { services: new Map() }, {}, ['server: left the server https://pds.example']],
  [
    'a server of another type',
    { services: new Map([['atproto_pds', { ...PDS, type: 'Other' }]]) },
    {},
    ['server: changed the service atproto_pds to Other at https://pds.example from AtprotoPersonalDataServer at https://pds.example'],
  ],
  [
    'other services added, changed and removed',
    { services: new Map([['atproto_pds', PDS], ['one', { type: 'One', endpoint: 'https://one.example' }], ['two', { type: 'Two', endpoint: 'https://new.example' }]]) },
    { services: new Map([['atproto_pds', PDS], ['two', { type: 'Two', endpoint: 'https://two.example' }], ['three', { type: 'Three', endpoint: 'x' }]]) },
    [
      'services: changed the service two to Two at https://new.example from Two at https://two.example',
      'services: removed the service three, Three at x',
      'services: added the service one, One at https://one.example',
    ],
  ],
  ['another signing key', { verificationMethods: new Map([['atproto', C]]) }, {}, [`signing-key: changed the signing key to ${C} from ${A}`]],
  ['no signing key', { verificationMethods: new Map() }, {}, [`signing-key: removed the signing key, ${A}`]],
  ['a label key', { verificationMethods: new Map([['atproto', A], ['atproto_label', B]]) }, {}, [`verification-methods: added the verification method atproto_label, ${B}`]],
  ['a rotation key added before the others', { rotationKeys: [C, A, B] }, {}, [`rotation-keys: added the rotation key ${C} as 1 of 3`]],
  ['a rotation key removed', { rotationKeys: [B] }, {}, [`rotation-keys: removed the rotation key ${A}, which was 1 of 2`]],
  ['rotation keys in another order', { rotationKeys: [B, A] }, {}, [`rotation-keys: put its rotation keys in another order: ${B}, ${A}`]],
  ['a rotation key written twice', { rotationKeys: [A, B, A] }, {}, [`rotation-keys: put its rotation keys in another order: ${A}, ${B}, ${A}`]],
  [
    'all rotation keys removed',
    { rotationKeys: [] },
    {},
    [
      `rotation-keys: removed the rotation key ${A}, which was 1 of 2`,
      `rotation-keys: removed the rotation key ${B}, which was 2 of 2`,
      'rotation-keys: left no rotation key, so that nobody can sign after it',
    ],
  ],
  [
    'texts made to deceive',
    { alsoKnownAs: ['at://x from y\nit changed nothing'] },
    { alsoKnownAs: ['at://"'] },
    ['handle: changed the handle to "x from y\\nit changed nothing" from "\\""'],
  ],
]

describe('what an operation changed', () => {
  for (const [name, after, before, expected] of CASES) {
    it(`is told in words: ${name}`, () => {
      expect(describeData({ ...base, ...after }, { ...base, ...before }).map(({ what, words }) => `${what}: ${words}`)).toEqual(expected)
    })
  }

  it('is told against the operation before, for a beginning, an end, and an operation that changes nothing', () => {
    const { genesis } = makeIdentity([0, 1])
    expect(describeOperation(genesis, null).map(({ words }) => words)).toEqual([
      'created the identity',
      'took the handle alice.example',
      'named the server https://pds.example',
      `added the signing key, ${A}`,
      `added the rotation key ${A} as 1 of 2`,
      `added the rotation key ${B} as 2 of 2`,
    ])
    expect(describeOperation(makeUpdate(genesis.cid, 0, [0, 1]), genesis)).toEqual([{ what: 'identity', words: 'changed nothing' }])
    expect(describeOperation(makeTombstone(genesis.cid, 0), genesis)).toEqual([{ what: 'identity', words: 'ended the identity with a tombstone' }])
  })

  it('is told of a legacy genesis too', () => {
    const legacy = signOperation(createValue({ signingKey: A, recoveryKey: B, handle: 'alice.example', service: 'pds.example' }), testKey(0))
    expect(describeOperation(legacy, null).map(({ words }) => words)).toContain('named the server https://pds.example')
    expect(describeOperation(makeUpdate(legacy.cid, 0, [1, 0]), legacy)).toEqual([{ what: 'identity', words: 'changed nothing' }])
  })
})

describe('the operations of a chain', () => {
  const { did, genesis } = makeIdentity([0, 1, 2])
  const theft = makeUpdate(genesis.cid, 2, [2], 'mallory.example')
  const recovery = makeUpdate(genesis.cid, 1, [0, 1, 2])
  const chain = chainOf(did, [genesis, 1_000], [theft, 2_000], [recovery, 3_000], [makeTombstone(recovery.cid, 0), 4_000])

  it('are told against the one that each follows, nullified or not, and a recovery as such', () => {
    expect(describeLink(chain, 1).map(({ words }) => words)).toEqual([
      'changed the handle to mallory.example from alice.example',
      `removed the rotation key ${A}, which was 1 of 3`,
      `removed the rotation key ${B}, which was 2 of 3`,
    ])
    expect(describeLink(chain, 2)).toEqual([{ what: 'recovery', words: `undid what had followed the operation ${genesis.cid}` }])
    expect([0, 1, 2, 3].map((position) => isRecovery(chain, position))).toEqual([false, false, true, false])
    expect(() => describeLink(chain, 4)).toThrow('assertion failed')
  })

  it('name the key that signed by its priority among those that counted', () => {
    expect([0, 1, 2, 3].map((position) => signedBy(chain, position).priority)).toEqual([1, 3, 2, 1])
    expect(describeSigner(signedBy(chain, 1))).toBe(`rotation key 3 of 3, ${C}`)
  })
})

describe('a text that others chose', () => {
  it('is one line that ends where it says, whatever it holds', () => {
    expect(show('https://pds.example/a?b=c#d')).toBe('https://pds.example/a?b=c#d')
    expect(show('')).toBe('""')
    expect(show('a b')).toBe('"a b"')
    expect(show('\u0430lice.example')).toBe('"\u0430lice.example"')
    expect(show('x'.repeat(300))).toBe(`"${'x'.repeat(258)}..."`)
  })

  it('is a handle where it begins with at://', () => {
    expect(handleOf(['https://a.example', 'at://b.example', 'at://c.example'])).toBe('b.example')
    expect(handleOf(['https://a.example'])).toBeNull()
  })
})
