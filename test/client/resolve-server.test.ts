import { describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { verifyAuditLog } from '../../src/client/audit.ts'
import { newServer, openServer, proveIncluded, type ResolveServer } from '../../src/client/resolve-server.ts'
import { encodeEntry, encodeEntryHeader, type Entry } from '../../src/core/entry.ts'
import type { Chain } from '../../src/core/plc/chain.ts'
import { openCheckpoint, type Checkpoint } from '../../src/core/tlog/checkpoint.ts'
import { inclusionPlan } from '../../src/core/tlog/proof.ts'
import { tilePath } from '../../src/core/tlog/tile.ts'
import type { TlogProof } from '../../src/core/tlog/tlog-proof.ts'
import { readProof } from '../../src/client/log-client.ts'
import { person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, storedLog } from '../support/stored-log.ts'

const alice = person('alice')
const OTHER_DID = person('other').did
const update = alice.update(alice.genesis)

/** A log of these entries after 300 others, whoever is meant by them, and what a server would say of alice. */
interface Said {
  readonly server: ResolveServer
  readonly chain: Chain
  readonly checkpoint: Checkpoint
  readonly receipts: readonly TlogProof[]
  readonly read: string[]
}

async function saying(entries: readonly Partial<Entry>[], chainTimes: readonly number[] = []): Promise<Said> {
  const whole = entries.map((given, i): Entry => ({ did: alice.did, createdAt: FIRST_MS + 1e9 + i * 1_000, operation: i === 0 ? alice.genesis : update, source: null, ...given }))
  const leaves = [...identityLeaves(300), ...whole.map(encodeEntry)]
  const tiles = storeReader(await storedLog(leaves))
  const note = await tiles.checkpoint()
  const { checkpoint } = openCheckpoint(note, [LOG_KEY])
  const records = whole.slice(0, 2).map(({ operation, createdAt }, i) => ({ did: alice.did, operation, cid: operation.cid, createdAt: chainTimes[i] ?? createdAt }))
  const receipts = await Promise.all(whole.map(async (entry, i): Promise<TlogProof> => ({ extra: encodeEntryHeader(entry), index: 300 + i, proof: await readProof(tiles, inclusionPlan(300 + i, leaves.length), leaves.length), checkpoint: note })))
  const read: string[] = []
  const server: ResolveServer = { ...openServer(newServer('http://127.0.0.1:1'), {}), tiles: { ...tiles, tile: (tile) => (read.push(tilePath(tile)), tiles.tile(tile)) } }
  return { server, chain: verifyAuditLog(alice.did, records), checkpoint, receipts, read }
}

async function outcome({ server, chain, checkpoint, receipts }: Said): Promise<unknown> {
  return await proveIncluded(server, chain, receipts, checkpoint).catch((error: unknown) => (error instanceof Error && 'code' in error ? [error.code, error.message.replace(/^[^:]*: /, '')] : error))
}

describe('operations of a server', () => {
  it('are included by their receipts alone where these are of the same tree, else by tiles', async () => {
    const said = await saying([{}, {}])
    expect(await outcome(said)).toEqual([300, 301])
    expect(said.read).toEqual([])
    const elsewhere = (await saying([{}, {}, { operation: alice.update(update), createdAt: FIRST_MS + 2e9 }])).receipts.slice(0, 2)
    expect(await outcome({ ...said, receipts: elsewhere })).toEqual([300, 301])
    expect(said.read.length).toBeGreaterThan(0)
  })

  it('are not included by a proof that is of the tree and wrong, or with what the tree does not hold', async () => {
    const said = await saying([{}, {}])
    const [first, second] = said.receipts
    if (first === undefined || second === undefined) throw new Error('there are two')
    for (const spoilt of [{ ...second, proof: first.proof }, { ...second, proof: [] }, { ...second, index: 1e9 }, { ...second, extra: null }]) {
      expect(await outcome({ ...said, receipts: [first, spoilt] })).toMatchObject(['NOT_INCLUDED', {}])
    }
    expect(await outcome({ ...said, receipts: [first] })).toMatchObject(['NOT_INCLUDED', {}])
    const other = (await saying([{}, {}, { operation: alice.update(update), createdAt: FIRST_MS + 2e9 }])).receipts
    expect(await outcome({ ...said, receipts: [first, { ...second, checkpoint: other[0]?.checkpoint ?? '', extra: encodeEntryHeader({ did: alice.did, createdAt: 5, source: null }) }] })).toMatchObject(['NOT_INCLUDED', {}])
  })

  it('are refused where the log holds them under another DID, or with another time than they are said to have', async () => {
    expect(await outcome(await saying([{}, { did: OTHER_DID }]))).toEqual(['NOT_INCLUDED', 'the receipt is of another DID or time'])
    expect(await outcome(await saying([{}, {}], [FIRST_MS + 1e9, FIRST_MS + 1e9 + 1_001]))).toEqual(['NOT_INCLUDED', 'the receipt is of another DID or time'])
  })

  it('are refused where they stand in another order, or break the rules of time', async () => {
    expect(await outcome(await sayingBackwards())).toEqual(['NOT_INCLUDED', 'the order is not that of the log'])
    expect(await outcome(await saying([{}, { createdAt: FIRST_MS + 1e9 }]))).toEqual(['NOT_INCLUDED', 'Entry is not later than an earlier entry of its DID'])
    expect(await outcome(await saying([{ source: 'elsewhere' }, { createdAt: FIRST_MS + 1e9, source: 'elsewhere' }]))).toEqual([300, 301])
  })
})

// The log holds the update before the genesis that it follows.
async function sayingBackwards(): Promise<Said> {
  const said = await saying([{}, {}])
  const headers = said.chain.links.map(({ createdAt }) => ({ did: alice.did, createdAt, source: null }))
  const entries = said.chain.links.map(({ operation, createdAt }) => encodeEntry({ did: alice.did, createdAt, operation, source: null }))
  const tiles = storeReader(await storedLog([...identityLeaves(300), ...entries.toReversed()]))
  const note = await tiles.checkpoint()
  const receipts = headers.map(async (header, i): Promise<TlogProof> => ({ extra: encodeEntryHeader(header), index: 301 - i, proof: await readProof(tiles, inclusionPlan(301 - i, 302), 302), checkpoint: note }))
  return { ...said, checkpoint: openCheckpoint(note, [LOG_KEY]).checkpoint, receipts: await Promise.all(receipts) }
}
