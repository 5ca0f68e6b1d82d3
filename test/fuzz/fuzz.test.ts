// Ten thousand mutated inputs for each reader. `STELE_FUZZ_SEED` chooses others, `STELE_FUZZ_AT` an iteration of a finding.

import { afterAll, describe, expect, it, vi } from 'vitest'
import { fuzz, fuzzSettings, inputOf } from './fuzz.ts'
import { MAX_INPUT_BYTES } from './mutate.ts'
import { accepted, must, type Target } from './target.ts'
import { TARGETS } from './targets.ts'
import { endServing } from './targets/http.ts'
import { DirectoryError } from '../../src/core/errors.ts'

vi.mock('@noble/curves/ed25519.js', () => import('../support/native-ed25519.ts'))

const INPUTS = 10_000
const { seed, at } = fuzzSettings(1)

describe('whatever is put in', () => {
  afterAll(endServing)

  it.each(TARGETS)('$name: nothing but a verdict comes out, or what goes in again', async (target) => {
    const tally = await fuzz(target, at === null ? { seed, iterations: INPUTS } : { seed, from: at, iterations: 1 })
    if (at !== null) return
    expect(tally.inputs).toBe(INPUTS)
    // A target that accepts nothing, or everything, tests nothing.
    expect(tally.accepted).toBeGreaterThan(INPUTS * 0.04)
    expect(tally.accepted).toBeLessThan(INPUTS * 0.95)
  })

  it('has targets of different names', () => {
    expect(new Set(TARGETS.map((target) => target.name)).size).toBe(TARGETS.length)
  })
})

describe('the fuzzer', () => {
  const target: Target = { name: 'sample', form: 'text', seeds: [Buffer.from('abc 12 abc')], words: ['word'], run: () => true }

  it('makes the same input from the same seed and iteration, and another from another', () => {
    const inputs = (seed: number): string[] => Array.from({ length: 50 }, (_, i) => Buffer.from(inputOf(target, seed, i)).toString('hex'))
    expect(inputs(1)).toEqual(inputs(1))
    expect(inputs(1)).not.toEqual(inputs(2))
    expect(new Set(inputs(1)).size).toBeGreaterThan(30)
  })

  it('makes no input longer than it says', () => {
    for (const target of TARGETS) for (let i = 0; i < 200; i++) expect(inputOf(target, 3, i).length).toBeLessThanOrEqual(MAX_INPUT_BYTES)
  })

  it('finds what throws anything but a verdict, and says where', async () => {
    const broken: Target = {
      ...target,
      run: (input) => input.includes(0x80) ? JSON.parse('') : accepted(() => { throw new DirectoryError('MALFORMED_TEXT') }) === null,
    }
    await expect(fuzz(broken, { seed: 1, iterations: 10_000 })).rejects.toThrow(/^sample: seed 1, iteration \d+: Unexpected end of JSON input/)
  })

  it('finds what does not hold', async () => {
    const broken: Target = { ...target, run: (input) => { must(!Buffer.from(input).includes('12 12'), 'nothing is said twice'); return true } }
    await expect(fuzz(broken, { seed: 1, iterations: 10_000 })).rejects.toThrow('nothing is said twice')
  })

  it('finds what takes too long every time, and not what does so once', async () => {
    const wait = (ms: number): void => { for (const end = performance.now() + ms; performance.now() < end; ); }
    let runs = 0
    const once: Target = { ...target, maxMs: 20, run: () => { if (runs++ === 0) wait(30); return true } }
    expect((await fuzz(once, { seed: 1, iterations: 10 })).inputs).toBe(10)
    const always: Target = { ...target, maxMs: 20, run: () => { wait(30); return true } }
    await expect(fuzz(always, { seed: 1, iterations: 10 })).rejects.toThrow(/took \d+ ms, 20 are allowed/)
  })

  it('finds a valid input that is refused', async () => {
    await expect(fuzz({ ...target, run: () => false }, { seed: 1, iterations: 10 })).rejects.toThrow('a valid input is refused')
  })

  it('ends where its time is over', async () => {
    const slow: Target = { ...target, run: () => new Promise((resolve) => setTimeout(resolve, 5, true)) }
    expect((await fuzz(slow, { seed: 1, iterations: 10_000, budgetMs: 50 })).inputs).toBeLessThan(30)
  })
})
