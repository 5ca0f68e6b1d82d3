import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isAlarm, MAX_ALARM_LENGTH, MAX_ALARM_PARTS, MAX_ALARM_WORDS } from '../../src/core/alarm.ts'
import { utf8Decode, utf8Encode } from '../../src/core/encoding/text.ts'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { DirectoryError, verdictOf } from '../../src/core/errors.ts'
import { brokenRule, describeContradiction, fork, formatEvidence, MAX_EVIDENCE_LENGTH, parseEvidence, twoRoots, verifyEvidence, type Evidence } from '../../src/core/evidence.ts'
import { BREACH_SHAPES, findBreach, MAX_BREACH_OPERATIONS, PROVABLE_RULES, verdictOn, type Breach, type PlacedLeaf } from '../../src/core/evidence-rules.ts'
import { didOf as didOfBytes } from '../../src/core/plc/did.ts'
import { RECOVERY_WINDOW_MS } from '../../src/core/plc/chain.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { applyEntry, EMPTY_CLOCK, emptyIdentity, planReplay, replay, type IndexedChain } from '../../src/core/replay.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, parseVerifierKey, type SigningKey } from '../../src/core/tlog/note.ts'
import { MAX_PROOF_HASHES } from '../../src/core/tlog/proof.ts'
import { naiveConsistency, naivePath, naiveRoot } from '../support/naive-tree.ts'
import { person, type Person } from '../support/people.ts'

const KEY = makeSigningKey('evidence.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const LATTICE = makeSigningKey(KEY.name, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(1))
const WITNESS = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(2))
const STRANGER = makeSigningKey(KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(3))
const HOUR_MS = 3_600_000
const [alice, bob] = [person('alice'), person('bob')]

describe('evidence of two roots', () => {
  const [one, other] = [signed(leavesOf('a', 3)), signed(leavesOf('b', 3))]

  it('proves that a log signed two trees of one size, in either order and at any size', () => {
    for (const size of [1, 2, 7]) {
      const [left, right] = [signed(leavesOf('a', size)), signed(leavesOf('b', size))]
      for (const notes of [[left, right], [right, left]] as const) {
        const { origin, signers, checkpoints } = verify(twoRoots(...notes, [KEY]))
        expect([origin, signers, checkpoints.map(({ checkpoint }) => checkpoint.size)]).toEqual([KEY.name, [KEY], [size, size]])
      }
    }
  })

  it('proves nothing where root, size, log or key do not contradict each other', () => {
    const elsewhere = makeSigningKey('elsewhere.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
    expect(codeOf(() => twoRoots(one, one, [KEY]))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => twoRoots(one, signed(leavesOf('b', 4)), [KEY]))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => twoRoots(one, signed(leavesOf('b', 3), [elsewhere]), [KEY, elsewhere]))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => twoRoots(one, signed(leavesOf('b', 3), [elsewhere]), [KEY]))).toBe('WRONG_ORIGIN')
    expect(codeOf(() => twoRoots(one, signed(leavesOf('b', 3), [STRANGER]), [KEY]))).toBe('UNTRUSTED_NOTE')
    expect(codeOf(() => twoRoots(one, other, []))).toBe('WRONG_ORIGIN')
  })

  it('needs one key of the log that signed both', () => {
    const both = signed(leavesOf('b', 3), [KEY, LATTICE])
    expect(codeOf(() => twoRoots(one, signed(leavesOf('b', 3), [LATTICE]), [KEY, LATTICE]))).toBe('NO_CONTRADICTION')
    expect(verify(twoRoots(one, both, [KEY, LATTICE]), [KEY, LATTICE]).signers).toEqual([KEY])
    const lattice = twoRoots(signed(leavesOf('a', 3), [LATTICE]), both, [LATTICE])
    expect(verify(lattice, [KEY, LATTICE]).signers).toEqual([LATTICE])
  })

  it('says who cosigned and when, to those who name the key of the witness', () => {
    const file = twoRoots(witnessed(one, 1_800_000_000), other, [KEY])
    expect(verify(file, [KEY, WITNESS]).checkpoints.map(({ verified }) => verified.map(({ timestamp }) => timestamp))).toEqual([[null, 1_800_000_000], [null]])
    expect(verify(file).checkpoints.map(({ verified }) => verified.length)).toEqual([1, 1])
    const elsewhen = witnessed(signed(leavesOf('a', 4)), 1_800_000_000).split('\n').at(-2) ?? ''
    const spoiled = twoRoots(`${one}${elsewhen}\n`, other, [KEY])
    expect(codeOf(() => verify(spoiled, [KEY, WITNESS]))).toBe('INVALID_NOTE_SIGNATURE')
  })
})

