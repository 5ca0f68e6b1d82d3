import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { base64url, concatBytes } from '../../src/core/encoding/text.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { multikeyCurve, parseDidKey, type Curve } from '../../src/core/plc/did-key.ts'
import { findSigner, type SignatureQuestion } from '../../src/core/plc/signature.ts'
import { findBackEnds, libsecp256k1, noble, openssl, type BackEnd, type BackEnds } from '../../src/native/back-ends.ts'
import { curveFinder, signerFinder } from '../../src/native/find-signer.ts'
import { testKey } from '../support/identities.ts'
import { publishedQuestions, ownQuestions } from '../support/signature-questions.ts'
import { bytesOf, derOf, didKey, hybrid, numberOf, publicKeyOf, spell } from '../support/signature-cases.ts'
import { describeVectors } from '../support/vectors.ts'

const CURVES = ['k256', 'p256'] as const
const COMBINATIONS: readonly (readonly [name: string, backEnds: BackEnds])[] = findBackEnds().map((backEnd) => [
  backEnd.name,
  { k256: backEnd.curves.includes('k256') ? backEnd : noble, p256: backEnd.curves.includes('p256') ? backEnd : noble },
])

// Every answer of every back end is held against that of the core's own function.
function expectSame(question: SignatureQuestion, answer = findSigner(question), combinations = COMBINATIONS): void {
  for (const [name, backEnds] of combinations) expect([name, finders(backEnds)(question)]).toEqual([name, answer])
}

const remembered = new Map<BackEnds, ReturnType<typeof signerFinder>>()
function finders(backEnds: BackEnds): ReturnType<typeof signerFinder> {
  const finder = remembered.get(backEnds) ?? signerFinder(backEnds, 8)
  remembered.set(backEnds, finder)
  return finder
}

describe('every back end', () => {
  it('is one of three on the machines that the project is tested on', () => {
    if (process.platform === 'linux' && process.arch === 'x64') expect(COMBINATIONS.map(([name]) => name)).toEqual(['libsecp256k1', 'openssl', 'noble'])
  })

  it('answers what the vectors of the specification ask as the core does', () => {
    const questions = ownQuestions()
    expect(questions.length).toBeGreaterThan(40)
    for (const question of questions) expectSame(question)
    expect(new Set(questions.map(findSigner)).size).toBeGreaterThan(2)
  })

  it('says of any text as the core does which curve its key is of', () => {
    const someKey = fc.constantFrom(...[0, 1, 2, 3].map((i) => testKey(i).did))
    const bytes = fc.tuple(fc.integer({ min: 0, max: 8 }), fc.uint8Array({ minLength: 31, maxLength: 33 })).map(([head, rest]) => Uint8Array.of(head, ...rest))
    const text = fc.oneof(
      someKey,
      fc.tuple(someKey, fc.nat(60), fc.constantFrom('', '1', 'z', '0', 'é')).map(([key, at, put]) => key.slice(0, at) + put + key.slice(at + 1)),
      fc.tuple(fc.constantFrom(...CURVES), bytes).map(([curve, key]) => didKey(curve, key)),
      fc.string(),
    )
    const seen = new Set<unknown>()
    fc.assert(
      fc.property(text, (key) => {
        const curve = multikeyCurve(key)
        seen.add(curve)
        for (const [name, backEnds] of COMBINATIONS) expect([name, curveFinder(backEnds)(key)]).toEqual([name, curve])
      }),
      { numRuns: 300 },
    )
    expect(seen).toEqual(new Set([null, ...CURVES]))
  })

  it('says of any 33 bytes as the core does whether they are a point', () => {
    const near = (curve: Curve): fc.Arbitrary<bigint> => {
      const { p } = (curve === 'k256' ? secp256k1 : p256).Point.CURVE()
      return fc.oneof(fc.bigInt(0n, 2n ** 256n - 1n), fc.bigInt(0n, 300n), fc.bigInt(p - 300n, p + 300n), fc.bigInt(2n ** 256n - 300n, 2n ** 256n - 1n))
    }
    const seen = new Set<string>()
    for (const curve of CURVES) {
      fc.assert(
        fc.property(near(curve), fc.constantFrom(2, 3), (x, head) => {
          const bytes = Uint8Array.of(head, ...bytesOf(x))
          const isKey = verdictOf(() => parseDidKey(didKey(curve, bytes))).verdict === null
          seen.add(`${curve} ${isKey}`)
          for (const backEnd of findBackEnds()) {
            if (backEnd.curves.includes(curve)) expect([backEnd.name, backEnd.open(curve, bytes) !== null]).toEqual([backEnd.name, isKey])
          }
        }),
        { numRuns: 1_000 },
      )
    }
    expect(seen.size).toBe(4)
  })

  it('answers as the core does whatever the signature, the keys and the message are', () => {
    const answers = new Map<string, number>()
    fc.assert(
      fc.property(questions, ([question, kind]) => {
        const answer = findSigner(question)
        const met = `${kind} ${answer === null ? 'refused' : 'accepted'}`
        answers.set(met, (answers.get(met) ?? 0) + 1)
        expectSame(question, answer, COMBINATIONS.slice(0, -1)) // all but noble, which gave the answer
      }),
      { numRuns: 3_000 },
    )
    // The mixture has enough of everything: most of what is whole is accepted, nothing else is.
    expect(answers.get('whole accepted')).toBeGreaterThan(200)
    expect([...answers.keys()].filter((met) => met.endsWith('accepted'))).toEqual(['whole accepted'])
    for (const kind of Object.keys(spoilers(new Uint8Array(64), 'k256', 0))) expect(answers.get(`${kind} refused`), kind).toBeGreaterThan(20)
  })
})

