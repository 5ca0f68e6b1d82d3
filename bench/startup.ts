// From the command to the line that says where the directory listens: with nothing there yet, on an empty log, and on
// a log with a ledger in it.
//
// node bench/startup.ts [--runs 5] [--operations 10000]

import { medianOf, medians, note, printTable, readOptions, withSpeed, type Figures } from './harness.ts'
import { importLedger, newPlace, readMemory, serve, type Place } from './server.ts'

const options = readOptions(10_000)
const restarts: Figures[] = []
const fresh = await medianOf(options.runs, async (run) => {
  note(`run ${run + 1}`)
  await using place = newPlace()
  const figures = await start(place)
  restarts.push(await withSpeed(() => start(place)))
  return figures
})

await using place = newPlace()
await importLedger(place, options.operations)
const filled = await medianOf(options.runs, () => start(place))
printTable('Start to the listening line', options, [
  { name: 'first start (initialises the database, makes the log)', figures: fresh },
  { name: 'restart, empty log', figures: medians(restarts) },
  { name: `restart, log of ${options.operations}`, figures: filled },
])

async function start(place: Place): Promise<Figures> {
  const since = performance.now()
  const served = await serve(place)
  const listening = performance.now()
  const { now } = readMemory(served.child.pid)
  await served[Symbol.asyncDispose]()
  return { 'start s': (listening - since) / 1000, 'stop s': (performance.now() - listening) / 1000, 'server RSS MiB': now }
}
