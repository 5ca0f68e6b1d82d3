// One process at a time decides to start or stop the server of a data folder: a lock that ends with its holder.

import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { EmbeddedError } from './programs.ts'

const RETRY_MS = 25

/** Does the work while holding the lock file; waits up to `timeoutMs` for it. Throws EmbeddedError when that is not enough, and the signal's reason where it ends the wait. */
export async function withFolderLock<T>(path: string, timeoutMs: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const deadline = performance.now() + timeoutMs
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    while (!tryLock(database)) {
      if (performance.now() > deadline) throw new EmbeddedError(`Another process has been starting or stopping the database for too long (it holds ${path}).`)
      await sleep(RETRY_MS, undefined, { signal })
    }
    return await work()
  } finally {
    // Closing rolls back, which unlocks.
    database.close()
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false
    throw error
  }
}

const SQLITE_BUSY = 5
