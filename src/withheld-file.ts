// The file that names the entries whose bytes are not shown. spec/http.md#withheld-entries

import { readFileSync, statSync } from 'node:fs'
import { UsageError } from './config.ts'
import { LIMITS } from './http/limits.ts'
import { NOTHING_WITHHELD, type Withheld } from './storage/withheld.ts'

/** What a file withholds; nothing without one. Throws UsageError, in words, for a line that says nothing, and where the file cannot be read. */
export function readWithheld(path: string | null): Withheld {
  if (path === null) return NOTHING_WITHHELD
  const text = read(path)
  const found = new Map<number, string | null>()
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue
    const [, number = '', words = ''] = /^\s*(\d{1,15})(?:[ \t]+(\S.*?))?\s*$/.exec(line) ?? []
    const wrong = (why: string): UsageError => new UsageError(`--withheld: line ${at + 1} of ${path} ${why}`)
    if (number === '') throw wrong('is not the index of an entry, from 0, and perhaps a reason after it: 5 order of the court of X')
    if (words.length > LIMITS.withheldReason) throw wrong(`has a reason of more than ${LIMITS.withheldReason} characters`)
    if (found.has(Number(number))) throw wrong(`names entry ${Number(number)} a second time`)
    if (found.size === LIMITS.withheldEntries) throw wrong(`is one too many: ${LIMITS.withheldEntries} entries can be withheld`)
    found.set(Number(number), words === '' ? null : words)
  }
  return new Map([...found].sort(([a], [b]) => a - b))
}

/** Longest file, in bytes: what its entries with their reasons can be, and as much again of comments. */
const MAX_BYTES = LIMITS.withheldEntries * (20 + 4 * LIMITS.withheldReason) * 2

function read(path: string): string {
  try {
    if (statSync(path).size > MAX_BYTES) throw new UsageError(`--withheld: ${path} has more than ${MAX_BYTES} bytes`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`--withheld: ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
