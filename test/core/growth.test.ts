import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes } from '../../src/core/encoding/text.ts'
import { grow } from '../../src/core/growth.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { leafHash } from '../../src/core/tlog/hash.ts'
import { tilesOf } from '../../src/core/tlog/tile.ts'
import { naiveRoot } from '../support/naive-tree.ts'

const entry = (n: number): Uint8Array => Uint8Array.of(n & 255, n >> 8, 17)

describe('growth', () => {
  it('gives, in whatever steps, the tiles and the root of the naive tree', () => {
    const steps = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(steps, (steps) => {
        let edge = EMPTY_EDGE
        let root = naiveRoot([])
        const tiles = new Map<string, Uint8Array>()
        for (const step of steps) {
          const growth = grow(edge, Array.from({ length: step }, (_, i) => entry(edge.size + i)))
          for (const { level, index, offset, hashes } of growth.tiles) {
            const before = tiles.get(`${level}/${index}`) ?? new Uint8Array()
            expect(before.length).toBe(offset * 32)
            tiles.set(`${level}/${index}`, concatBytes(before, hashes))
          }
          edge = growth.edge
          root = growth.root
        }
        const leaves = Array.from({ length: edge.size }, (_, i) => leafHash(entry(i)))
        expect(root).toEqual(naiveRoot(leaves))
        const expected = [...tilesOf(edge.size)].map(({ level, index, width }) => {
          const hashes = Array.from({ length: width }, (_, i) => naiveRoot(leaves.slice((index * 256 + i) * 256 ** level, (index * 256 + i + 1) * 256 ** level)))
          return [`${level}/${index}`, concatBytes(...hashes)] as const
        })
        expect(tiles).toEqual(new Map(expected))
      }),
      { numRuns: 30, examples: [[[256]], [[255, 1]], [[257]], [[0]], [[256, 256]]] },
    )
  })

  it('names tiles rightly where sizes pass 2^32', () => {
    const size = 2 ** 40 + 255
    const edge = { size, hashes: Array.from(size.toString(2)).flatMap((bit, i) => (bit === '1' ? [new Uint8Array(32).fill(i)] : [])) }
    const { tiles } = grow(edge, [entry(0)])
    expect(tiles.map(({ level, index, offset }) => ({ level, index, offset }))).toEqual([
      { level: 0, index: 2 ** 32, offset: 255 },
      { level: 1, index: 2 ** 24, offset: 0 },
    ])
  })
})