describe('what a finder remembers', () => {
  const sign = (n: number): SignatureQuestion => ({ message: Uint8Array.of(n), sig: testKey(n).sign(Uint8Array.of(n)), keys: [testKey(n).did] })

  function counting(): { backEnds: BackEnds; opened: string[] } {
    const opened: string[] = []
    const counted: BackEnd = {
      ...openssl,
      open(curve, key) {
        opened.push(didKey(curve, key))
        return openssl.open(curve, key)
      },
    }
    return { backEnds: { k256: counted, p256: counted }, opened }
  }

  it('is the keys that were used last, and no more than it may', () => {
    const { backEnds, opened } = counting()
    const find = signerFinder(backEnds, 2)
    for (const n of [0, 1, 0, 2, 0, 1, 2]) expect(find(sign(n))).toBe(0)
    expect(opened).toEqual([0, 1, 2, 1, 2].map((n) => testKey(n).did))
  })

  it('is which key has signed most, so that of two the other one is not tried', () => {
    const checks: string[] = []
    const counted: BackEnd = {
      ...openssl,
      open(curve, key) {
        const check = openssl.open(curve, key)
        return check && ((...args) => (checks.push(didKey(curve, key)), check(...args)))
      },
    }
    const find = signerFinder({ k256: counted, p256: counted })
    const [server, user, other] = [0, 1, 2].map((n) => testKey(n).did)
    if (server === undefined || user === undefined || other === undefined) throw new Error('three keys')
    const off = didKey('k256', Uint8Array.of(2, ...new Uint8Array(32)))
    expect(find({ ...sign(0), keys: [user, server] })).toBe(1)
    expect(checks.splice(0)).toEqual([user, server])
    expect(find({ ...sign(0), keys: [user, other, server, server] })).toBe(2)
    expect(checks.splice(0)).toEqual([server])
    expect(find({ ...sign(1), keys: [user, server] })).toBe(0)
    expect(checks.splice(0)).toEqual([server, user])
    expect(find({ ...sign(0), keys: [user, off, server] })).toBeNull()
    expect(find({ ...sign(2), keys: [user, server] })).toBeNull()
  })

  it('is that a text is no key, but never a text that is too long for one', () => {
    const { backEnds, opened } = counting()
    const find = signerFinder(backEnds, 2)
    const off = didKey('k256', Uint8Array.of(2, ...new Uint8Array(32)))
    for (let i = 0; i < 3; i++) expect(find({ ...sign(0), keys: [off, testKey(0).did] })).toBeNull()
    expect(opened).toEqual([off])
    expect(find(sign(0))).toBe(0)
    for (let i = 0; i < 3; i++) expect(find({ ...sign(0), keys: [`${testKey(0).did}${'1'.repeat(1_000 + i)}`] })).toBeNull()
    expect(find({ ...sign(0), keys: [testKey(0).did, off] })).toBe(0)
    expect(opened).toEqual([off, testKey(0).did])
  })
})

describe('libsecp256k1', () => {
  it('is not there where its binary is not, whatever the reason', () => {
    const load = (): never => {
      throw new Error('No native build was found')
    }
    expect(libsecp256k1(load)).toBeNull()
  })
})

describeVectors('published operations', () => {
  it('are answered by every back end as the core does', () => {
    const questions = publishedQuestions()
    expect(questions.length).toBeGreaterThan(20)
    for (const question of questions) expectSame(question)
  })
})

