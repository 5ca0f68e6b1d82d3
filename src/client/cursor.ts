// Where a follower is, as one line of text that a store of the caller's keeps. docs/following.md#cursors

import { base64 } from '../core/encoding/text.ts'
import { openByAnyKey } from '../core/tlog/checkpoint.ts'
import { EMPTY_ROOT, HASH_BYTES } from '../core/tlog/hash.ts'
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import type { WebStorage } from './checkpoint-store.ts'
import { parseJson } from './json.ts'
import type { StreamFilter } from './stream-client.ts'

/** Keeps one cursor. What it gives back is what was written last; when `write` resolves, it is durable. */
export interface CursorStore {
  /** null before the first. */
  read(): Promise<string | null>
  write(cursor: string): Promise<void>
}

/** Where a follower is. */
export interface Position {
  /** Index of the first entry that was not handed over, or not taken. */
  readonly next: number
  /** A tree that was verified; every entry before its end was looked at. */
  readonly size: number
  /** Its root, 32 bytes. */
  readonly root: Uint8Array
  /** `createdAt` of the newest native entry, milliseconds since 1970; null where it is not known. */
  readonly lastNative: number | null
  /** The largest checkpoint that was verified, a signed note; null before the first. */
  readonly note: string | null
  /** Keys of the log that are known, given and learned. */
  readonly keys: readonly VerifierKey[]
}

/** A cursor does not fit what is followed: for the person who configured it. */
export class CursorError extends Error {
  override readonly name = 'CursorError'
}

/** A cursor that ends with the process. */
export function memoryCursor(cursor: string | null = null): CursorStore {
  return {
    read: () => Promise.resolve(cursor),
    write(next) {
      cursor = next
      return Promise.resolve()
    },
  }
}

/** A cursor in `localStorage` or anything like it, under one key that begins with `name`. */
export function webStorageCursor(storage: Pick<WebStorage, 'getItem' | 'setItem'>, name: string): CursorStore {
  const key = `${name} cursor`
  return {
    read: () => Promise.resolve(storage.getItem(key)),
    write: (cursor) => Promise.resolve(storage.setItem(key, cursor)),
  }
}

/** The position before the first entry. */
export function firstPosition(keys: readonly VerifierKey[]): Position {
  return { next: 0, size: 0, root: EMPTY_ROOT, lastNative: null, note: null, keys }
}

/** The text of a position of what `asked` (as `nameFilter` gives it) asks for. */
export function formatCursor(asked: string, { next, size, root, lastNative, note, keys }: Position): string {
  return JSON.stringify({ stele: MAGIC, asked, next, size, root: base64.encode(root), lastNative, note, keys: keys.map(formatVerifierKey) })
}

/** The position in a text. Throws CursorError for another text, and where it was kept for something else or another log. */
export function parseCursor(text: string, asked: string, given: readonly VerifierKey[]): Position {
  const fields = orNull(() => parseJson(text))
  if (typeof fields !== 'object' || fields === null || !('stele' in fields) || fields.stele !== MAGIC) throw new CursorError('the cursor is none: it was not written by this version')
  const cursor = fields as Readonly<Record<string, unknown>>
  if (cursor['asked'] !== asked) throw new CursorError('the cursor was kept while other identities or services were followed: what is asked for now needs a cursor of its own')
  const position = orNull((): Position => {
    const { next, size, root, lastNative, note, keys } = cursor
    if (!isIndex(next) || !isIndex(size) || next < size || typeof root !== 'string' || !(lastNative === null || isIndex(lastNative)) || !Array.isArray(keys)) throw new Error()
    if (note !== null && typeof note !== 'string') throw new Error()
    const bytes = base64.decode(root)
    if (bytes.length !== HASH_BYTES) throw new Error()
    return { next, size, root: bytes, lastNative, note, keys: keys.map((key) => parseVerifierKey(String(key))) }
  })
  if (position === null) throw new CursorError('the cursor is damaged')
  const known = given.map(formatVerifierKey)
  const others = position.keys.filter((key) => !known.includes(formatVerifierKey(key)))
  // What the log itself said of its keys was signed by one of those that were given then.
  if (others.length === position.keys.length && position.keys.length > 0) throw new CursorError('the cursor was kept for a log with other keys')
  const keys = [...given, ...others]
  if (position.note !== null) openByAnyKey(position.note, keys)
  return { ...position, keys }
}

/** The keys that a cursor was kept with; none where it is not readable. Only to be believed where the cursor is. */
export function keysOfCursor(text: string): readonly VerifierKey[] {
  return orNull(() => (parseJson(text) as { readonly keys: readonly string[] }).keys.map((key) => parseVerifierKey(key))) ?? []
}

/** What is asked for, in one form. `wanted` names a filter that no server knows. */
export function nameFilter({ dids = [], services = [] }: StreamFilter, wanted?: string): string {
  return JSON.stringify([[...new Set(dids)].sort(), [...new Set(services)].sort(), ...(wanted === undefined ? [] : [wanted])])
}

const MAGIC = 'cursor v1'

function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function orNull<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}
