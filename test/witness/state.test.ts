import { copyFileSync, existsSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { createCosigner } from '../../src/witness/cosigner.ts'
import { WITNESS_LIMITS } from '../../src/witness/limits.ts'
import { WitnessRefusal } from '../../src/witness/refusal.ts'
import { logId, openState, StateFailure, StateFullError, type Cosigned, type StateFile, type Suspect, type WitnessState } from '../../src/witness/state.ts'
import { createWitness, type Witness } from '../../src/witness/witness.ts'
import { leafLog, newFolder, openAnswer } from '../support/witness.ts'

const log = leafLog('log.example')
const fork = leafLog('log.example', { forkAt: 4 })
const cosigned = (size: number, timestamp = 1000 + size): Cosigned => ({ ...log.checkpoint(size), timestamp, note: `note ${size} ${timestamp}` })

let folder: ReturnType<typeof newFolder>
beforeEach(() => (folder = newFolder()))
afterEach(() => folder[Symbol.dispose]())
const path = (name = 'witness.sqlite') => join(folder.path, name)

describe('the state', () => {
  it('is what was written last, also after it was opened again', () => {
    {
      using state = openState(path(), true)
      expect([state.latest(log.origin), state.vkeys, state.suspects(log.origin)]).toEqual([null, null, []])
      state.advance(null, cosigned(5))
      state.advance(cosigned(5), cosigned(9))
      state.advance(cosigned(9), cosigned(9, 2000))
      state.setKeys(['a', 'b'])
    }
    using state = openState(path(), false)
    expect(state.latest(log.origin)).toEqual(cosigned(9, 2000))
    expect(state.latestById(logId(log.origin))).toEqual(cosigned(9, 2000))
    expect([state.latest('other.example'), state.latestById('00'), state.vkeys]).toEqual([null, null, ['a', 'b']])
  })

  it('never goes back in size or time, never changes its root, and moves from nothing but what it holds', () => {
    using state = openState(path(), true)
    state.advance(null, cosigned(9))
    const wrong: [Cosigned | null, Cosigned][] = [
      [null, cosigned(10)],
      [cosigned(8), cosigned(10)],
      [{ ...cosigned(9), timestamp: 1 }, cosigned(10)],
      [{ ...cosigned(9), root: fork.checkpoint(9).root }, cosigned(10)],
      [cosigned(9), cosigned(8, 5000)],
      [cosigned(9), cosigned(10, 1008)],
      [cosigned(9), { ...cosigned(9, 5000), root: fork.checkpoint(9).root }],
    ]
    state[Symbol.dispose]()
    for (const [from, to] of wrong) {
      using anew = openState(path(), false)
      expect(() => anew.advance(from, to)).toThrow(StateFailure)
      expect(() => anew.latest(log.origin)).toThrow(Error)
    }
    using last = openState(path(), false)
    expect(last.latest(log.origin)).toEqual(cosigned(9))
  })

  it('is open in one process alone', () => {
    using state = openState(path(), true)
    expect(() => openState(path(), true)).toThrow('in use')
    state.advance(null, cosigned(1))
  })

  it.each([
    ['no database', (file: string) => writeFileSync(file, 'x'.repeat(5000)), 'cannot be used'],
    ['another database', (file: string) => new DatabaseSync(file).exec('CREATE TABLE guard (one)'), 'not the state'],
    ['one of a later version', (file: string) => (openState(file, true)[Symbol.dispose](), new DatabaseSync(file).exec('UPDATE witness SET version = 2')), 'version 2'],
    ['empty, where it may not begin', (file: string) => writeFileSync(file, ''), 'is empty'],
  ])('is refused where the file is %s', (_, make, words) => {
    make(path())
    expect(() => openState(path(), false)).toThrow(words)
  })

  it('keeps the first contradictions of a log and the last checkpoints without proof, each once', () => {
    using state = openState(path(), true)
    const suspect = (kind: Suspect['kind'], size: number): Suspect => ({ kind, ...fork.checkpoint(size), at: size, known: null, submitted: `note ${size}`, oldSize: 1, proof: [fork.checkpoint(1).root] })
    const { contradictions, unproven } = WITNESS_LIMITS
    for (let size = 0; size < contradictions + 3; size++) {
      expect(state.keep(suspect('contradiction', size))).toBe(size < contradictions)
      expect(state.keep(suspect('contradiction', size))).toBe(false)
    }
    for (let size = 0; size < unproven + 3; size++) expect(state.keep(suspect('unproven', size))).toBe(true)
    expect(state.keep(suspect('unproven', unproven + 2))).toBe(false)
    const kept = state.suspects(log.origin)
    expect(kept.filter(({ kind }) => kind === 'contradiction').map(({ size }) => size)).toEqual(Array.from({ length: contradictions }, (_, i) => i))
    expect(kept.filter(({ kind }) => kind === 'unproven').map(({ size }) => size)).toEqual(Array.from({ length: unproven }, (_, i) => i + 3))
    expect(kept[0]).toEqual(suspect('contradiction', 0))
    expect(state.suspects('other.example')).toEqual([])
  })
})

// The places at which a process can end while it answers, in their order.
const STEPS = ['before it reads', 'after it read', 'before the first key signs', 'after the last key signed', 'before it writes', 'after it wrote'] as const
type Step = (typeof STEPS)[number]

const ROUNDS = 10

class Crash extends Error {}

describe('a witness that ends at any step of an answer', () => {
  const keys = [makeSigningKey('w.example', KEY_TYPES.cosignature, new Uint8Array(32).fill(8))]
  const [sign] = keys.map(createCosigner)
  if (sign === undefined) throw new Error('a cosigner')

  it.each(STEPS)('%s, has never signed less or other than what it answered, and goes on from its file', (step) => {
    let [life, now, crashes] = [0, 1_800_000_000_000, 0]
    let state = openState(path('0'), true)
    let armed = false
    const at = (here: Step): void => {
      if (armed && here === step) throw new Crash()
    }
    // The file and its journal as they are at this moment are what a killed process leaves behind.
    const restart = (): Witness => {
      life++
      for (const name of ['', '-journal', '-wal']) if (existsSync(path(`${life - 1}${name}`))) copyFileSync(path(`${life - 1}${name}`), path(`${life}${name}`))
      state[Symbol.dispose]()
      state = openState(path(String(life)), false)
      return open()
    }
    const open = (): Witness => {
      const watched: WitnessState = {
        latest(origin) {
          at('before it reads')
          const latest = state.latest(origin)
          at('after it read')
          return latest
        },
        latestById: (id) => state.latestById(id),
        suspects: (origin) => state.suspects(origin),
        keep: (suspect) => state.keep(suspect),
        advance(from, to) {
          at('before it writes')
          state.advance(from, to)
          at('after it wrote')
        },
      }
      const cosigners = [{
        ...sign,
        cosign(...parts: Parameters<typeof sign.cosign>) {
          at('before the first key signs')
          const signature = sign.cosign(...parts)
          at('after the last key signed')
          return signature
        },
      }]
      return createWitness({ state: watched, cosigners, logKeys: [log.key], logRate: 0, now: () => now, elapsed: () => 0, log: () => undefined })
    }

    let witness = open()
    const answered: { size: number; timestamp: number; root: Uint8Array }[] = []
    const submit = (from: typeof log, oldSize: number, size: number): void => {
      now += 500
      const answer = witness.addCheckpoint(from.body(oldSize, size))
      const [cosignature] = openAnswer(answer, from.note(size), keys)
      answered.push({ ...from.checkpoint(size), timestamp: cosignature?.timestamp ?? 0 })
    }
    submit(log, 0, 5)
    for (let round = 0; round < ROUNDS; round++) {
      const last = state.latest(log.origin)?.size ?? 0
      // Each round a crash while the log goes on, then both branches try their luck.
      armed = true
      try {
        submit(log, last, last + 1 + (round % 3))
      } catch (error) {
        if (!(error instanceof Crash)) throw error
        crashes++
        witness = restart()
      }
      armed = false
      const known = state.latest(log.origin)?.size ?? 0
      for (const answer of answered) expect(known).toBeGreaterThanOrEqual(answer.size)
      for (const from of round % 2 === 0 ? [fork, log] : [log, fork]) {
        for (const size of [known, known + 2]) {
          try {
            submit(from, known, size)
          } catch (error) {
            if (!(error instanceof WitnessRefusal)) throw error
          }
        }
      }
    }
    expect(crashes).toBe(ROUNDS)
    expect(answered.length).toBeGreaterThan(ROUNDS)
    // One branch, sizes and times that never go back: nothing that was answered contradicts anything else.
    for (const [i, { size, timestamp, root }] of answered.entries()) {
      expect(root).toEqual(log.checkpoint(size).root)
      expect(size).toBeGreaterThanOrEqual(answered[i - 1]?.size ?? 0)
      expect(timestamp).toBeGreaterThanOrEqual(answered[i - 1]?.timestamp ?? 0)
    }
    const latest = state.latest(log.origin)
    expect(latest?.size).toBeGreaterThanOrEqual(answered.at(-1)?.size ?? 0)
    expect(parseNote(latest?.note ?? '').signatures).toHaveLength(2)
    state[Symbol.dispose]()
  })

  it('because the disk is full, refuses and remembers what it did', () => {
    using state: StateFile = openState(path(), true)
    const full = { ...state, advance: (): never => { throw new StateFullError('full') } }
    const open = (over: WitnessState): Witness => createWitness({ state: over, cosigners: keys.map(createCosigner), logKeys: [log.key], now: () => 1e12, elapsed: () => 0, log: () => undefined })
    expect(() => open(full).addCheckpoint(log.body(0, 5))).toThrow(expect.objectContaining({ code: 'UNAVAILABLE', status: 503 }))
    expect(state.latest(log.origin)).toBeNull()
    open(state).addCheckpoint(log.body(0, 5))
    // What it cannot keep it refuses all the same.
    const tight = { ...state, keep: (): never => { throw new StateFullError('full') } }
    expect(() => open(tight).addCheckpoint(fork.body(5, 5))).toThrow(expect.objectContaining({ code: 'CONTRADICTION', status: 422 }))
  })
})
