import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes } from '../../../src/core/encoding/text.ts'
import { type ErrorCode, verdictOf } from '../../../src/core/errors.ts'
import { consistencyPlan, inclusionPlan, type Range, rangeNodes, subtreePlan } from '../../../src/core/tlog/proof.ts'
import { bundlePath, MAX_TILE_PATH_LENGTH, parseTilePath, planTiles, proofFromTiles, TILE_WIDTH, tileForNode, type TileId, tilePath, tilesOf } from '../../../src/core/tlog/tile.ts'
import { naiveConsistency, naiveLeaves, naiveNodeHash, naivePath } from '../../support/naive-tree.ts'

const codeOf = (work: () => unknown): ErrorCode | null => verdictOf(work).verdict?.code ?? null
const paths = (size: number) => [...tilesOf(size)].map(tilePath)
const full = (level: number, index: number): TileId => ({ level, index, width: TILE_WIDTH })

describe('tile', () => {
  it('cuts a tree of 70,000 into 273 full tiles and one of 112, one full and one of 17, and one of 1', () => {
    expect(paths(70_000)).toEqual([
      ...Array.from({ length: 273 }, (_, i) => `tile/0/${String(i).padStart(3, '0')}`),
      'tile/0/273.p/112',
      'tile/1/000',
      'tile/1/001.p/17',
      'tile/2/000.p/1',
    ])
  })

  it('gives a tree of 256 no partial tile at level 0, and width to the level above', () => {
    expect(paths(0)).toEqual([])
    expect(paths(1)).toEqual(['tile/0/000.p/1'])
    expect(paths(255)).toEqual(['tile/0/000.p/255'])
    expect(paths(256)).toEqual(['tile/0/000', 'tile/1/000.p/1'])
    expect(paths(257)).toEqual(['tile/0/000', 'tile/0/001.p/1', 'tile/1/000.p/1'])
    expect(paths(65_536).slice(-2)).toEqual(['tile/1/000', 'tile/2/000.p/1'])
  })

  it('writes indices in groups of three digits', () => {
    expect(tilePath(full(0, 5))).toBe('tile/0/005')
    expect(tilePath(full(0, 999))).toBe('tile/0/999')
    expect(tilePath(full(0, 1000))).toBe('tile/0/x001/000')
    expect(tilePath({ level: 3, index: 1_234_067, width: 5 })).toBe('tile/3/x001/x234/067.p/5')
    expect(tilePath(full(63, 1_000_000_000))).toBe('tile/63/x001/x000/x000/000')
    expect(bundlePath(1_234_067, 256)).toBe('tile/entries/x001/x234/067')
    expect(bundlePath(0, 1)).toBe('tile/entries/000.p/1')
  })

  it('reads every path that it writes', () => {
    const index = fc.oneof(fc.nat(), fc.maxSafeInteger().map(Math.abs))
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 63 }), index, fc.integer({ min: 1, max: 256 }), (level, index, width) => {
        const tile = { level, index, width }
        expect(tilePath(tile).length).toBeLessThanOrEqual(MAX_TILE_PATH_LENGTH)
        expect(parseTilePath(tilePath(tile))).toEqual({ kind: 'hashes', tile })
        expect(parseTilePath(bundlePath(index, width))).toEqual({ kind: 'entries', index, width })
      }),
    )
  })

  it.each([
    '', 'tile', 'tile/0', 'tile/0/', 'tile/0/5', 'tile/0/05', 'tile/0/0005', 'tile/00/005', 'tile/64/005', 'tile/-1/005', 'tile/1e1/005',
    'tile/0/x005', 'tile/0/001/005', 'tile/0/x000/005', 'tile/0/x01/005', 'tile/0/X001/005', 'tile/0/x001/x005', 'tile/0/005.p', 'tile/0/005.p/',
    'tile/0/005.p/0', 'tile/0/005.p/256', 'tile/0/005.p/257', 'tile/0/005.p/05', 'tile/0/005.p/5/', 'tile/0/005/5', '/tile/0/005', 'tile/0/005\n',
    'tile/0/005 ', 'tile/Entries/005', 'tile/data/005', 'tile/entries/5', 'tile/entries/005.p/0', 'tile/0/٠٠٥',
    'tile/0/x009/x007/x199/x254/x740/992', // 2**53
    `tile/0/${'x001/'.repeat(20)}005`, 'tile/0/005.p/5'.padEnd(10_000, '0'),
  ])('refuses the path %j', (path) => {
    expect(codeOf(() => parseTilePath(path))).toBe('MALFORMED_TILE')
  })

  it('gives the tile of every node of a small tree, and none for a node that the tree lacks', () => {
    const size = 700
    const tree = treeOf(naiveLeaves(size))
    for (let level = 0; level <= 10; level++) {
      for (let index = 0; index <= size; index++) {
        const inside = (index + 1) * 2 ** level <= size
        const found = verdictOf(() => tileForNode({ level, index }, size))
        if (!inside) expect(found.verdict?.code).toBe('OUT_OF_RANGE')
        else {
          const { tile, start, end } = found.value ?? expect.fail()
          expect(tile.level).toBe(Math.floor(level / 8))
          expect(end - start).toBe(2 ** (level % 8))
          expect(end).toBeLessThanOrEqual(tile.width)
          expect(fold(tree.tileOf(tile).slice(start, end))).toEqual(tree.hash(level, index))
        }
      }
    }
    for (const node of [{ level: -1, index: 0 }, { level: 0.5, index: 0 }, { level: 0, index: -1 }, { level: 0, index: Number.NaN }]) {
      expect(codeOf(() => tileForNode(node, size))).toBe('OUT_OF_RANGE')
    }
  })

  it('names tiles of trees beyond 2**32 without wrapping', () => {
    const size = 2 ** 40 + 2 ** 32 + 3
    expect(tileForNode({ level: 0, index: size - 1 }, size)).toEqual({ tile: { level: 0, index: 2 ** 32 + 2 ** 24, width: 3 }, start: 2, end: 3 })
    expect(tileForNode({ level: 32, index: 256 }, size)).toEqual({ tile: { level: 4, index: 1, width: 1 }, start: 0, end: 1 })
    expect(tileForNode({ level: 40, index: 0 }, size)).toEqual({ tile: { level: 5, index: 0, width: 1 }, start: 0, end: 1 })
    expect(tileForNode({ level: 39, index: 1 }, size)).toEqual({ tile: { level: 4, index: 0, width: 256 }, start: 128, end: 256 })
    expect(planTiles(inclusionPlan(2 ** 33, size), size).map(tilePath)).toEqual([
      'tile/0/x033/x554/432', 'tile/1/x131/072', 'tile/2/512', 'tile/3/002', 'tile/4/000', 'tile/4/001.p/1', 'tile/0/x004/x311/x744/512.p/3',
    ])
  })

  it('reads the naive inclusion, consistency and subtree proofs from tiles, from those of its plan alone', () => {
    const leaves = naiveLeaves(3000)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: leaves.length }), fc.nat(), (size, n) => {
        const some = leaves.slice(0, size)
        const tree = treeOf(some)
        const index = n % size
        expect(proofOf(tree, inclusionPlan(index, size), size)).toEqual(naivePath(index, some))
        expect(proofOf(tree, consistencyPlan(index + 1, size), size)).toEqual(naiveConsistency(index + 1, some))
        const start = index - (index % 256)
        const plan = subtreePlan(start, Math.min(start + 256, size), size)
        expect(proofOf(tree, plan, size)).toEqual(plan.map((range) => tree.range(range)))
      }),
      { numRuns: 60 },
    )
  })

  it('reads proofs from a full tile where the partial one is gone, and refuses a tile that is too small or broken', () => {
    const [size, later] = [300, 512]
    const leaves = naiveLeaves(later)
    const tree = treeOf(leaves)
    const plan = inclusionPlan(280, size)
    const wide = (tile: TileId) => concatBytes(...tree.tileOf({ ...tile, width: tile.level === 0 ? TILE_WIDTH : 2 }))
    expect(proofFromTiles(plan, size, wide)).toEqual(naivePath(280, leaves.slice(0, size)))
    const broken: ((bytes: Uint8Array) => Uint8Array)[] = [
      (bytes) => bytes.subarray(0, 43 * 32),
      (bytes) => bytes.subarray(1),
      (bytes) => concatBytes(bytes, bytes),
      () => new Uint8Array(0),
    ]
    for (const cut of broken) expect(codeOf(() => proofFromTiles(plan, size, (tile) => cut(wide(tile))))).toBe('MALFORMED_TILE')
  })
})

