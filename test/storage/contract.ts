// What every store must do, as the comments of the port say it.

import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { parseCid } from '../../src/core/encoding/cid.ts'
import { bytesEqual } from '../../src/core/encoding/text.ts'
import { TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import {
  LogExistsError,
  NoLogError,
  StaleHeadError,
  StalePublicationError,
  StaleSignerError,
  UnknownOutcomeError,
  type Append,
  type Divergence,
  type EntryRow,
  type Head,
  type SetAside,
  type Store,
  type StoredEntry,
  type UpstreamNotes,
} from '../../src/storage/store.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { mapContract } from './map-contract.ts'
import { didNamed, entryNamed, NEVER, plain, round, type Draft } from './rows.ts'

const VKEYS = ['example.com/log+11111111+AQ==', 'example.com/log+22222222+Bg==, "quoted" {\\}']

/** Runs the suite. `open` gives an empty store, and further handles on what it holds (for a store in memory, itself). */
export function storeContract(open: () => Promise<{ readonly store: Store; readonly again: () => Promise<Store> }>): void {
  mapContract(open)

  async function withLog(): Promise<Store> {
    const { store } = await open()
    await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
    return store
  }

  describe('the log', () => {
    it('is created once, empty, and keeps its name', async () => {
      const { store, again } = await open()
      await store.ping()
      expect(await store.head()).toBeNull()
      expect(await store.publication()).toBeNull()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const empty = { origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS, size: 0, root: naiveRoot([]), edge: { size: 0, hashes: [] }, clock: { lastNative: null } }
      expect(await store.head()).toEqual(empty)
      await expect(store.create({ origin: 'example.com/other', guardId: 'other', vkeys: [] })).rejects.toThrow(LogExistsError)
      expect(await (await again()).head()).toEqual(empty)
    })

    it('is not appended to before it is created', async () => {
      const { store } = await open()
      await expect(store.underHead(async () => 'reached')).rejects.toThrow(NoLogError)
    })

    it('is created by one of two that try at once', async () => {
      const { store, again } = await open()
      const other = await again()
      const outcomes = await Promise.allSettled([store.create({ origin: 'a', guardId: 'a', vkeys: [] }), other.create({ origin: 'b', guardId: 'b', vkeys: [] })])
      expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected'])
    })
  })

  describe('the record of the signer', () => {
    it('is replaced by whoever knows the one before', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const before = await put(store, plain(2))
      await store.setSigner('guard', { guardId: 'guard', vkeys: VKEYS.slice(1) })
      expect(await (await again()).head()).toEqual({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS.slice(1), ...before.to })
      await store.setSigner('guard', { guardId: 'another', vkeys: [] })
      expect(await (await again()).head()).toEqual({ origin: 'example.com/log', guardId: 'another', vkeys: [], ...before.to })
    })

    it('keeps the statement about the keys until it is given another', async () => {
      const { store, again } = await open()
      expect(await store.keyStatement()).toBeNull()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      expect(await store.keyStatement()).toBeNull()
      await store.setSigner('guard', { guardId: 'guard', vkeys: VKEYS, statement: 'one\n' })
      await store.setSigner('guard', { guardId: 'another', vkeys: VKEYS })
      await expect(store.setSigner('guard', { guardId: 'guard', vkeys: VKEYS, statement: 'two\n' })).rejects.toThrow(StaleSignerError)
      expect(await (await again()).keyStatement()).toBe('one\n')
    })

    it('may have a statement from the first moment', async () => {
      const { store } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS, statement: 'first\n' })
      expect(await store.keyStatement()).toBe('first\n')
    })

    it('stays, where another one is recorded than was thought', async () => {
      const store = await withLog()
      const before = await store.head()
      await expect(store.setSigner('other', { guardId: 'mine', vkeys: [] })).rejects.toThrow(StaleSignerError)
      expect(await store.head()).toEqual(before)
    })

    it('is none before the log is created', async () => {
      const { store } = await open()
      await expect(store.setSigner('guard', { guardId: 'guard', vkeys: [] })).rejects.toThrow(NoLogError)
    })

    it('is taken over by one of two that try at once, and no round is lost', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const other = await again()
      const rounds = [put(store, plain(2)), put(other, plain(1))]
      const outcomes = await Promise.allSettled([store.setSigner('guard', { guardId: 'a', vkeys: [] }), other.setSigner('guard', { guardId: 'b', vkeys: [] })])
      await Promise.all(rounds)
      expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(await store.head()).toMatchObject({ size: 3, guardId: outcomes[0].status === 'fulfilled' ? 'a' : 'b', vkeys: [] })
    })
  })

  describe('whoever watches', () => {
    /** Longer than any test. */
    const NEVER_MS = 1_000_000

    it('is called at the beginning, but not before watch has returned', async () => {
      const store = await withLog()
      let calls = 0
      await using stack = new AsyncDisposableStack()
      stack.use(store.watch(() => calls++, NEVER_MS))
      expect(calls).toBe(0)
      await expect.poll(() => calls).toBeGreaterThan(0)
    })

    it('is called soon after each round, publication and change of the signer, by whomever, and finds what was committed', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const other = await again()
      const seen: unknown[] = []
      const look = (): void => {
        Promise.all([store.head(), store.publication()]).then(([head, publication]) => seen.push([head?.size, publication?.size, head?.guardId]), () => {})
      }
      await using stack = new AsyncDisposableStack()
      stack.use(store.watch(look, NEVER_MS))
      for (const [size, by] of [store, other, store, other].entries()) {
        await put(by, plain(1))
        await expect.poll(() => seen.at(-1), { interval: 2 }).toEqual([size + 1, size === 0 ? undefined : size, 'guard'])
        await by.publish({ size: size + 1, root: naiveRoot([]), note: 'note\n', publishedAt: 0 })
        await expect.poll(() => seen.at(-1), { interval: 2 }).toEqual([size + 1, size + 1, 'guard'])
      }
      await other.setSigner('guard', { guardId: 'another', vkeys: [] })
      await expect.poll(() => seen.at(-1), { interval: 2 }).toEqual([4, 4, 'another'])
    })

    it('is called again and again where nothing moves', async () => {
      const store = await withLog()
      const times: number[] = []
      await using stack = new AsyncDisposableStack()
      stack.use(store.watch(() => times.push(performance.now()), 20))
      await expect.poll(() => times.length, { interval: 5 }).toBeGreaterThan(8)
    })

    it('may be several, each of whom is called', async () => {
      const store = await withLog()
      const calls = [0, 0, 0]
      const watches = calls.map((_, which) => store.watch(() => (calls[which] = (calls[which] ?? 0) + 1), NEVER_MS))
      await expect.poll(() => Math.min(...calls)).toBeGreaterThan(0)
      await watches[1]?.[Symbol.asyncDispose]()
      await sleep(50)
      const before = [...calls]
      await put(store, plain(1))
      await expect.poll(() => calls.map((count, which) => count > (before[which] ?? 0))).toEqual([true, false, true])
      await Promise.all(watches.map((watching) => watching[Symbol.asyncDispose]()))
    })

    it('is not called any more once that is disposed, even where it is disposed at once', async () => {
      const store = await withLog()
      let calls = 0
      const watching = store.watch(() => calls++, 1)
      await Promise.all([watching[Symbol.asyncDispose](), watching[Symbol.asyncDispose]()])
      await put(store, plain(1))
      await sleep(20)
      expect(calls).toBe(0)
    })
  })

  describe('a change', () => {
    it('gives every field of every row and of the head back as it was', async () => {
      const store = await withLog()
      const drafts: Draft[] = [
        { signer: 4, createdAt: 0, entry: new Uint8Array(65_535).fill(7) },
        { nullified: true, createdAt: 8_640_000_000_000_000 },
        { rejected: 'MISORDERED', did: didNamed('someone') },
        { rejected: 'MALFORMED_ENTRY', did: '', cid: '', createdAt: 0, entry: new Uint8Array() },
        { createdAt: -1, entry: Uint8Array.of(0, 0x5c, 0x22, 0x27, 0xff) },
      ]
      const append = await put(store, drafts)
      expect(await store.entries(0, 5)).toEqual(append.entries)
      expect(await store.head()).toEqual({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS, ...append.to })
    })

    it('keeps a log whose entries are all sourced without a native time', async () => {
      const store = await withLog()
      await store.underHead(async (held) => {
        const change = round(held.head, plain(1))
        await held.append({ ...change, to: { ...change.to, clock: { lastNative: null } } })
      })
      expect((await store.head())?.clock).toEqual({ lastNative: null })
    })

    it('may be of thousands of entries', async () => {
      const store = await withLog()
      const append = await put(store, plain(3_000))
      expect(await store.entries(0, 3_000)).toEqual(append.entries)
    })

    it('may be empty', async () => {
      const store = await withLog()
      await put(store, plain(2))
      const before = await store.head()
      await put(store, [])
      expect(await store.head()).toEqual(before)
    })

    it('marks earlier entries nullified', async () => {
      const store = await withLog()
      await put(store, plain(4))
      await put(store, [{}], [1, 2])
      const rows = await store.entries(0, 9)
      expect(rows.map((row) => row.nullified)).toEqual([false, true, true, false, false])
    })

    it('stores tiles that are the tree, whatever the rounds', async () => {
      const store = await withLog()
      const leaves: Uint8Array[] = []
      for (const count of [1, 1, 253, 1, 1, 255, 256, 300, 1, 2]) {
        const { entries } = await put(store, plain(count))
        leaves.push(...entries.map((row) => naiveLeafHash(row.entry)))
        const head = await store.head()
        expect(head?.size).toBe(leaves.length)
        expect(head?.root).toEqual(naiveRoot(leaves))
      }
      const full = Array.from({ length: Math.floor(leaves.length / TILE_WIDTH) }, (_, i) => naiveRoot(leaves.slice(i * TILE_WIDTH, (i + 1) * TILE_WIDTH)))
      const asked = [
        { level: 1, index: 0, width: 1 },
        { level: 0, index: 4, width: 256 },
        { level: 0, index: 0, width: 3 },
        { level: 2, index: 0, width: 1 },
        { level: 0, index: 99, width: 256 },
        { level: 1, index: 0, width: 1 },
      ]
      const tiles = await store.tiles(asked)
      const expected = [full, leaves.slice(1_024), leaves.slice(0, 256), [], [], full]
      expect(tiles).toEqual(expected.map((hashes) => new Uint8Array(hashes.flatMap((hash) => [...hash]))))
      expect(await store.tiles([])).toEqual([])
    })

    it('is refused, and changes nothing, where the head has another size or root', async () => {
      const store = await withLog()
      const stale = round(await headOf(store), plain(1))
      await put(store, plain(300))
      const head = await headOf(store)
      const otherRoot = { ...round(head, plain(1)), from: { size: head.size, root: naiveRoot([]) } }
      for (const change of [stale, otherRoot]) await refused(store, change, StaleHeadError)
    })

    it('is refused, and changes nothing, where a tile has another length', async () => {
      const store = await withLog()
      await put(store, plain(300))
      const change = round(await headOf(store), plain(3))
      const [tile] = change.tiles
      if (tile === undefined) throw new Error('a change has a tile')
      for (const offset of [0, 32, 43, 45, 64]) await refused(store, { ...change, tiles: [{ ...tile, offset }] }, StaleHeadError)
      await refused(store, { ...change, tiles: [{ ...tile, index: 7 }] }, StaleHeadError)
    })

    it('is refused, and changes nothing, where it is not whole', async () => {
      const store = await withLog()
      await put(store, plain(2))
      const head = await headOf(store)
      const good = round(head, plain(2))
      const bad: Append[] = [
        { ...good, entries: good.entries.slice(1) },
        { ...good, entries: good.entries.toReversed() },
        { ...good, nullified: [2] },
        round(head, [{ did: 'did:web:example.com' }]),
        round(head, [{ did: 'did:plc:short' }]),
        round(head, [{ did: '' }]),
        round(head, [{ signer: null }]),
        round(head, [{ createdAt: 0.5 }]),
      ]
      for (const change of bad) await refused(store, change, Error)
    })

    it('that failed is not committed even where the work goes on', async () => {
      const store = await withLog()
      const stale = round(await headOf(store), plain(1))
      await put(store, plain(1))
      const before = await snapshot(store)
      const swallowing = store.underHead((held) => held.append(stale).catch(() => {}))
      await expect(swallowing).rejects.toThrow(StaleHeadError)
      expect(await snapshot(store)).toEqual(before)
    })
  })

  describe('a change in one step', () => {
    it('leaves what it leaves under the row, whatever the rounds, and tells the time', async () => {
      const { store } = await open()
      const other = memoryStore()
      for (const each of [store, other]) await each.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const did = didNamed('someone')
      const drafts = [plain(1), [{ did }, {}, { did }], plain(253), plain(1), [{ did }, ...plain(254)], plain(256), plain(300)]
      for (const [position, entries] of drafts.entries()) {
        const change = round(await headOf(store), entries, position === 4 ? [1, 3] : [])
        const now = await store.appendNext(change, NEVER)
        expect(Math.abs((now ?? NaN) - Date.now())).toBeLessThan(5_000)
        await other.underHead((held) => held.append(change))
        expect(await snapshot(store)).toEqual(await snapshot(other))
      }
      expect((await store.history([did], 0)).map(({ index, nullified }) => [index, nullified])).toEqual([[1, true], [3, true], [258, false]])
    })

    it('is written by one of those who decided on the same head, and nothing of the others', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const stores = [store, await again(), await again()]
      for (let size = 0; size < 30; size += 3) {
        const head = await headOf(store)
        const outcomes = await Promise.all(stores.map((each) => each.appendNext(round(head, plain(3), size === 0 ? [] : [size - 1]), NEVER)))
        expect(outcomes.filter((now) => now !== null)).toHaveLength(1)
        expect((await headOf(store)).size).toBe(size + 3)
      }
      const rows = await store.entries(0, 100)
      expect(rows.map((row) => row.nullified)).toEqual(rows.map(({ index }) => index % 3 === 2 && index < 29))
      expect((await headOf(store)).root).toEqual(naiveRoot(rows.map((row) => naiveLeafHash(row.entry))))
    })

    it('waits for whoever holds the head, and then finds that it has moved', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const other = await again()
      const change = round(await headOf(store), plain(2))
      let late: Promise<number | null> = Promise.resolve(NaN)
      await store.underHead(async (held) => {
        late = other.appendNext(change, NEVER)
        late.catch(() => undefined)
        await sleep(30)
        await held.append(round(held.head, plain(1)))
      })
      expect(await late).toBeNull()
      expect((await headOf(store)).size).toBe(1)
    })

    it('is not written past its latest moment, by the clock when the head is held', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      await put(store, plain(40))
      const before = await snapshot(store)
      const change = round(await headOf(store), plain(2), [7])
      expect(await store.appendNext(change, Date.now() - 5_000)).toBeNull()
      // Whoever holds the head and writes nothing.
      const other = await again()
      let late: Promise<number | null> = Promise.resolve(NaN)
      await store.underHead(async (held) => {
        late = other.appendNext(change, (await held.now()) + 20)
        late.catch(() => undefined)
        await sleep(60)
      })
      expect(await late).toBeNull()
      expect(await snapshot(store)).toEqual(before)
      expect(await other.appendNext(change, Date.now() + 5_000)).not.toBeNull()
    })

    it('is not written where there is no log', async () => {
      const store = await withLog()
      const change = round(await headOf(store), plain(1))
      const { store: empty } = await open()
      expect(await empty.appendNext(change, NEVER)).toBeNull()
      expect(await empty.entries(0, 9)).toEqual([])
    })

    it('tells whoever watches', async () => {
      const store = await withLog()
      const { promise, resolve } = Promise.withResolvers<void>()
      let armed = false
      await using _watching = store.watch(() => armed && resolve(), 3_600_000)
      await sleep(50)
      armed = true
      await store.appendNext(round(await headOf(store), plain(1)), NEVER)
      await promise
    })
  })

  describe('the head, while it is held', () => {
    it('rolls all back where the work throws, and gives what was thrown', async () => {
      const store = await withLog()
      await put(store, plain(3))
      const before = await snapshot(store)
      const thrown = new Error('of the work')
      const outcome = store.underHead(async (held) => {
        await held.append(round(held.head, plain(2), [0]))
        throw thrown
      })
      await expect(outcome).rejects.toBe(thrown)
      expect(await snapshot(store)).toEqual(before)
      await put(store, plain(1))
    })

    it('gives what the work gives', async () => {
      const store = await withLog()
      expect(await store.underHead(async ({ head }) => head.origin)).toBe('example.com/log')
    })

    it('is held by one at a time, each of whom sees what the one before has done', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      const stores = [store, await again(), await again()]
      let holders = 0
      const sizes: number[] = []
      const append = (which: number) =>
        (stores[which % 3] ?? store).underHead(async (locked) => {
          expect(++holders).toBe(1)
          sizes.push(locked.head.size)
          await sleep(2)
          await locked.append(round(locked.head, plain(which % 4)))
          holders--
          return which % 4
        })
      const added = await Promise.all(Array.from({ length: 16 }, (_, which) => append(which)))
      const total = added.reduce((sum, count) => sum + count, 0)
      expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
      expect((await store.head())?.size).toBe(total)
      const rows = await store.entries(0, 1_000)
      expect(rows.map((row) => row.index)).toEqual(Array.from({ length: total }, (_, index) => index))
      expect((await store.head())?.root).toEqual(naiveRoot(rows.map((row) => naiveLeafHash(row.entry))))
    })

    it('lets others read what is committed, and nothing else', async () => {
      const store = await withLog()
      await put(store, plain(2))
      await store.underHead(async (held) => {
        const before = await snapshot(store)
        await held.append(round(held.head, plain(2), [1]))
        expect(await snapshot(store)).toEqual(before)
      })
      expect((await snapshot(store)).rows).toHaveLength(4)
    })

    it('shows the work its own change', async () => {
      const store = await withLog()
      const did = didNamed('someone')
      await put(store, [{ did }, {}, { did }])
      const seen = await store.underHead(async (held) => {
        const before = await held.history([did], 1)
        await held.append(round(held.head, [{ did }, {}], [2]))
        return { before, after: await held.history([did], 0) }
      })
      expect(seen.before.map((row) => row.index)).toEqual([2])
      expect(seen.after.map((row) => [row.index, row.nullified])).toEqual([
        [0, false],
        [2, true],
        [3, false],
      ])
      expect(await store.history([did], 0)).toEqual(seen.after)
    })

    it('takes one change', async () => {
      const store = await withLog()
      const twice = store.underHead(async (held) => {
        const change = round(held.head, plain(1))
        await held.append(change)
        await held.append(change)
      })
      await expect(twice).rejects.toThrow('one change a transaction')
      expect((await store.head())?.size).toBe(0)
    })

    it('is of no use afterwards', async () => {
      const store = await withLog()
      const locked = await store.underHead(async (held) => held)
      await expect(locked.append(round(locked.head, plain(1)))).rejects.toThrow()
      expect((await store.head())?.size).toBe(0)
    })

    it('reads a clock that goes on inside the transaction', async () => {
      const store = await withLog()
      const [first, second] = await store.underHead(async (held) => {
        const before = await held.now()
        await sleep(30)
        return [before, await held.now()]
      })
      expect(Number.isInteger(first)).toBe(true)
      expect(Math.abs(first - Date.now())).toBeLessThan(5_000)
      expect(second - first).toBeGreaterThanOrEqual(25)
    })
  })

  describe('reading', () => {
    it('gives the entries that exist of a range', async () => {
      const store = await withLog()
      const { entries } = await put(store, plain(5))
      for (const [start, end] of [[0, 5], [1, 3], [3, 99], [5, 9], [2, 2], [4, 1]] as const) {
        expect(await store.entries(start, end)).toEqual(end > start ? entries.slice(start, end) : [])
      }
    })

    it('gives the history of DIDs in the order of the log, rejected entries included', async () => {
      const store = await withLog()
      const [a, b, c] = [didNamed('a'), didNamed('b'), didNamed('c')]
      const { entries } = await put(store, [{ did: a }, { did: c }, { did: b }, { did: a, rejected: 'MISORDERED' }, { did: b }, { did: a }])
      const of = async (dids: readonly string[], from: number) => (await store.history(dids, from)).map((row) => row.index)
      expect(await of([b, a], 0)).toEqual([0, 2, 3, 4, 5])
      expect(await of([a, a, didNamed('unknown'), 'did:web:example.com', ''], 0)).toEqual([0, 3, 5])
      expect(await of([a, c], 3)).toEqual([3, 5])
      expect(await of([], 0)).toEqual([])
      expect(await store.history([c], 0)).toEqual([entries[1]])
    })

    it('gives a history that is longer than wanted up to one entry more, so that it shows', async () => {
      const store = await withLog()
      const [a, b] = [didNamed('a'), didNamed('b')]
      const { entries } = await put(store, [{ did: a }, { did: b }, { did: a }, { did: b }, {}, { did: a }])
      const whole = entries.filter((row) => row.did === a || row.did === b)
      for (const most of [0, 1, 3, 4, 5, 6]) {
        const rows = await store.history([b, a], 0, most)
        expect(rows).toHaveLength(Math.min(5, most + 1))
        for (const row of rows) expect(whole).toContainEqual(row)
        expect(rows).toEqual(rows.toSorted((x, y) => x.index - y.index))
      }
      expect(await store.history([a, b], 2, 3)).toEqual(whole.slice(2))
      expect(await store.history([a, b], 2, 2)).toEqual(whole.slice(2))
    })

    it('finds the newest entry of a DID that is in effect', async () => {
      const store = await withLog()
      const did = didNamed('someone')
      const { entries } = await put(store, [{ did }, { did }, { did }, { did, rejected: 'MISORDERED' }, {}])
      expect(await store.newest(did)).toEqual(entries[2])
      await put(store, [{}], [1, 2])
      expect(await store.newest(did)).toEqual(entries[0])
      await put(store, [{ did }])
      expect((await store.newest(did))?.index).toBe(6)
      for (const unknown of [didNamed('unknown'), 'did:web:example.com', '']) expect(await store.newest(unknown)).toBeNull()
    })

    it('finds the newest entries of many DIDs that are in effect, once each', async () => {
      const store = await withLog()
      const [a, b, c, none] = [didNamed('a'), didNamed('b'), didNamed('c'), didNamed('none')]
      const { entries } = await put(store, [{ did: a }, { did: b }, { did: a }, { did: c, rejected: 'MISORDERED' }, { did: b }, { did: b, rejected: 'MISORDERED' }, {}])
      await put(store, [{}], [4])
      const asked = [b, none, a, 'did:web:example.com', c, '', a, b]
      const found = await store.newestOf(asked)
      expect(found.toSorted((x, y) => x.index - y.index)).toEqual([entries[1], entries[2]])
      for (const row of found) expect(await store.newest(row.did)).toEqual(row)
      expect(await store.newestOf([])).toEqual([])
      expect(await store.newestOf(['', 'did:web:example.com', none])).toEqual([])
    })

    it('lists what is rejected, in order, within bounds', async () => {
      const store = await withLog()
      expect(await store.rejected(0, 10, 10)).toEqual([])
      const { entries } = await put(store, [{}, { rejected: 'MISORDERED' }, {}, { did: '', cid: '', rejected: 'MALFORMED_ENTRY' }, { rejected: 'LATE_RECOVERY' }])
      const [one, two, three] = [1, 3, 4].map((index) => ({ index, did: entries[index]?.did, cid: entries[index]?.cid, code: entries[index]?.rejected }))
      expect(await store.rejected(0, 5, 10)).toEqual([one, two, three])
      expect(await store.rejected(2, 5, 10)).toEqual([two, three])
      expect(await store.rejected(0, 4, 10)).toEqual([one, two])
      expect(await store.rejected(0, 5, 1)).toEqual([one])
    })

    it('exports what is not rejected, in the order of the log', async () => {
      const store = await withLog()
      const { entries } = await put(store, [{}, { rejected: 'MISORDERED' }, { nullified: true }, {}, { rejected: 'MALFORMED_ENTRY', did: '', cid: '' }, {}])
      const of = async (from: number, to: number, count: number): Promise<number[]> => {
        const found: number[] = []
        await store.exportFrom(from, to, count, (entry) => {
          expect(stored(entry)).toEqual(storedRow(entries[entry.index]))
          found.push(entry.index)
        })
        return found
      }
      expect(await of(0, 6, 10)).toEqual([0, 2, 3, 5])
      expect(await of(1, 6, 2)).toEqual([2, 3])
      expect(await of(0, 3, 10)).toEqual([0, 2])
      expect(await of(4, 6, 10)).toEqual([5])
      expect(await of(6, 6, 10)).toEqual([])
    })

    it('throws what whoever takes an export throws, and goes on', async () => {
      const store = await withLog()
      await put(store, [{}, {}, {}])
      const failing = store.exportFrom(0, 3, 3, ({ index }) => {
        if (index === 1) throw new Error('no room')
      })
      await expect(failing).rejects.toThrow('no room')
      expect(await store.leaves(0, 9)).toHaveLength(3)
    })

    it('gives the bytes of leaves, of rejected entries too', async () => {
      const store = await withLog()
      const drafts = Array.from({ length: 600 }, (_, i): Draft => (i % 7 === 0 ? { rejected: 'MALFORMED_ENTRY', did: '', cid: '' } : {}))
      const { entries } = await put(store, drafts)
      for (const [start, end] of [[0, 256], [256, 512], [512, 768], [599, 600], [600, 700], [5, 5], [5, 4]] as const) {
        expect(await store.leaves(start, end)).toEqual(end > start ? entries.slice(start, end).map((row) => row.entry) : [])
      }
    })

    it('exports by time, equal times by the text of the CID, wherever a page ends', async () => {
      const store = await withLog()
      const times = [5, 1, 5, 9, 5, 5, 0, 5, 9, 5, 5, 7, 5, 5, 5]
      const drafts = times.map((createdAt, i): Draft => (i === 7 ? { createdAt, rejected: 'MISORDERED' } : { createdAt }))
      const { entries } = await put(store, drafts)
      const cids = entries.map((row) => row.cid)
      const byDigest = cids.toSorted((a, b) => Buffer.compare(parseCid(a), parseCid(b)))
      expect(byDigest).not.toEqual(cids.toSorted())
      for (const to of [0, 3, 9, 15]) {
        for (const after of [null, -1, 0, 4, 5, 9]) {
          const expected = entries
            .filter((row) => row.index < to && row.rejected === null && (after === null || row.createdAt > after))
            .toSorted((a, b) => a.createdAt - b.createdAt || Buffer.compare(Buffer.from(a.cid), Buffer.from(b.cid)))
          for (const count of [1, 2, 4, 5, 8, 11, 12, 14, 50]) expect((await store.exportAfter(after, to, count)).map(stored)).toEqual(expected.slice(0, count).map(storedRow))
        }
      }
    })
  })

  describe('the published checkpoint', () => {
    const [rootA, rootB] = [naiveRoot([naiveLeafHash(entryNamed('a'))]), naiveRoot([naiveLeafHash(entryNamed('b'))])]

    it('is replaced by a larger one, or by the same tree with another note', async () => {
      const store = await withLog()
      for (const [size, note] of [[0, 'empty\n'], [3, 'first\n'], [3, 'with a cosignature — ü\n'], [9, 'larger\n']] as const) {
        const publication = { size, root: rootA, note, publishedAt: 1_700_000_000_000 + size }
        await store.publish(publication)
        expect(await store.publication()).toEqual(publication)
      }
    })

    it('never goes back, nor to another tree of its size', async () => {
      const store = await withLog()
      const publication = { size: 5, root: rootA, note: 'five\n', publishedAt: 1 }
      await store.publish(publication)
      await expect(store.publish({ ...publication, size: 4, note: 'four\n' })).rejects.toThrow(StalePublicationError)
      await expect(store.publish({ ...publication, root: rootB })).rejects.toThrow(StalePublicationError)
      expect(await store.publication()).toEqual(publication)
    })

    it('is the largest of many that are published at once', async () => {
      const { store, again } = await open()
      const stores = [store, await again()]
      const sizes = [4, 9, 2, 7, 1, 8, 3]
      await Promise.allSettled(sizes.map((size, i) => (stores[i % 2] ?? store).publish({ size, root: rootA, note: `${size}\n`, publishedAt: size })))
      expect((await store.publication())?.size).toBe(9)
    })
  })

  describe('the checkpoints that are kept', () => {
    it('are none at first, then those that were given, by size, the last note of each', async () => {
      const store = await withLog()
      expect(await store.keptCheckpoints()).toEqual([])
      for (const [size, note] of [[9, 'nine\n'], [0, 'empty\n'], [2 ** 40, 'large\n'], [9, 'nine, with a cosignature — ü\n']] as const) await store.keepCheckpoint({ size, note }, [])
      expect(await store.keptCheckpoints()).toEqual([{ size: 0, note: 'empty\n' }, { size: 9, note: 'nine, with a cosignature — ü\n' }, { size: 2 ** 40, note: 'large\n' }])
    })

    it('are replaced by others, whatever is named that is not there', async () => {
      const store = await withLog()
      for (const size of [1, 2, 3]) await store.keepCheckpoint({ size, note: `${size}\n` }, [])
      await store.keepCheckpoint({ size: 4, note: '4\n' }, [1, 3, 4, 77])
      expect((await store.keptCheckpoints()).map(({ size }) => size)).toEqual([2, 4])
      await store.keepCheckpoint({ size: 2, note: 'two\n' }, [2, 4])
      expect(await store.keptCheckpoints()).toEqual([{ size: 2, note: 'two\n' }])
    })

    it('are apart from the published one, and are refused where they are none', async () => {
      const store = await withLog()
      await store.keepCheckpoint({ size: 5, note: 'five\n' }, [])
      expect(await store.publication()).toBeNull()
      await expect(store.keepCheckpoint({ size: -1, note: 'n\n' }, [5])).rejects.toThrow()
      await expect(store.keepCheckpoint({ size: 1, note: '' }, [5])).rejects.toThrow()
      expect(await store.keptCheckpoints()).toEqual([{ size: 5, note: 'five\n' }])
    })
  })

  describe('what a notary notes', () => {
    const aside = (key: string, more: Partial<SetAside> = {}): SetAside => ({ key, did: didNamed(key), cid: 'a cid', code: 'MISORDERED', words: 'wörds', upstream: null, index: null, seenAt: 5, length: 3, line: new Uint8Array([0, 255, 10]), ...more })
    const setAside = async (store: Store): Promise<unknown> => (await store.notary.setAside(0, 100)).map(({ number, key }) => [number, key])

    it('is nothing in a store that is no notary\'s, and begins once', async () => {
      const store = await withLog()
      expect(await store.notary.upstream()).toBeNull()
      expect(await store.notary.setAsideCounts(0)).toEqual({ kept: 0, recent: 0, dropped: 0 })
      expect([await store.notary.openDivergences(0), await store.notary.firstIndexAbove(0), await store.notary.smallestNumberFrom(0)]).toEqual([{ all: 0, recent: 0 }, null, null])
      await store.notary.begin('plc.test')
      await store.notary.begin('other.test')
      expect(await store.notary.upstream()).toEqual({ source: 'plc.test', numbered: true, cursor: 0, highest: 0 })
    })

    it('is committed together with a round, or without entries, or not at all', async () => {
      const { store, again } = await open()
      await store.create({ origin: 'example.com/log', guardId: 'guard', vkeys: VKEYS })
      await note(store, { position: { source: 'plc.test', numbered: true, cursor: 2 ** 40, highest: 7 }, aside: [aside('a', { upstream: 9, index: 1 })] }, plain(3))
      const other = await again()
      expect([(await other.head())?.size, await other.notary.upstream()]).toEqual([3, { source: 'plc.test', numbered: true, cursor: 2 ** 40, highest: 7 }])
      expect(await other.notary.setAside(0, 100)).toEqual([{ number: 1, ...aside('a', { upstream: 9, index: 1 }) }])
      await note(store, { position: { source: 'plc.test', numbered: false, cursor: 5, highest: 7 } })
      expect([(await other.head())?.size, await other.notary.upstream()]).toEqual([3, { source: 'plc.test', numbered: false, cursor: 5, highest: 7 }])
      const head = await headOf(store)
      const stale = { ...round({ ...head, size: 3, root: new Uint8Array(32) }, plain(1)), upstream: { position: { source: 'x', numbered: true, cursor: 1, highest: 1 }, runs: [], aside: [aside('b')], mostAside: 100, settled: [] } }
      await expect(store.underHead((held) => held.append(stale))).rejects.toThrow(StaleHeadError)
      expect([(await other.notary.upstream())?.cursor, await setAside(other)]).toEqual([5, [[1, 'a']]])
    })

    it('keeps the numbers of entries, and moves cursors so that nothing is missed', async () => {
      const store = await withLog()
      await note(store, { runs: [{ index: 0, number: 5, count: 3, late: false }] }, plain(3))
      await note(store, { runs: [{ index: 3, number: 8, count: 2, late: false }, { index: 5, number: 20, count: 1, late: false }] }, plain(3))
      await note(store, { runs: [{ index: 6, number: 12, count: 2, late: true }, { index: 9, number: 21, count: 1, late: false }] }, plain(4))
      const numbers = [5, 6, 7, 8, 9, 20, 12, 13, null, 21]
      const all = numbers.flatMap((number, index) => (number === null ? [] : [{ index, number }]))
      expect(await store.notary.numbers(0, 100)).toEqual(all)
      expect(await store.notary.numbers(4, 3)).toEqual(all.slice(4, 7))
      for (let number = 0; number < 25; number++) {
        expect(await store.notary.firstIndexAbove(number), `above ${number}`).toBe(all.find((pair) => pair.number > number)?.index ?? null)
      }
      for (let index = 0; index < 12; index++) {
        const rest = all.filter((pair) => pair.index >= index).map((pair) => pair.number)
        expect(await store.notary.smallestNumberFrom(index), `from ${index}`).toBe(rest.length === 0 ? null : Math.min(...rest))
      }
    })

    it('keeps what is set aside once, until it is settled, and counts what is too much', async () => {
      const store = await withLog()
      await store.notary.begin('plc.test')
      await note(store, { aside: ['a', 'b', 'a', 'c'].map((key) => aside(key)), mostAside: 3 })
      await note(store, { aside: [aside('b', { code: 'OTHER' }), aside('d'), aside('e')], mostAside: 3 })
      expect([await setAside(store), await store.notary.setAsideCounts(5), await store.notary.setAsideCounts(6)]).toEqual([[[1, 'a'], [2, 'b'], [3, 'c']], { kept: 3, recent: 3, dropped: 2 }, { kept: 3, recent: 0, dropped: 2 }])
      expect((await store.notary.setAside(1, 1)).map(({ code }) => code)).toEqual(['MISORDERED'])
      await note(store, { settled: ['a', 'zzz'], aside: [aside('f', { index: 0 })] })
      await note(store, { settled: ['f'] })
      expect(await setAside(store)).toEqual([[2, 'b'], [3, 'c'], [4, 'f']])
    })

    it('keeps divergences by DID, each the newest that was said of it', async () => {
      const store = await withLog()
      const [one, two, three] = ['1', '2', '3'].map(didNamed).sort()
      const of = (did = '', endedAt: number | null = null): Divergence => ({ did, since: 1, checkedAt: 2, endedAt, kinds: ['vanished', 'time'], theirs: endedAt === null ? '["ü"]' : null })
      expect(await store.notary.keepDivergence(of(two), 2)).toBe(true)
      expect(await store.notary.keepDivergence(of(one), 2)).toBe(true)
      expect(await store.notary.keepDivergence(of(three), 2)).toBe(false)
      expect(await store.notary.keepDivergence(of(two, 9), 2)).toBe(true)
      expect(await store.notary.divergences('', 10)).toEqual([of(one), of(two, 9)])
      expect(await store.notary.divergences(one ?? '', 10)).toEqual([of(two, 9)])
      expect(await store.notary.divergences('', 10, true)).toEqual([of(one)])
      expect([await store.notary.divergence(two ?? ''), await store.notary.divergence(three ?? ''), await store.notary.openDivergences(1), await store.notary.openDivergences(2)]).toEqual([of(two, 9), null, { all: 1, recent: 1 }, { all: 1, recent: 0 }])
    })
  })
}

