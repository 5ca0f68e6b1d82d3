// What mirrors take in: a replica from bundles and tiles, and a notary from the pages of the same directory. Every entry,
// rule and root is verified, and written to a database of the mirror's own. The time is that of the whole command, its
// first start included, less that of the same over an empty log; so is what the database takes.
//
// node bench/mirror.ts [--runs 5] [--operations 100000] [--profile FOLDER]

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
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
    const first = await takeIn(nothing, 0, flags)
    return takeIn(upstream, length, flags, first)
  })
  rows.push({ name, figures })
}
printTable(`Mirrors of ${length} operations`, options, rows)

interface TakenIn extends Figures {
  readonly seconds: number
  readonly 'database MB': number
}

// `first` is what the same took over an empty log.
async function takeIn(from: Served, size: number, flags: readonly string[], first: TakenIn | null = null): Promise<TakenIn> {
  await using place = newPlace()
  const since = performance.now()
  await using mirrored = await mirror(place, from.url, flags, size === 0 ? null : options.profile)
  while ((await sizeOf(mirrored)) < size) await sleep(50)
  const seconds = (performance.now() - since) / 1000
  const usage = readUsage(mirrored)
  return {
    'operations/s': size / (seconds - (first?.seconds ?? 0)),
    'a CPU second': size / usage.server,
    'of it before the first entry s': first?.seconds ?? 0,
    seconds,
    'mirror CPU s': usage.server,
    'its database CPU s': usage.database,
    'RSS MiB': readMemory(mirrored.child.pid).now,
    'peak RSS MiB': readMemory(mirrored.child.pid).peak,
    'database MB': bytesBelow(join(place.data, 'postgres', 'data', 'base')) / 1e6 - (first?.['database MB'] ?? 0),
    'write-ahead log MB': bytesBelow(join(place.data, 'postgres', 'data', 'pg_wal')) / 1e6,
  }
}

async function sizeOf({ url }: Served): Promise<number> {
  return ((await (await fetch(`${url}/_health`)).json()) as { readonly verifiedSize: number }).verifiedSize
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((sum, file) => sum + (statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0), 0)
}
