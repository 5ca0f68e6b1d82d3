import { afterEach, describe, expect, it } from 'vitest'
import { encodeEntry } from '../../src/core/entry.ts'
import { verifyStateProof, type ProvedState } from '../../src/core/state-proof.ts'
import { ReadMap } from '../../src/map/read-map.ts'
import type { Store } from '../../src/storage/store.ts'
import { systemClock } from '../../src/system.ts'
import { MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'
import { emptyLog, FIRST_MS, identityLeaves, LOG_KEY, publishAll } from '../support/stored-log.ts'

const frank = person('r frank')
const leaf = (operation: typeof frank.genesis, second: number): Uint8Array => encodeEntry({ did: frank.did, createdAt: FIRST_MS + second * 1_000, operation, source: null })

const sites: MapSite[] = []
afterEach(async () => {
  for (const site of sites.splice(0)) await site[Symbol.asyncDispose]()
})

async function site(): Promise<MapSite> {
  const store = await emptyLog()
  await publishAll(store)
  const made = await mapSite(store)
  sites.push(made)
  return made
}

async function proved(map: ReadMap, did: string): Promise<ProvedState> {
  const text = await map.prove(did)
  if (text === null) throw new Error('no version is at hand')
  return verifyStateProof(text, did, { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null })
}

describe('a map that another process writes', () => {
  it('is proved by its newest version, however far the reader was behind', async () => {
    const made = await site()
    const [early, late] = [new ReadMap(made.store, systemClock), new ReadMap(made.store, systemClock)]
    expect(await early.prove(frank.did), 'nothing is published yet').toBeNull()
    const leaves = [...identityLeaves(30), leaf(frank.genesis, 100), ...identityLeaves(60).slice(30), leaf(frank.update(frank.genesis), 200), leaf(frank.tombstone(frank.update(frank.genesis)), 201)]
    made.start()
    for (const size of [7, 31, 32, 62, 63]) {
      await made.grow(leaves.slice((await made.store.head())?.size ?? 0, size))
      await made.shows(size)
      expect(await proved(early, frank.did)).toMatchObject({ leaf: { size }, state: size < 31 ? null : { deactivated: size === 63, entries: [1, 1, 2, 3][[31, 32, 62, 63].indexOf(size)] } })
      expect(early.shown?.leaf.size).toBe(size)
    }
    expect(await proved(late, frank.did)).toMatchObject({ leaf: { size: 63 }, state: { deactivated: true } })
  })

  it('is proved while it is being written, whatever was read of it before', async () => {
    const made = await site()
    const leaves = identityLeaves(40)
    made.start()
    await made.shows(0)
    let asked = 0
    const readers = [0, 1, 2].map(async (n) => {
      for (let map = new ReadMap(made.store, systemClock); (map.shown?.leaf.size ?? 0) < leaves.length; asked++) {
        // Now and then from nothing.
        if (asked % 7 === n) map = new ReadMap(made.store, systemClock)
        await new Promise(setImmediate) // a store in memory never lets timers have their turn
        await proved(map, asked % 2 === 0 ? frank.did : person(`resident ${asked % 40}`, 1).did)
      }
    })
    for (let size = 0; size < leaves.length; size += 4) {
      await made.grow(leaves.slice(size, size + 4))
      await made.shows(size + 4)
    }
    await Promise.all(readers)
    expect(asked).toBeGreaterThan(0)
  })

  it('has no proof of rows that are not those of what is published, and one again when they are', async () => {
    const made = await site()
    made.start()
    await made.grow(identityLeaves(10))
    await made.shows(10)
    await made.stop()
    let damaged = true
    const blocks: Store['map']['blocks'] = async (asked) => new Map([...(await made.store.map.blocks(asked))].map(([block, hashes]) => [block, damaged ? hashes.map((byte) => byte ^ 1) : hashes]))
    const map = new ReadMap({ ...made.store, map: { ...made.store.map, blocks } }, systemClock)
    expect(await map.prove(frank.did)).toBeNull()
    damaged = false
    // What was read of it is read again once the log has another version.
    made.start()
    await made.grow(identityLeaves(11).slice(10))
    await made.shows(11)
    expect(await new ReadMap(made.store, systemClock).prove(frank.did)).not.toBeNull()
  })
})