describe('evidence of a fork', () => {
  it('proves at every pair of sizes that the larger tree does not continue the smaller', () => {
    for (let large = 1; large <= 9; large++) {
      for (let small = 1; small < large; small++) {
        const tree = leavesOf('b', large)
        const { checkpoints } = verify(forkOf(signed(leavesOf('a', small)), tree, small))
        expect(checkpoints.map(({ checkpoint }) => checkpoint.size)).toEqual([small, large])
      }
    }
  })

  it('proves that the empty tree has no other root than its own', () => {
    const empty = signCheckpoint({ origin: KEY.name, size: 0, root: new Uint8Array(32) }, [KEY])
    expect(verify(forkOf(empty, leavesOf('b', 3), 0)).evidence.kind).toBe('fork')
  })

  it('proves nothing against a log that continues, nor with a root or a proof that is not of the larger tree', () => {
    const tree = leavesOf('a', 7)
    expect(codeOf(() => forkOf(signed(tree.slice(0, 4)), tree, 4))).toBe('NO_CONTRADICTION')
    const [small, large] = [signed(tree.slice(0, 4)), signed(tree)]
    const hashes = tree.map(leafHash)
    const wrong = naiveRoot(leavesOf('b', 4).map(leafHash))
    expect(codeOf(() => fork(small, large, wrong, naiveConsistency(4, hashes), [KEY]))).toBe('INVALID_PROOF')
    expect(codeOf(() => fork(signed(leavesOf('b', 4)), large, naiveRoot(hashes.slice(0, 4)), [], [KEY]))).toBe('INVALID_PROOF')
    expect(codeOf(() => fork(large, signed(leavesOf('b', 4)), naiveRoot(hashes), [], [KEY]))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => fork(large, signed(leavesOf('b', 7)), naiveRoot(hashes), [], [KEY]))).toBe('NO_CONTRADICTION')
  })
})

