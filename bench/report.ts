// What every benchmark prints: the machine that it ran on, and tables in Markdown.

import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'

/** Which machine this is, which Node, when, and how busy. */
export function machineLines(): string[] {
  const gib = Math.round(totalmem() / 2 ** 30)
  return [
    `machine   ${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores, ${gib} GiB`,
    `runtime   Node ${process.version}, OpenSSL ${process.versions.openssl}, ${process.platform} ${process.arch}`,
    `date      ${new Date().toISOString().slice(0, 10)}`,
    `load      ${loadavg().map((load) => load.toFixed(1)).join(' ')} over 1, 5 and 15 minutes before`,
  ]
}

/** The middle one; of an even number of figures the larger of the two in the middle. */
export function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN
}

/** A count with three digits that mean something. */
export function formatCount(count: number): string {
  return Number(count.toPrecision(3)).toLocaleString('en')
}

/** A table in Markdown. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
