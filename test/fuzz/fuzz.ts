// Runs a target: hostile inputs, seeds, then mutated ones, each timed. A finding names its seed and iteration.

import { mutate } from './mutate.ts'
import { randomOf } from './random.ts'
import { MAX_INPUT_MS, type Target } from './target.ts'
import { startWatchdog } from './watchdog.ts'

/** How long and from where. */
export interface FuzzOptions {
  /** The mutator's. */
  readonly seed: number
  /** First iteration; default 0. */
  readonly from?: number
  readonly iterations: number
  /** Ends early, in milliseconds; default never. */
  readonly budgetMs?: number
}

/** What the environment asks for: `STELE_FUZZ_SEED`, a number, and `STELE_FUZZ_AT`, the one iteration to run. */
export function fuzzSettings(seed: number): { readonly seed: number; readonly at: number | null } {
  const { STELE_FUZZ_SEED, STELE_FUZZ_AT } = process.env
  return { seed: Number(STELE_FUZZ_SEED ?? seed), at: STELE_FUZZ_AT === undefined ? null : Number(STELE_FUZZ_AT) }
}

/** What was done. */
export interface Tally {
  readonly name: string
  /** Mutated inputs. */
  readonly inputs: number
  readonly accepted: number
  readonly ms: number
  /** The slowest input, in milliseconds. */
  readonly slowestMs: number
}

/** Throws, with what it takes to see it again, where the target finds something or an input takes too long. */
export async function fuzz(target: Target, { seed, from = 0, iterations, budgetMs = Infinity }: FuzzOptions): Promise<Tally> {
  using watchdog = startWatchdog(target.name)
  const begun = performance.now()
  let slowestMs = 0
  const take = async (input: Uint8Array, where: string): Promise<boolean> => {
    const { accepted, ms } = await timed(target, input, where)
    slowestMs = Math.max(slowestMs, ms)
    return accepted
  }
  for (const [i, input] of (target.hostile ?? []).entries()) {
    watchdog.beat(-1 - i)
    await take(input, `hostile input ${i}`)
  }
  for (const [i, input] of target.seeds.entries()) {
    if (!(await take(input, `valid input ${i}`))) throw finding(target, `valid input ${i}`, input, new Error('a valid input is refused'))
  }
  let inputs = 0
  let accepted = 0
  for (; inputs < iterations && performance.now() - begun < budgetMs; inputs++) {
    const iteration = from + inputs
    watchdog.beat(iteration)
    if (await take(inputOf(target, seed, iteration), `seed ${seed}, iteration ${iteration}`)) accepted++
  }
  return { name: target.name, inputs, accepted, ms: performance.now() - begun, slowestMs }
}

/** The input of an iteration: always the same bytes, as a view that does not begin where its buffer does. */
export function inputOf(target: Target, seed: number, iteration: number): Uint8Array {
  const mutated = mutate(randomOf(target.name, seed, iteration), target)
  const padded = new Uint8Array(mutated.length + 3)
  padded.set(mutated, 1)
  return padded.subarray(1, 1 + mutated.length)
}

async function timed(target: Target, input: Uint8Array, where: string): Promise<{ accepted: boolean; ms: number }> {
  const maxMs = target.maxMs ?? MAX_INPUT_MS
  let ms = Infinity
  let accepted = false
  // Another process or the garbage collector may have taken the time: only an input that is slow again and again is.
  for (let attempt = 0; attempt < 4 && ms > maxMs; attempt++) {
    const begun = performance.now()
    try {
      const outcome = target.run(input)
      accepted = typeof outcome === 'boolean' ? outcome : await outcome
    } catch (error) {
      throw finding(target, where, input, error)
    }
    ms = Math.min(ms, performance.now() - begun)
  }
  if (ms > maxMs) throw finding(target, where, input, new Error(`took ${Math.round(ms)} ms, ${maxMs} are allowed`))
  return { accepted, ms }
}

function finding(target: Target, where: string, input: Uint8Array, cause: unknown): Error {
  const shown = JSON.stringify(Buffer.from(input).toString('latin1')).slice(0, 4_000)
  const again = /^seed (\d+), iteration (\d+)$/.exec(where)
  const command = `npx vitest run test/fuzz/fuzz.test.ts -t '${target.name}: '`
  const replay = again === null ? '' : `\n  again with STELE_FUZZ_SEED=${again[1]} STELE_FUZZ_AT=${again[2]} ${command}`
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new Error(`${target.name}: ${where}: ${reason}\n  input (${input.length} bytes, Latin-1) ${shown}${replay}`, { cause })
}
