// Receipts that a directory makes for 64 connections, of every operation of a ledger in turn.
//
// node bench/proof.ts [--runs 5] [--seconds 3] [--operations 10000] [--profile FOLDER]

import { medianOf, printTable, readOptions } from './harness.ts'
import { get, startGenerator } from './load.ts'
import { importLedger, newPlace, published, serve } from './server.ts'

const options = readOptions(10_000)
await using place = newPlace()
const records = await importLedger(place, options.operations)
await using served = await serve(place, options.profile)
await published(served, records.length)
using generator = startGenerator()
const requests = records.map(({ did, cid }) => get(`/${did}/log/${cid}/proof`))
const load = { connections: 64, seconds: options.seconds, repeat: true, requests }
await generator.load(served, load)
const figures = await medianOf(options.runs, async () => (await generator.load(served, load)).figures)
printTable(`Receipts of ${records.length} operations`, options, [{ name: '64 connections', figures }])