describe('evidence of a broken rule', () => {
  const update = alice.update(alice.genesis, { key: 2 })
  const middle = alice.update(alice.genesis, { key: 1, handle: 'middle' })
  const strong = alice.update(alice.genesis, { key: 0, handle: 'strong' })
  const next = alice.update(update, { key: 2, handle: 'next' })
  const end = alice.tombstone(alice.genesis)
  const forged = bob.update(alice.genesis)
  const start = entry(alice, alice.genesis, 0)
  const two = person('two', 2)
  const stolen = two.update(two.genesis, { key: 1 })
  const back = two.update(two.genesis, { key: 0, handle: 'back' })
  const respelled = (operation: Operation, prev: string): Operation => parseOperation(new Map([...operation.value, ['prev', prev]]))
  const nobody = parseOperation(new Map([...alice.genesis.value, ['sig', 'A'.repeat(86)]]))
  const recoveryMs = (ms: number): Uint8Array[] => [entry(two, two.genesis, 0), entry(two, stolen, HOUR_MS), entry(two, back, HOUR_MS + ms)]

  const cases: readonly [sentence: string, leaves: readonly Uint8Array[], rule: Breach['rule'], code: string, rejected?: number][] = [
    ['bytes that are no entry', [start, utf8Encode('no entry')], 'entry', 'MALFORMED_ENTRY'],
    ['an empty leaf', [start, new Uint8Array()], 'entry', 'MALFORMED_ENTRY'],
    ['a genesis under another DID', [start, entry(bob, person('carol').genesis, 1)], 'genesis', 'GENESIS_HASH'],
    ['a genesis that none of its keys signed', [entry({ did: didOfBytes(nobody.bytes) }, nobody, 1)], 'genesis', 'INVALID_SIGNATURE'],
    ['a genesis with a prev', [entry({ did: didOfBytes(update.bytes) }, update, 1)], 'genesis', 'GENESIS_PREV'],
    ['a second genesis', [start, entry(alice, bob.genesis, 1)], 'genesis', 'GENESIS_HASH'],
    ['a prev that names nothing', [start, entry(alice, respelled(update, alice.genesis.cid.toUpperCase()), 1)], 'prev', 'MISORDERED'],
    ['an update by a stranger', [start, entry(alice, forged, 1)], 'signature', 'INVALID_SIGNATURE'],
    ['an update with a changed field', [start, entry(alice, parseOperation(new Map([...update.value, ['alsoKnownAs', []]])), 1)], 'signature', 'INVALID_SIGNATURE'],
    ['an update of a tombstone', [start, entry(alice, end, 1), entry(alice, alice.update(end), 2)], 'signature', 'MISORDERED'],
    ['an operation twice', [start, entry(alice, update, 1), entry(alice, update, 2)], 'twice', 'DUPLICATE_OPERATION'],
    ['an operation twice, nullified meanwhile', [start, entry(alice, update, 1), entry(alice, strong, 2), entry(alice, update, 3)], 'twice', 'DUPLICATE_OPERATION'],
    ['an operation under another DID', [start, entry(bob, bob.genesis, 1), entry(bob, update, 2)], 'place', 'MISORDERED'],
    ['an operation before the one that it follows', [start, entry(alice, next, 1), entry(alice, update, 2)], 'place', 'MISORDERED', 1],
    ['an entry that is not later than one of its DID', [start, entry(alice, update, 0)], 'time', 'ENTRY_NOT_LATER'],
    ['an entry that is not later than a sourced one of its DID', [entry(alice, alice.genesis, 5, 'old'), entry(alice, update, 5)], 'time', 'ENTRY_NOT_LATER'],
    ['an entry before another of the log', [start, entry(bob, bob.genesis, 9), entry(alice, update, 8)], 'time', 'ENTRY_BEFORE_LOG'],
    ['a sourced entry after a native one', [start, entry(bob, bob.genesis, 9, 'old')], 'time', 'SOURCED_AFTER_NATIVE'],
    ['a recovery by the same key', [start, entry(alice, update, 1), entry(alice, alice.update(alice.genesis, { key: 2, handle: 'x' }), 2)], 'recovery', 'INVALID_SIGNATURE'],
    ['a recovery by a weaker key', [start, entry(alice, middle, 1), entry(alice, next, 2), entry(alice, update, 3)], 'recovery', 'INVALID_SIGNATURE', 3],
    ['a recovery by a key that a nullified sibling was as strong as', [start, entry(alice, middle, 1), entry(alice, strong, 2), entry(alice, update, 3)], 'recovery', 'INVALID_SIGNATURE'],
    ['a recovery a millisecond after 72 hours', recoveryMs(RECOVERY_WINDOW_MS + 1), 'recovery', 'LATE_RECOVERY'],
    ['a recovery after what all keys between could have delayed', [start, entry(alice, update, 1), entry(alice, strong, 2 * RECOVERY_WINDOW_MS + 2)], 'recovery', 'LATE_RECOVERY'],
    ['an update of a nullified operation', [start, entry(alice, update, 1), entry(alice, strong, 2), entry(alice, next, 3)], 'nullified', 'MISORDERED'],
    ['an update of an operation nullified with the one before it', [start, entry(alice, update, 1), entry(alice, next, 2), entry(alice, strong, 3), entry(alice, alice.update(next), 4)], 'nullified', 'MISORDERED'],
  ]

  it.each(cases)('proves %s', (_sentence, leaves, rule, code, rejected = leaves.length - 1) => {
    const { verdicts } = replay({ edge: EMPTY_EDGE, clock: EMPTY_CLOCK }, planReplay(leaves), new Map())
    expect(verdicts.has(rejected)).toBe(true)
    const breach = breachOf(leaves, rejected)
    expect(breach?.rule).toBe(rule)
    if (breach === null) return
    const file = brokenRule(breach, proofsOf(breach, leaves), signed(leaves), [KEY])
    const { verdict, evidence } = verify(file)
    expect([verdict?.code, evidence]).toEqual([code, file])
  })

  const unproved: readonly [sentence: string, leaves: readonly Uint8Array[]][] = [
    ['an operation whose predecessor stands nowhere in the log', [start, entry(alice, next, 1)]],
    ['an identity that begins with an update', [entry(alice, update, 1)]],
    ['an identity that begins with a tombstone', [entry(alice, end, 1)]],
    ['what follows an operation that was rejected itself', [start, entry(alice, forged, 1), entry(alice, bob.update(forged), 2)]],
    ['a recovery after 72 hours that another recovery may have come between', [start, entry(alice, update, 1), entry(alice, strong, RECOVERY_WINDOW_MS + 2)]],
    ['a sourced recovery that is not later than the head', [entry(alice, alice.genesis, 0, 'old'), entry(alice, update, 5, 'old'), entry(alice, strong, 5, 'old')]],
  ]

  it.each(unproved)('does not prove %s: more of the log could explain it', (_sentence, leaves) => {
    const { verdicts } = replay({ edge: EMPTY_EDGE, clock: EMPTY_CLOCK }, planReplay(leaves), new Map())
    expect(verdicts.has(leaves.length - 1)).toBe(true)
    const breach = breachOf(leaves, leaves.length - 1)
    expect(breach).toBeNull()
  })

  it('proves nothing without the inclusion of every leaf in the tree that was signed', () => {
    const leaves = [start, entry(alice, forged, 1), entry(bob, bob.genesis, 2)]
    const breach = breachOf(leaves, 1)
    if (breach === null) throw new Error('a forged update is a breach')
    const proofs = proofsOf(breach, leaves)
    expect(codeOf(() => brokenRule(breach, proofs, signed([start, start, start]), [KEY]))).toBe('INVALID_PROOF')
    expect(codeOf(() => brokenRule(breach, [], signed(leaves), [KEY]))).toBe('INVALID_PROOF')
    expect(codeOf(() => brokenRule(breach, proofs, signed(leaves.slice(0, 1)), [KEY]))).toBe('OUT_OF_RANGE')
    expect(codeOf(() => brokenRule({ ...breach, rule: 'genesis', operations: [] }, proofs, signed(leaves), [KEY]))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => brokenRule({ ...breach, operations: [] }, proofs, signed(leaves), [KEY]))).toBe('MALFORMED_EVIDENCE')
  })

  it('says in words what it proves', () => {
    const leaves = recoveryMs(RECOVERY_WINDOW_MS + 1)
    const breach = breachOf(leaves, 2)
    if (breach === null) throw new Error('a late recovery is a breach')
    expect(describeContradiction(verify(brokenRule(breach, proofsOf(breach, leaves), signed(leaves), [KEY])))).toContain('entries 1 and 2 show together: Recovery operation occurred outside')
    expect(describeContradiction(verify(twoRoots(signed(leavesOf('a', 3)), signed(leavesOf('b', 3)), [KEY])))).toContain('two trees of 3 entries')
  })
})

