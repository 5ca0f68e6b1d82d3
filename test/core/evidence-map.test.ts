import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8Decode, utf8Encode } from '../../src/core/encoding/text.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { describeContradiction, formatEvidence, parseEvidence, verifyEvidence, wrongMap } from '../../src/core/evidence.ts'
import { MAP_FAULTS, type MapFault, type WrongMap } from '../../src/core/evidence-map.ts'
import { encodeMapLeaf, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { KEY_TYPES, makeSigningKey, parseVerifierKey, type SigningKey } from '../../src/core/tlog/note.ts'
import { naiveConsistency, naivePath, naiveRoot } from '../support/naive-tree.ts'

const LOG = makeSigningKey('evidence.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
const MAP = makeSigningKey('evidence.test/log/map', KEY_TYPES.ed25519, new Uint8Array(32).fill(2))
const OTHER = makeSigningKey('other.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(3))
const KEYS = [LOG, MAP]
const ENTRIES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(utf8Encode)

const rootAt = (size: number): Uint8Array => naiveRoot(ENTRIES.slice(0, size).map(leafHash))
const version = (size: number, change: Partial<MapLeaf> = {}): Uint8Array => encodeMapLeaf({ mapRoot: new Uint8Array(32).fill(size), size, root: rootAt(size), ...change })
const noteOf = (key: SigningKey, leaves: readonly Uint8Array[]): string => signCheckpoint({ origin: key.name, size: leaves.length, root: naiveRoot(leaves.map(leafHash)) }, [key])

/** Evidence of a fault in the map's log of these leaves, of which the last is wrong, and the log's tree where it is shown. */
function evidenceOf(fault: MapFault, leaves: readonly Uint8Array[], { keys = KEYS, log = LOG, tree = 4 }: { keys?: readonly SigningKey[]; log?: SigningKey; tree?: number } = {}): WrongMap {
  const hashes = leaves.map(leafHash)
  const indices = fault === 'order' ? [leaves.length - 2, leaves.length - 1] : [leaves.length - 1]
  const shown = indices.map((index) => ({ index, entry: leaves[index] ?? new Uint8Array(), proof: naivePath(index, hashes) }))
  const withTree = fault === 'tree' || fault === 'root'
  const proof = naiveConsistency(tree, ENTRIES.map(leafHash))
  return wrongMap(fault, shown, withTree ? { root: rootAt(tree), proof } : null, [noteOf(MAP, leaves), ...(withTree ? [noteOf(log, ENTRIES)] : [])], keys)
}

const START = [version(0), version(2)]
const WRONG: Record<MapFault, WrongMap> = {
  leaf: evidenceOf('leaf', [...START, utf8Encode('no leaf\n')]),
  order: evidenceOf('order', [...START, version(2)]),
  tree: evidenceOf('tree', [...START, version(4, { root: new Uint8Array(32) })]),
  root: evidenceOf('root', [...START, version(4)]),
}
const codeOf = (work: () => unknown): string | null => verdictOf(work).verdict?.code ?? null
const verify = (text: string, keys: readonly SigningKey[] = KEYS) => verifyEvidence(utf8Encode(text), keys)

describe('evidence of a wrong map', () => {
  it.each(MAP_FAULTS)('is read as it was written, and says against which log: %s', (fault) => {
    const text = formatEvidence(WRONG[fault])
    expect(parseEvidence(text)).toEqual(WRONG[fault])
    const found = verify(text)
    expect(found).toMatchObject({ origin: MAP.name, signers: [MAP], verdict: null })
    expect(found.replay?.size ?? null).toBe(fault === 'root' ? 4 : null)
    expect(describeContradiction(found)).toContain(fault === 'root' ? 'wrong if a replay' : `signed${fault === 'order' ? ' leaf 2, which is of no larger tree than leaf 1' : ', as leaf 2,'}`)
  })

  it.each(MAP_FAULTS)('stands among the vectors: %s', (fault) => {
    const [log = '', map = '', text = ''] = ['log.vkey', 'map.vkey', `map/${fault}.evidence`].map((name) => readFileSync(new URL(`../../spec/vectors/evidence/${name}`, import.meta.url), 'utf8'))
    const found = verifyEvidence(utf8Encode(text), [log, map].map((vkey) => parseVerifierKey(vkey.trim())))
    expect(found).toMatchObject({ evidence: { kind: 'wrong-map', fault }, origin: 'vectors.example/log/map', replay: fault === 'root' ? { size: 7 } : null })
  })

  it('proves nothing where the leaf is right, or wrong in another way', () => {
    const right = [...START, version(4)]
    expect(codeOf(() => evidenceOf('leaf', right))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => evidenceOf('order', right))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => evidenceOf('tree', right))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => evidenceOf('root', [...START, version(4, { root: new Uint8Array(32) })]))).toBe('NO_CONTRADICTION')
    for (const fault of ['order', 'tree', 'root'] as const) expect(codeOf(() => evidenceOf(fault, [...START, utf8Encode('no leaf\n')]))).toBe('NO_CONTRADICTION')
  })

  it('needs the trees that were signed, and the keys of the log and of its map', () => {
    expect(codeOf(() => evidenceOf('tree', [...START, version(4, { root: new Uint8Array(32) })], { tree: 3 }))).toBe('INVALID_PROOF')
    expect(codeOf(() => evidenceOf('tree', [...START, version(9, { root: new Uint8Array(32) })]))).toBe('OUT_OF_RANGE')
    expect(codeOf(() => evidenceOf('root', [...START, version(4)], { log: OTHER, keys: [...KEYS, OTHER] }))).toBe('NO_CONTRADICTION')
    expect(codeOf(() => verify(formatEvidence(WRONG.root), [MAP]))).toBe('WRONG_ORIGIN')
    expect(codeOf(() => verify(formatEvidence(WRONG.root), [LOG]))).toBe('WRONG_ORIGIN')
    const stranger = makeSigningKey(MAP.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(9))
    expect(codeOf(() => verify(formatEvidence(WRONG.leaf), [stranger]))).toBe('UNTRUSTED_NOTE')
    expect(verify(formatEvidence(WRONG.leaf), [MAP]).signers).toEqual([MAP])
  })

  it('is refused with any one byte changed, or a line taken out', () => {
    for (const fault of MAP_FAULTS) {
      const bytes = utf8Encode(formatEvidence(WRONG[fault]))
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
          const changed = bytes.slice()
          changed[at] = (changed[at] ?? 0) ^ flip
          expect(codeOf(() => verifyEvidence(changed, KEYS))).not.toBeNull()
        }),
        { numRuns: 300 },
      )
      const lines = utf8Decode(bytes).split('\n')
      for (const i of lines.keys()) expect(codeOf(() => verify(lines.toSpliced(i, 1).join('\n'))), `${fault} without line ${i}`).not.toBeNull()
    }
  })
})
