// People who ask for proofs of the newest state, of whatever identity, from whoever holds a map.

import type { HeldMap } from '../../src/map/held-map.ts'
import type { Life } from '../support/interfere.ts'
import type { MapOracle } from './map-oracle.ts'
import type { Oracle } from './oracle.ts'
import type { Town } from './people.ts'

/** Whoever holds a map, and lives. */
export interface Prover {
  readonly life: Life
  readonly held: HeldMap
}

/** One proof in so many has every signature verified. */
const VERIFIED = 4

/** Asks now and then, until the town is not busy any more. */
export async function askForProofs(town: Town, map: MapOracle, provers: () => readonly Prover[]): Promise<void> {
  const { world: { random }, oracle } = town
  while (town.busy) {
    await town.world.sleep(random.below(8_000))
    const all = provers()
    if (all.length > 0) await ask(town, map, random.pick(all), random.oneIn(4) || oracle.dids.length === 0 ? nobody(random.below(1_000)) : random.pick(oracle.dids))
  }
}

async function ask(town: Town, map: MapOracle, { life, held }: Prover, did: string): Promise<void> {
  const oracle: Oracle = town.oracle
  const least = held.shown?.leaves ?? 0
  const text = await life.race(held.prove(did)).catch((error: unknown) => {
    oracle.check(!String(error).includes('assertion'), `a proof could not be made: ${String(error)}`)
    return null
  })
  if (text === null) oracle.saw('no proof at hand')
  else await map.proved(text, did, least, town.world.random.oneIn(VERIFIED))
}

// A DID that nobody has.
function nobody(n: number): string {
  return `did:plc:${String(n).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? 'a').padStart(24, 'z')}`
}
