// The directory as its users start it, in a folder of its own, and what it uses of the machine (on Linux; 0 elsewhere).

import { createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderSequenced, type LedgerRecord } from '../src/core/plc/records.ts'
import { newHome, type Ended, type Home, type Started } from '../test/support/program.ts'
import { ledger } from './ledger.ts'

/** A folder for a directory. Disposing it ends what runs there, the database too, and deletes it. */
export interface Place extends AsyncDisposable {
  readonly home: Home
  /** The folder of the data. */
  readonly data: string
}

/** A directory that serves. Disposing it ends it gracefully. */
export interface Served extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly place: Place
  readonly child: Started['child']
}

/** Seconds of CPU, since something began. */
export interface Usage {
  readonly server: number
  readonly database: number
  /** Of all that runs on the machine. */
  readonly machine: number
}

/** A place in a folder of its own, or in one that is kept. */
export function newPlace(kept: string | null = null): Place {
  const home = newHome(undefined, kept)
  const data = join(home.folder, 'data')
  const place: Place = {
    home,
    data,
    async [Symbol.asyncDispose]() {
      await endDatabase(data)
      home[Symbol.dispose]()
      places.delete(place)
    },
  }
  places.add(place)
  return place
}

const places = new Set<Place>()
const serving = new Set<Started>()

// Nothing is left behind by a benchmark that is interrupted.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    const leave = async (): Promise<void> => {
      await Promise.allSettled([...serving].map(end))
      await Promise.allSettled([...places].map((place) => place[Symbol.asyncDispose]()))
    }
    void leave().finally(() => process.exit(1))
  })
}

/** Starts a directory without limits on rates, and waits for its map. `profile`: folder for its CPU profiles. `flags`: further ones. */
export async function serve(place: Place, profile: string | null = null, flags: readonly string[] = []): Promise<Served> {
  const served = await start(place, ['serve', '--port', '0', '--data', place.data, '--write-rate', '0', '--read-rate', '0', '--log-level', 'warn', ...flags], profile)
  await mapped(served)
  return served
}

// A map that is made of a log that was there before is not what is measured.
async function mapped({ url }: Served): Promise<void> {
  for (;;) {
    const { size, map } = (await (await fetch(`${url}/_health`)).json()) as { readonly size: number; readonly map?: { readonly size: number | null } }
    if (map === undefined || (map.size ?? 0) >= size) return
    await sleep(200)
  }
}

/** Starts a mirror of what an upstream serves; it is there once that is taken in, or a notary at once. */
export function mirror(place: Place, upstream: string, flags: readonly string[], profile: string | null = null): Promise<Served> {
  return start(place, ['mirror', '--upstream', upstream, '--port', '0', '--data', place.data, '--log-level', 'warn', ...flags], profile)
}

async function start(place: Place, args: readonly string[], profile: string | null): Promise<Served> {
  const env: Record<string, string> = profile === null ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` }
  const started = place.home.start(args, env)
  serving.add(started)
  const line = await started.line
  const url = line.slice(line.indexOf('http'))
  return { url, port: Number(new URL(url).port), place, child: started.child, [Symbol.asyncDispose]: () => end(started) }
}

/** Makes a log with a ledger of `operations` operations in it, and gives its records. */
export async function importLedger(place: Place, operations: number): Promise<readonly LedgerRecord[]> {
  const file = join(place.home.folder, 'ledger.jsonl')
  const records = await writeLedger(file, operations)
  await createLog(place)
  succeeded(await place.home.run(['import', file, '--data', place.data, '--source', 'bench']))
  return records
}

/** Writes a ledger as export lines, and gives its records. */
export async function writeLedger(file: string, operations: number): Promise<readonly LedgerRecord[]> {
  const records = [...ledger(operations, 1)]
  await pipeline(Readable.from(records.map((record) => `${renderSequenced(record)}\n`)), createWriteStream(file))
  return records
}

/** Makes an empty log. */
export async function createLog(place: Place): Promise<void> {
  succeeded(await place.home.run(['init', '--origin', 'bench.example/log', '--data', place.data]))
}

/** Throws where a program did not do what it should. */
export function succeeded({ code, stderr }: Ended): void {
  if (code !== 0) throw new Error(`a program ended with ${code}: ${stderr}`)
}

/** Waits until a checkpoint covers `size` entries. */
export async function published({ url }: Served, size: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const [, line] = (await (await fetch(`${url}/checkpoint`)).text()).split('\n')
    if (Number(line) >= size) return
    await sleep(100)
  }
  throw new Error(`no checkpoint covers ${size} entries`)
}

/** What has been used until now. */
export function readUsage({ child, place }: Served): Usage {
  const busy = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
  const processes = readProcesses()
  const postmaster = postmasterOf(place.data)
  const database = [...processes.values()].filter(({ pid, parent }) => pid === postmaster || parent === postmaster).reduce((sum, { cpuS }) => sum + cpuS, 0)
  return { server: processes.get(child.pid ?? 0)?.cpuS ?? 0, database, machine: busy / 1000 }
}

/** Memory of a process in use now and at most until now, MiB. */
export function readMemory(pid: number | undefined): { readonly now: number; readonly peak: number } {
  const text = readText(`/proc/${pid}/status`)
  const mebibytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1] ?? 0) / 1024
  return { now: mebibytes('VmRSS'), peak: mebibytes('VmHWM') }
}

interface Process {
  readonly pid: number
  readonly parent: number
  readonly cpuS: number
}

// Clock ticks in /proc are hundredths of a second on every Linux.
function readProcesses(): ReadonlyMap<number, Process> {
  const pids = existsSync('/proc') ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number) : []
  const processes = pids.map((pid): Process => {
    const text = readText(`/proc/${pid}/stat`)
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
    return { pid, parent: fields[1] ?? 0, cpuS: ((fields[11] ?? 0) + (fields[12] ?? 0)) / 100 }
  })
  return new Map(processes.map((process) => [process.pid, process]))
}

const ENDING_MS = 60_000

async function end(started: Started): Promise<void> {
  const { child, ended } = started
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), ENDING_MS)
  const how = await ended
  clearTimeout(timer)
  serving.delete(started)
  succeeded(how)
}

// A database outlives a directory that was killed.
async function endDatabase(data: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const postmaster = postmasterOf(data)
    if (postmaster === null || !existsSync(`/proc/${postmaster}`)) return
    if (attempt === 20) process.kill(postmaster, 'SIGINT')
    await sleep(100)
  }
}

function postmasterOf(data: string): number | null {
  const [line = ''] = readText(join(data, 'postgres', 'data', 'postmaster.pid')).split('\n')
  return line === '' ? null : Number(line)
}

// What is gone reads as nothing: processes end while they are looked at.
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