describe('a file of evidence', () => {
  const leaves = [entry(alice, alice.genesis, 0), entry(alice, bob.update(alice.genesis), 1), entry(bob, bob.genesis, 2)]
  const breach = breachOf(leaves, 1)
  if (breach === null) throw new Error('a forged update is a breach')
  const files: readonly Evidence[] = [
    twoRoots(signed(leavesOf('a', 3)), signed(leavesOf('b', 3)), [KEY]),
    forkOf(signed(leavesOf('a', 3)), leavesOf('b', 5), 3),
    brokenRule(breach, proofsOf(breach, leaves), signed(leaves), [KEY]),
  ]

  it.each(files.map((file) => [file.kind, file] as const))('of %s is read as it was written, in one form only', (_kind, file) => {
    const text = formatEvidence(file)
    expect(parseEvidence(text)).toEqual(file)
    for (const other of [`${text}\n`, text.slice(0, -1), ` ${text}`, text.replace('v1', 'v2'), text.replace('\n\n', '\n'), text.replace('\n\n', '\n\n\n'), text.replaceAll('\n', '\r\n'), '']) {
      expect(codeOf(() => parseEvidence(other)), JSON.stringify(other.slice(0, 60))).toBe('MALFORMED_EVIDENCE')
    }
  })

  it.each(files.map((file) => [file.kind, file] as const))('of %s with any byte changed proves nothing', (_kind, file) => {
    const bytes = utf8Encode(formatEvidence(file))
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        expect(codeOf(() => verifyEvidence(bytes.with(at, ((bytes[at] ?? 0) + change) % 256), [KEY])), `byte ${at}`).not.toBeNull()
      }),
      { numRuns: 40 },
    )
    for (let at = 0; at < bytes.length; at += 5) expect(codeOf(() => verifyEvidence(bytes.with(at, (bytes[at] ?? 0) ^ 1), [KEY])), `byte ${at}`).not.toBeNull()
  })
})

