// Comparing what an upstream shows of an identity with what was notarised of it. spec/mirror.md#divergence

import type { EntryRow } from '../src/storage/store.ts'
import type { ShownLine } from './plain-line.ts'

/** How two views of an identity differ: the upstream's lacks an operation; has one that breaks the rules; says otherwise which are nullified; gives another time; cannot be read. */
export type DivergenceKind = 'vanished' | 'refused' | 'nullified' | 'time' | 'unreadable'

/** What a comparison finds. */
export interface Comparison {
  /** In the order of the list above; none where both agree. */
  readonly kinds: readonly DivergenceKind[]
  /** Whether something differs that is too young to tell. */
  readonly unsettled: boolean
}

/** What of the upstream's view is not held here. */
export function lacking(ours: readonly EntryRow[], theirs: readonly ShownLine[]): readonly ShownLine[] {
  const held = new Set(ours.map((row) => row.cid))
  return theirs.filter(({ record }) => record !== null && !held.has(record.cid))
}

/** Compares an identity's entries with the upstream's audit log, of which all that keeps the rules is held here. What is younger than `settledAt`, milliseconds since 1970, may be on its way still. */
export function compareViews(ours: readonly EntryRow[], theirs: readonly ShownLine[], settledAt: number): Comparison {
  const records = theirs.flatMap(({ record }) => record ?? [])
  const shown = new Map(records.map((record) => [record.cid, record]))
  const missing = ours.filter((row) => !shown.has(row.cid))
  const common = ours.flatMap((row) => {
    const record = shown.get(row.cid)
    return record === undefined ? [] : [{ row, record }]
  })
  const found: Record<DivergenceKind, boolean> = {
    vanished: missing.some((row) => row.createdAt < settledAt),
    refused: lacking(ours, theirs).length > 0,
    nullified: common.some(({ row, record }) => record.nullified !== undefined && record.nullified !== row.nullified),
    time: common.some(({ row, record }) => record.createdAt !== row.createdAt),
    unreadable: theirs.some(({ record }) => record === null),
  }
  return {
    kinds: KINDS.filter((kind) => found[kind]),
    unsettled: missing.some((row) => row.createdAt >= settledAt),
  }
}

const KINDS: readonly DivergenceKind[] = ['vanished', 'refused', 'nullified', 'time', 'unreadable']
