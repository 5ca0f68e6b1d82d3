// The keys of a log come and go while its tree, its guard and its witnesses stay.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verdictOf } from '../../src/core/errors.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { openKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { openUnderPolicy } from '../../src/core/tlog/policy.ts'
import { ContradictionError } from '../../src/log/consistency.ts'
import { openGuard } from '../../src/log/guard.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { OpenLogError } from '../../src/log/open-log.ts'
import { addKey, retireKey } from '../../src/log/rotation.ts'
import { Witnesses } from '../../src/log/witnesses.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Store } from '../../src/storage/store.ts'
import { askFakes, fakeWitness, handClock, policyOf, settle, type FakeWitness } from '../support/fake-witness.ts'
import { interfereStore, Life } from '../support/interfere.ts'
import { naiveLeafHash } from '../support/naive-tree.ts'
import { person, type Person } from '../support/people.ts'
import { checkNotes } from '../support/scene.ts'
import { newLog, openWriter, ORIGIN, START_MS, TEST_KEY as OLD, type Remains } from '../support/writer.ts'

const NEW = makeSigningKey(ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(8))
const NEWER = makeSigningKey(ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(9))
const LATTICE = makeSigningKey(ORIGIN, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(7))
const LATTICE_2 = makeSigningKey(ORIGIN, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(8))
const ALL = [OLD, NEW, NEWER, LATTICE, LATTICE_2]
const people = Array.from({ length: 12 }, (_, i) => person(`rotation ${i}`))

const ids = (keys: readonly { readonly id: string }[]): string[] => keys.map(({ id }) => id)

