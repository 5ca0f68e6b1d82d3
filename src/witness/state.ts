// What a witness remembers: of each log the last checkpoint that it cosigned, in one file, durable before an answer
// leaves. spec/witness.md#state

import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { openLockedFile } from '../locked-file.ts'
import { WITNESS_LIMITS } from './limits.ts'
import { WitnessError } from './witness-error.ts'

/** What was cosigned last of a log. */
export interface Cosigned extends Checkpoint {
  /** The time in the cosignatures, in seconds since 1970. */
  readonly timestamp: number
  /** The checkpoint with the log's signatures and this witness's cosignatures. */
  readonly note: string
}

/**
 * A checkpoint that its log signed and that was not cosigned. `contradiction`: the two notes convict the log, with the
 * proof where their sizes differ, which then leads from another root to the submitted one (a tree of size 0 with another
 * root than the empty one needs no proof, and where nothing was cosigned yet there is no known note). `unproven`: the proof that came with it failed, for
 * which its sender alone may be to blame.
 */
export interface Suspect {
  readonly kind: 'contradiction' | 'unproven'
  readonly origin: string
  /** When it came, milliseconds since 1970. */
  readonly at: number
  /** The note that was cosigned last; null where there was none. */
  readonly known: string | null
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** The submitted note, with the log's signatures alone. */
  readonly submitted: string
  readonly oldSize: number
  /** The submitted proof, hashes of 32 bytes. */
  readonly proof: readonly Uint8Array[]
}

/** The memory of a witness. Every method is synchronous, and what it wrote is on disk when it returns. */
export interface WitnessState {
  /** What was cosigned last of a log; null for none. */
  latest(origin: string): Cosigned | null
  /** As `latest`, by the lower-case hexadecimal SHA-256 of the origin. */
  latestById(id: string): Cosigned | null
  /**
   * Replaces `from`, which must be what was cosigned last, by `to`. Throws StateFullError where the disk is full, and
   * then nothing is changed, and StateFailure otherwise.
   */
  advance(from: Cosigned | null, to: Cosigned): void
  /** Keeps a suspect unless one of its kind, size and root is kept already, or too many are. Whether it was kept. Throws as `advance`. */
  keep(suspect: Suspect): boolean
  /** What is kept of a log, the oldest first. */
  suspects(origin: string): readonly Suspect[]
}

/** The state's file. While it is open no other process can open it. */
export interface StateFile extends WitnessState, Disposable {
  /** The verifier keys of the witness, in the order of KEY_FILES; null as long as nothing can have been signed. */
  readonly vkeys: readonly string[] | null
  /** Records the keys: from now on they may sign. */
  setKeys(vkeys: readonly string[]): void
}

/** There is no room on the disk; nothing is changed. */
export class StateFullError extends Error {
  override readonly name = 'StateFullError'
}

/** A write failed, and what is on disk is unknown: the file was closed and must be opened anew, so that nothing is signed from memory. */
export class StateFailure extends Error {
  override readonly name = 'StateFailure'
}

/** Lower-case hexadecimal SHA-256 of an origin. */
export function logId(origin: string): string {
  return createHash('sha256').update(origin).digest('hex')
}

/** Format of the file. */
const STATE_VERSION = 1

/**
 * Opens the state, and locks it. Where the file is missing or empty it is made, if it `mayBegin`. Throws WitnessError
 * where it cannot be used.
 */
export function openState(path: string, mayBegin: boolean): StateFile {
  const database = openLockedFile(path, (inUse, reason) =>
    new WitnessError(inUse ? `${path} is in use: another process is this witness` : `${path} cannot be used as the state of a witness: ${reason}`),
  )
  try {
    if (database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get()?.['tables'] === 0) {
      if (!mayBegin) throw new WitnessError(`${path} is empty: bring back the newest state of this witness`)
      create(database)
    }
    const version = database.prepare('SELECT version FROM witness').get()?.['version']
    if (version !== STATE_VERSION) throw new WitnessError(`${path} has version ${String(version)}; this program knows version ${STATE_VERSION}`)
    return stateOver(database)
  } catch (error) {
    database.close()
    if (error instanceof WitnessError) throw error
    throw new WitnessError(`${path} is not the state of a witness: ${wordsOf(error)}`)
  }
}

