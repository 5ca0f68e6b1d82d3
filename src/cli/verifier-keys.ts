// The verifier keys in arguments: as they are, or in files with one a line.

import { readFileSync } from 'node:fs'
import { UsageError } from '../config.ts'
import { verdictOf } from '../core/errors.ts'
import { parseVerifierKey, type VerifierKey } from '../core/tlog/note.ts'

/** The help of `--vkey`. */
export const VKEY_HELP = "the log's verifier key (NAME+ID+BASE64), or a file with one a line; can be repeated"

/** The keys in the arguments of `flag`. Throws UsageError where one is neither a key nor a file of keys. */
export function readVerifierKeys(values: readonly string[], flag = '--vkey'): VerifierKey[] {
  return values.flatMap((value) => {
    const { value: key } = verdictOf(() => parseVerifierKey(value))
    return key === null ? readKeyFile(value, flag) : [key]
  })
}

function readKeyFile(path: string, flag: string): VerifierKey[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    throw new UsageError(`${flag}: ${path} is neither a verifier key (NAME+ID+BASE64) nor a file that can be read`)
  }
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '')
  if (lines.length === 0) throw new UsageError(`${flag}: ${path} is empty`)
  return lines.map((line) => {
    const { value: key } = verdictOf(() => parseVerifierKey(line))
    if (key === null) throw new UsageError(`${flag}: ${path} holds a line that is no verifier key (NAME+ID+BASE64)`)
    return key
  })
}