describe('the keys of a log', () => {
  let remains: Remains & Disposable
  /** What the key file holds. */
  let file: readonly SigningKey[]
  let notes: string[]
  let next: number

  beforeEach(async () => {
    remains = await newLog()
    file = [OLD]
    notes = []
    next = 0
    await grow()
  })
  afterEach(async () => {
    const rows = await remains.store.entries(0, Number.MAX_SAFE_INTEGER)
    checkNotes(notes, { keys: ALL }, rows.map((row) => naiveLeafHash(row.entry)))
    remains[Symbol.dispose]()
  })

  /** Starts the directory with the key file as it is, takes an operation, publishes it, and stops. */
  async function grow(place: Partial<Remains> = {}): Promise<string> {
    await using writer = await openWriter({ ...remains, keys: file, ...place })
    const { did, genesis } = people[next++] as Person
    await writer.submit(did, genesis)
    await writer.publish()
    await writer.check()
    const note = (await (place.store ?? remains.store).publication())?.note ?? ''
    notes.push(note)
    return note
  }

  async function add(key: SigningKey, store = remains.store, keep = (keys: readonly SigningKey[]): void => void (file = keys)): Promise<void> {
    using guard = openGuard(remains.guardPath, ORIGIN)
    await addKey({ store, guard, keys: file, keep }, key)
  }

  async function retire(key: SigningKey, { store = remains.store, accepted = () => Promise.resolve(), keep = (keys) => void (file = keys) }: { store?: Store; accepted?: Parameters<typeof retireKey>[2]; keep?: (keys: readonly SigningKey[]) => void } = {}): Promise<void> {
    using guard = openGuard(remains.guardPath, ORIGIN)
    await retireKey({ store, guard, keys: file, keep }, key.id, accepted)
  }

  const signersOf = (note: string): string[] => ids(parseNote(note).signatures)
  const vkeysNow = async (): Promise<readonly string[] | undefined> => (await remains.store.head())?.vkeys
  const statement = async (): Promise<string> => (await remains.store.keyStatement()) ?? ''

  it('are announced by those that sign already, sign side by side, and go: whoever knows one of them finds the others', async () => {
    const first = notes[0] ?? ''
    expect(openKeyStatement(await statement(), [OLD])).toMatchObject({ origin: ORIGIN, retired: [] })
    await add(NEW)
    expect(signersOf((await remains.store.publication())?.note ?? ''), 'what is published is signed at once').toEqual(ids([OLD, NEW]))
    for (const known of [OLD, NEW]) expect(ids(openKeyStatement(await statement(), [known]).signing)).toEqual(ids([OLD, NEW]))
    const both = await grow()
    expect(signersOf(both)).toEqual(ids([OLD, NEW]))
    for (const known of [[OLD], [NEW], [OLD, NEW]]) expect(openCheckpoint(both, known).verified).toHaveLength(known.length)
    await retire(OLD)
    const last = await grow()
    expect(signersOf(last)).toEqual([NEW.id])
    expect(openCheckpoint(first, [OLD, NEW]).checkpoint.size, 'old receipts verify with the keys that are kept').toBe(1)
    for (const known of [OLD, NEW]) {
      const { signing, retired } = openKeyStatement(await statement(), [known])
      expect([ids(signing), ids(retired)]).toEqual([[NEW.id], [OLD.id]])
    }
  })

  it('of both kinds sign each checkpoint, Ed25519 first, and each kind can be changed', async () => {
    await add(LATTICE)
    expect(signersOf(await grow())).toEqual(ids([OLD, LATTICE]))
    await add(LATTICE_2)
    await add(NEW)
    const four = await grow()
    expect(signersOf(four)).toEqual(ids([OLD, NEW, LATTICE, LATTICE_2]))
    expect(openCheckpoint(four, ALL).verified).toHaveLength(4)
    await retire(LATTICE)
    await retire(OLD)
    expect(signersOf(await grow())).toEqual(ids([NEW, LATTICE_2]))
    expect(ids(openKeyStatement(await statement(), [NEW]).retired)).toEqual(ids([LATTICE, OLD]))
  })

  it('of another kind make nothing acceptable: of those that a reader knows an Ed25519 key must have signed', async () => {
    await add(LATTICE)
    const note = await grow()
    const lattice = note.replace(/^\u2014 .*\n/m, '')
    expect(signersOf(lattice)).toEqual([LATTICE.id])
    expect(verdictOf(() => openCheckpoint(lattice, [OLD, LATTICE])).verdict?.code).toBe('UNTRUSTED_NOTE')
    expect(openCheckpoint(lattice, [LATTICE]).verified).toHaveLength(1)
    const spoiled = note.replace(/.{8}\n$/, 'AAAAAAA=\n')
    expect(verdictOf(() => openCheckpoint(spoiled, [OLD, LATTICE])).verdict?.code).toBe('INVALID_NOTE_SIGNATURE')
    expect(openCheckpoint(spoiled, [OLD]).verified).toHaveLength(1)
  })

  it('cannot be left out by whoever starts the directory with the old key file, nor taken in by whoever edits it', async () => {
    await add(NEW)
    for (const [keys, words] of [
      [[OLD], new RegExp(`signed with the key ${ORIGIN}\\+${NEW.id} too, which is not at hand.*retire-key ${NEW.id}`)],
      [[NEW], new RegExp(`\\+${OLD.id} too`)],
      [[OLD, NEW, LATTICE], new RegExp(`holds the key ${ORIGIN}\\+${LATTICE.id}, with which this log is not signed`)],
    ] as const) {
      await expect(openWriter({ ...remains, keys })).rejects.toThrow(words)
      await expect(openWriter({ ...remains, keys })).rejects.toThrow(OpenLogError)
    }
    await grow()
  })

  it('are refused where they cannot sign for this log, and nothing changes', async () => {
    const before = await remains.store.head()
    const stranger = makeSigningKey('another.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(1))
    await expect(add(stranger)).rejects.toThrow(/of another\.test\/log/)
    await expect(add(makeSigningKey(ORIGIN, KEY_TYPES.cosignature, new Uint8Array(32).fill(1)))).rejects.toThrow()
    await expect(retire(OLD)).rejects.toThrow(/always signs with an Ed25519 key/)
    await expect(retire(NEW)).rejects.toThrow(/names no key of this log with the id/)
    expect(await remains.store.head()).toEqual(before)
    await add(NEW)
    await expect(add(NEWER)).rejects.toThrow(/2 keys of this kind, as many as can sign at a time/)
    await add(LATTICE)
    file = [OLD, LATTICE]
    await expect(retire(OLD)).rejects.toThrow(new RegExp(`${NEW.id} is not at hand`))
    await expect(add(LATTICE_2)).rejects.toThrow(new RegExp(`${NEW.id} is not at hand`))
    expect(await vkeysNow()).toEqual([OLD, NEW, LATTICE].map(formatVerifierKey))
  })

  it('do not change while a directory signs', async () => {
    await using writer = await openWriter(remains)
    await expect(add(NEW)).rejects.toThrow(/in use/)
    await expect(retire(OLD)).rejects.toThrow(/in use/)
    await writer.publish()
  })

  it('may be lost one by one: what remains signs on', async () => {
    await add(NEW)
    await grow()
    file = [OLD]
    await retire(NEW)
    expect(signersOf(await grow())).toEqual([OLD.id])
    expect(openKeyStatement(await statement(), [OLD]).retired).toHaveLength(1)
    expect(verdictOf(() => openKeyStatement(notes[0] ?? '', [OLD])).verdict?.code, 'a checkpoint is no statement').toBe('MALFORMED_NOTE')
  })

  it('leave the memory of the guard as it is: a database from before is refused under the new key as under the old', async () => {
    const size = (): number => {
      using guard = openGuard(remains.guardPath, ORIGIN)
      return guard.last().size
    }
    await grow()
    const before = size()
    await add(NEW)
    await retire(OLD)
    expect(size()).toBe(before)
    const yesterday = memoryStore({ now: () => START_MS })
    await yesterday.create({ origin: ORIGIN, guardId: (await remains.store.head())?.guardId ?? '', vkeys: [formatVerifierKey(NEW)] })
    await expect(openWriter({ ...remains, keys: file, store: yesterday })).rejects.toThrow(ContradictionError)
    file = [NEW]
    using guard = openGuard(remains.guardPath, ORIGIN)
    await expect(addKey({ store: yesterday, guard, keys: file, keep: () => undefined }, NEWER)).rejects.toThrow(ContradictionError)
  })

  describe('cut short', () => {
    const ADD = ['before head', 'after head', 'before head', 'after head', 'before tiles', 'after tiles', 'before publication', 'after publication', 'before tiles', 'after tiles', 'before keep', 'after keep',
      'before publication', 'after publication', 'before publish', 'after publish', 'before keyStatement', 'after keyStatement', 'before setSigner', 'after setSigner']
    const RETIRE = ['before head', 'after head', 'before keyStatement', 'after keyStatement', 'before head', 'after head', 'before tiles', 'after tiles', 'before publication', 'after publication', 'before tiles', 'after tiles',
      'before publication', 'after publication', 'before accepted', 'after accepted', 'before setSigner', 'after setSigner', 'before keep', 'after keep']

    /** Runs a change of keys that ends at a step, or not at all. */
    async function change(act: 'add' | 'retire', fatal: number): Promise<string[]> {
      const seen: string[] = []
      const step = (name: string): void => {
        seen.push(name)
        if (seen.length - 1 === fatal) throw new Error(`cut short ${name}`)
      }
      const store = interfereStore(remains.store, new Life(), { before: (call) => step(`before ${call}`), after: (call) => step(`after ${call}`) })
      const keep = (keys: readonly SigningKey[]): void => {
        step('before keep')
        file = keys
        step('after keep')
      }
      if (act === 'add') await add(NEW, store, keep)
      else
        await retire(OLD, {
          store, keep,
          async accepted() {
            step('before accepted')
            step('after accepted')
          },
        })
      return seen
    }

    it('has no other steps', async () => {
      expect(await change('add', Infinity)).toEqual(ADD)
      expect(await change('retire', Infinity)).toEqual(RETIRE)
    })

    for (const [act, steps] of [['add', ADD], ['retire', RETIRE]] as const) {
      for (const [position, name] of steps.entries()) {
        it(`to ${act} one, ${name} (step ${position + 1}), it is as before, or refused until it is done again`, async () => {
          if (act === 'retire') {
            await add(NEW)
            await grow()
          }
          await expect(change(act, position)).rejects.toThrow(`cut short ${name}`)
          const names = await vkeysNow()
          if (names?.join() === file.map(formatVerifierKey).join()) expect(signersOf(await grow())).toEqual(ids(file))
          else await expect(grow()).rejects.toThrow(/Do it again: stele signer add-key FILE, or stele signer retire-key [0-9a-f]{8}|which is not at hand/)
          if (act === 'retire' && !file.includes(OLD)) expect(names).toEqual([formatVerifierKey(NEW)])
          else await change(act, Infinity)
          expect(signersOf(await grow())).toEqual(ids(act === 'add' ? [OLD, NEW] : [NEW]))
          expect(openKeyStatement(await statement(), [OLD]).signing.length).toBe(act === 'add' ? 2 : 1)
        })
      }
    }
  })

  describe('under witnesses', () => {
    let fakes: FakeWitness[]
    const knows = { old: [OLD], new: [NEW], both: [OLD, NEW] }
    beforeEach(() => {
      fakes = Object.entries(knows).map(([name, keys]) => fakeWitness(name, keys, () => START_MS))
    })

    /** Starts the directory under a policy that all three must meet, takes an operation, and publishes it. */
    async function witnessed(policy = policyOf(file, fakes, 'group all all old new both\nquorum all')): Promise<string> {
      const witnesses = (store: Store, guard: { last(): { size: number } }): Witnesses =>
        new Witnesses({ policy, keys: file, rates: new Map(), failOpen: false, store, ask: askFakes(fakes), clock: handClock(START_MS), lastSigned: () => guard.last().size, keepAlarm: () => 'a file', log: () => undefined })
      const note = await grow({ witnesses })
      await settle()
      expect(openUnderPolicy(note, policy).verified.length).toBeGreaterThan(file.length)
      return note
    }

    it('that know the old key, the new one or both, all accept every checkpoint while both sign', async () => {
      await add(NEW)
      await witnessed()
      await witnessed()
      expect(fakes.map((fake) => fake.latest(ORIGIN)?.size)).toEqual([3, 3, 3])
    })

    it('stays a key until every one of them accepts what is signed without it', async () => {
      const ask = async (publication: Parameters<Parameters<typeof retireKey>[2]>[0], keys: readonly SigningKey[]): Promise<void> => {
        const policy = policyOf([OLD, NEW], fakes, 'group all all old new both\nquorum all')
        const witnesses = new Witnesses({ policy, keys, rates: new Map(), failOpen: false, store: remains.store, ask: askFakes(fakes), clock: handClock(START_MS), lastSigned: () => publication.size, keepAlarm: () => 'a file', log: () => undefined })
        await witnesses.ask(publication)
        const refusals = witnesses.report().witnesses.filter(({ refusal }) => refusal !== null)
        if (refusals.length > 0) throw new Error(refusals.map(({ name, refusal }) => `${name}: ${refusal}`).join())
      }
      await add(NEW)
      await witnessed()
      await expect(retire(OLD, { accepted: ask })).rejects.toThrow(/^old: it does not accept the log's signature \(403\)/)
      expect([await vkeysNow(), file]).toEqual([[OLD, NEW].map(formatVerifierKey), [OLD, NEW]])
      const [old, ...rest] = fakes
      fakes = [fakeWitness('old', [OLD, NEW], () => START_MS), ...rest]
      fakes[0]?.pretend(ORIGIN, old?.latest(ORIGIN) ?? null)
      await retire(OLD, { accepted: ask })
      expect(signersOf(await witnessed()).filter((id) => id === OLD.id)).toEqual([])
    })

    it('have requests that every witness takes, with as many keys as there can be', async () => {
      for (const key of [LATTICE, LATTICE_2, NEW]) await add(key)
      await witnessed()
      for (const { requests } of fakes) for (const body of requests) expect(Buffer.byteLength(body)).toBeLessThan(WRITER_LIMITS.witnessRequestBytes)
    })
  })
})
