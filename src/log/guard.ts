// The guard: a small file that durably remembers the last tree head signed, written before a signature leaves the
// signer, so that no restored database can make this key contradict itself. spec/log.md#guard

import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { bytesEqual } from '../core/encoding/text.ts'
import { openLockedFile } from '../locked-file.ts'

/** A tree head that was signed, or is about to be. */
export interface SignedHead {
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
}

/** An open guard. While it is open no other process can open it. */
export interface Guard extends Disposable {
  /** Names this guard among all others; the database records it. */
  readonly id: string
  readonly origin: string
  /** The last head recorded. */
  last(): SignedHead
  /** Records a head durably; returns when it is on disk. Throws GuardError for one smaller than the last, or as large with another root. */
  record(head: SignedHead): void
  /** Retires this guard for ever in favour of the one with the id `to`; it can be opened no more. */
  retire(to: string): void
}

/** The guard refuses, or cannot be used: words for the operator. */
export class GuardError extends Error {
  override readonly name = 'GuardError'
}

/** Format of the file. */
const GUARD_VERSION = 1

/**
 * Creates the guard of a new log that has signed nothing but, perhaps, its `first` head. A guard of the same origin
 * that has recorded just that head is opened instead: an earlier creation was cut short. Throws GuardError for any other file.
 */
export function createGuard(path: string, origin: string, id: string, first: SignedHead): Guard {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const database = openLocked(path)
  // A file without tables is one that an earlier creation left behind before it had written anything.
  if (database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get()?.['tables'] !== 0) {
    const guard = guardOver(database, path, origin)
    const { size, root } = guard.last()
    if (size === first.size && bytesEqual(root, first.root)) return guard
    guard[Symbol.dispose]()
    throw new GuardError(`${path} is a guard already, and has signed ${size} entries: it is never made anew. A new log needs another origin, and so another guard`)
  }
  try {
    database.exec(`
      BEGIN IMMEDIATE;
      CREATE TABLE guard (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, id TEXT NOT NULL,
        origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL CHECK (length(root) = 32), retired_for TEXT) STRICT;
    `)
    database
      .prepare('INSERT INTO guard VALUES (1, ?, ?, ?, ?, ?, NULL)')
      .run(GUARD_VERSION, id, origin, first.size, first.root)
    database.exec('COMMIT')
  } catch (error) {
    database.close()
    throw error
  }
  return guardOver(database, path, origin)
}

/** Opens the guard of an origin and locks it. Throws GuardError where the file is missing, in use, or another's. */
export function openGuard(path: string, origin: string): Guard {
  if (!existsSync(path)) {
    throw new GuardError(
      `there is no guard at ${path}. The guard remembers what the log's key has signed; without it the key could contradict itself. ` +
        'Bring the file back from where the log ran last (--guard FILE). Where it is lost for ever: stele signer adopt --help',
    )
  }
  return guardOver(openLocked(path), path, origin)
}

function guardOver(database: DatabaseSync, path: string, origin: string): Guard {
  try {
    const row = readRow(database, path)
    if (row.version !== GUARD_VERSION) throw new GuardError(`${path} has version ${row.version}; this program knows version ${GUARD_VERSION}`)
    if (row.origin !== origin) throw new GuardError(`${path} is the guard of ${row.origin}, not of ${origin}`)
    if (row.retiredFor !== null) throw new GuardError(`${path} was retired: the log is signed with the guard ${row.retiredFor}, where it was handed over to`)
    return {
      id: row.id,
      origin,
      last() {
        const { size, root } = readRow(database, path)
        return { size, root }
      },
      record({ size, root }) {
        // One statement, so that the comparison and the write are one transaction. EXTRA makes it durable on return.
        const { changes } = database
          .prepare('UPDATE guard SET size = ?1, root = ?2 WHERE size < ?1 OR (size = ?1 AND root = ?2)')
          .run(size, root)
        if (changes !== 1) {
          throw new GuardError(`a checkpoint of size ${size} was about to contradict what was signed at size ${readRow(database, path).size}; it was not signed`)
        }
      },
      retire(to) {
        database.prepare('UPDATE guard SET retired_for = ?').run(to)
      },
      [Symbol.dispose]() {
        if (database.isOpen) database.close()
      },
    }
  } catch (error) {
    database.close()
    throw error
  }
}

function openLocked(path: string): DatabaseSync {
  return openLockedFile(path, (inUse, reason) =>
    new GuardError(inUse ? `${path} is in use: another process signs for this log. Others serve beside it with --accept-only or --read-only` : `${path} cannot be used as a guard: ${reason}`),
  )
}

interface GuardRow {
  readonly version: number
  readonly id: string
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
  readonly retiredFor: string | null
}

function readRow(database: DatabaseSync, path: string): GuardRow {
  let row: Record<string, unknown> | undefined
  try {
    row = database.prepare('SELECT version, id, origin, size, root, retired_for FROM guard').get()
  } catch (error) {
    throw new GuardError(`${path} is not a guard: ${error instanceof Error ? error.message : String(error)}`)
  }
  const { version, id, origin, size, root, retired_for: retiredFor } = row ?? {}
  if (typeof version !== 'number' || typeof id !== 'string' || typeof origin !== 'string' || typeof size !== 'number' || !(root instanceof Uint8Array)) {
    throw new GuardError(`${path} is not a guard: it has no record`)
  }
  return { version, id, origin, size, root: new Uint8Array(root), retiredFor: typeof retiredFor === 'string' ? retiredFor : null }
}
