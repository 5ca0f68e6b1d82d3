import { it, vi } from 'vitest'
import { simulate } from './simulation.ts'

vi.mock('@noble/curves/ed25519.js', () => import('../support/native-ed25519.ts'))

/** How long, milliseconds. */
const BUDGET_MS = Number(process.env['STELE_SIMULATION_SECONDS'] ?? '900') * 1000
/** Beyond those of the short test. */
const FIRST_SEED = 1_000

it('keeps every promise with as many seeds as there is time for', async () => {
  const endsAt = performance.now() + BUDGET_MS
  let seed = FIRST_SEED
  let steps = 0
  let entries = 0
  for (; performance.now() < endsAt; seed++) {
    const outcome = await simulate(seed)
    steps += outcome.steps
    entries += outcome.entries
  }
  console.log(`${seed - FIRST_SEED} simulations, ${steps} steps, ${entries} entries; the next seed is ${seed}`)
})
