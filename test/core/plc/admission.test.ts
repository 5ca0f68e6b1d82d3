import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verdictOf } from '../../../src/core/errors.ts'
import { base32, base58btc } from '../../../src/core/encoding/text.ts'
import { decodeCbor } from '../../../src/core/encoding/dag-cbor.ts'
import { renderJson } from '../../../src/core/encoding/json.ts'
import { ADMISSION_LIMITS, admitJson, admitOperation } from '../../../src/core/plc/admission.ts'
import { emptyChain } from '../../../src/core/plc/chain.ts'
import { didOf } from '../../../src/core/plc/did.ts'
import { operationValue, parseOperation } from '../../../src/core/plc/operation.ts'
import { signOperation } from '../../../src/core/plc/signature.ts'
import { accept, createValue, identityData, makeIdentity, makeTombstone, makeUpdate, testKey } from '../../support/identities.ts'

const KEY = testKey(0).did
const CID = makeIdentity([0]).genesis.cid
const BODY = {
  type: 'plc_operation',
  rotationKeys: [KEY],
  verificationMethods: { atproto: KEY } as Record<string, string>,
  alsoKnownAs: ['at://alice.example'],
  services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example' } } as Record<string, object>,
  prev: null as string | null,
  sig: '',
}

describe('a submission', () => {
  it('is an object: anything else is quoted back', () => {
    for (const body of [[], [1], 'x', 7, true, null]) {
      expect(() => admitJson(body)).toThrow(`Not a valid operation: ${JSON.stringify(body)}`)
    }
    expect(codeOf(undefined)).toBe('INVALID_OPERATION')
    expect(() => admitJson({})).toThrow('Not a valid operation: {}')
  })

  it('has at most 4,000 bytes of DAG-CBOR, which is judged before its shape', () => {
    const overhead = encode({ ...BODY, sig: 'x'.repeat(300) }).length - 300
    const sized = (bytes: number) => ({ ...BODY, sig: 'x'.repeat(bytes - overhead) })
    expect(encode(sized(4000))).toHaveLength(4000)
    expect(codeOf(sized(4000))).toBe('accepted')
    expect(() => admitJson(sized(4001))).toThrow('Operation too large (4000 bytes maximum in cbor encoding)')
    expect(codeOf({ ...sized(4001), more: 1 })).toBe('OPERATION_TOO_LARGE')
    expect(codeOf({ more: 'x'.repeat(4001) })).toBe('OPERATION_TOO_LARGE')
    expect(codeOf(['x'.repeat(4001)])).toBe('INVALID_OPERATION')
  })

  it('is measured as DAG-CBOR would encode it, numbers and booleans included', () => {
    const json = fc.object({
      key: fc.string({ unit: 'binary', maxLength: 300 }),
      values: [fc.string({ unit: 'binary' }), fc.boolean(), fc.constant(null), fc.integer(), fc.maxSafeInteger(), fc.double({ noDefaultInfinity: true, noNaN: true }).filter((n) => !Object.is(n, -0))],
      maxDepth: 3,
    })
    fc.assert(
      fc.property(json, (value) => {
        const padding = 4000 - encode({ ...value, padding: 'x'.repeat(300) }).length + 300
        fc.pre(padding >= 256 && !('padding' in value))
        expect(codeOf({ ...value, padding: 'x'.repeat(padding) })).toBe('INVALID_OPERATION')
        expect(codeOf({ ...value, padding: 'x'.repeat(padding + 1) })).toBe('OPERATION_TOO_LARGE')
      }),
    )
  })

  it('has the shape of an operation, and no number, boolean or lone surrogate in it', () => {
    for (const body of [{ ...BODY, more: 'x' }, { ...BODY, prev: 7 }, { ...BODY, sig: true }, { ...BODY, sig: undefined }, { ...BODY, alsoKnownAs: ['\ud800'] }, { ...BODY, services: { '\udc00': {} } }]) {
      const { verdict } = verdictOf(() => admitJson(body))
      expect(verdict).toMatchObject({ code: 'INVALID_OPERATION', detail: JSON.stringify(body) })
      expect(verdict?.message.isWellFormed()).toBe(true)
    }
  })

  it('has no NUL in any text', () => {
    for (const body of [{ ...BODY, alsoKnownAs: ['a\0'] }, { ...BODY, services: { '\0': { type: '', endpoint: '' } } }, { ...BODY, sig: '\0' }]) {
      expect(codeOf(body)).toBe('INVALID_OPERATION')
    }
  })

  it('is no legacy create', () => {
    const create = signOperation(createValue({ signingKey: KEY, recoveryKey: KEY, handle: 'a.example', service: 'b.example' }), testKey(0))
    expect(() => admitJson(JSON.parse(renderJson(create.value)))).toThrow(/^Not a valid operation: \{/)
  })

  it('however deep it is nested, is refused without exhausting the stack', () => {
    for (const depth of [5, 65, 1000, 3900, 50_000]) {
      expect(codeOf({ ...BODY, services: JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as object })).toMatch(/INVALID_OPERATION|OPERATION_TOO_LARGE/)
      expect(codeOf(JSON.parse('['.repeat(depth) + ']'.repeat(depth)))).toBe('INVALID_OPERATION')
    }
  })

  it('names its prev in base32, lower case', () => {
    const bytes = base32.decode(CID.slice(1))
    const spellings = [`z${base58btc.encode(bytes)}`, CID.toUpperCase(), `${CID} `, '', 'garbage', `b${base32.encode(bytes.with(1, 0x55))}`]
    expect(codeOf({ ...BODY, prev: CID })).toBe('accepted')
    for (const prev of spellings) {
      expect([prev, codeOf({ ...BODY, prev })]).toEqual([prev, 'MISORDERED'])
      expect(codeOf({ type: 'plc_tombstone', prev, sig: '' })).toBe('MISORDERED')
    }
    expect(codeOf({ type: 'plc_tombstone', prev: CID, sig: '' })).toBe('accepted')
  })
})

describe('the limits', () => {
  const keys = (n: number) => Array.from({ length: n }, () => KEY)
  const named = <T>(n: number, value: T) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`n${i}`, value]))
  const service = { type: '', endpoint: '' }

  // What passes, what is one too many, and the message as deployed.
  const cases: readonly (readonly [object, object, string])[] = [
    [{ alsoKnownAs: Object.keys(named(10, 0)) }, { alsoKnownAs: Object.keys(named(11, 0)) }, 'To many alsoKnownAs entries (max 10)'],
    [{ alsoKnownAs: ['😀'.repeat(129)] }, { alsoKnownAs: ['x'.repeat(259)] }, `alsoKnownAs entry too long (max 258): ${'x'.repeat(259)}`],
    [{ alsoKnownAs: ['', 'a', 'A'] }, { alsoKnownAs: ['a', 'b', 'a'] }, 'duplicate alsoKnownAs entry: a'],
    [{ rotationKeys: keys(10) }, { rotationKeys: keys(11) }, 'Too many rotationKey entries (max 10)'],
    [{ rotationKeys: [] }, { rotationKeys: [KEY, 'did:key:z'] }, 'Invalid rotationKey: did:key:z'],
    [{ services: named(10, service) }, { services: named(11, service) }, 'To many service entries (max 10)'],
    [{ services: { ['😀'.repeat(16)]: service, '': service } }, { services: { ['x'.repeat(33)]: service } }, `Service id too long (max 32): ${'x'.repeat(33)}`],
    [{ services: { a: { ...service, type: 'x'.repeat(256) } } }, { services: { a: { ...service, type: 'x'.repeat(257) } } }, 'Service type too long (max 256)'],
    [{ services: { a: { ...service, endpoint: 'x'.repeat(512) } } }, { services: { a: { ...service, endpoint: 'x'.repeat(513) } } }, 'Service endpoint too long (max 512)'],
    [{ verificationMethods: named(10, KEY) }, { verificationMethods: named(11, KEY) }, 'Too many Verification Method entries (max 10)'],
    [{ verificationMethods: { ['x'.repeat(32)]: KEY } }, { verificationMethods: { ['x'.repeat(33)]: KEY } }, `Verification Method id too long (max 32): ${'x'.repeat(33)}`],
    [
      { verificationMethods: { a: `did:key:z${'2'.repeat(247)}` } },
      { verificationMethods: { a: `did:key:z${'2'.repeat(248)}` } },
      `Verification Method key too long (max 256): did:key:z${'2'.repeat(248)}`,
    ],
    [{ verificationMethods: { a: 'did:key:z', b: 'did:key:zabc' } }, { verificationMethods: { a: 'did:key:z0' } }, 'Invalid verificationMethod key: did:key:z0'],
    [{ verificationMethods: {} }, { verificationMethods: { a: `${KEY} ` } }, `Invalid verificationMethod key: ${KEY} `],
    [{ services: {} }, { verificationMethods: { a: 'did:web:example.com' } }, 'Invalid verificationMethod key: did:web:example.com'],
  ]

  it.each(cases)('%#: admit what is just right and refuse what is not, with the deployed message', (right, wrong, message) => {
    expect(codeOf({ ...BODY, ...right })).toBe('accepted')
    expect(verdictOf(() => admitJson({ ...BODY, ...wrong })).verdict?.message).toBe(message)
  })

  it('are checked in the deployed order', () => {
    const messages = cases.map(([, , message]) => message)
    const firstOf = (...at: number[]) => verdictOf(() => admitJson(Object.assign({}, BODY, ...at.map((i) => cases[i]?.[1])))).verdict?.message
    expect(firstOf(2, 3)).toBe(messages[2])
    expect(firstOf(3, 5)).toBe(messages[3])
    expect(firstOf(4, 6)).toBe(messages[4])
    expect(firstOf(5, 9)).toBe(messages[5])
    expect(firstOf(8, 10)).toBe(messages[8])
    const long = 'x'.repeat(259)
    expect(() => admitJson({ ...BODY, alsoKnownAs: ['a', 'a', long] })).toThrow('duplicate alsoKnownAs entry: a')
    expect(() => admitJson({ ...BODY, alsoKnownAs: ['a', long, 'a'] })).toThrow('alsoKnownAs entry too long')
    expect(() => admitJson({ ...BODY, services: { a: { type: '', endpoint: 'x'.repeat(513) }, b: { type: 'x'.repeat(257), endpoint: '' } } })).toThrow('Service endpoint')
  })

  it('hold for an operation that did not come as JSON, its size first', () => {
    const data = { ...identityData([KEY]), alsoKnownAs: Array.from({ length: 11 }, (_, i) => `${i}${'x'.repeat(400)}`), prev: null }
    const value = new Map([...operationValue(data), ['sig', '']])
    expect(verdictOf(() => admitOperation(parseOperation(value))).verdict?.code).toBe('OPERATION_TOO_LARGE')
    expect(ADMISSION_LIMITS.operationBytes).toBe(4000)
  })
})

