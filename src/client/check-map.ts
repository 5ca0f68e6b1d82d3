// Whether the map that a log publishes is what the log leads to: the map's own log, and each version in it, against a replay or against
// the log's tiles. spec/map.md#map-log

import { base64, bytesEqual } from '../core/encoding/text.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import type { MapFault } from '../core/evidence-map.ts'
import type { PlacedLeaf } from '../core/evidence-rules.ts'
import { grow } from '../core/growth.ts'
import type { Sha256 } from '../core/map/hash.ts'
import { decodeMapLeaf, type MapLeaf } from '../core/map/map-leaf.ts'
import type { Replayed } from '../core/replay.ts'
import { openCheckpoint, parseCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { decodeEdge, EMPTY_EDGE, edgeRoot, encodeEdge, type Edge } from '../core/tlog/edge.ts'
import { parseNote, type VerifierKey } from '../core/tlog/note.ts'
import { TILE_WIDTH } from '../core/tlog/tile.ts'
import type { Problem } from './check-tree.ts'
import { DerivedMap } from './derive-map.ts'
import { FOLLOW_LIMITS } from './follow-limits.ts'
import { readRoot } from './log-client.ts'
import { MismatchError } from './mismatch.ts'
import { leavesFrom, openProvenTree, type ProvenTree } from './proven-tree.ts'
import { NotServedError, type TileReader } from './tile-reader.ts'

/** Where an earlier check of a map's log ended. */
export interface MapCheckStart {
  /** Of the map's log. */
  readonly edge: Edge
  /** Entries of the log that its newest version is of; -1 for no version. */
  readonly size: number
  /** The checkpoint of that tree, as it was signed. */
  readonly note: string
}

/** How a map is checked. */
export interface MapCheckOptions {
  /** Of the map's log; null where nobody vouches for its checkpoint. */
  readonly keys: readonly VerifierKey[] | null
  /** No version before it is read again. null for the first. */
  readonly start: MapCheckStart | null
  /** Whether each root is derived from a replay of the log from its first entry on: with `replayed`. Else only the trees are compared. */
  readonly derive: boolean
  /** Default: the portable one. */
  readonly sha256?: Sha256
  readonly signal?: AbortSignal
}

/** What was found of a map. */
export interface MapReport {
  /** What its published checkpoint says, signed or not; null where it is none. */
  readonly checkpoint: Checkpoint | null
  /** The published note, whatever it is. */
  readonly note: string
  /** Versions before the first that was read. */
  readonly from: number
  /** Versions that were checked. */
  readonly versions: number
  /** Whether their roots were derived. */
  readonly derived: boolean
  readonly problems: readonly Problem[]
  /** The first version that is not the log's. */
  readonly wrong: WrongVersion | null
  /** For the next check; null where something is wrong. */
  readonly next: MapCheckStart | null
}

/** A version that is wrong. */
export interface WrongVersion {
  readonly fault: MapFault
  readonly leaf: PlacedLeaf
  /** The one before it that was read; null for none. */
  readonly before: PlacedLeaf | null
}

/** A check of the map behind `reader`, which serves the map's log; null where there is none. The log is to be read after it, so that it is not behind. Throws incidents of the reader. */
export async function openMapCheck(reader: TileReader, options: MapCheckOptions): Promise<MapCheck | null> {
  try {
    return new MapCheck(reader, await reader.checkpoint(), options)
  } catch (error) {
    if (error instanceof NotServedError) return null
    throw error
  }
}

/** A check that goes on as the log is read. */
export class MapCheck {
  readonly #options: MapCheckOptions
  readonly #note: string
  readonly #checkpoint: Checkpoint | null
  readonly #problems: Problem[] = []
  readonly #versions: AsyncGenerator<Version, null>
  #next: Version | null | undefined
  #checked = 0
  #wrong: WrongVersion | null = null
  /** Of the map's log, as far as it was read. */
  #edge: Edge
  /** Entries of the log that the newest version is of that was read. */
  #size: number
  /** Of the log, as far as it was replayed. */
  #log: Edge = EMPTY_EDGE
  readonly #map: DerivedMap

  constructor(reader: TileReader, note: string, options: MapCheckOptions) {
    this.#options = options
    this.#note = note
    const parsed = verdictOf(() => parseCheckpoint(parseNote(note).text))
    const { keys } = options
    const { verdict } = keys === null ? parsed : verdictOf(() => openCheckpoint(note, keys))
    if (verdict !== null) this.#problem('checkpoint', 'map/checkpoint', verdict.message)
    this.#checkpoint = parsed.value
    this.#edge = options.start?.edge ?? EMPTY_EDGE
    this.#size = options.start?.size ?? -1
    this.#map = new DerivedMap(options.sha256)
    this.#versions = this.#read(reader)
  }

  /** The map's checkpoint; null where what is served is none. */
  get checkpoint(): Checkpoint | null {
    return this.#checkpoint
  }

  get note(): string {
    return this.#note
  }

  /** Checks the versions of the entries that were replayed: every run of them, from the log's first entry on. Throws incidents of the reader. */
  async replayed({ rows, state }: Replayed): Promise<void> {
    const first = state.edge.size - rows.length
    let done = 0
    const advance = (size: number): void => {
      const run = rows.slice(done, size - first)
      this.#map.add({ rows: run })
      this.#log = grow(this.#log, run.map(({ entry }) => entry)).edge
      done += run.length
    }
    for (let version = await this.#peek(); version !== null && version.leaf.size <= state.edge.size; version = await this.#take()) {
      advance(version.leaf.size)
      this.#compare(version, edgeRoot(this.#log), this.#map.root())
    }
    advance(state.edge.size)
  }

  /** What was found, once the log was read to its end. `tree` is that of the log's checkpoint: what is compared where nothing is derived. `withheld`: the log's end is not shown. Throws incidents of its reader. */
  async finish(tree: ProvenTree | null, withheld = false): Promise<MapReport> {
    for (let version = await this.#peek(); version !== null; version = await this.#take()) {
      const { size } = version.leaf
      if (this.#options.derive && size === this.#log.size) this.#compare(version, edgeRoot(this.#log), this.#map.root())
      else if (this.#options.derive || tree === null || size > tree.size) {
        this.#problem(withheld ? 'withheld' : 'root', `map leaf ${version.index}`, `it is of ${size} entries, and only ${this.#options.derive ? this.#log.size : (tree?.size ?? 0)} could be read; it and those after it could not be checked`)
        break
      } else this.#compare(version, await readRoot(tree, size, tree.size), null)
    }
    await this.#versions.return(null)
    const { start, derive } = this.#options
    const whole = this.#problems.length === 0 && this.#checkpoint !== null
    return {
      checkpoint: this.#checkpoint,
      note: this.#note,
      from: start?.edge.size ?? 0,
      versions: this.#checked,
      derived: derive,
      problems: this.#problems,
      wrong: this.#wrong,
      next: whole ? { edge: this.#edge, size: this.#size, note: this.#note } : null,
    }
  }

  #compare({ leaf: { size, root, mapRoot }, ...placed }: Version, logRoot: Uint8Array, derived: Uint8Array | null): void {
    this.#checked++
    if (!bytesEqual(root, logRoot)) this.#tell('tree', placed, null, `the log's tree of ${size} entries has another root`)
    else if (derived !== null && !bytesEqual(mapRoot, derived)) this.#tell('root', placed, null, `the map of ${size} entries has another root than the log leads to`)
  }

  #tell(fault: MapFault, { index, entry }: PlacedLeaf, before: PlacedLeaf | null, words: string): void {
    this.#wrong ??= { fault, leaf: { index, entry }, before }
    this.#problem('root', `map leaf ${index}`, words)
  }

  async #peek(): Promise<Version | null> {
    if (this.#next === undefined) {
      const { value, done } = await this.#versions.next()
      this.#next = done === true ? null : value
    }
    return this.#next
  }

  #take(): Promise<Version | null> {
    this.#next = undefined
    return this.#peek()
  }

  // The leaves that the checkpoint covers, each led back to its root. Those that are none, or of no larger tree than the one before, are told and passed over.
  async *#read(reader: TileReader): AsyncGenerator<Version, null> {
    const { start, signal = new AbortController().signal } = this.#options
    const checkpoint = this.#checkpoint
    let before: PlacedLeaf | null = null
    if (checkpoint === null) return null
    try {
      const from = start?.edge ?? EMPTY_EDGE
      if (checkpoint.size < from.size) {
        this.#problem('checkpoint', 'map/checkpoint', wentBack(checkpoint.size, from.size))
        return null
      }
      const tree = await openProvenTree((use) => use(reader), checkpoint)
      if (!bytesEqual(await readRoot(tree, from.size, tree.size), edgeRoot(from))) {
        this.#problem('root', 'map/checkpoint', `it does not continue the ${from.size} versions that were audited before`)
        return null
      }
      for await (const leaves of leavesFrom(tree, from.size, signal, FOLLOW_LIMITS)) {
        const first = this.#edge.size
        // Tiles of level 0 are not read for the bundles, and are served all the same.
        for (let tile = Math.floor(first / TILE_WIDTH); tile * TILE_WIDTH < first + leaves.length; tile++) await tree.tile({ level: 0, index: tile, width: Math.min(TILE_WIDTH, tree.size - tile * TILE_WIDTH) })
        this.#edge = grow(this.#edge, leaves).edge
        for (const [i, entry] of leaves.entries()) {
          const placed = { index: first + i, entry }
          const leaf = verdictOf(() => decodeMapLeaf(entry)).value
          if (leaf === null) this.#tell('leaf', placed, null, 'it is none')
          else if (leaf.size <= this.#size) this.#tell('order', placed, before, 'it is of no larger tree than the one before it')
          else {
            this.#size = leaf.size
            before = placed
            yield { ...placed, leaf }
          }
        }
      }
    } catch (error) {
      if (!(error instanceof NotServedError || error instanceof MismatchError || error instanceof DirectoryError)) throw error
      this.#problem('tile', 'map', `${error.message}; versions from ${this.#edge.size} on could not be checked`)
    }
    return null
  }

  #problem(kind: Problem['kind'], where: string, words: string): void {
    this.#problems.push({ kind, where, words })
  }
}

/** What is said of a map's checkpoint that is smaller than one that was audited before. */
export function wentBack(size: number, before: number): string {
  return `it is of ${size} versions, and one of ${before} was audited before: what is shown is old, or versions were taken back`
}

/** The fields of a start, for a state that is kept as JSON. */
export function mapStartFields({ edge, size, note }: MapCheckStart): { readonly leaves: number; readonly edge: string; readonly size: number; readonly note: string } {
  return { leaves: edge.size, edge: base64.encode(encodeEdge(edge)), size, note }
}

/** The start in such fields, whose checkpoint these keys have signed. Throws where it is none. */
export function readMapStart(fields: ReturnType<typeof mapStartFields>, keys: readonly VerifierKey[]): MapCheckStart {
  const edge = decodeEdge(fields.leaves, base64.decode(fields.edge))
  const { checkpoint } = openCheckpoint(fields.note, keys)
  if (checkpoint.size !== edge.size || !bytesEqual(checkpoint.root, edgeRoot(edge)) || !Number.isSafeInteger(fields.size)) throw new Error('the edge is not that of the checkpoint')
  return { edge, size: fields.size, note: fields.note }
}

interface Version extends PlacedLeaf {
  readonly leaf: MapLeaf
}