describe('the vectors', () => {
  const folder = join(import.meta.dirname, '../../spec/vectors/evidence')
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)))
  const key = parseVerifierKey(utf8Decode(read('log.vkey')).trim())
  const refused = new Map(Object.entries(JSON.parse(utf8Decode(read('refused.json'))) as Record<string, string>))

  it('prove one of each kind and of each rule', () => {
    const names = readdirSync(join(folder, 'valid')).sort()
    expect(names).toEqual(['fork', 'two-roots', ...PROVABLE_RULES.map((rule) => `broken-${rule}`)].map((name) => `${name}.evidence`).sort())
    for (const name of names) {
      const { evidence, signers } = verifyEvidence(read(`valid/${name}`), [key])
      expect([name, signers]).toEqual([`${evidence.kind === 'broken-rule' ? `broken-${evidence.rule}` : evidence.kind}.evidence`, [key]])
    }
  })

  it.each([...refused])('prove nothing where they should not: %s', (name, code) => {
    expect(codeOf(() => verifyEvidence(read(`invalid/${name}.evidence`), [key]))).toBe(code)
  })

  it('prove nothing under another key', () => {
    for (const name of readdirSync(join(folder, 'valid'))) expect(codeOf(() => verifyEvidence(read(`valid/${name}`), [KEY]))).toBe('WRONG_ORIGIN')
  })

  it('have an alarm that is none of them', () => {
    expect(codeOf(() => verifyEvidence(read('seen.alarm'), [key]))).toBe('MALFORMED_EVIDENCE')
    expect(isAlarm(read('seen.alarm'))).toBe(true)
  })
})

