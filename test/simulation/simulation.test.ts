import { describe, expect, it } from 'vitest'
import { EVERY_LIE } from './liar.ts'
import { simulate } from './simulation.ts'
import type { Sightings } from './oracle.ts'

const SEEDS = 100
/** What the seeds must have seen, and how often at least: a directory that nothing befalls proves nothing. */
const OFTEN: Sightings = {
  accepted: 5_000,
  'accepted again': 1_000,
  rounds: 4_000,
  publications: 2_000,
  recoveries: 200,
  thefts: 150,
  tombstones: 50,
  crashes: 200,
  starts: 800,
  'second signers': 100,
  'failed starts': 200,
  'failed rounds': 1_000,
  'unknown outcomes': 100,
  'clock faults': 500,
  'no reply': 2_000,
  'refused GENESIS_HASH': 400,
  'refused INVALID_SIGNATURE': 1_000,
  'refused LATE_RECOVERY': 5,
  'refused MISORDERED': 1_000,
  'refused RATE_LIMITED': 300,
  'refused STALE_PREV': 80,
  // of the seeds that have witnesses
  'seen by two': 300,
  'seen by three': 300,
  'witnesses answered 409': 150,
  'witnesses answered 422': 5,
  'witnesses down': 30,
  alarms: 30,
  // of the seeds that have mirrors
  'starts of mirrors': 60,
  'crashes of mirrors': 20,
  partitions: 10,
  'mirrors advanced': 250,
  'checkpoints reached': 250,
  'mirrors at the head': 15,
  frames: 600,
  'bundles read': 150,
  'upstreams lying': 20,
  'entries rejected': 20,
  'halts with evidence': 4,
  'contradictions seen': 1,
  ...Object.fromEntries(EVERY_LIE.map((lie) => [`lies ${lie}`, 3])),
}
const only = process.env['STELE_SEED']

describe('a directory, and its mirrors, that live through everything', () => {
  if (only !== undefined) {
    it(`keeps every promise with seed ${only}`, async () => {
      console.log(await simulate(Number(only)))
    })
    return
  }

  const seen: Sightings = {}
  for (let block = 0; block < 10; block++) {
    const seeds = Array.from({ length: SEEDS / 10 }, (_, n) => (block * SEEDS) / 10 + n)
    it(`keeps every promise with seeds ${seeds[0]} to ${seeds.at(-1)}`, async () => {
      for (const seed of seeds) {
        const { sightings } = await simulate(seed)
        for (const [what, count] of Object.entries(sightings)) seen[what] = (seen[what] ?? 0) + count
      }
    })
  }

  it('has lived through all that there is', () => {
    const often = Object.fromEntries(Object.entries(OFTEN).map(([what, least]) => [what, Math.min(seen[what] ?? 0, least)]))
    expect(often).toEqual(OFTEN)
  })

  it('lives the same life again for the same seed', async () => {
    for (const seed of [3, 1]) expect(await simulate(seed)).toEqual(await simulate(seed))
  })
})
