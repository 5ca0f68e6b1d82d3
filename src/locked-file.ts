// SQLite files that one process holds at a time, and what is written to them is on disk when the call returns.

import { DatabaseSync } from 'node:sqlite'

/**
 * Opens a file, made where it is missing, and locks it until it is closed. Throws what `refusal` makes of it where that fails:
 * whether another process holds the file, and the reason in words of the system.
 */
export function openLockedFile(path: string, refusal: (inUse: boolean, reason: string) => Error): DatabaseSync {
  const database = new DatabaseSync(path)
  try {
    // EXTRA, not FULL: a deleted rollback journal is a commit, and only EXTRA flushes the folder that it was deleted from.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA fullfsync = ON')
    // The lock is taken by the first write and kept until the file is closed.
    database.exec('BEGIN EXCLUSIVE; COMMIT')
  } catch (error) {
    database.close()
    const reason = error instanceof Error ? error.message : String(error)
    throw refusal(/locked|busy/i.test(reason), reason)
  }
  return database
}