describe('the specification', () => {
  const page = readFileSync(join(import.meta.dirname, '../../spec/evidence.md'), 'utf8')

  it('has the rules, with what shows them, and the bounds of the code', () => {
    const section = page.slice(page.indexOf('\n## Rules'), page.indexOf('\n## Wrong maps'))
    const rows = [...section.matchAll(/^\| `([a-z]+)` \|([^|]+)\|([^|]*)\|/gm)].map(([, rule = '', entries = '', operations = '']) => [rule, entries.split(',').length, operations.trim()])
    const shape = (rule: Breach['rule']): string => (BREACH_SHAPES[rule].most === 0 ? '' : BREACH_SHAPES[rule].most === 1 ? 'P' : `${BREACH_SHAPES[rule].fewest} to ${BREACH_SHAPES[rule].most}`)
    expect(rows).toEqual(PROVABLE_RULES.map((rule) => [rule, BREACH_SHAPES[rule].leaves, shape(rule)]))
    for (const bound of [MAX_EVIDENCE_LENGTH, MAX_ALARM_LENGTH, MAX_PROOF_HASHES, MAX_BREACH_OPERATIONS, MAX_ALARM_PARTS, MAX_ALARM_WORDS]) expect(page).toContain(` ${bound.toLocaleString('en-US')} `)
  })
})

describe('an honest log', () => {
  // What a log of whole identities may look like: three keys each, updates, recoveries in time, tombstones.
  const people = [alice, person('two', 2)]

  const seen: number[] = []

  it('cannot be accused: whatever entries of it are put together, under whatever rule', () => {
    fc.assert(
      fc.property(honestLog(people), fc.infiniteStream(fc.nat()), (leaves, choices) => {
        const { verdicts, rows } = replay({ edge: EMPTY_EDGE, clock: EMPTY_CLOCK }, planReplay(leaves), new Map())
        expect([...verdicts]).toEqual([])
        seen.push(rows.filter(({ nullified }) => nullified).length)
        const placed = leaves.map((entry, index): PlacedLeaf => ({ index, entry }))
        for (const leaf of placed) expect(findBreach(leaf, placed)).toBeNull()
        const choose = <T>(from: readonly T[]): T[] => from.slice(choices.next().value % Math.max(1, from.length)).slice(0, 1)
        const decoded = leaves.map((leaf) => planReplay([leaf]).decoded[0]).flatMap((entry) => (entry === undefined || entry instanceof DirectoryError ? [] : [entry.operation]))
        for (const rule of PROVABLE_RULES) {
          const three = [...choose(placed), ...choose(placed), ...choose(placed)].sort((a, b) => a.index - b.index)
          for (const count of [1, 2, 3]) {
            for (const operations of [[], choose(decoded), [...choose(decoded), ...choose(decoded)]]) expect(verdictOn({ rule, leaves: three.slice(0, count), operations })).toBeNull()
          }
        }
      }),
      { numRuns: 30 },
    )
    expect(seen.filter((count) => count > 1).length).toBeGreaterThan(5)
  })

  it('cannot be accused by any two of its checkpoints', () => {
    const tree = leavesOf('a', 20)
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), fc.uint8Array({ minLength: 32, maxLength: 32 }), (one, other, root) => {
        const [small, large] = [Math.min(one, other), Math.max(one, other)]
        const hashes = tree.slice(0, large).map(leafHash)
        const notes = [signed(tree.slice(0, small)), signed(tree.slice(0, large))] as const
        expect(codeOf(() => twoRoots(...notes, [KEY]))).toBe('NO_CONTRADICTION')
        const proof = small === 0 ? [] : naiveConsistency(small, hashes)
        for (const claimed of [root, naiveRoot(hashes.slice(0, small)), naiveRoot(hashes)]) expect(codeOf(() => fork(...notes, claimed, proof, [KEY]))).toMatch(/NO_CONTRADICTION|INVALID_PROOF/)
      }),
      { numRuns: 30 },
    )
  })
})