/** Commits what a notary notes, with these rows. */
async function note(store: Store, notes: Partial<UpstreamNotes>, drafts: readonly Draft[] = []): Promise<void> {
  const position = { source: 'plc.test', numbered: true, cursor: 0, highest: 0 }
  await store.underHead((locked) => {
    const { size, root, edge, clock } = locked.head
    const change = drafts.length > 0 ? round(locked.head, drafts) : { from: { size, root }, entries: [], nullified: [], tiles: [], to: { size, root, edge, clock } }
    return locked.append({ ...change, upstream: { position, runs: [], aside: [], mostAside: 100, settled: [], ...notes } })
  })
}

async function put(store: Store, drafts: readonly Draft[], nullified: readonly number[] = []): Promise<Append> {
  return store.underHead(async (locked) => {
    const change = round(locked.head, drafts, nullified)
    await locked.append(change)
    return change
  })
}

/** What an export gives, as values that can be compared and kept. */
function stored({ index, digest, nullified, entry }: StoredEntry): unknown {
  return { index, digest: new Uint8Array(digest), nullified, entry: new Uint8Array(entry) }
}

/** What an export must give of a row. */
function storedRow(row: EntryRow | undefined): unknown {
  if (row === undefined) throw new Error('no such row')
  return stored({ index: row.index, digest: parseCid(row.cid), nullified: row.nullified, entry: row.entry })
}

async function headOf(store: Store): Promise<Head> {
  return store.underHead(async ({ head }) => head)
}

async function refused(store: Store, change: Append, kind: new (message?: string) => Error): Promise<void> {
  const before = await snapshot(store)
  await expect(store.underHead((held) => held.append(change))).rejects.toThrow(kind)
  expect(await snapshot(store)).toEqual(before)
  // In one step it is no incident that somebody else was there first.
  const outcome: unknown = await store.appendNext(change, NEVER).catch((error: unknown) => error)
  if (change.from.size !== before.head?.size || !bytesEqual(change.from.root, before.head.root)) expect(outcome).toBeNull()
  else expect(outcome).toBeInstanceOf(kind)
  expect(outcome).not.toBeInstanceOf(UnknownOutcomeError)
  expect(await snapshot(store)).toEqual(before)
}

interface Snapshot {
  readonly head: Head | null
  readonly rows: readonly EntryRow[]
  readonly tiles: readonly Uint8Array[]
}

async function snapshot(store: Store): Promise<Snapshot> {
  const tiles = [0, 1, 7].map((index) => ({ level: 0, index, width: 256 }))
  return { head: await store.head(), rows: await store.entries(0, 1_000_000), tiles: await store.tiles(tiles) }
}
