// The file that names what is not shown: entries, and of a notary what its upstream showed. spec/http.md#withheld-entries

import { readFileSync, statSync } from 'node:fs'
import { UsageError } from './config.ts'
import { isDid } from './core/plc/did.ts'
import { LIMITS } from './http/limits.ts'
import type { Withheld, WithheldViews } from './storage/withheld.ts'

/** What a file withholds. */
export interface WithheldFile extends WithheldViews {
  readonly entries: Withheld
}

/** What a file withholds; nothing without one. Throws UsageError, in words, for a line that says nothing, and where the file cannot be read. */
export function readWithheld(path: string | null): WithheldFile {
  const entries = new Map<number, string | null>()
  const refused = new Map<number, string | null>()
  const divergent = new Map<string, string | null>()
  const text = path === null ? '' : read(path)
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue
    const wrong = (why: string): UsageError => new UsageError(`--withheld: line ${at + 1} of ${path} ${why}`)
    const { index, number, did, words = '' } = LINE.exec(line)?.groups ?? {}
    if (index === undefined && number === undefined && !isDid(did ?? '')) {
      throw wrong('is neither the index of an entry, from 0, nor `refused` and a number, nor `divergent` and a DID, and perhaps a reason after it: 5 order of the court of X')
    }
    if (words.length > LIMITS.withheldReason) throw wrong(`has a reason of more than ${LIMITS.withheldReason} characters`)
    if (entries.size + refused.size + divergent.size === LIMITS.withheldEntries) throw wrong(`is one too many: ${LIMITS.withheldEntries} can be withheld`)
    const reason = words === '' ? null : words
    const isNew = index !== undefined ? add(entries, Number(index), reason) : number !== undefined ? add(refused, Number(number), reason) : add(divergent, did ?? '', reason)
    if (!isNew) throw wrong('names the same a second time')
  }
  return { entries: new Map([...entries].sort(([a], [b]) => a - b)), refused, divergent }
}

const LINE = /^\s*(?:(?<index>\d{1,15})|refused[ \t]+(?<number>\d{1,15})|divergent[ \t]+(?<did>\S+))(?:[ \t]+(?<words>\S.*?))?\s*$/

function add<K>(to: Map<K, string | null>, key: K, reason: string | null): boolean {
  const isNew = !to.has(key)
  to.set(key, reason)
  return isNew
}

/** Longest file, in bytes: what its lines with their reasons can be, and as much again of comments. */
const MAX_BYTES = LIMITS.withheldEntries * (50 + 4 * LIMITS.withheldReason) * 2

function read(path: string): string {
  try {
    if (statSync(path).size > MAX_BYTES) throw new UsageError(`--withheld: ${path} has more than ${MAX_BYTES} bytes`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`--withheld: ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
