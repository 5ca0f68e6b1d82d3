// Receipts that a directory makes for 64 connections, of every operation of a ledger in turn, and state proofs of every identity.
//
// node bench/proof.ts [--runs 5] [--seconds 3] [--operations 10000] [--profile FOLDER]

import { setTimeout as sleep } from 'node:timers/promises'
import { medianOf, printTable, readOptions, type Row } from './harness.ts'
import { get, startGenerator } from './load.ts'
import { importLedger, newPlace, published, serve } from './server.ts'

const options = readOptions(10_000)
await using place = newPlace()
const records = await importLedger(place, options.operations)
await using served = await serve(place, options.profile)
await published(served, records.length)
using generator = startGenerator()
await mapped(served.url, records.at(-1)?.did ?? '')
const kinds = {
  receipts: records.map(({ did, cid }) => get(`/${did}/log/${cid}/proof`)),
  'state proofs': [...new Set(records.map(({ did }) => did))].map((did) => get(`/${did}/state-proof`)),
}
const rows: Row[] = []
for (const [name, requests] of Object.entries(kinds)) {
  const load = { connections: 64, seconds: options.seconds, repeat: true, requests }
  await generator.load(served, load)
  rows.push({ name: `${name}, 64 connections`, figures: await medianOf(options.runs, async () => (await generator.load(served, load)).figures) })
}
printTable(`Proofs from a log of ${records.length} operations`, options, rows)

// Resolves once the map has this identity.
async function mapped(url: string, did: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const response = await fetch(`${url}/${did}/state-proof`)
    if (response.status === 200 && (await response.text()).includes('\nstate ')) return
    await sleep(100)
  }
  throw new Error('the map does not come')
}
