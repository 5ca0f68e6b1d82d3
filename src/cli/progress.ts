// How far a long command is: a bar on a terminal, a line now and then anywhere else. Both on stderr.

import cliProgress from 'cli-progress'
import { escapeLine, say, type Output } from './terminal.ts'

/** Where it goes, and how often lines come. */
export interface ProgressOptions {
  /** Default: stderr. */
  readonly output?: Output & NodeJS.WritableStream
  /** Between two lines, milliseconds. Default 10,000. */
  readonly lineMs?: number
  /** Milliseconds since some moment. Default: the machine's. */
  readonly now?: () => number
}

/** A progress that is shown until it is disposed. */
export interface Progress extends Disposable {
  /** `done` of the whole; `of` replaces the whole where it was not known. */
  update(done: number, of?: number): void
}

/** Begins to show the progress of `what`, counted in `unit`; `total` is null where nobody knows it. */
export function startProgress(what: string, unit: string, total: number | null, options: ProgressOptions = {}): Progress {
  const { output = process.stderr, lineMs = 10_000, now = () => performance.now() } = options
  const began = now()
  const rate = (done: number): number => Math.round((done * 1000) / Math.max(now() - began, 1))
  if (output.isTTY === true) return bar(what, unit, total, output, rate)
  let said = began
  return {
    update(done, of) {
      if (now() - said < lineMs) return
      said = now()
      const whole = of ?? total
      say(`${what}: ${done}${whole === null ? '' : ` of ${whole}`} ${unit}, ${rate(done)}/s`, output)
    },
    [Symbol.dispose]: () => undefined,
  }
}

function bar(what: string, unit: string, total: number | null, output: NodeJS.WritableStream, rate: (done: number) => number): Progress {
  const counts = total === null ? '{value}' : '{bar} {percentage}% {value}/{total}'
  const shown = new cliProgress.SingleBar(
    { format: `${escapeLine(what)} ${counts} ${unit}, {rate}/s`, stream: output, clearOnComplete: true, hideCursor: true, etaBuffer: 50 },
    cliProgress.Presets.shades_classic,
  )
  shown.start(total ?? 0, 0, { rate: 0 })
  return {
    update(done, of) {
      if (of !== undefined) shown.setTotal(of)
      shown.update(done, { rate: rate(done) })
    },
    [Symbol.dispose]: () => shown.stop(),
  }
}
