// Filters of the log's stream: which entries a subscriber asked for. spec/stream.md#filters

import { verdictOf } from '../core/errors.ts'
import { decodeEntry } from '../core/entry.ts'
import { prevCid } from '../core/plc/chain.ts'
import { isDid } from '../core/plc/did.ts'
import { dataOf, type Operation } from '../core/plc/operation.ts'
import type { EntryRow, Store } from '../storage/store.ts'
import { WithheldError } from '../storage/withheld.ts'
import type { StreamLimits } from './limits.ts'
import { Refused, StreamEnd } from './refusal.ts'

/** What a subscriber asked for: entries of one of these DIDs, or that name one of these services before or after. */
export interface Filter {
  readonly dids: ReadonlySet<string>
  /** Endpoints, as operations spell them. */
  readonly services: ReadonlySet<string>
  /** Whether each match comes with the earlier entries of its DID. */
  readonly history: boolean
}

/** The filter in the parameters of a query; null where they hold none. Throws Refused. */
export function readFilter(parameters: URLSearchParams, { filterDids, filterServices }: Pick<StreamLimits, 'filterDids' | 'filterServices'>): Filter | null {
  const dids = new Set(parameters.getAll('did'))
  const services = new Set(parameters.getAll('service'))
  const history = parameters.get('history') ?? '0'
  const wrong = [...dids].find((did) => !isDid(did))
  if (wrong !== undefined) throw new Refused('INVALID_DID', wrong.slice(0, 80))
  if (dids.size > filterDids) throw new Refused('TOO_MANY_DIDS', `${filterDids} maximum`)
  if (services.size > filterServices) throw new Refused('TOO_MANY_SERVICES', `${filterServices} maximum`)
  if (history !== '0' && history !== '1') throw new Refused('INVALID_NUMBER', 'history')
  return dids.size + services.size === 0 ? null : { dids, services, history: history === '1' }
}

/**
 * The entries among `rows`, a run of the log, that a filter lets through, with the earlier ones of their DIDs where it
 * asks for them, by index. Throws StreamEnd where those are too many.
 */
export async function matchesAmong(store: Pick<Store, 'history'>, filter: Filter, rows: readonly EntryRow[], most: number): Promise<readonly EntryRow[]> {
  const before = filter.services.size === 0 ? new Map<number, Operation>() : await operationsBefore(store, rows, most)
  const matches = rows.filter((row) => filter.dids.has(row.did) || names(filter, operationOf(row)) || names(filter, before.get(row.index) ?? null))
  return filter.history ? withHistory(store, matches, most) : matches
}

/** The entries of the filter's DIDs with an index of `from` or more and below `to`, as `matchesAmong` gives them. For a filter without services. */
export async function matchesOfDids(store: Pick<Store, 'history'>, filter: Filter, from: number, to: number, most: number): Promise<readonly EntryRow[]> {
  const rows = await store.history([...filter.dids], from, most)
  if (rows.length > most) throw new StreamEnd('TooManyMatches')
  const matches = rows.filter((row) => row.index < to)
  return filter.history ? withHistory(store, matches, most) : matches
}

async function withHistory(store: Pick<Store, 'history'>, matches: readonly EntryRow[], most: number): Promise<readonly EntryRow[]> {
  if (matches.length === 0) return matches
  const last = new Map(matches.map((row) => [row.did, row.index]))
  const rows = await store.history([...last.keys()], 0, most)
  if (rows.length > most) throw new StreamEnd('TooManyMatches')
  return rows.filter((row) => row.index <= (last.get(row.did) ?? -1))
}

function names(filter: Filter, operation: Operation | null): boolean {
  const data = operation === null ? null : dataOf(operation)
  return data !== null && [...data.services.values()].some(({ endpoint }) => filter.services.has(endpoint))
}

// The operations that those in `rows` follow, by the index of the row that follows.
async function operationsBefore(store: Pick<Store, 'history'>, rows: readonly EntryRow[], most: number): Promise<ReadonlyMap<number, Operation>> {
  const wanted = new Map<string, number[]>()
  const dids = new Set<string>()
  for (const row of rows) {
    const operation = operationOf(row)
    const prev = operation === null ? null : prevCid(operation)
    if (prev === null) continue
    dids.add(row.did)
    const key = `${row.did} ${prev}`
    wanted.set(key, [...(wanted.get(key) ?? []), row.index])
  }
  const found = new Map<number, Operation>()
  for (let rest = [...dids], count = rest.length; rest.length > 0; ) {
    const history = await store.history(rest.slice(0, count), 0, count === 1 ? undefined : most)
    if (count > 1 && history.length > most) {
      count = Math.ceil(count / 2)
      continue
    }
    rest = rest.slice(count)
    for (const row of history) {
      const followers = wanted.get(`${row.did} ${row.cid}`) ?? []
      const operation = followers.length === 0 ? null : operationOf(row)
      if (operation !== null) for (const index of followers) found.set(index, operation)
    }
  }
  return found
}

// Entries of a mirror's log may be none, and what is withheld is not looked at.
function operationOf(row: EntryRow): Operation | null {
  try {
    return verdictOf(() => decodeEntry(row.entry).operation).value
  } catch (error) {
    if (error instanceof WithheldError) return null
    throw error
  }
}
