// Whether the clocks may be trusted with a time stamp: one jump forward would hold for the log for ever. Pure.
// spec/log.md#clocks

/** The clocks at one moment, in milliseconds. */
export interface ClockReading {
  /** The database's time of day. */
  readonly database: number
  /** This machine's time of day. */
  readonly machine: number
  /** This machine's clock that never jumps, from an arbitrary start. */
  readonly monotonic: number
  /** The time of day by each witness that was heard lately, in its answer or in a published checkpoint; none in a log without witnesses. */
  readonly witnesses: readonly number[]
}

/**
 * What is wrong with `now`, in words for the operator; null where it may be used. `first` is the reading of the
 * process's first round, which later ones must continue: a clock that jumped, in either direction, stays refused
 * until the process is started again by somebody who has looked at it.
 */
export function clockFault(now: ClockReading, first: ClockReading, maxSkewMs: number): string | null {
  const apart = now.database - now.machine
  if (Math.abs(apart) > maxSkewMs) {
    return `the database's clock is ${seconds(apart)} s ${apart > 0 ? 'ahead of' : 'behind'} this machine's: set both by the same source of time`
  }
  const jump = now.database - first.database - (now.monotonic - first.monotonic)
  if (Math.abs(jump) > maxSkewMs) {
    return (
      `the clock has jumped ${seconds(jump)} s ${jump > 0 ? 'forward' : 'back'} since this process began: ` +
      'look whether it is right now, and start the directory again when it is'
    )
  }
  // One witness whose clock is right is enough: no single one can stop the log by a wrong time.
  const [nearest] = now.witnesses.map((time) => time - now.machine).sort((a, b) => Math.abs(a) - Math.abs(b))
  if (nearest !== undefined && Math.abs(nearest) > maxSkewMs) {
    return `this machine's clock is ${seconds(nearest)} s ${nearest > 0 ? 'behind' : 'ahead of'} the times that the witnesses state: set it by the source of time that the world uses`
  }
  return null
}

function seconds(ms: number): string {
  return (Math.abs(ms) / 1000).toFixed(1)
}