/** Leaves of a log in which every entry keeps the rules: people who update, recover in time, and end, in their own and in sourced time. */
function honestLog(people: readonly Person[]): fc.Arbitrary<Uint8Array[]> {
  const step = fc.record({
    who: fc.nat(people.length - 1),
    back: fc.constantFrom(0, 0, 1, 2, 3),
    key: fc.nat(2),
    ms: fc.constantFrom(-HOUR_MS, 0, 1, HOUR_MS, 71 * HOUR_MS, RECOVERY_WINDOW_MS, 80 * HOUR_MS),
    ends: fc.nat(9).map((n) => n === 0),
  })
  return fc.tuple(fc.array(step, { minLength: 10, maxLength: 24 }), fc.nat(24)).map(([steps, sourced]) => {
    const leaves: Uint8Array[] = []
    const identities = new Map<string, IndexedChain>()
    let clock = EMPTY_CLOCK
    let now = 1_700_000_000_000
    for (const [at, { who, back, key, ms, ends }] of steps.entries()) {
      const one = people[who]
      if (one === undefined) continue
      const identity = identities.get(one.did) ?? emptyIdentity(one.did)
      const inEffect = identity.chain.links.filter(({ nullified, operation }) => !nullified && operation.type !== 'plc_tombstone')
      const prev = inEffect.at(-1 - back)?.operation ?? inEffect[0]?.operation
      const by = back === 0 ? 2 - Math.floor(key / 2) : Math.floor(key / 2)
      const operation = prev === undefined ? one.genesis : ends ? one.tombstone(prev, { key: by }) : one.update(prev, { key: by, handle: `h${at}` })
      const made: Entry = { did: one.did, createdAt: now + ms, operation, source: at < sourced ? 'old' : null }
      // What breaks a rule never enters an honest log.
      const { value } = verdictOf(() => applyEntry(clock, identity, leaves.length, made, undefined))
      if (value === null) continue
      clock = value.clock
      now = made.createdAt
      identities.set(one.did, value.identity)
      leaves.push(encodeEntry(made))
    }
    return leaves
  })
}

function entry(who: { readonly did: string }, operation: Operation, ms: number, source: string | null = null): Uint8Array {
  const fields: Entry = { did: who.did, createdAt: 1_700_000_000_000 + ms, operation, source }
  return encodeEntry(fields)
}

function leavesOf(name: string, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => utf8Encode(`${name} ${i}`))
}

function signed(leaves: readonly Uint8Array[], keys: readonly SigningKey[] = [KEY]): string {
  const [key = KEY] = keys
  return signCheckpoint({ origin: key.name, size: leaves.length, root: naiveRoot(leaves.map(leafHash)) }, keys)
}

function witnessed(note: string, seconds: number): string {
  const { text, signatures } = parseNote(note)
  const [, size = '', root = ''] = text.split('\n')
  const cosignature = cosign({ origin: KEY.name, size: Number(size), root: Uint8Array.from(atob(root), (c) => c.charCodeAt(0)) }, WITNESS, seconds)
  return formatNote({ text, signatures: [...signatures, cosignature] })
}

function forkOf(smaller: string, tree: readonly Uint8Array[], size: number): Evidence {
  const hashes = tree.map(leafHash)
  return fork(smaller, signed(tree), naiveRoot(hashes.slice(0, size)), size === 0 ? [] : naiveConsistency(size, hashes), [KEY])
}

function breachOf(leaves: readonly Uint8Array[], rejected: number): Breach | null {
  const placed = leaves.map((entry, index) => ({ index, entry }))
  const accused = placed[rejected]
  return accused === undefined ? null : findBreach(accused, placed)
}

function proofsOf(breach: Breach, leaves: readonly Uint8Array[]): Uint8Array[][] {
  return breach.leaves.map(({ index }) => naivePath(index, leaves.map(leafHash)))
}

function verify(evidence: Evidence, keys: readonly SigningKey[] = [KEY]): ReturnType<typeof verifyEvidence> {
  const bytes = utf8Encode(formatEvidence(evidence))
  expect(utf8Decode(bytes)).toBe(formatEvidence(evidence))
  return verifyEvidence(bytes, keys)
}

function codeOf(work: () => unknown): string | null {
  return verdictOf(work).verdict?.code ?? null
}
