// Deliveries that nobody took, as files of a folder. docs/following.md#dead-letters

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DeadLetter } from '../client/webhook.ts'

/** Most files that are kept. */
export const MAX_DEAD_LETTERS = 1_000

/** Keeps a delivery's body, to the letter, in a file that is named after it; returns the file, or null where there are as many as may be. */
export function keepDeadLetter(folder: string, { id, body }: DeadLetter): string | null {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, `${id}.json`)
  if (!existsSync(file) && readdirSync(folder).length >= MAX_DEAD_LETTERS) return null
  writeFileSync(file, body, { mode: 0o600, flush: true })
  return file
}