describe('whatever is admitted', () => {
  it('is valid in replay: the same operation, read back from its bytes, joins the same chain', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 })
    const data = fc.record({
      rotationKeys: fc.array(fc.constantFrom(testKey(0).did, testKey(1).did, 'did:key:z', KEY.slice(0, -1)), { maxLength: 11 }),
      verificationMethods: fc.dictionary(text, fc.constantFrom(KEY, 'did:key:z', 'did:key:zabc', 'x'), { maxKeys: 3 }).map((o) => new Map(Object.entries(o))),
      alsoKnownAs: fc.array(text, { maxLength: 4 }),
      services: fc.dictionary(text, fc.record({ type: text, endpoint: text }), { maxKeys: 3 }).map((o) => new Map(Object.entries(o))),
    })
    const next = fc.constantFrom<readonly number[]>([], [0], [1, 0], [0, 1, 0])
    let admitted = 0
    fc.assert(
      fc.property(data, fc.array(next, { maxLength: 2 }), fc.boolean(), (data, rotations, ends) => {
        const genesis = signOperation(operationValue({ ...data, prev: null }), testKey(0))
        const operations = [genesis]
        for (const rotation of rotations) operations.push(makeUpdate(operations.at(-1)?.cid ?? '', 0, rotation))
        if (ends) operations.push(makeTombstone(operations.at(-1)?.cid ?? '', 0))
        let submitted = emptyChain(didOf(genesis.bytes))
        let replayed = submitted
        for (const [i, operation] of operations.entries()) {
          const { value } = verdictOf(() => accept(submitted, admitJson(JSON.parse(renderJson(operation.value))), i))
          if (value === null) return
          submitted = value.chain
          replayed = accept(replayed, parseOperation(decodeCbor(operation.bytes)), i).chain
          admitted++
        }
        expect(replayed.links.map(({ operation, signer }) => [operation.cid, signer])).toEqual(submitted.links.map(({ operation, signer }) => [operation.cid, signer]))
      }),
      { numRuns: 1_000 },
    )
    expect(admitted).toBeGreaterThan(20)
  })
})

