// DID documents that a directory serves to 1 and to 64 connections that are kept, each identity in turn: those that it
// keeps ready, and those that it has to look up.
//
// node bench/resolve.ts [--runs 5] [--seconds 3] [--operations 10000] [--data FOLDER] [--profile FOLDER]

import { LIMITS } from '../src/http/limits.ts'
import { medianOf, note, printTable, readOptions } from './harness.ts'
import { layIdentities } from './identities.ts'
import { get, startGenerator, type Loaded } from './load.ts'
import { newPlace, serve } from './server.ts'

/** An operation each. */
const options = readOptions(10_000)
await using place = newPlace(options.data)
const dids = await layIdentities(place, options.operations)
await using served = await serve(place, options.profile)
using generator = startGenerator()

// Each run goes on where the one before has stopped, so that of more identities than are kept none is when its turn comes.
let next = 0
const load = async (connections: number, seconds: number, among = dids.length): Promise<Loaded> => {
  const some = Array.from({ length: Math.min(among, MOST_REQUESTS) }, (_, i) => dids[(next + i) % among] ?? '')
  const loaded = await generator.load(served, { connections, seconds, repeat: true, requests: some.map((did) => get(`/${did}`)) })
  next = (next + loaded.answered.length) % among
  return loaded
}
/** Requests that the generator is given for one run. */
const MOST_REQUESTS = 200_000

const rows = []
for (const among of new Set([Math.min(dids.length, LIMITS.keptAnswers / 3), dids.length])) {
  note(`${among} identities`)
  next = 0
  for (let asked = 0; asked < Math.min(among, LIMITS.keptAnswers); ) asked += (await load(64, 1, among)).answered.length
  for (const connections of [1, 64]) {
    const figures = await medianOf(options.runs, async () => (await load(connections, options.seconds, among)).figures)
    rows.push({ name: `${among} identities, ${connections} connection${connections === 1 ? '' : 's'}`, figures })
  }
}
printTable(`Documents of a log of ${dids.length} identities`, options, rows)
