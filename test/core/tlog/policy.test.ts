import { describe, expect, it } from 'vitest'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { signCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../../src/core/tlog/cosignature.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, type SigningKey, type VerifiedSignature } from '../../../src/core/tlog/note.ts'
import { MAX_POLICY_ITEMS, MAX_POLICY_LENGTH, meetsQuorum, openUnderPolicy, parsePolicy, quorumWitnesses, type Policy } from '../../../src/core/tlog/policy.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const seedOf = (n: number) => new Uint8Array(32).fill(n % 256).fill(Math.floor(n / 256), 1, 2)
const key = (name: string, type: number, seed: number) => makeSigningKey(name, type, seedOf(seed))
const log = key('log.example', KEY_TYPES.ed25519, 1)
const lattice = key('log.example', KEY_TYPES.mlDsa44, 1)
const L = formatVerifierKey(log)
const witnesses = Array.from({ length: 6 }, (_, i) => key(`w${i}.example`, KEY_TYPES.cosignature, 10 + i))
const W = witnesses.map(formatVerifierKey)
const strong = key('strong.example', KEY_TYPES.mlDsa44, 20)

const EXAMPLE = `
log ${L}
\t log  ${formatVerifierKey(lattice)}\thttps://log.example/ \t

# the first operator
witness X1 ${W[0]}
witness X2 ${W[1]} https://x2.example/witness
witness X3 ${W[2]}
group X-witnesses 2 X1 X2 X3
   # the second
witness Y1 ${W[3]}
witness Y2 ${W[4]}
witness Y3 ${W[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
witness späť# ${formatVerifierKey(strong)}
`

