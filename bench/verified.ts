// Verified resolutions a second, level by level, one after the other, in Node and (where there is one) in Chromium; and what one fetches, by a
// client that knows nothing yet (cold) and by one that has resolved others (warm): requests, and bytes of bodies as they are sent, packed where they are. A
// witness has seen the log; `latest` is the agreement of two servers, which here is one by two names.
//
// node bench/verified.ts [--runs 3] [--seconds 3] [--operations 10000]

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LEVELS, type Level } from '../src/client/index.ts'
import { missingChromium, openModulePage } from '../test/support/chromium.ts'
import { medianOf, note, printTable, quantile, readOptions, type Figures, type Row } from './harness.ts'
import { importLedger, newPlace, published, serve } from './server.ts'
import { resolveAll, resolveForSeconds, resolverOf, type VerifiedLoad } from './verified-client.ts'

/** Clients whose bytes are counted. */
const CLIENTS = 25

const options = readOptions(10_000)
await using place = newPlace()
const records = await importLedger(place, options.operations)
const { home, data } = place
const logKey = readFileSync(join(data, 'log.vkey'), 'utf8').trim()
const witness = home.start(['witness', '--name', 'witness.bench/w', '--data', 'witness', '--log', join(data, 'log.vkey'), '--port', '0', '--log-level', 'warn'])
const witnessUrl = (await witness.line).slice('stele witness listening on '.length)
const [witnessKey = ''] = readFileSync(join(home.folder, 'witness', 'witness.vkeys'), 'utf8').split('\n')
const policy = `log ${logKey}\nwitness w ${witnessKey} ${witnessUrl}\nquorum w\n`
writeFileSync(join(home.folder, 'policy'), policy)
await using served = await serve(place, options.profile, ['--policy', 'policy', '--no-map'])
await published(served, records.length)

const servers = [served.url, served.url.replace('127.0.0.1', 'localhost')]
const dids = [...new Set(records.map(({ did }) => did))]
const loadOf = (level: Level): VerifiedLoad => ({ servers: level === 'latest' ? servers : servers.slice(0, 1), policy, dids, level, seconds: options.seconds })

const rows: Row[] = []
for (const level of LEVELS) {
  note(`Node: ${level}`)
  const speed = await medianOf(options.runs, async () => {
    const before = process.cpuUsage()
    const figure = await resolveForSeconds(loadOf(level))
    const { user, system } = process.cpuUsage(before)
    return { 'a second': figure, 'client CPU %': (user + system) / 1e4 / options.seconds }
  })
  rows.push({ name: `Node, ${level}`, figures: { ...speed, ...(await countBytes(level)) } })
}
const missing = missingChromium()
if (missing === null) {
  await using page = await openModulePage(join(import.meta.dirname, 'verified-client.ts'))
  for (const level of LEVELS) {
    note(`Chromium: ${level}`)
    const figures = await medianOf(options.runs, async () => ({ 'a second': Number(await page.call('resolveForSeconds', JSON.stringify(loadOf(level)))) }))
    rows.push({ name: `Chromium ${page.version}, ${level}`, figures })
  }
} else {
  note(`Chromium is left out: ${missing}`)
}
printTable(`Verified resolutions of ${dids.length} identities in a log of ${records.length} operations`, options, rows)

// What one resolution fetches: of `CLIENTS` identities spread over the log the median, for clients that are new and for one that has resolved them all before but one.
async function countBytes(level: Level): Promise<Figures> {
  const some = Array.from({ length: CLIENTS }, (_, i) => dids[Math.floor((i * dids.length) / CLIENTS)] ?? '')
  const cold = { requests: [] as number[], bytes: [] as number[] }
  const warm = { requests: [] as number[], bytes: [] as number[] }
  const counting = countingFetch()
  const old = resolverOf(loadOf(level), { fetch: counting.fetch })
  await resolveAll(old, dids.slice(0, CLIENTS), level)
  for (const did of some) {
    for (const [kind, resolver] of [[cold, resolverOf(loadOf(level), { fetch: counting.fetch })], [warm, old]] as const) {
      counting.reset()
      await resolver.resolve(did, { require: level })
      const { requests, bytes } = counting.counted()
      kind.requests.push(requests)
      kind.bytes.push(bytes)
    }
  }
  const medianIn = (numbers: number[]): number => quantile(numbers.sort((a, b) => a - b), 0.5)
  return { 'requests cold': medianIn(cold.requests), 'bytes cold': medianIn(cold.bytes), 'requests warm': medianIn(warm.requests), 'bytes warm': medianIn(warm.bytes) }
}

function countingFetch(): { readonly fetch: typeof fetch; reset(): void; counted(): { readonly requests: number; readonly bytes: number } } {
  let [requests, bytes] = [0, 0]
  return {
    async fetch(input, init) {
      const response = await fetch(input, init)
      requests++
      bytes += Number(response.headers.get('content-length') ?? (await response.clone().arrayBuffer()).byteLength)
      return response
    },
    reset() {
      requests = 0
      bytes = 0
    },
    counted: () => ({ requests, bytes }),
  }
}
