// Reads a whole log and derives everything again: every tile, every root, every rule. spec/log.md#fsck

import { bytesEqual } from '../core/encoding/text.ts'
import { decodeEntry, type Entry } from '../core/entry.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import type { PlacedLeaf } from '../core/evidence-rules.ts'
import type { TileGrowth } from '../core/growth.ts'
import { prevCid } from '../core/plc/chain.ts'
import { findSigner, type SignatureAnswer, type SignatureQuestion } from '../core/plc/signature.ts'
import { chainsFromRows, EMPTY_CLOCK, planQuestions, planReplay, replay, type EntryRow, type Replayed, type ReplayPlan, type ReplayState } from '../core/replay.ts'
import { decodeBundle } from '../core/tlog/bundle.ts'
import { EMPTY_EDGE, edgeRoot } from '../core/tlog/edge.ts'
import { HASH_BYTES } from '../core/tlog/hash.ts'
import { bundlePath, TILE_WIDTH, tilePath, type TileId } from '../core/tlog/tile.ts'
import { NotServedError, WithheldError, type TileReader } from './tile-reader.ts'

/** What was found wrong: of which kind, where, and in words. */
export interface Problem {
  /** `withheld` says nothing against the log: what its operator does not show could not be checked. */
  readonly kind: 'checkpoint' | 'bundle' | 'tile' | 'root' | 'database' | 'withheld'
  /** What it was found in: a path below the log's prefix, or a name. */
  readonly where: string
  readonly words: string
}

/** A root that the tree must have at a size. */
export interface KnownRoot {
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Who says so, for the problem's `where`. */
  readonly where: string
}

/** An entry that breaks a rule and stays in the tree all the same. */
export interface RejectedEntry {
  readonly index: number
  /** Empty where the leaf's bytes are no entry. */
  readonly did: string
  readonly cid: string
  readonly code: string
  readonly words: string
  /** The leaf's bytes. */
  readonly entry: Uint8Array
  /** Leaves of the log that may show that it breaks a rule: what `findBreach` asks for. */
  readonly known: readonly PlacedLeaf[]
}

/** Answers signature questions position by position: undefined where the question is null. */
export type VerifyAnswers = (questions: readonly (SignatureQuestion | null)[]) => Promise<readonly (SignatureAnswer | undefined)[]>

/** Where an earlier check ended. */
export interface CheckStart {
  readonly state: ReplayState
  /** The rows of the identities of these entries as they stood before them; negative indices, each for one row, stand for those that are not known. */
  readonly historyBefore: (entries: readonly Entry[]) => Promise<readonly EntryRow[]>
}

/** What a check may be given. */
export interface TreeCheckOptions {
  /** No entry before it is read again. Default: the first entry. */
  readonly start?: CheckStart
  readonly known?: readonly KnownRoot[]
  /** Default: the portable implementation, one after the other. */
  readonly verifyAnswers?: VerifyAnswers
  /** Called after each bundle with the number of entries done. */
  readonly onProgress?: (done: number) => void
  /** Called with what was derived for each run of entries, in order. */
  readonly onReplayed?: (replayed: Replayed) => void | Promise<void>
  readonly signal?: AbortSignal
}

/** What a check found. */
export interface TreeReport {
  /** Where the replay ended: at the asked size, unless a bundle was missing or broken. */
  readonly state: ReplayState
  /** Identities with at least one entry that kept the rules. */
  readonly dids: number
  readonly rejected: readonly RejectedEntry[]
  readonly problems: readonly Problem[]
}

/** How many bundles are asked for before they are needed. */
const READ_AHEAD = 8

/**
 * Derives the tree of the first `size` entries from its bundles and compares it with every tile, full and partial,
 * and with every known root up to that size (with `start`, what is after it); applies every rule to every entry. Problems are data: what throws is an
 * incident of the reader. A bundle that is missing or none ends the replay there. Entries are kept in memory.
 */
