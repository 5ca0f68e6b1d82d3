import fc from 'fast-check'
import { deprecatedSignCreate, didForCreateOp, normalizeOp, type CreateOpV1 } from '@did-plc/lib'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { cidOf } from '../../../src/core/encoding/cid.ts'
import { decodeCbor, encodeCbor, type CborValue } from '../../../src/core/encoding/dag-cbor.ts'
import { fromJson, renderJson } from '../../../src/core/encoding/json.ts'
import { didOf } from '../../../src/core/plc/did.ts'
import { dataOf, MAX_QUOTED, operationValue, parseOperation, rotationKeysOf, tombstoneValue, unsignedBytes } from '../../../src/core/plc/operation.ts'
import { signOperation } from '../../../src/core/plc/signature.ts'
import { createValue, identityData, testKey } from '../../support/identities.ts'

const SHAPES = {
  plc_operation: {
    type: 'plc_operation',
    rotationKeys: ['anything'],
    verificationMethods: { atproto: 'anything' },
    alsoKnownAs: [''],
    services: { '': { type: '', endpoint: '' } },
    prev: null,
    sig: '',
  },
  plc_tombstone: { type: 'plc_tombstone', prev: '', sig: '' },
  create: { type: 'create', signingKey: '', recoveryKey: '', handle: '', service: '', prev: null, sig: '' },
} as const

/** Values that a field cannot have; the fields that are not named here are texts. */
const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  prev: [[], {}],
  rotationKeys: [null, 'x', {}, [null], [[]]],
  alsoKnownAs: [null, 'x', {}, [null], [{}]],
  verificationMethods: [null, 'x', [], { x: null }, { x: [] }],
  services: [null, 'x', [], { x: null }, { x: 'x' }, { x: [] }],
}

describe('the shape of an operation', () => {
  it.each(Object.entries(SHAPES))('of type %s is its fields, whatever the texts in them say', (type, json) => {
    const operation = parseOperation(fromJson(json))
    expect(operation).toMatchObject({ type, prev: json.prev, sig: json.sig })
    expect(operation.cid).toBe(cidOf(operation.bytes))
    expect(parseOperation(decodeCbor(operation.bytes))).toEqual({ ...operation, value: decodeCbor(operation.bytes) })
  })

  it.each(Object.entries(SHAPES))('of type %s is broken by any field missing, added, or of another type', (_, json) => {
    const broken: unknown[] = [{ ...json, extra: '' }, { ...json, type: 'other' }]
    if (json.type !== 'plc_operation') broken.push({ ...json, prev: json.prev === null ? 'x' : null })
    for (const field of Object.keys(json)) {
      broken.push(Object.fromEntries(Object.entries(json).filter(([key]) => key !== field)))
      for (const value of WRONG[field] ?? [null, [], {}]) broken.push({ ...json, [field]: value })
    }
    expect(broken.length).toBeGreaterThan(10)
    for (const value of broken) {
      const { verdict } = verdictOf(() => parseOperation(fromJson(value)))
      expect([value, verdict?.code, verdict?.detail]).toEqual([value, 'INVALID_OPERATION', renderJson(fromJson(value))])
    }
  })

  it('is broken by a service with a field missing, added, or of another type', () => {
    for (const service of [{ type: '' }, { type: '', endpoint: '', more: '' }, { type: '', endpoint: null }, 'x', null, []]) {
      expect(verdictOf(() => parseOperation(fromJson({ ...SHAPES.plc_operation, services: { x: service } }))).verdict?.code).toBe('INVALID_OPERATION')
    }
  })

  it('is not that of a text, an array or nothing', () => {
    for (const value of ['x', null, [], new Map()] satisfies CborValue[]) {
      expect(verdictOf(() => parseOperation(value)).verdict?.code).toBe('INVALID_OPERATION')
    }
  })

  it('is quoted in the verdict up to a bound, and well formed', () => {
    const { verdict } = verdictOf(() => parseOperation(new Map([['x', '\u{1f600}'.repeat(MAX_QUOTED)]])))
    expect(verdict?.detail).toHaveLength(MAX_QUOTED)
    expect(verdict?.detail?.isWellFormed()).toBe(true)
  })
})

describe('what an operation says', () => {
  it('comes back from what was built, keys in any order and of any name', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 })
    const data = fc.record({
      rotationKeys: fc.array(text),
      verificationMethods: fc.array(fc.tuple(text, text)).map((entries) => new Map(entries)),
      alsoKnownAs: fc.array(text),
      services: fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('__proto__', '9', '')), fc.record({ type: text, endpoint: text }))).map((entries) => new Map(entries)),
    })
    fc.assert(
      fc.property(data, fc.option(text), (data, prev) => {
        const operation = parseOperation(new Map([...operationValue({ ...data, prev }), ['sig', 'x']]))
        expect(dataOf(parseOperation(decodeCbor(operation.bytes)))).toEqual(data)
        expect(rotationKeysOf(operation)).toEqual(data.rotationKeys)
        expect(operation.prev).toBe(prev)
        expect(unsignedBytes(operation)).toEqual(encodeCbor(operationValue({ ...data, prev })))
      }),
    )
  })

  it('is nothing for a tombstone, which has no rotation keys', () => {
    const tombstone = signOperation(tombstoneValue('x'), testKey(0))
    expect(dataOf(tombstone)).toBeNull()
    expect(rotationKeysOf(tombstone)).toEqual([])
  })

  it('is what the published library makes of a legacy create, prefixes wherever they stand', () => {
    const part = fc.constantFrom('http://', 'https://', 'at://', 'alice.example', '', 'HTTP://')
    const text = fc.array(part, { maxLength: 4 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, text, (handle, service) => {
        const fields = { signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle, service }
        const create = parseOperation(new Map([...createValue(fields), ['sig', 'x']]))
        const { rotationKeys, verificationMethods, alsoKnownAs, services } = normalizeOp({ type: 'create', ...fields, prev: null, sig: 'x' })
        expect(dataOf(create)).toEqual({
          rotationKeys,
          verificationMethods: new Map(Object.entries(verificationMethods)),
          alsoKnownAs,
          services: new Map(Object.entries(services)),
        })
        expect(rotationKeysOf(create)).toEqual(rotationKeys)
      }),
    )
  })

  it('has the bytes, the DID and the signature that the published library makes', async () => {
    const fields = { signingKey: testKey(1).did, recoveryKey: testKey(0).did, handle: 'alice.example', service: 'pds.example' }
    const ours = signOperation(createValue(fields), testKey(0))
    const theirs: CreateOpV1 = await deprecatedSignCreate(
      { type: 'create', ...fields, prev: null },
      { did: () => testKey(0).did, sign: (message: Uint8Array) => Promise.resolve(Buffer.from(testKey(0).sign(message), 'base64url')) },
    )
    expect(JSON.parse(renderJson(ours.value))).toEqual(theirs)
    expect(didOf(ours.bytes)).toBe(await didForCreateOp(theirs))
    const data = identityData([testKey(0).did])
    const operation = signOperation(operationValue({ ...data, prev: null }), testKey(0))
    expect(didOf(operation.bytes)).toBe(await didForCreateOp(JSON.parse(renderJson(operation.value)) as CreateOpV1))
  })
})
