// DID documents that a directory serves to 64 connections that are kept, each identity of a ledger in turn.
//
// node bench/resolve.ts [--runs 5] [--seconds 3] [--operations 12700] [--profile FOLDER]

import { medianOf, note, printTable, readOptions } from './harness.ts'
import { get, startGenerator } from './load.ts'
import { importLedger, newPlace, serve } from './server.ts'

/** With one operation in five an update, the default ledger has 10,000 identities that are not ended. */
const options = readOptions(12_700)
await using place = newPlace()
const records = await importLedger(place, options.operations)
await using served = await serve(place, options.profile)
using generator = startGenerator()

const ended = new Set(records.filter(({ operation }) => operation.type === 'plc_tombstone').map(({ did }) => did))
const dids = [...new Set(records.map(({ did }) => did))].filter((did) => !ended.has(did)).slice(0, 10_000)
note(`${dids.length} identities`)
const load = async (connections: number): Promise<Awaited<ReturnType<typeof generator.load>>> =>
  generator.load(served, { connections, seconds: options.seconds, repeat: true, requests: dids.map((did) => get(`/${did}`)) })
await load(64)

const rows = []
for (const connections of [1, 64]) {
  rows.push({ name: `${connections} connection${connections === 1 ? '' : 's'}`, figures: await medianOf(options.runs, async () => (await load(connections)).figures) })
}
printTable(`Documents of ${dids.length} identities`, options, rows)
