// Rows and changes for stores, which take any bytes for an entry.

import { createHash } from 'node:crypto'
import { formatCid } from '../../src/core/encoding/cid.ts'
import { base32 } from '../../src/core/encoding/text.ts'
import { grow } from '../../src/core/growth.ts'
import type { Append, EntryRow, Head } from '../../src/storage/store.ts'

/** What a test says of a row; the rest is made up from its index. */
export type Draft = Partial<Omit<EntryRow, 'index'>>

/** A well-formed did:plc; the same for the same name. */
export function didNamed(name: string): string {
  return `did:plc:${base32.encode(digest(`did ${name}`).subarray(0, 15))}`
}

/** The CID of a name. */
export function cidNamed(name: string): string {
  return formatCid(digest(`cid ${name}`))
}

/** The change that appends these rows to a head. */
export function round(head: Head, drafts: readonly Draft[], nullified: readonly number[] = []): Append {
  const entries = drafts.map((draft, position): EntryRow => {
    const index = head.size + position
    return {
      index,
      did: didNamed(String(index)),
      cid: cidNamed(String(index)),
      createdAt: 1_700_000_000_000 + index,
      signer: draft.rejected === undefined || draft.rejected === null ? 0 : null,
      nullified: false,
      rejected: null,
      entry: entryNamed(String(index)),
      ...draft,
    }
  })
  const growth = grow(head.edge, entries.map((row) => row.entry))
  const newest = entries.at(-1)
  return {
    from: head,
    entries,
    nullified,
    tiles: growth.tiles,
    to: { size: growth.edge.size, root: growth.root, edge: growth.edge, clock: { lastNative: newest?.createdAt ?? head.clock.lastNative } },
  }
}

/** Bytes that differ from name to name. */
export function entryNamed(name: string): Uint8Array {
  return new Uint8Array([...digest(name), ...digest(`${name}, continued`).subarray(0, name.length)])
}

/** `count` drafts without anything to say. */
export function plain(count: number): Draft[] {
  return Array.from({ length: count }, () => ({}))
}

function digest(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest())
}

/** A moment that no clock of a test is past. */
export const NEVER = 10 ** 15