export async function checkTree(reader: TileReader, size: number, options: TreeCheckOptions = {}): Promise<TreeReport> {
  const { start, known = [], verifyAnswers = answerAll, onProgress, onReplayed, signal } = options
  const history = new History()
  const problems: Problem[] = []
  const rejected: (Omit<RejectedEntry, 'known'> & { readonly native: EntryRow | null })[] = []
  const tiles = new DerivedTiles()
  let native: EntryRow | null = null // the newest accepted one
  let withheld = false
  let state: ReplayState = start?.state ?? { edge: EMPTY_EDGE, clock: EMPTY_CLOCK }

  const checkKnown = (): void => {
    for (const { size, root, where } of known) {
      if (size === state.edge.size && !bytesEqual(root, edgeRoot(state.edge))) problems.push({ kind: 'root', where, words: `the entries lead to another root at size ${size}` })
    }
  }

  checkKnown()
  const bundles = Math.ceil(size / TILE_WIDTH)
  for await (const { bundle, tile, index, width } of readAhead(reader, Math.floor(state.edge.size / TILE_WIDTH), bundles, size)) {
    signal?.throwIfAborted()
    if (bundle instanceof NotServedError) {
      withheld = bundle instanceof WithheldError
      const words = withheld ? bundle.message : 'it is missing'
      problems.push({ kind: withheld ? 'withheld' : 'bundle', where: bundlePath(index, width), words: `${words}; entries from ${state.edge.size} on could not be checked` })
      break
    }
    const { value: leaves, verdict } = verdictOf(() => decodeBundle(bundle, width))
    if (verdict !== null) {
      problems.push({ kind: 'bundle', where: bundlePath(index, width), words: `${verdict.message}; entries from ${state.edge.size} on could not be checked` })
      break
    }
    for (const run of cutAt(leaves.slice(state.edge.size - index * TILE_WIDTH), state.edge.size, known)) {
      const plan = planReplay(run)
      if (start !== undefined) history.begin(plan.dids, await start.historyBefore(firstOfUnknown(plan, history)))
      const chains = chainsFromRows(history.rowsOf(plan.dids))
      const asked = plan.decoded.map((entry) => (entry instanceof DirectoryError ? null : entry))
      const questions = planQuestions(asked.filter((entry) => entry !== null), chains).values()
      const answers = await verifyAnswers(asked.map((entry) => (entry === null ? null : (questions.next().value ?? null))))
      const replayed = replay(state, plan, chains, answers)
      state = replayed.state
      history.add(replayed)
      for (const [position, row] of replayed.rows.entries()) {
        const { index, did, cid, entry } = row
        const verdict = replayed.verdicts.get(index)
        const decoded = plan.decoded[position]
        if (verdict !== undefined) rejected.push({ index, did, cid, entry, code: verdict.code, words: verdict.message, native })
        else if (decoded !== undefined && !(decoded instanceof DirectoryError) && decoded.source === null) native = row
      }
      tiles.add(replayed.growth.tiles)
      await onReplayed?.(replayed)
      checkKnown()
    }
    for (const { tile: id, from, hashes } of tiles.takeFull()) {
      const served = id.level === 0 ? tile : await readTile(reader, id)
      problems.push(...compareTile(id, from, hashes, served))
    }
    onProgress?.(state.edge.size)
  }
  for (const { tile: id, from, hashes } of tiles.takeRest()) problems.push(...compareTile(id, from, hashes, await readTile(reader, id)))
  for (const { size, where } of known) {
    if (size > state.edge.size) problems.push({ kind: withheld ? 'withheld' : 'root', where, words: `it is over ${size} entries, and only ${state.edge.size} could be read` })
  }
  const named = history.withCids(rejected.flatMap(namesOf))
  const withKnown = rejected.map(({ native, ...entry }): RejectedEntry => {
    const others = namesOf(entry).flatMap((cid) => named.get(cid) ?? [])
    return { ...entry, known: [...history.rowsOf([entry.did]), ...others, ...(native === null ? [] : [native])] }
  })
  return { state, dids: history.size, rejected: withKnown, problems }
}

/** Answers signature questions with the portable implementation, one after the other. */
export function answerAll(questions: readonly (SignatureQuestion | null)[]): Promise<readonly (SignatureAnswer | undefined)[]> {
  return Promise.resolve(questions.map((question) => (question === null ? undefined : findSigner(question))))
}

// The rows of every identity, from which a chain is built again when the identity comes again: a parsed chain for
// each would take several times the memory.
class History {
  readonly #rows = new Map<string, EntryRow[]>()

  get size(): number {
    return this.#rows.size
  }

  knows(did: string): boolean {
    return this.#rows.has(did)
  }

