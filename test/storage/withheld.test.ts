import { beforeAll, describe, expect, it } from 'vitest'
import { TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import type { Store, StoredEntry } from '../../src/storage/store.ts'
import { firstWithheld, NOTHING_WITHHELD, withholding, WithheldError, type Withheld } from '../../src/storage/withheld.ts'
import { identityLeaves, storedLog } from '../support/stored-log.ts'

const SIZE = 40
const WITHHELD: Withheld = new Map([[0, null], [7, 'an order'], [8, null], [20, null], [39, null], [1_000, 'not there yet']])

describe('a store that withholds entries', () => {
  let whole: Store
  let shown: Store

  beforeAll(async () => {
    whole = await storedLog(identityLeaves(SIZE))
    shown = withholding(whole, WITHHELD)
  })

  it('is the store itself where nothing is withheld', () => {
    expect(withholding(whole, NOTHING_WITHHELD)).toBe(whole)
  })

  it('gives of every row all but the bytes of those that are withheld', async () => {
    const rows = await whole.entries(0, SIZE)
    const dids = rows.map((row) => row.did)
    const newest = await Promise.all(dids.map((did) => shown.newest(did)))
    for (const given of [await shown.entries(0, SIZE), await shown.history(dids, 0), newest, await shown.newestOf(dids)]) {
      expect(given).toHaveLength(SIZE)
      for (const row of given) {
        const index = row?.index ?? -1
        const { entry, ...rest } = rows[index] ?? { entry: null }
        expect(row).toMatchObject(rest)
        if (WITHHELD.has(index)) expect(() => row?.entry).toThrow(WithheldError)
        else expect(row?.entry).toEqual(entry)
      }
    }
  })

  it('lets no copy of a row have the bytes either', async () => {
    const [row] = await shown.entries(7, 8)
    expect(() => ({ ...row })).toThrow('index 7, an order')
    expect(() => JSON.stringify(row)).toThrow('index 7, an order')
    expect(await shown.newest('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).toBeNull()
  })

  it('gives runs of leaves that are whole, and no others', async () => {
    for (let start = 0; start <= SIZE; start++) {
      for (let end = start; end <= SIZE + 2; end++) {
        const first = [...WITHHELD.keys()].find((index) => index >= start && index < end)
        expect(firstWithheld(WITHHELD, start, end)).toBe(first ?? null)
        if (first === undefined) expect(await shown.leaves(start, end)).toEqual(await whole.leaves(start, end))
        else await expect(shown.leaves(start, end)).rejects.toMatchObject({ name: 'WithheldError', index: first })
      }
    }
    expect(await shown.leaves(900, 1_100), 'what is not there cannot be withheld').toEqual([])
  })

  it('goes on in exports as if the entries were not there, with as many as were asked for', async () => {
    const kept = (await allFrom(whole, 0, SIZE, SIZE)).filter(({ index }) => !WITHHELD.has(index))
    for (const from of [0, 1, 6, 7, 8, 9, 21, 39, 40]) {
      for (const to of [SIZE, 39, 20, 8]) {
        for (const count of [1, 2, 5, SIZE]) {
          const expected = kept.filter(({ index }) => index >= from && index < to).slice(0, count)
          expect(await allFrom(shown, from, to, count), `${count} of ${from} to ${to}`).toEqual(expected)
        }
      }
    }
    for (const count of [1, 7, SIZE]) expect(await shown.exportAfter(null, SIZE, count)).toEqual((await whole.exportAfter(null, SIZE, SIZE)).filter(({ index }) => !WITHHELD.has(index)).slice(0, count))
  })

  it('touches no hash', async () => {
    const tile = { level: 0, index: 0, width: TILE_WIDTH }
    expect(await shown.tiles([tile])).toEqual(await whole.tiles([tile]))
    expect(await shown.publication()).toEqual(await whole.publication())
    expect(await shown.head()).toEqual(await whole.head())
  })
})

async function allFrom(store: Store, from: number, to: number, count: number): Promise<StoredEntry[]> {
  const found: StoredEntry[] = []
  await store.exportFrom(from, to, count, (entry) => found.push({ ...entry }))
  return found
}