function codeOf(body: unknown): string {
  return verdictOf(() => admitJson(body)).verdict?.code ?? 'accepted'
}

describe('the short ways of admission', () => {
  const bodyWith = (change: Partial<typeof BODY>): typeof BODY => ({ ...BODY, ...change })

  it('take for a did:key whatever is one in base58btc, and nothing else', () => {
    const letters = fc.string({ unit: fc.constantFrom(...'123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl+ \n'.split('')), maxLength: 60 })
    fc.assert(
      fc.property(fc.oneof(letters, fc.string({ maxLength: 60 })), (digits) => {
        const decodes = verdictOf(() => base58btc.decode(digits)).verdict === null
        const { verdict } = verdictOf(() => admitJson(bodyWith({ verificationMethods: { atproto: `did:key:z${digits}` } })))
        expect([digits, verdict === null]).toEqual([digits, decodes && digits.isWellFormed()])
      }),
    )
  })

  it('find a NUL in any text, and none in a length that has a byte of zero', () => {
    expect(admitJson(bodyWith({ alsoKnownAs: ['a'.repeat(256)] })).bytes).toContain(0)
    for (const at of [0, 255]) expect(() => admitJson(bodyWith({ alsoKnownAs: ['a'.repeat(at) + '\0'] }))).toThrow(expect.objectContaining({ code: 'INVALID_OPERATION' }))
    expect(() => admitJson(bodyWith({ services: { '\0': { type: 't', endpoint: 'e' } } }))).toThrow(expect.objectContaining({ code: 'INVALID_OPERATION' }))
  })
})
