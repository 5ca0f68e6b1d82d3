import { describe, expect, it, vi } from 'vitest'
import { EVERY_LIE } from './liar.ts'
import { simulate } from './simulation.ts'
import type { Sightings } from './oracle.ts'

vi.mock('@noble/curves/ed25519.js', () => import('../support/native-ed25519.ts'))

const SEEDS = 100
/** What the seeds must have seen, and how often at least: a directory that nothing befalls proves nothing. */
const OFTEN: Sightings = {
  accepted: 4_000,
  'accepted again': 700,
  rounds: 3_000,
  publications: 1_500,
  recoveries: 150,
  thefts: 100,
  tombstones: 30,
  crashes: 100,
  starts: 500,
  'second signers': 60,
  'failed starts': 150,
  'failed rounds': 800,
  'unknown outcomes': 50,
  'written in one step': 2_000,
  'clock faults': 500,
  'no reply': 2_000,
  'refused GENESIS_HASH': 250,
  'refused INVALID_SIGNATURE': 1_000,
  'refused LATE_RECOVERY': 2,
  'refused MISORDERED': 1_000,
  'refused RATE_LIMITED': 150,
  'refused STALE_PREV': 50,
  // of the seeds that have witnesses
  'seen by two': 300,
  'seen by three': 300,
  'witnesses answered 409': 70,
  'witnesses answered 422': 2,
  'witnesses down': 15,
  alarms: 10,
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
  'halts with evidence': 2,
  'contradictions seen': 1,
  // of those with a map
  'versions of the map': 500,
  'maps signed': 500,
  'map incidents': 300,
  'maps compared': 300,
  'proofs of presence': 150,
  'proofs of absence': 100,
  'proofs verified': 60,
  'wrong maps stopped at': 25,
  'trees cosigned': 250,
  'maps cosigned': 100,
  'maps cosigned that nobody had published': 3,
  'cosignatures given': 40,
  'cosigners answered NOT_VERIFIED': 60,
  'cosigners answered NO_MORE': 30,
  // of the seeds that have monitors
  'thefts watched': 30,
  'thefts told and undone': 25,
  'monitors told blind': 8,
  'crashes of monitors': 20,
  'mirrors cut off': 10,
  ...Object.fromEntries(EVERY_LIE.map((lie) => [`lies ${lie}`, 3])),
}
const only = process.env['STELE_SEED']

describe('a directory, its map, its mirrors and those who watch it, that live through everything', () => {
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
