// Operations that a directory exports, a thousand in an answer: by sequence number to one reader and to four, and by time.
//
// node bench/export.ts [--runs 5] [--seconds 3] [--operations 20000] [--data FOLDER] [--profile FOLDER]

import { directoryClient, EXPORT_PAGE } from '../src/client/directory-client.ts'
import { medianOf, printTable, readOptions } from './harness.ts'
import { laidAt, layIdentities } from './identities.ts'
import { get, startGenerator } from './load.ts'
import { newPlace, serve } from './server.ts'

const options = readOptions(20_000)
await using place = newPlace(options.data)
const { length } = await layIdentities(place, options.operations)
await using served = await serve(place, options.profile)
using generator = startGenerator()

// Whole pages only, so that each answer is a thousand operations; and all of them are there.
const pages = Math.floor(length / EXPORT_PAGE)
if (pages === 0) throw new Error(`--operations: an export needs ${EXPORT_PAGE} operations or more`)
let lines = 0
for await (const page of directoryClient(served.url).exportPages(0)) lines += page.length
if (lines !== length) throw new Error(`the export has ${lines} of ${length} operations`)

const bySeq = Array.from({ length: pages }, (_, page) => get(`/export?after=${page * EXPORT_PAGE}&count=${EXPORT_PAGE}`))
// Each page begins where a thousand operations or more are later.
const byTime = Array.from({ length: pages }, (_, page) => get(`/export?after=${new Date(laidAt(page * EXPORT_PAGE) - 1).toISOString()}&count=${EXPORT_PAGE}`))
const rows = []
for (const { name, connections, requests } of [
  { name: '1 reader', connections: 1, requests: bySeq },
  { name: '4 readers', connections: 4, requests: bySeq },
  { name: '4 readers, by time', connections: 4, requests: byTime },
]) {
  const figures = await medianOf(options.runs, async () => {
    const { figures } = await generator.load(served, { connections, seconds: options.seconds, repeat: true, requests })
    const { 'a second': pages = 0, 'a CPU second': pagesOfCpu = 0, ...rest } = figures
    return { 'a second': pages * EXPORT_PAGE, 'a CPU second': pagesOfCpu * EXPORT_PAGE, ...rest }
  })
  rows.push({ name, figures })
}
printTable(`Export of ${length} operations`, options, rows)