describe('parsePolicy', () => {
  it('reads logs, witnesses, groups and the quorum, in their order', () => {
    const policy = parsePolicy(EXAMPLE)
    expect(policy.logs.map(({ key, vkey, url }) => [key.type, vkey, url])).toEqual([
      [1, L, null],
      [6, formatVerifierKey(lattice), 'https://log.example/'],
    ])
    expect(policy.witnesses.map(({ name, key, url }) => [name, key.name, url])).toEqual([
      ['X1', 'w0.example', null],
      ['X2', 'w1.example', 'https://x2.example/witness'],
      ['X3', 'w2.example', null],
      ['Y1', 'w3.example', null],
      ['Y2', 'w4.example', null],
      ['Y3', 'w5.example', null],
      ['späť#', 'strong.example', null],
    ])
    expect(policy.groups).toEqual([
      { name: 'X-witnesses', threshold: 2, members: ['X1', 'X2', 'X3'] },
      { name: 'Y-witnesses', threshold: 1, members: ['Y1', 'Y2', 'Y3'] },
      { name: 'X-and-Y', threshold: 2, members: ['X-witnesses', 'Y-witnesses'] },
    ])
    expect(policy.quorum).toBe('X-and-Y')
  })

  it('needs no more than a quorum line', () => {
    expect(parsePolicy('quorum none\n')).toEqual({ logs: [], witnesses: [], groups: [], quorum: null })
    expect(parsePolicy('quorum none')).toEqual({ logs: [], witnesses: [], groups: [], quorum: null })
    expect(parsePolicy(`witness a ${W[0]}\nquorum a\n`).quorum).toBe('a')
  })

  it('allows a public key to be a log\'s and a witness\'s', () => {
    const own = formatVerifierKey(key('w.example', KEY_TYPES.cosignature, 1))
    expect(parsePolicy(`log ${L}\nwitness a ${own}\nquorum a\n`).witnesses.length).toBe(1)
  })

  const two = `witness a ${W[0]}\nwitness b ${W[1]}\n`
  it.each([
    ['nothing', ''],
    ['no quorum', two],
    ['two quorums', `${two}quorum a\nquorum a\n`],
    ['two times none', 'quorum none\nquorum none\n'],
    ['an unknown keyword', 'mirror x\nquorum none\n'],
    ['a keyword in capitals', 'Quorum none\n'],
    ['a quorum before its witness', `quorum a\nwitness a ${W[0]}\n`],
    ['an unknown quorum', `${two}quorum c\n`],
    ['a quorum of two', `${two}quorum a b\n`],
    ['a quorum of nothing', `${two}quorum\n`],
    ['a comment after a line', `${two}quorum a # why\n`],
    ['a log without a key', 'log\nquorum none\n'],
    ['a log with a broken key', `log ${L.slice(0, -1)}\nquorum none\n`],
    ['a log with three items', `log ${L} https://a https://b\nquorum none\n`],
    ['a log with a cosigner\'s key', `log ${W[0]}\nquorum none\n`],
    ['a witness with a log\'s key', `witness a ${L}\nquorum none\n`],
    ['a witness without a key', 'witness a\nquorum none\n'],
    ['a witness with four items', `witness a ${W[0]} https://a b\nquorum none\n`],
    ['a log twice', `log ${L}\nlog ${L}\nquorum none\n`],
    ['a log\'s public key under another name', `log ${L}\nlog ${formatVerifierKey(key('other', 1, 1))}\nquorum none\n`],
    ['a witness\'s public key under another name', `${two}witness c ${formatVerifierKey(key('other', 4, 10))}\nquorum none\n`],
    ['a witness\'s name twice', `${two}witness a ${W[2]}\nquorum none\n`],
    ['a group named like a witness', `${two}group a any b\nquorum none\n`],
    ['a witness named like a group', `${two}group g any a\nwitness g ${W[2]}\nquorum none\n`],
    ['a witness named none', `witness none ${W[0]}\nquorum none\n`],
    ['a group named none', `${two}group none any a\nquorum none\n`],
    ['none as a member', `${two}group g any none\nquorum g\n`],
    ['a group without members', `${two}group g any\nquorum none\n`],
    ['a group without a threshold', `${two}group g\nquorum none\n`],
    ['a group before its members', `group g any a b\n${two}quorum g\n`],
    ['a group of itself', `${two}group g any g\nquorum g\n`],
    ['a member twice in a group', `${two}group g any a a\nquorum g\n`],
    ['a member of two groups', `${two}group g any a\ngroup h any a b\nquorum h\n`],
    ['a threshold of 0', `${two}group g 0 a b\nquorum g\n`],
    ['a threshold above the members', `${two}group g 3 a b\nquorum g\n`],
    ['a threshold with a leading zero', `${two}group g 01 a b\nquorum g\n`],
    ['a negative threshold', `${two}group g -1 a b\nquorum g\n`],
    ['a threshold in words', `${two}group g most a b\nquorum g\n`],
    ['a carriage return', 'quorum none\r\n'],
    ['a form feed', 'quorum\fnone\n'],
    ['a delete character', '# \u007f\nquorum none\n'],
    ['a zero byte', '# \u0000\nquorum none\n'],
    ['a no-break space as a separator', 'quorum\u00a0none\n'],
    ['too much', `quorum none\n${'#'.repeat(MAX_POLICY_LENGTH)}`],
  ])('refuses %s', (_, text) => {
    expect(codeOf(() => parsePolicy(text))).toBe('MALFORMED_POLICY')
  })

  it('holds 256 logs, witnesses and groups each, and no more', () => {
    const lines = (count: number) => {
      const numbers = Array.from({ length: count }, (_, i) => i)
      return {
        logs: numbers.map((i) => `log ${formatVerifierKey(key('l', KEY_TYPES.ed25519, i))}\n`).join(''),
        witnesses: numbers.map((i) => `witness w${i} ${formatVerifierKey(key('w', KEY_TYPES.cosignature, i))}\n`).join(''),
        groups: numbers.map((i) => `group g${i} any ${i === 0 ? 'w0' : `g${i - 1}`}\n`).join(''),
      }
    }
    const most = lines(MAX_POLICY_ITEMS)
    const policy = parsePolicy(`${most.logs}${most.witnesses}${most.groups}quorum g255\n`)
    expect([policy.logs.length, policy.witnesses.length, policy.groups.length]).toEqual([256, 256, 256])
    expect(meetsQuorum(policy, seen(key('w', KEY_TYPES.cosignature, 0)))).toBe(true)
    expect(meetsQuorum(policy, seen(key('w', KEY_TYPES.cosignature, 1)))).toBe(false)
    const more = lines(MAX_POLICY_ITEMS + 1)
    for (const text of [more.logs, more.witnesses, most.witnesses + more.groups]) {
      expect(codeOf(() => parsePolicy(`${text}quorum none\n`))).toBe('MALFORMED_POLICY')
    }
  })
})

