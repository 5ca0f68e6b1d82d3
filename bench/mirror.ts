// What mirrors take in: a replica from bundles and tiles, and a notary from the pages of the same directory. Every entry,
// rule and root is verified, and written to a database of the mirror's own. The time is that of the whole command, its
// first start included, less that of the same over an empty log.
//
// node bench/mirror.ts [--runs 5] [--operations 100000] [--profile FOLDER]

import { setTimeout as sleep } from 'node:timers/promises'
import { medianOf, note, printTable, readOptions, type Figures } from './harness.ts'
import { createLog, importLedger, mirror, newPlace, published, readMemory, readUsage, serve, type Served } from './server.ts'

const KINDS = [
  { name: 'replica', flags: [] },
  { name: 'notary', flags: ['--plain', '--origin', 'notary.example/log', '--upstream-rate', '0'] },
] as const

const options = readOptions(100_000)
await using full = newPlace()
await using empty = newPlace()
const { length } = await importLedger(full, options.operations)
await createLog(empty)
await using upstream = await serve(full, null)
await using nothing = await serve(empty, null)
await published(upstream, length)

const rows = []
for (const { name, flags } of KINDS) {
  const figures = await medianOf(options.runs, async (run) => {
    note(`${name}, run ${run + 1}`)
    const { seconds: idle } = await takeIn(nothing, 0, flags)
    return takeIn(upstream, length, flags, idle)
  })
  rows.push({ name, figures })
}
printTable(`Mirrors of ${length} operations`, options, rows)

async function takeIn(from: Served, size: number, flags: readonly string[], idle = 0): Promise<Figures & { readonly seconds: number }> {
  await using place = newPlace()
  const since = performance.now()
  await using mirrored = await mirror(place, from.url, flags, size === 0 ? null : options.profile)
  while ((await sizeOf(mirrored)) < size) await sleep(50)
  const seconds = (performance.now() - since) / 1000
  const usage = readUsage(mirrored)
  return {
    'operations/s': size / (seconds - idle),
    'a CPU second': size / usage.server,
    'of it before the first entry s': idle,
    seconds,
    'mirror CPU s': usage.server,
    'its database CPU s': usage.database,
    'RSS MiB': readMemory(mirrored.child.pid).now,
    'peak RSS MiB': readMemory(mirrored.child.pid).peak,
  }
}

async function sizeOf({ url }: Served): Promise<number> {
  return ((await (await fetch(`${url}/_health`)).json()) as { readonly verifiedSize: number }).verifiedSize
}
