// What every benchmark shares: its options, medians of several runs, and a table that says on what machine it was made.

import { cpus, totalmem } from 'node:os'
import { basename, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { formatTable, median } from './report.ts'

/** How a benchmark is run. */
export interface Options {
  /** Runs behind each median. */
  readonly runs: number
  /** Operations of the ledger that is used. */
  readonly operations: number
  /** Length of one run of a load, seconds. */
  readonly seconds: number
  /** Operations that the log holds before, of a benchmark that writes. */
  readonly before: number
  /** Writers at once, of a benchmark that writes. */
  readonly writers: readonly number[]
  /** Folder in which a log of identities is kept for the next benchmark, and found where it is there; null for none. */
  readonly data: string | null
  /** Folder for the server's CPU profiles; null for none. */
  readonly profile: string | null
}

/** What was measured, by the heading of its column. */
export type Figures = Readonly<Record<string, number>>

/** One row of a table. */
export interface Row {
  readonly name: string
  readonly figures: Figures
}

/** Reads the command line. `operations` is the benchmark's own default. Throws where a value is no whole number above 0. */
export function readOptions(operations: number): Options {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '5' },
      operations: { type: 'string', default: String(operations) },
      seconds: { type: 'string', default: '3' },
      before: { type: 'string', default: '0' },
      writers: { type: 'string', default: '1,16,64,256' },
      data: { type: 'string' },
      profile: { type: 'string' },
    },
  })
  return {
    runs: count('runs', values.runs),
    operations: count('operations', values.operations),
    seconds: count('seconds', values.seconds),
    before: values.before === '0' ? 0 : count('before', values.before),
    writers: values.writers.split(',').map((text) => count('writers', text)),
    data: values.data === undefined ? null : resolve(values.data),
    profile: values.profile ?? null,
  }
}

/** Runs a measurement `runs` times, and gives `medians` of what it measured. */
export async function medianOf(runs: number, measure: (run: number) => Promise<Figures>): Promise<Figures> {
  const all: Figures[] = []
  for (let run = 0; run < runs; run++) all.push(await withSpeed(() => measure(run)))
  return medians(all)
}

/** Runs a measurement once; with its figures stands the machine's own speed just before, as `noble/s`. */
export async function withSpeed(measure: () => Promise<Figures>): Promise<Figures> {
  const speed = machineSpeed()
  return { ...(await measure()), 'noble/s': speed }
}

/** The medians of figures, and the spread of the first one: (largest - smallest) / median, in per cent. */
export function medians(all: readonly Figures[]): Figures {
  const [first = {}] = all
  const columns = Object.keys(first).map((name) => [name, all.map((figures) => figures[name] ?? 0)] as const)
  const figures = Object.fromEntries(columns.map(([name, values]) => [name, median(values)]))
  const [main = []] = columns.map(([, values]) => values)
  return { ...figures, 'spread %': ((Math.max(...main) - Math.min(...main)) / median(main)) * 100 }
}

/** The value below which a share of sorted numbers lies; 0 of none. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

/** Prints a table in Markdown, with what one must know to compare it with another. */
export function printTable(title: string, { runs }: Pick<Options, 'runs'>, rows: readonly Row[]): void {
  const headings = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))]
  const lines = [
    `### ${title}`,
    '',
    `${machine()}, ${new Date().toISOString().slice(0, 10)}, ${runs === 1 ? '1 run' : `medians of ${runs} runs`}, \`node bench/${basename(process.argv[1] ?? '')} ${process.argv.slice(2).join(' ')}`.trimEnd() + '`',
    '',
    formatTable(['', ...headings], rows.map(({ name, figures }) => [name, ...headings.map((heading) => show(figures[heading]))])),
    '',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Says on stderr what is under way. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

// Signature checks a second in JavaScript on one core: a figure of the machine at this moment, by which others can be divided.
function machineSpeed(): number {
  const secret = new Uint8Array(32).fill(7)
  const message = new Uint8Array(200)
  const signature = secp256k1.sign(message, secret, { lowS: true, prehash: true, format: 'compact' })
  const key = secp256k1.getPublicKey(secret, true)
  const check = (): boolean => secp256k1.verify(signature, message, key, { lowS: true, prehash: true, format: 'compact' })
  for (let i = 0; i < 50; i++) check()
  const since = performance.now()
  let checks = 0
  while (performance.now() - since < 250) {
    check()
    checks++
  }
  return (checks / (performance.now() - since)) * 1000
}

function machine(): string {
  const [cpu] = cpus()
  return `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`
}

function show(value: number | undefined): string {
  if (value === undefined) return ''
  if (value >= 100) return Math.round(value).toLocaleString('en').replaceAll(',', ' ')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function count(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name}: ${text} is not a whole number above 0`)
  return value
}
