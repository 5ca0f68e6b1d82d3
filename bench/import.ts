// Operations that `stele import` verifies and appends: the whole command, start of the database included, and without
// the time that it takes for nothing.
//
// node bench/import.ts [--runs 5] [--operations 20000]

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { medianOf, note, printTable, readOptions } from './harness.ts'
import { createLog, newPlace, readMemory, succeeded, writeLedger, type Place } from './server.ts'

const options = readOptions(20_000)
await using files = newPlace()
const ledgerFile = join(files.home.folder, 'ledger.jsonl')
const emptyFile = join(files.home.folder, 'empty.jsonl')
const { length } = await writeLedger(ledgerFile, options.operations)
writeFileSync(emptyFile, '')

const figures = await medianOf(options.runs, async (run) => {
  note(`run ${run + 1}`)
  await using place = newPlace()
  await createLog(place)
  const nothing = await runImport(place, emptyFile)
  const whole = await runImport(place, ledgerFile)
  return {
    'operations/s': length / (whole.seconds - nothing.seconds),
    'operations/s, whole command': length / whole.seconds,
    'whole s': whole.seconds,
    'of nothing s': nothing.seconds,
    'peak RSS MiB': whole.peakMiB,
  }
})
printTable(`Import of ${length} operations`, options, [{ name: 'stele import', figures }])

async function runImport(place: Place, file: string): Promise<{ readonly seconds: number; readonly peakMiB: number }> {
  const since = performance.now()
  const { child, ended, line } = place.home.start(['import', file, '--data', place.data, '--source', 'bench'])
  line.catch(() => undefined)
  let peakMiB = 0
  const watch = setInterval(() => (peakMiB = Math.max(peakMiB, readMemory(child.pid).peak)), 50)
  succeeded(await ended)
  clearInterval(watch)
  return { seconds: (performance.now() - since) / 1000, peakMiB }
}
