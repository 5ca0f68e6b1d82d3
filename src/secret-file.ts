// Files with secrets: readable by their owner alone, durable before they are used, whole at every moment.

import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Writes a new file of one line or more with mode 0600, in a folder that is made with mode 0700 where it is missing. Throws EEXIST where there is a file. */
export function writeSecretFile(path: string, line: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = openSync(path, 'wx', 0o600)
  try {
    writeSync(file, `${line}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  syncFolder(dirname(path))
}

/** Replaces such a file at once: whoever reads it meanwhile, or after a crash, finds the old one or the new one. */
export function replaceSecretFile(path: string, line: string): void {
  const draft = `${path}.new`
  rmSync(draft, { force: true })
  writeSecretFile(draft, line)
  renameSync(draft, path)
  syncFolder(dirname(path))
}

// The name of a new file is durable once its folder is; not every system can do that.
function syncFolder(path: string): void {
  let folder: number
  try {
    folder = openSync(path, 'r')
  } catch {
    return
  }
  try {
    fsyncSync(folder)
  } catch {
    // A system that cannot has nothing better.
  } finally {
    closeSync(folder)
  }
}
