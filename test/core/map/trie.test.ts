import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesEqual } from '../../../src/core/encoding/text.ts'
import { DirectoryError } from '../../../src/core/errors.ts'
import { EMPTY_MAP_ROOT, packEntries, pathRoot, trieRoot, triePath, valueAt, type TriePath } from '../../../src/core/map/trie.ts'
import { naiveMapPath, naiveMapRoot } from '../../support/naive-map.ts'

// Keys that share long beginnings: few different bytes, of which the last few differ.
const key = fc.tuple(fc.constantFrom(0, 1, 0x80, 0xff), fc.array(fc.constantFrom(0, 1, 2, 0x40, 0xff), { minLength: 2, maxLength: 2 })).map(([first, last]) => {
  const bytes = new Uint8Array(32)
  bytes[0] = first
  bytes.set(last, 30)
  return bytes
})
const anyKey = fc.oneof(key, fc.uint8Array({ minLength: 32, maxLength: 32 }))
const value = fc.uint8Array({ minLength: 32, maxLength: 32 })
const entries = fc.uniqueArray(fc.record({ key: anyKey, value }), { selector: (entry) => Buffer.from(entry.key).toString('hex'), maxLength: 40 })

describe('the trie', () => {
  it('has the root of the definition, in whatever order its keys came', () => {
    fc.assert(
      fc.property(entries, (given) => {
        expect(trieRoot(packEntries(given))).toEqual(naiveMapRoot(given))
      }),
    )
  })

  it('without keys has the hash of nothing', () => {
    expect(trieRoot(packEntries([]))).toEqual(naiveMapRoot([]))
    expect(triePath(packEntries([]), new Uint8Array(32))).toEqual({ steps: [], leaf: null })
    expect(pathRoot(new Uint8Array(32), { steps: [], leaf: null })).toEqual(EMPTY_MAP_ROOT)
  })

  it('shows every key that it has with its value, and of every other that it has it not', () => {
    fc.assert(
      fc.property(entries, anyKey, (given, stranger) => {
        const all = packEntries(given)
        for (const { key, value } of given) {
          const path = triePath(all, key)
          expect(path).toEqual(naiveMapPath(given, key))
          expect(pathRoot(key, path)).toEqual(trieRoot(all))
          expect(valueAt(key, path)).toEqual(value)
        }
        const path = triePath(all, stranger)
        expect(path).toEqual(naiveMapPath(given, stranger))
        expect(pathRoot(stranger, path)).toEqual(trieRoot(all))
        expect(valueAt(stranger, path)).toEqual(given.find(({ key }) => bytesEqual(key, stranger))?.value ?? null)
      }),
    )
  })

  it('cannot show that a key is missing that it has: no other leaf stands at the end of its way', () => {
    fc.assert(
      fc.property(entries.filter((given) => given.length > 1), fc.nat(), fc.nat(), (given, at, from) => {
        const all = packEntries(given)
        const [present, other] = [given[at % given.length], given[(at + 1 + (from % (given.length - 1))) % given.length]]
        if (present === undefined || other === undefined) throw new Error('there are two')
        // The way of the other key, its leaf included, and the own way with the other's leaf, are all that one could try.
        const { steps } = triePath(all, present.key)
        for (const path of [triePath(all, other.key), { steps, leaf: other }, { steps: [], leaf: null }, { steps: [], leaf: other }]) expect(leads(present.key, path, trieRoot(all))).toBe(false)
      }),
    )
  })

  it('with any byte of a path changed, or a step left out or added, leads elsewhere', () => {
    fc.assert(
      fc.property(entries.filter((given) => given.length > 1), anyKey, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, key, where, flip) => {
        const all = packEntries(given)
        const path = triePath(all, key)
        const at = where % path.steps.length
        const changes: TriePath[] = [
          { ...path, steps: path.steps.map((step, i) => (i === at ? { ...step, sibling: flipped(step.sibling, where, flip) } : step)) },
          { ...path, steps: path.steps.map((step, i) => (i === at ? { ...step, bit: step.bit ^ flip } : step)) },
          { ...path, steps: path.steps.filter((_, i) => i !== at) },
          { ...path, steps: [...path.steps, { bit: 255, sibling: new Uint8Array(32) }] },
          { ...path, leaf: null },
        ]
        if (path.leaf !== null) changes.push({ ...path, leaf: { ...path.leaf, value: flipped(path.leaf.value, where, flip) } }, { ...path, leaf: { ...path.leaf, key: flipped(path.leaf.key, where, flip) } })
        for (const changed of changes) expect(leads(key, changed, trieRoot(all))).toBe(false)
      }),
    )
  })
})

function leads(key: Uint8Array, path: TriePath, root: Uint8Array): boolean {
  try {
    return bytesEqual(pathRoot(key, path), root)
  } catch (error) {
    expect(error).toBeInstanceOf(DirectoryError)
    return false
  }
}

function flipped(bytes: Uint8Array, where: number, flip: number): Uint8Array {
  const changed = bytes.slice()
  const at = where % bytes.length
  changed[at] = (changed[at] ?? 0) ^ flip
  return changed
}
