import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeMapLeaf } from '../../src/core/map/map-leaf.ts'
import { verifyStateProof } from '../../src/core/state-proof.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { decodeBundle } from '../../src/core/tlog/bundle.ts'
import { openKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { openCounter, type TestCounter } from '../support/counter.ts'
import { appendNextLeaf, publishMap } from '../support/map-leaves.ts'
import { MAP_KEY, mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'
import { emptyLog, identityLeaves, LOG_KEY, publishAll, storedLog } from '../support/stored-log.ts'

const stranger = person('never registered')
const resident = person('resident 0', 1)

let counter: TestCounter
let map: MapSite
beforeAll(async () => {
  const store = await emptyLog()
  await publishAll(store)
  map = await mapSite(store)
  map.start()
  await map.shows(0)
  await map.grow(identityLeaves(5))
  await map.shows(5)
  counter = await openCounter({ ports: { store, map: { prove: (did) => map.held.prove(did), standing: () => ({ size: map.held.shown?.leaf.size ?? null, leaves: map.held.shown?.leaves ?? 0, fault: null }) } } })
})
afterAll(async () => {
  await counter[Symbol.asyncDispose]()
  await map[Symbol.asyncDispose]()
})

describe('the log of the map', () => {
  it('is served as a log is: its checkpoint, its leaves, its hashes, its keys', async () => {
    const checkpoint = await counter.ask('/map/checkpoint')
    expect(openCheckpoint(checkpoint.text, [MAP_KEY]).checkpoint).toMatchObject({ origin: MAP_KEY.name, size: 2 })
    const bundle = await counter.ask('/map/tile/entries/000.p/2')
    expect(bundle.headers['cache-control']).toContain('immutable')
    expect(decodeBundle(bundle.body, 2).map((leaf) => decodeMapLeaf(leaf).size)).toEqual([0, 5])
    expect((await counter.ask('/map/tile/0/000.p/2')).body.length).toBe(64)
    expect((await counter.ask('/map/vkey')).text).toMatch(/^stored\.test\/log\/map\+[0-9a-f]{8}\+.*\n$/)
    expect(openKeyStatement((await counter.ask('/map/keys')).text, [MAP_KEY])).toMatchObject({ origin: MAP_KEY.name, signing: [{ id: MAP_KEY.id }], retired: [] })
  })

  it('is served as far as it is published, and under its own paths alone', async () => {
    for (const path of ['/map/tile/0/000.p/3', '/map/tile/entries/000.p/3', '/map/tile/entries/000', '/map/tile/x', '/map/tile/0/000.p/0', '/map/log/vkey']) expect((await counter.ask(path)).status, path).toBe(404)
    expect((await counter.ask('/tile/entries/000.p/2')).body.length).toBeGreaterThan(300)
  })

  it('shows the leaf that waits for its checkpoint, which nobody keeps, and none where all are published', async () => {
    expect(JSON.parse((await counter.ask('/map/next')).text)).toEqual({ message: 'No version of the map waits for its checkpoint' })
    const store = await storedLog(identityLeaves(3))
    await using waiting = await openCounter({ ports: { store } })
    await publishMap(store, await appendNextLeaf(store))
    await appendNextLeaf(store, { size: 4 })
    const { status, headers, text } = await waiting.ask('/map/next')
    expect([status, headers['cache-control']]).toEqual([200, 'no-store'])
    expect(decodeMapLeaf(Buffer.from(text)).size).toBe(4)
    expect((await waiting.ask('/map/tile/entries/000.p/2')).status, 'not as a bundle').toBe(404)
  })

  it('is not there where there is no map', async () => {
    await using bare = await openCounter()
    for (const [path, status] of [['/map/checkpoint', 404], ['/map/vkey', 404], ['/map/keys', 404], ['/map/next', 404], ['/map/tile/0/000.p/1', 404], [`/${resident.did}/state-proof`, 503]] as const) {
      expect((await bare.ask(path)).status, path).toBe(status)
    }
    expect((await bare.ask(`/${resident.did}/state-proof`)).headers['retry-after']).toBe('1')
  })
})

describe('GET /:did/state-proof', () => {
  const trust = { logKeys: [LOG_KEY], mapKeys: [MAP_KEY], policy: null }

  it('proves everything of an identity', async () => {
    const { status, headers, text } = await counter.ask(`/${resident.did}/state-proof`)
    expect(status).toBe(200)
    expect(headers).toMatchObject({ 'content-type': 'text/x.stele.state-proof; charset=utf-8', 'cache-control': 'no-cache' })
    expect(verifyStateProof(text, resident.did, trust)).toMatchObject({ state: { entries: 1, head: 0 }, leaf: { size: 5 } })
  })

  it('proves of a DID that nobody registered that there is nothing', async () => {
    const { status, text } = await counter.ask(`/${stranger.did}/state-proof`)
    expect(status).toBe(200)
    expect(verifyStateProof(text, stranger.did, trust).state).toBeNull()
    expect((await counter.ask('/did:plc:short/state-proof')).status).toBe(404)
  })

  it('proves at the same moment to many, while versions come', async () => {
    const proofs: Promise<void>[] = []
    for (let size = 6; size <= 12; size++) {
      await map.grow(identityLeaves(size).slice(size - 1))
      for (let i = 0; i < 8; i++) {
        const { did } = i % 2 === 0 ? resident : stranger
        proofs.push(counter.ask(`/${did}/state-proof`).then(({ status, text }) => {
          if (status !== 503) verifyStateProof(text, did, trust)
        }))
      }
    }
    await Promise.all(proofs)
    await map.shows(12)
  })

  it('is told in health, which it never makes ill', async () => {
    expect(JSON.parse((await counter.ask('/_health')).text)).toMatchObject({ map: { size: 12, fault: null } })
    await using ill = await openCounter({ ports: { map: { prove: () => Promise.resolve(null), standing: () => ({ size: null, leaves: 3, fault: 'a reason' }) } } })
    const { status, text } = await ill.ask('/_health')
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({ map: { size: null, leaves: 3, fault: 'a reason' } })
  })
})