  /** Puts rows before the first of these identities; others are left as they are. */
  begin(dids: readonly string[], rows: readonly EntryRow[]): void {
    for (const did of dids) if (!this.#rows.has(did)) this.#rows.set(did, rows.filter((row) => row.did === did))
  }

  rowsOf(dids: readonly string[]): EntryRow[] {
    return dids.flatMap((did) => this.#rows.get(did) ?? [])
  }

  /** The rows of operations, by their CIDs. */
  withCids(cids: readonly string[]): Map<string, EntryRow[]> {
    const wanted = new Map(cids.map((cid): [string, EntryRow[]] => [cid, []]))
    if (wanted.size > 0) for (const rows of this.#rows.values()) for (const row of rows) wanted.get(row.cid)?.push(row)
    return wanted
  }

  add({ rows, nullified }: Replayed): void {
    const undone = new Set(nullified)
    const accepted = rows.filter((row) => row.rejected === null)
    if (undone.size > 0) {
      for (const { did } of accepted) {
        const known = this.#rows.get(did)
        if (known !== undefined) this.#rows.set(did, known.map((row) => (undone.has(row.index) ? { ...row, nullified: true } : row)))
      }
    }
    for (const row of accepted) {
      const known = this.#rows.get(row.did)
      if (known === undefined) this.#rows.set(row.did, [row])
      else known.push(row)
    }
  }
}

// The CIDs of a rejected entry's own operation and of the one that it names; none where its bytes are no entry.
function namesOf({ cid, entry }: { readonly cid: string; readonly entry: Uint8Array }): string[] {
  const { value } = verdictOf(() => prevCid(decodeEntry(entry).operation))
  return [cid, ...(value === null ? [] : [value])].filter((name) => name !== '')
}

// Of each identity that is new, its first entry in a run.
function firstOfUnknown({ decoded }: ReplayPlan, history: History): Entry[] {
  const first = new Map<string, Entry>()
  for (const entry of decoded) if (!(entry instanceof DirectoryError) && !history.knows(entry.did) && !first.has(entry.did)) first.set(entry.did, entry)
  return [...first.values()]
}

/** A tile, with the hashes that were derived for it: those from place `from` on. */
interface DerivedTile {
  readonly tile: TileId
  readonly from: number
  readonly hashes: Uint8Array
}

// Tiles as they are derived, until they are full or the log ends.
class DerivedTiles {
  readonly #open = new Map<string, { level: number; index: number; from: number; hashes: Uint8Array; count: number }>()

  add(growths: readonly TileGrowth[]): void {
    for (const { level, index, offset, hashes } of growths) {
      const key = `${level}/${index}`
      const open = this.#open.get(key) ?? { level, index, from: offset, hashes: new Uint8Array(TILE_WIDTH * HASH_BYTES), count: 0 }
      open.hashes.set(hashes, offset * HASH_BYTES)
      open.count = offset + hashes.length / HASH_BYTES
      this.#open.set(key, open)
    }
  }

  takeFull(): DerivedTile[] {
    return this.#take((count) => count === TILE_WIDTH)
  }

  takeRest(): DerivedTile[] {
    return this.#take(() => true)
  }

  #take(wanted: (count: number) => boolean): DerivedTile[] {
    return [...this.#open].filter(([, open]) => wanted(open.count)).map(([key, { level, index, from, hashes, count }]) => {
      this.#open.delete(key)
      return { tile: { level, index, width: count }, from, hashes: hashes.subarray(from * HASH_BYTES, count * HASH_BYTES) }
    })
  }
}

interface ReadBundle {
  readonly index: number
  readonly width: number
  readonly bundle: Uint8Array | NotServedError
  /** The full tile of level 0 over the same entries; null where it is partial. */
  readonly tile: Uint8Array | NotServedError | null
}

async function* readAhead(reader: TileReader, first: number, bundles: number, size: number): AsyncGenerator<ReadBundle> {
  const queue: Promise<ReadBundle>[] = []
  for (let index = first; index < bundles; index++) {
    for (let next = index + queue.length; next < bundles && queue.length < READ_AHEAD; next++) {
      const read = readBundle(reader, next, Math.min(TILE_WIDTH, size - next * TILE_WIDTH))
      read.catch(() => undefined) // it is thrown where it is awaited, if it ever is
      queue.push(read)
    }
    const due = queue.shift()
    if (due !== undefined) yield await due
  }
}

async function readBundle(reader: TileReader, index: number, width: number): Promise<ReadBundle> {
  const [bundle, tile] = await Promise.all([
    orNotServed(reader.bundle(index, width)),
    width === TILE_WIDTH ? readTile(reader, { level: 0, index, width }) : null,
  ])
  return { index, width, bundle, tile }
}

function readTile(reader: TileReader, tile: TileId): Promise<Uint8Array | NotServedError> {
  return orNotServed(reader.tile(tile))
}

async function orNotServed(read: Promise<Uint8Array>): Promise<Uint8Array | NotServedError> {
  try {
    return await read
  } catch (error) {
    if (error instanceof NotServedError) return error
    throw error
  }
}

function compareTile(tile: TileId, from: number, derived: Uint8Array, served: Uint8Array | NotServedError | null): Problem[] {
  const where = tilePath(tile)
  const start = from * HASH_BYTES
  if (served === null || served instanceof NotServedError) return [{ kind: 'tile', where, words: 'it is missing' }]
  if (served.length !== start + derived.length) return [{ kind: 'tile', where, words: `it has ${served.length} bytes instead of ${start + derived.length}` }]
  const at = derived.findIndex((byte, i) => byte !== served[start + i])
  return at < 0 ? [] : [{ kind: 'tile', where, words: `hash ${from + Math.floor(at / HASH_BYTES)} is not the one that the entries lead to` }]
}

// Cuts the leaves that follow entry `first` so that every known size is the end of a run.
function cutAt(leaves: readonly Uint8Array[], first: number, known: readonly KnownRoot[]): (readonly Uint8Array[])[] {
  const inside = known.map(({ size }) => size - first).filter((at) => at > 0 && at < leaves.length)
  const ends = [...new Set([...inside, leaves.length])].sort((a, b) => a - b)
  return ends.map((end, i) => leaves.slice(ends[i - 1] ?? 0, end))
}
