// A million mutated inputs for each reader, or as many as fit into twenty minutes (STELE_FUZZ_SECONDS): how many is printed.

import { afterAll, describe, expect, it, vi } from 'vitest'
import { fuzz, fuzzSettings } from './fuzz.ts'
import { TARGETS } from './targets.ts'
import { endServing } from './targets/http.ts'

vi.mock('@noble/curves/ed25519.js', () => import('../support/native-ed25519.ts'))

const INPUTS = 1_000_000
const BUDGET_MS = Number(process.env['STELE_FUZZ_SECONDS'] ?? '1200') * 1000
const { seed } = fuzzSettings(2)

describe('whatever is put in, for long', () => {
  afterAll(endServing)

  it.each(TARGETS)('$name: nothing but a verdict comes out, or what goes in again', async (target) => {
    const { inputs, accepted, ms, slowestMs } = await fuzz(target, { seed, iterations: INPUTS, budgetMs: BUDGET_MS })
    process.stderr.write(`${target.name}: ${inputs} inputs, ${accepted} accepted, ${Math.round(ms / 1000)} s, the slowest ${Math.round(slowestMs)} ms\n`)
    expect(inputs).toBeGreaterThan(BUDGET_MS / 100)
  })
})