const MESSAGES = ['', 'a', 'b'.repeat(700)].map((text) => Uint8Array.from(text, (character) => character.charCodeAt(0)))
const KEYS = [0, 1, 2, 3, 4, 5]
const signed = new Map(KEYS.flatMap((n) => MESSAGES.map((message, m) => [`${n} ${m}`, testKey(n).sign(message)] as const)))

/** Texts that are no keys, and keys that never signed. */
const OTHERS = [
  ...[0, 1].flatMap((n) => {
    const { curve, did } = testKey(n)
    const bytes = publicKeyOf(curve, did)
    const point = (curve === 'k256' ? secp256k1 : p256).Point.fromBytes(bytes)
    return [
      didKey(curve, hybrid(point)),
      didKey(curve, point.toBytes(false)),
      didKey(curve, bytes.subarray(0, 32)),
      didKey(curve, Uint8Array.of(...bytes, 0)),
      didKey(curve, Uint8Array.of(5, ...bytes.subarray(1))),
      didKey(curve, Uint8Array.of(2, ...new Uint8Array(32))),
      didKey(curve, point.negate().toBytes(true)),
      did.slice(0, -1),
      `${did}1`,
      did.toUpperCase(),
    ]
  }),
  '',
  'did:key:z',
  'did:web:example.com',
  '\ud800',
]

/** What is no signature any more, made from one. */
function spoilers(bytes: Uint8Array, curve: Curve, at: number): Record<string, string> {
  const { n } = (curve === 'k256' ? secp256k1 : p256).Point.CURVE()
  const [r, s] = [numberOf(bytes.subarray(0, 32)), numberOf(bytes.subarray(32))]
  const text = base64url.encode(bytes)
  const place = at % 64
  return {
    'a bit changed': base64url.encode(bytes.with(place, (bytes[place] ?? 0) ^ (2 ** (at % 8)))),
    'high s': spell(r, (n - s) % n),
    'r beyond the order': spell((r + n) % 2n ** 256n, s),
    'r and s swapped': spell(s, r),
    'r of zero': spell(0n, s),
    's of zero': spell(r, 0n),
    'r of the order': spell(n, s),
    DER: base64url.encode(r > 0n && s > 0n ? derOf(bytes) : new Uint8Array(70)),
    truncated: base64url.encode(bytes.subarray(0, place)),
    extended: base64url.encode(concatBytes(bytes, new Uint8Array(1 + (at % 3)))),
    'a digit missing': text.slice(1),
    'a digit too many': `${text}A`,
    padded: `${text}=`,
    'other characters': `${text.slice(0, at % 86)}${'+/= \n.~\ud800'.charAt(at % 8)}${text.slice((at % 86) + 1)}`,
    'padding bits': text.slice(0, -1) + ({ A: 'C', Q: 'T', g: 'i', w: 'z' }[text.at(-1) ?? ''] ?? 'B'),
    random: base64url.encode(Uint8Array.from({ length: 64 }, (_, i) => (at * (i + 7) + i * i) % 256)),
  }
}

const SPOILED = Object.keys(spoilers(new Uint8Array(64), 'k256', 0))

const questions: fc.Arbitrary<readonly [SignatureQuestion, kind: string]> = fc
  .record({
    by: fc.constantFrom(...KEYS),
    over: fc.nat(MESSAGES.length - 1),
    told: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(MESSAGES.length - 1) }),
    spoiler: fc.oneof({ weight: 1, arbitrary: fc.constant(null) }, { weight: 2, arbitrary: fc.constantFrom(...SPOILED) }),
    at: fc.nat(100_000),
    before: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...KEYS.map((n) => testKey(n).did)) }, { weight: 1, arbitrary: fc.constantFrom(...OTHERS) }), { maxLength: 2 }),
    after: fc.array(fc.constantFrom(...OTHERS, ...KEYS.map((n) => testKey(n).did)), { maxLength: 1 }),
    without: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
  .map(({ by, over, told, spoiler, at, before, after, without }) => {
    const key = testKey(by)
    const whole = signed.get(`${by} ${over}`) ?? ''
    const sig = spoiler === null ? whole : (spoilers(base64url.decode(whole), key.curve, at)[spoiler] ?? '')
    const keys = without ? [...before, ...after] : [...before, key.did, ...after]
    return [{ message: MESSAGES[told ?? over] ?? new Uint8Array(), sig, keys }, spoiler ?? 'whole'] as const
  })