describe('meetsQuorum', () => {
  it('decides every subset of the example as two of X and one of Y', () => {
    const policy = parsePolicy(EXAMPLE)
    for (let mask = 0; mask < 64; mask++) {
      const present = witnesses.filter((_, i) => Math.floor(mask / 2 ** i) % 2 === 1)
      const x = present.filter((witness) => witnesses.indexOf(witness) < 3).length
      expect(meetsQuorum(policy, seen(...present))).toBe(x >= 2 && present.length - x >= 1)
    }
  })

  it('counts a witness once, and neither the log nor strangers nor a key of another name', () => {
    const policy = parsePolicy(`log ${L}\nwitness a ${W[0]}\nwitness b ${W[1]}\ngroup g 2 a b\nquorum g\n`)
    const [a, b] = witnesses
    if (a === undefined || b === undefined) expect.fail()
    expect(meetsQuorum(policy, seen(a, a, log, strong, { ...b, name: 'other' }, { ...b, publicKey: a.publicKey }, { ...b, type: 1 }))).toBe(false)
    expect(meetsQuorum(policy, seen(a, b))).toBe(true)
  })

  it('is always met where the quorum is none', () => {
    expect(meetsQuorum(parsePolicy(`witness a ${W[0]}\nquorum none\n`), [])).toBe(true)
  })
})

describe('quorumWitnesses', () => {
  it('names who can count for the quorum, through groups too, and nobody else', () => {
    const namesIn = (text: string): string[] => quorumWitnesses(parsePolicy(text)).map(({ name }) => name)
    expect(namesIn(EXAMPLE)).toEqual(['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'])
    expect(namesIn(EXAMPLE.replace('quorum X-and-Y', 'quorum Y-witnesses'))).toEqual(['Y1', 'Y2', 'Y3'])
    expect(namesIn(EXAMPLE.replace('quorum X-and-Y', 'quorum X2'))).toEqual(['X2'])
    expect(namesIn(EXAMPLE.replace('quorum X-and-Y', 'quorum none'))).toEqual([])
  })
})

describe('openUnderPolicy', () => {
  const checkpoint = { origin: 'log.example', size: 7, root: seedOf(3) }
  const policyOf = (quorum: string): Policy => parsePolicy(`log ${L}\nwitness a ${W[0]}\nwitness s ${formatVerifierKey(strong)}\ngroup both all a s\nquorum ${quorum}\n`)
  const noteBy = (...cosigners: SigningKey[]) => {
    const note = parseNote(signCheckpoint(checkpoint, [log]))
    return formatNote({ ...note, signatures: [...note.signatures, ...cosigners.map((cosigner) => cosign(checkpoint, cosigner, 9))] })
  }
  const first = witnesses[0] ?? expect.fail()

  it('opens what the log signed and the quorum saw, and lists both', () => {
    const opened = openUnderPolicy(noteBy(first, strong), policyOf('both'))
    expect(opened.checkpoint).toEqual(checkpoint)
    expect(opened.verified.map(({ key, timestamp }) => [key.name, timestamp])).toEqual([['log.example', null], ['w0.example', 9], ['strong.example', 9]])
    expect(openUnderPolicy(noteBy(), policyOf('none')).verified.length).toBe(1)
  })

  it('refuses what the quorum has not seen, the log has not signed, or a witness signed wrongly', () => {
    expect(codeOf(() => openUnderPolicy(noteBy(first), policyOf('both')))).toBe('QUORUM_NOT_MET')
    expect(codeOf(() => openUnderPolicy(noteBy(first, key('strong.example', 6, 21)), policyOf('both')))).toBe('QUORUM_NOT_MET')
    const unsigned = parseNote(noteBy(first, strong))
    expect(codeOf(() => openUnderPolicy(formatNote({ ...unsigned, signatures: unsigned.signatures.slice(1) }), policyOf('both')))).toBe('UNTRUSTED_NOTE')
    const elsewhere = { ...parseNote(noteBy()), signatures: [...parseNote(noteBy()).signatures, cosign({ ...checkpoint, size: 8 }, first, 9)] }
    expect(codeOf(() => openUnderPolicy(formatNote(elsewhere), policyOf('none')))).toBe('INVALID_NOTE_SIGNATURE')
    expect(codeOf(() => openUnderPolicy(noteBy(first), parsePolicy('quorum none\n')))).toBe('WRONG_ORIGIN')
  })
})

function seen(...keys: Omit<SigningKey, 'seed'>[]): VerifiedSignature[] {
  return keys.map((key) => ({ key, timestamp: 1, signature: { name: key.name, id: key.id, signature: Uint8Array.of(1) } }))
}
