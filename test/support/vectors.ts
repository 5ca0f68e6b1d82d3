// Published test vectors, read from the folder that STELE_VECTORS names; where it is unset, their tests are skipped loudly.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe } from 'vitest'

/** The folder of the vectors; null where STELE_VECTORS is unset. */
export const vectorsFolder: string | null = process.env['STELE_VECTORS'] || null

/** One vector. */
export interface Vector {
  /** Its path inside the folder asked for, without `.json`. */
  readonly name: string
  readonly json: unknown
}

/** A group of tests over vectors: skipped, with a line on stderr, where STELE_VECTORS is unset. */
export function describeVectors(title: string, tests: () => void): void {
  if (vectorsFolder === null) process.stderr.write(`\nSKIPPED, because STELE_VECTORS is not set: ${title}\n`)
  describe.skipIf(vectorsFolder === null)(title, tests)
}

/** Every JSON file below a folder of the vectors, sorted by name; none where STELE_VECTORS is unset. */
export function readVectors(folder: string): Vector[] {
  if (vectorsFolder === null) return []
  const root = join(vectorsFolder, folder)
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({ name: file.slice(0, -'.json'.length), json: JSON.parse(readFileSync(join(root, file), 'utf8')) as unknown }))
}
