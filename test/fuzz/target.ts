// What a fuzz target is, and the words in which it says what must hold.

import { verdictOf } from '../../src/core/errors.ts'
import type { Corpus } from './mutate.ts'

/** Something that reads input from outside. */
export interface Target extends Corpus {
  readonly name: string
  /** Inputs that are no mutation of anything: those made to be slow, deep or long. Each is run once. */
  readonly hostile?: readonly Uint8Array[]
  /** Milliseconds that one input may take; default MAX_INPUT_MS. */
  readonly maxMs?: number
  /** Whether the input was accepted. A refusal is a DirectoryError and stays inside; whatever this throws is a finding. */
  run(input: Uint8Array): boolean | Promise<boolean>
}

/** How long one input may take, in milliseconds, unless its target says otherwise. */
export const MAX_INPUT_MS = 250

/** What a reader says; null where it refuses. Anything but a verdict propagates: a finding. */
export function accepted<T>(read: () => T): { readonly value: T } | null {
  const { value, verdict } = verdictOf(() => ({ value: read() }))
  return verdict === null ? value : null
}

/** Throws, as a finding, unless `condition` holds. */
export function must(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(`this must hold: ${sentence}`)
}

/** Throws, as a finding, unless two values have the same JSON form. Maps count as lists of their entries, bytes as hexadecimal. */
export function mustEqual(actual: unknown, expected: unknown, sentence: string): void {
  const [a, b] = [inspect(actual), inspect(expected)]
  if (a !== b) throw new Error(`this must hold: ${sentence}\n  actual   ${a.slice(0, 1_000)}\n  expected ${b.slice(0, 1_000)}`)
}

/** Throws, as a finding, unless two byte strings are equal. */
export function mustEqualBytes(actual: Uint8Array, expected: Uint8Array, sentence: string): void {
  if (Buffer.compare(actual, expected) !== 0) throw new Error(`this must hold: ${sentence}\n  actual   ${hexOf(actual)}\n  expected ${hexOf(expected)}`)
}

/** The bytes of texts. */
export function bytesOfAll(texts: Iterable<string>): Uint8Array[] {
  return [...texts].map((text) => new Uint8Array(Buffer.from(text)))
}

function inspect(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (item instanceof Uint8Array) return hexOf(item)
    if (item instanceof Map) return { map: [...item] }
    return typeof item === 'bigint' || Number.isNaN(item) ? String(item) : item
  })
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').slice(0, 2_000)
}