function create(database: DatabaseSync): void {
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE witness (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, vkeys TEXT) STRICT;
    INSERT INTO witness VALUES (1, ${STATE_VERSION}, NULL);
    CREATE TABLE log (id TEXT PRIMARY KEY, origin TEXT NOT NULL UNIQUE, size INTEGER NOT NULL CHECK (size >= 0),
      root BLOB NOT NULL CHECK (length(root) = 32), timestamp INTEGER NOT NULL CHECK (timestamp > 0), note TEXT NOT NULL) STRICT;
    CREATE TABLE suspect (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, origin TEXT NOT NULL, at INTEGER NOT NULL, known TEXT,
      size INTEGER NOT NULL, root BLOB NOT NULL, submitted TEXT NOT NULL, old_size INTEGER NOT NULL, proof BLOB NOT NULL, UNIQUE (kind, origin, size, root)) STRICT;
    COMMIT;
  `)
}

function stateOver(database: DatabaseSync): StateFile {
  const byId = database.prepare('SELECT origin, size, root, timestamp, note FROM log WHERE id = ?')
  const insert = database.prepare('INSERT INTO log (id, origin, size, root, timestamp, note) VALUES (?, ?, ?, ?, ?, ?)')
  // The comparison and the write are one statement, and so one transaction.
  const update = database.prepare(`
    UPDATE log SET size = ?2, root = ?3, timestamp = ?4, note = ?5
    WHERE id = ?1 AND size = ?6 AND root = ?7 AND timestamp = ?8 AND (size < ?2 OR (size = ?2 AND root = ?3)) AND timestamp <= ?4`)
  const latestById = (id: string): Cosigned | null => {
    const row = byId.get(id)
    return row === undefined ? null : readCosigned(row)
  }
  return {
    get vkeys() {
      const vkeys = database.prepare('SELECT vkeys FROM witness').get()?.['vkeys']
      return typeof vkeys === 'string' ? vkeys.split('\n') : null
    },
    setKeys(vkeys) {
      database.prepare('UPDATE witness SET vkeys = ?').run(vkeys.join('\n'))
    },
    latest: (origin) => latestById(logId(origin)),
    latestById,
    advance(from, to) {
      const id = logId(to.origin)
      write(database, () => {
        const { changes } =
          from === null
            ? insert.run(id, to.origin, BigInt(to.size), to.root, BigInt(to.timestamp), to.note)
            : update.run(id, BigInt(to.size), to.root, BigInt(to.timestamp), to.note, BigInt(from.size), from.root, BigInt(from.timestamp))
        if (changes !== 1) throw new Error(`what was cosigned last of ${to.origin} is not what was read`)
      })
    },
    keep: (suspect) => write(database, () => keep(database, suspect)),
    suspects: (origin) => database.prepare('SELECT * FROM suspect WHERE origin = ? ORDER BY number').all(origin).map(readSuspect),
    [Symbol.dispose]() {
      if (database.isOpen) database.close()
    },
  }
}

function keep(database: DatabaseSync, { kind, origin, at, known, size, root, submitted, oldSize, proof }: Suspect): boolean {
  if (kind === 'contradiction') {
    const count = Number(database.prepare('SELECT count(*) AS n FROM suspect WHERE origin = ? AND kind = ?').get(origin, kind)?.['n'])
    if (count >= WITNESS_LIMITS.contradictions) return false
  }
  const { changes } = database
    .prepare('INSERT INTO suspect (kind, origin, at, known, size, root, submitted, old_size, proof) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING')
    .run(kind, origin, BigInt(Math.floor(at)), known, BigInt(size), root, submitted, BigInt(oldSize), Buffer.concat(proof))
  // Anybody can send an honest checkpoint with a proof that fails: of those the newest are kept.
  if (changes === 1 && kind === 'unproven') {
    database
      .prepare('DELETE FROM suspect WHERE origin = ?1 AND kind = ?2 AND number NOT IN (SELECT number FROM suspect WHERE origin = ?1 AND kind = ?2 ORDER BY number DESC LIMIT ?3)')
      .run(origin, kind, WITNESS_LIMITS.unproven)
  }
  return changes === 1
}

function write<T>(database: DatabaseSync, work: () => T): T {
  try {
    return work()
  } catch (error) {
    // The statement was rolled back by itself.
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_FULL) throw new StateFullError(error.message)
    if (database.isOpen) database.close()
    throw new StateFailure(wordsOf(error), { cause: error })
  }
}

const SQLITE_FULL = 13

function readCosigned({ origin, size, root, timestamp, note }: Row): Cosigned {
  return { origin: text(origin), size: number(size), root: bytes(root), timestamp: number(timestamp), note: text(note) }
}

function readSuspect(row: Row): Suspect {
  const proof = bytes(row['proof'])
  return {
    kind: row['kind'] === 'contradiction' ? 'contradiction' : 'unproven',
    origin: text(row['origin']),
    at: number(row['at']),
    known: row['known'] === null ? null : text(row['known']),
    size: number(row['size']),
    root: bytes(row['root']),
    submitted: text(row['submitted']),
    oldSize: number(row['old_size']),
    proof: Array.from({ length: proof.length / 32 }, (_, i) => proof.subarray(32 * i, 32 * (i + 1))),
  }
}

type Row = Readonly<Record<string, unknown>>

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error('the state holds no text where there should be one')
  return value
}

function number(value: unknown): number {
  if (typeof value !== 'number') throw new Error('the state holds no number where there should be one')
  return value
}

function bytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Error('the state holds no bytes where there should be some')
  return new Uint8Array(value)
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