interface Tree {
  hash(level: number, index: number): Uint8Array
  tileOf(tile: TileId): Uint8Array[]
  range(range: Range): Uint8Array
}

/** Every perfect subtree of a tree, row by row: an oracle for tiles. */
function treeOf(leaves: readonly Uint8Array[]): Tree {
  const rows: Uint8Array[][] = [[...leaves]]
  for (let row = rows[0] ?? []; row.length > 1; ) {
    const above: Uint8Array[] = []
    for (let i = 0; i + 1 < row.length; i += 2) above.push(naiveNodeHash(row[i] ?? expect.fail(), row[i + 1] ?? expect.fail()))
    rows.push(above)
    row = above
  }
  const hash = (level: number, index: number) => rows[level]?.[index] ?? expect.fail(`no node ${level}/${index}`)
  return {
    hash,
    tileOf: ({ level, index, width }) => Array.from({ length: width }, (_, i) => hash(level * 8, index * TILE_WIDTH + i)),
    range: (range) => rangeNodes(range).map((node) => hash(node.level, node.index)).reduceRight((right, left) => naiveNodeHash(left, right)),
  }
}

function proofOf(tree: Tree, plan: readonly Range[], size: number): Uint8Array[] {
  const planned = new Set(planTiles(plan, size).map(tilePath))
  const used = new Set<string>()
  const existing = new Set(paths(size))
  const proof = proofFromTiles(plan, size, (tile) => {
    expect(planned).toContain(tilePath(tile))
    expect(existing).toContain(tilePath(tile))
    used.add(tilePath(tile))
    return concatBytes(...tree.tileOf(tile))
  })
  expect(used).toEqual(planned)
  return proof
}

function fold(hashes: readonly Uint8Array[]): Uint8Array {
  const [first] = hashes
  if (first !== undefined && hashes.length === 1) return first
  return naiveNodeHash(fold(hashes.slice(0, hashes.length / 2)), fold(hashes.slice(hashes.length / 2)))
}
