import { copyFileSync, existsSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryError } from '../../src/core/errors.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { ContradictionError } from '../../src/log/consistency.ts'
import { GuardError, openGuard } from '../../src/log/guard.ts'
import { OpenLogError } from '../../src/log/open-log.ts'
import { adoptSigner, formatHandOver, handOver, parseHandOver, takeOver, type HandOver } from '../../src/log/signer.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { StaleSignerError, type Store } from '../../src/storage/store.ts'
import { interfereStore, Life } from '../support/interfere.ts'
import { naiveLeafHash } from '../support/naive-tree.ts'
import { person, type Person } from '../support/people.ts'
import { checkNotes } from '../support/scene.ts'
import { newLog, openWriter, ORIGIN, START_MS, TEST_KEY, type Remains } from '../support/writer.ts'

const KEYS = [TEST_KEY]
const [a, b, c, d] = [person('signer a'), person('signer b'), person('signer c'), person('signer d')]

describe('the signer', () => {
  let remains: Remains & Disposable
  let notes: string[]
  let newPath: string
  beforeEach(async () => {
    remains = await newLog()
    notes = []
    newPath = `${remains.guardPath}.new`
    await grow(remains, a, b)
  })
  afterEach(async () => {
    const rows = await remains.store.entries(0, Number.MAX_SAFE_INTEGER)
    checkNotes(notes, remains, rows.map((row) => naiveLeafHash(row.entry)))
    remains[Symbol.dispose]()
  })

  // Opens a writer, submits, publishes, closes.
  async function grow(place: Remains, ...people: readonly Person[]): Promise<void> {
    await using writer = await openWriter(place)
    for (const p of people) {
      await writer.submit(p.did, p.genesis)
      await writer.publish()
      notes.push((await place.store.publication())?.note ?? '')
    }
    await writer.check()
  }

  const guardIdNow = async (): Promise<string | undefined> => (await remains.store.head())?.guardId

  function handed(to = 'new'): HandOver {
    let kept: HandOver | null = null
    handOver(remains.guardPath, ORIGIN, to, (handOver) => (kept = handOver))
    if (kept === null) throw new Error('nothing was kept')
    return kept
  }

  // Another database of this log, grown under a copy of the guard as it was at the beginning.
  async function regrown(...people: readonly Person[]): Promise<Store> {
    const store = memoryStore({ now: () => START_MS })
    const other = await newLog()
    await store.create({ origin: ORIGIN, guardId: (await other.store.head())?.guardId ?? '', vkeys: KEYS.map(formatVerifierKey) })
    {
      await using writer = await openWriter({ ...other, store })
      for (const p of people) await writer.submit(p.did, p.genesis)
    }
    await store.setSigner((await store.head())?.guardId ?? '', { guardId: (await guardIdNow()) ?? '', vkeys: KEYS.map(formatVerifierKey) })
    other[Symbol.dispose]()
    return store
  }

  describe('handing over', () => {
    it('moves the right to sign with its memory: the old guard is refused, and every copy of it', async () => {
      copyFileSync(remains.guardPath, `${remains.guardPath}.copy`)
      const handOver = handed()
      expect(() => openGuard(remains.guardPath, ORIGIN)).toThrow(/retired: the log is signed with the guard new/)
      await takeOver(remains.store, KEYS, newPath, handOver)
      expect(await guardIdNow()).toBe('new')
      await grow({ ...remains, guardPath: newPath }, c)
      await expect(openWriter(remains)).rejects.toThrow(/retired/)
      await expect(openWriter({ ...remains, guardPath: `${remains.guardPath}.copy` })).rejects.toThrow(/names another guard \(new\)/)
      await grow({ ...remains, guardPath: newPath }, d)
    })

    it('is refused while the signer runs', async () => {
      await using writer = await openWriter(remains)
      expect(() => handed()).toThrow(/in use/)
      await writer.publish()
    })

    it('can be done twice to the same file, and again after it was cut short at any step', async () => {
      const handOver = handed()
      const steps = ['before head', 'after head', 'before tiles', 'after tiles', 'before publication', 'after publication', 'before setSigner', 'after setSigner']
      const seen: string[] = []
      const cutShort = (at: number): Store => {
        let left = at
        const step = (name: string): void => {
          seen.push(name)
          if (left-- === 0) throw new Error(`cut short ${name}`)
        }
        return interfereStore(remains.store, new Life(), { before: (call) => step(`before ${call}`), after: (call) => step(`after ${call}`) })
      }
      for (const [position, step] of steps.entries()) {
        await expect(takeOver(cutShort(position), KEYS, newPath, handOver)).rejects.toThrow(`cut short ${step}`)
      }
      await takeOver(cutShort(Infinity), KEYS, newPath, handOver)
      await takeOver(remains.store, KEYS, newPath, handOver)
      expect(await guardIdNow()).toBe('new')
      expect(new Set(seen)).toEqual(new Set(steps))
      await grow({ ...remains, guardPath: newPath }, c)
    })

    it('leaves the guard in force where the hand-over could not be kept', async () => {
      expect(() =>
        handOver(remains.guardPath, ORIGIN, 'new', () => {
          throw new Error('the disk is full')
        }),
      ).toThrow('the disk is full')
      await grow(remains, c)
    })

    it('is refused where the old signer went on after it, which still signs', async () => {
      let stale: HandOver | null = null
      expect(() =>
        handOver(remains.guardPath, ORIGIN, 'new', (kept) => {
          stale = kept
          throw new Error('killed')
        }),
      ).toThrow('killed')
      await grow(remains, c)
      if (stale === null) throw new Error('nothing was kept')
      await expect(takeOver(remains.store, KEYS, newPath, stale)).rejects.toThrow(/has gone on signing/)
      expect(existsSync(newPath)).toBe(false)
      await grow(remains, d)
    })

    it('is taken over by nobody where a third guard is recorded, and changes nothing', async () => {
      const handOver = handed()
      const vkeys = KEYS.map(formatVerifierKey)
      await remains.store.setSigner(handOver.from, { guardId: 'third', vkeys })
      await expect(takeOver(remains.store, KEYS, newPath, handOver)).rejects.toThrow(StaleSignerError)
      expect(await remains.store.head()).toMatchObject({ guardId: 'third', vkeys })
      await expect(openWriter({ ...remains, guardPath: newPath })).rejects.toThrow(/names another guard/)
    })

    it('is taken over by nobody over a database that went back or was regrown, and makes no guard', async () => {
      const handOver = handed()
      for (const store of [await regrown(a), await regrown(a, c), await regrown(b, a, c)]) {
        await expect(takeOver(store, KEYS, newPath, handOver)).rejects.toThrow(ContradictionError)
        expect((await store.head())?.guardId).toBe(handOver.from)
      }
      await expect(takeOver(memoryStore(), KEYS, newPath, handOver)).rejects.toThrow(OpenLogError)
      await expect(takeOver(remains.store, KEYS, newPath, { ...handOver, origin: 'another.test/log' })).rejects.toThrow(OpenLogError)
      expect(existsSync(newPath)).toBe(false)
    })

    it('is not taken over into a guard that belongs to somebody else', async () => {
      const first = handed('new')
      await takeOver(remains.store, KEYS, newPath, first)
      handOver(newPath, ORIGIN, 'newer', () => undefined)
      await expect(takeOver(remains.store, KEYS, newPath, { ...first, from: 'new', to: 'newer' })).rejects.toThrow(GuardError)
      expect(await guardIdNow()).toBe('new')
    })

    it('is a text of five lines, and no other text is one', () => {
      const handOver: HandOver = { origin: ORIGIN, from: 'f', to: 't', head: { size: 7, root: new Uint8Array(32).fill(1) } }
      const text = formatHandOver(handOver)
      expect(parseHandOver(text)).toEqual(handOver)
      expect(text.split('\n')).toHaveLength(6)
      const others = ['', text.trim(), `${text}\n`, text.replace('\n7\n', '\n07\n'), text.replace('\n7\n', '\n-7\n'), text.replace('v1', 'v2'), text.replace('f t', 'f  t'), text.replace(/\n[^\n]*=\n$/, '\nAA==\n')]
      for (const other of others) expect(() => parseHandOver(other), JSON.stringify(other)).toThrow(GuardError)
    })
  })

  describe('adopting', () => {
    const adopt = (checkpoints: readonly string[] = [], id = 'adopted', store = remains.store) => adoptSigner(store, KEYS, newPath, ORIGIN, id, checkpoints)

    it('remembers what is published, and refuses the old guard when it comes back', async () => {
      expect((await adopt()).size).toBe(2)
      expect(await guardIdNow()).toBe('adopted')
      await expect(openWriter(remains)).rejects.toThrow(/names another guard \(adopted\)/)
      await grow({ ...remains, guardPath: newPath }, c, d)
      await expect(openWriter(remains)).rejects.toThrow(/names another guard \(adopted\)/)
    })

    it('stops a signer that was thought to be lost and is still at work, before it signs again', async () => {
      await using writer = await openWriter(remains)
      await adopt()
      await writer.submit(c.did, c.genesis)
      await expect(writer.publish()).rejects.toThrow(GuardError)
      expect(writer.guard.last().size).toBe(2)
    })

    it('remembers a larger checkpoint that others hold', async () => {
      const store = await regrown(a, b)
      expect(await store.publication()).toBeNull()
      expect((await adopt([...notes].reverse(), 'adopted', store)).size).toBe(2)
      const guard = openGuard(newPath, ORIGIN)
      expect(guard.last().size).toBe(2)
      guard[Symbol.dispose]()
    })

    it('is refused where others hold a checkpoint that the database does not extend', async () => {
      await grow(remains, c, d)
      for (const store of [await regrown(a), await regrown(a, b, c), await regrown(b, a, c, d), await regrown(a, b, d, c)]) {
        const { guardId } = (await store.head()) ?? {}
        await expect(adopt(notes, 'adopted', store)).rejects.toThrow(ContradictionError)
        expect((await store.head())?.guardId).toBe(guardId)
        expect(existsSync(newPath)).toBe(false)
      }
    })

    it("is refused with another log's checkpoint, another key's, an altered one, and with nothing to remember", async () => {
      const other = makeSigningKey(ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(8))
      const [note = ''] = notes
      for (const given of [note.replaceAll(ORIGIN, 'another.test/log'), note.replace('\n1\n', '\n2\n'), 'no note']) {
        await expect(adopt([given])).rejects.toThrow(DirectoryError)
      }
      await expect(adoptSigner(remains.store, [other], newPath, ORIGIN, 'adopted', [])).rejects.toThrow(OpenLogError)
      await expect(adoptSigner(remains.store, [...KEYS, other], newPath, ORIGIN, 'adopted', [])).rejects.toThrow(OpenLogError)
      await expect(adopt([], 'adopted', await regrown(a))).rejects.toThrow(/nothing that a new guard could remember/)
      expect(existsSync(newPath)).toBe(false)
      await grow(remains, c)
    })

    it('can be begun again after it was cut short at any step', async () => {
      const steps = ['before head', 'after head', 'before publication', 'after publication', 'before tiles', 'after tiles', 'before setSigner', 'after setSigner']
      for (const [position, name] of steps.entries()) {
        let left = position
        const step = (seen: string): void => {
          if (left-- === 0) throw new Error(`cut short ${seen}`)
        }
        const store = interfereStore(remains.store, new Life(), { before: (call) => step(`before ${call}`), after: (call) => step(`after ${call}`) })
        await expect(adopt([], `adopted ${position}`, store)).rejects.toThrow(`cut short ${name}`)
      }
      await adopt([], 'adopted at last')
      await grow({ ...remains, guardPath: newPath }, c)
    })
  })
})
