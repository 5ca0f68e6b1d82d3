// Audit logs that a directory serves to 1 and to 64 connections that are kept, each identity of a ledger in turn.
//
// node bench/audit.ts [--runs 5] [--seconds 3] [--operations 12500] [--profile FOLDER]

import { medianOf, printTable, readOptions } from './harness.ts'
import { get, startGenerator } from './load.ts'
import { importLedger, newPlace, serve } from './server.ts'

/** About 10,000 identities. */
const options = readOptions(12_500)
await using place = newPlace()
const dids = [...new Set((await importLedger(place, options.operations)).map(({ did }) => did))]
await using served = await serve(place, options.profile)
using generator = startGenerator()
const requests = dids.map((did) => get(`/${did}/log/audit`))
await generator.load(served, { connections: 64, seconds: 1, repeat: true, requests })
const rows = []
for (const connections of [1, 64]) {
  const load = { connections, seconds: options.seconds, repeat: true, requests }
  const figures = await medianOf(options.runs, async () => (await generator.load(served, load)).figures)
  rows.push({ name: `${connections} connection${connections === 1 ? '' : 's'}`, figures })
}
printTable(`Audit logs of ${dids.length} identities`, options, rows)
