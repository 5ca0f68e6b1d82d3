// The manual for operators, held against what the program says.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'

const MANUAL = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'operations.md'), 'utf8')

/** Expects that the manual shows these words to the letter, but for numbers, ids, hashes and signatures. */
export function expectSpoken(words: string): void {
  expect(spoken(MANUAL)).toContain(spoken(words))
}

function spoken(text: string): string {
  return text.replaceAll(/[A-Za-z0-9+/]{43}=/g, 'HASH').replaceAll(/\b[0-9a-f]{16,}\b|\+[0-9a-f]{8}\b/g, 'ID').replaceAll(/\d+(\.\d+)?/g, 'N')
}
