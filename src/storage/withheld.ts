// Entries whose bytes an operator must not show: a store that gives all that is known of them, and not their bytes.
// spec/http.md#withheld-entries

import type { EntryRow, Store, StoredEntry } from './store.ts'

/** Entries by their index, with the reason in the operator's words; null where none was given. Ordered by index. */
export type Withheld = ReadonlyMap<number, string | null>

/** What a notary does not show of what its upstream showed, each with a reason or null. */
export interface WithheldViews {
  /** Lines that were set aside, by their number. */
  readonly refused: ReadonlyMap<number, string | null>
  /** The upstream's view of identities, by their DID. */
  readonly divergent: ReadonlyMap<string, string | null>
}

/** Nothing is withheld. */
export const NOTHING_WITHHELD: Withheld = new Map()

/** The bytes of an entry were asked for that the operator withholds. */
export class WithheldError extends Error {
  override readonly name = 'WithheldError'
  readonly index: number

  constructor(index: number, reason: string | null) {
    super(reason === null ? `index ${index}` : `index ${index}, ${reason}`)
    this.index = index
  }
}

/**
 * A store to serve from. Rows of withheld entries throw WithheldError where their bytes are read, and only there;
 * `leaves` throws it where one is among them; exports go on without them. Everything else is as it is: hashes, tiles,
 * checkpoints.
 */
export function withholding(store: Store, withheld: Withheld): Store {
  if (withheld.size === 0) return store

  function shown(row: EntryRow): EntryRow {
    const reason = withheld.get(row.index)
    if (reason === undefined) return row
    return Object.defineProperty({ ...row }, 'entry', {
      enumerable: true,
      get(): never {
        throw new WithheldError(row.index, reason)
      },
    })
  }

  async function shownFrom(from: number, to: number, count: number, use: (entry: StoredEntry) => void): Promise<void> {
    let [read, given, next] = [0, 0, from]
    await store.exportFrom(from, to, count, (entry) => {
      read++
      next = entry.index + 1
      if (withheld.has(entry.index)) return
      given++
      use(entry)
    })
    // In place of those that were passed over.
    if (read === count && given < count) await shownFrom(next, to, count - given, use)
  }

  return {
    ...store,
    entries: async (start, end) => (await store.entries(start, end)).map(shown),
    history: async (dids, from, most) => (await store.history(dids, from, most)).map(shown),
    newestOf: async (dids) => (await store.newestOf(dids)).map(shown),

    async newest(did) {
      const row = await store.newest(did)
      return row === null ? null : shown(row)
    },

    async leaves(start, end) {
      const leaves = await store.leaves(start, end)
      const first = firstWithheld(withheld, start, start + leaves.length)
      if (first !== null) throw new WithheldError(first, withheld.get(first) ?? null)
      return leaves
    },

    exportFrom: shownFrom,

    async exportAfter(after, to, count) {
      const found = await store.exportAfter(after, to, count + withheld.size)
      return found.filter(({ index }) => !withheld.has(index)).slice(0, count)
    },
  }
}

/** Index of the first withheld entry in `[start, end)`; null where there is none. */
export function firstWithheld(withheld: Withheld, start: number, end: number): number | null {
  for (const index of withheld.keys()) if (index >= start && index < end) return index
  return null
}
