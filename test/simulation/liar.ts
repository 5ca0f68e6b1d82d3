// An upstream that lies, in every way that a seed can name, and is honest in between. With the log's own key it lies as the log's holder could.

import { decodeFrame, encodeFrame, type EntriesFrame } from '../../src/core/frame.ts'
import { grow } from '../../src/core/growth.ts'
import { encodeMapLeaf, type MapLeaf } from '../../src/core/map/map-leaf.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, type SigningKey } from '../../src/core/tlog/note.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { Publication, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { Life } from '../support/interfere.ts'
import { naiveMapRoot } from '../support/naive-map.ts'
import type { MapPlace } from './directory-process.ts'
import type { Oracle } from './oracle.ts'
import { ruleBreaker } from './rule-breakers.ts'
import type { Front, Server } from './web.ts'
import type { World } from './world.ts'

/** A tree that the log's key has signed beside the log. */
export interface Branch {
  readonly leaves: readonly Uint8Array[]
  /** Entries of it that break the rules. */
  readonly broken: ReadonlySet<number>
  /** What is signed of it. */
  readonly size: number
  readonly note: string
}

const LIES = ['flips', 'cuts', 'holes', 'stranger', 'spoiled', 'stale', 'altered', 'altered', 'altered', 'shuffled', 'invented', 'silent'] as const
/** Those that need the log's key. */
const CONTRADICTIONS = ['two roots', 'fork'] as const

/** Those that need the key of its map. */
const WRONG_MAPS = ['wrong map root', 'map of another tree', 'map that omits', 'stale map root', 'map that goes back'] as const

/** By name. */
export const EVERY_LIE = [...LIES, ...CONTRADICTIONS, ...WRONG_MAPS] as const

/** What it does at the moment. */
type Lie = (typeof EVERY_LIE)[number] | 'none'

/** Stands before the directory. */
export class Liar implements Front {
  behind: Server | null = null
  behindMap: Server | null = null
  /** Every other tree that the log's key has signed. */
  readonly branches: Branch[] = []
  /** Whether anything was signed that contradicts the log. */
  contradicts = false
  /** A map of its own that it shows, and the checkpoint that is signed of it, published or not. */
  wrongMap: { readonly store: Store; readonly note: string } | null = null
  /** Who was given a checkpoint of a map that is not the log's. */
  readonly misled = new Set<string>()
  /** Told of a wrong map that it has made, of which the last leaf is not published. */
  onWrongNext: () => void = () => undefined
  /** Told of each checkpoint beside the log that somebody is given. */
  onShown: (to: string, note: Uint8Array) => void = () => undefined
  readonly #world: World
  readonly #oracle: Oracle
  readonly #store: Store
  readonly #keys: readonly SigningKey[]
  readonly #strangers: readonly SigningKey[]
  readonly #mayContradict: boolean
  /** null for a log without a map. */
  readonly #map: MapPlace | null
  #lie: Lie = 'none'
  /** Where it spoils what passes. */
  #spoils: readonly ('files' | 'frames')[] = []
  /** The checkpoint that is shown in place of the newest, by lies that show one. */
  #note: Uint8Array = new Uint8Array()

  constructor(world: World, oracle: Oracle, store: Store, keys: readonly SigningKey[], map: MapPlace | null, mayContradict: boolean) {
    this.#world = world
    this.#oracle = oracle
    this.#store = store
    this.#keys = keys
    this.#strangers = keys.map(({ name }) => makeSigningKey(name, KEY_TYPES.ed25519, new Uint8Array(32).fill(77)))
    this.#map = map
    this.#mayContradict = mayContradict
  }

  get silent(): boolean {
    return this.#lie === 'silent'
  }

  /** Begins another lie, or is honest for a while. */
  async turn(): Promise<void> {
    const { random } = this.#world
    this.honest()
    const publication = await this.#store.publication()
    if (publication === null || random.oneIn(6)) return
    if (this.#map !== null && random.oneIn(4)) {
      await this.#makeMap(this.#map, random.pick(WRONG_MAPS), publication)
      return
    }
    const lie = this.#mayContradict && random.oneIn(6) ? random.pick(CONTRADICTIONS) : random.pick(LIES)
    await this.#prepare(lie, publication)
    this.#lie = lie
    this.#spoils = random.pick([['files'], ['frames'], ['files', 'frames']])
    this.#oracle.saw(`lies ${lie}`)
  }

  /** Is honest from now on. */
  honest(): void {
    this.#lie = 'none'
    this.behind = null
    this.behindMap = null
    this.wrongMap = null
  }

  asked(path: string, from: string): void {
    if (this.behindMap !== null && path === '/map/checkpoint') this.misled.add(from)
  }

  answer(path: string, body: Uint8Array, from: string): Uint8Array | null {
    const { random } = this.#world
    const spoils = this.#spoils.includes('files')
    switch (this.#lie) {
      case 'flips':
        return spoils && random.oneIn(2) ? this.#flipped(body) : body
      case 'altered':
        return spoils && path.startsWith('/tile/entries/') ? this.#flipped(body) : body
      case 'cuts':
        return spoils && random.oneIn(2) ? body.subarray(0, -1) : body
      case 'holes':
        return spoils && random.oneIn(3) ? null : body
      case 'stranger':
      case 'spoiled':
      case 'stale':
      case 'two roots':
        if (path !== '/checkpoint') return body
        if (this.#lie === 'two roots') this.onShown(from, this.#note)
        return this.#note
      default:
        if (path === '/checkpoint' && this.#lie === 'fork') this.onShown(from, body)
        return body
    }
  }

  frame(bytes: Uint8Array): readonly Uint8Array[] {
    const { random } = this.#world
    const lie = this.#lie
    const spoils = this.#spoils.includes('frames')
    if (lie === 'flips' && spoils && random.oneIn(2)) return [this.#flipped(bytes)]
    if (lie === 'cuts' && spoils && random.oneIn(2)) return [bytes.subarray(0, -1)]
    if (lie === 'holes' && spoils && random.oneIn(3)) return []
    const frame = decodeFrame(Uint8Array.from(bytes))
    if (frame.type === 'checkpoint') return lie === 'stranger' || lie === 'spoiled' || lie === 'stale' || lie === 'two roots' ? [encodeFrame({ ...frame, note: new TextDecoder().decode(this.#note) })] : [bytes]
    if (frame.type !== 'entries') return [bytes]
    if (lie === 'altered' && spoils) return [encodeFrame({ ...frame, entries: frame.entries.with(0, this.#flipped(frame.entries[0] ?? new Uint8Array())) })]
    if (lie === 'shuffled') return this.#shuffled(frame).map(encodeFrame)
    if (lie === 'invented') return [bytes, encodeFrame({ ...frame, start: frame.start + frame.entries.length, entries: [Uint8Array.of(random.below(256))] })]
    return [bytes]
  }

  async #prepare(lie: Lie, { size, note, root }: Publication): Promise<void> {
    const { random } = this.#world
    const [key] = this.#keys
    const origin = key?.name ?? ''
    const show = (text: string): Uint8Array => (this.#note = new TextEncoder().encode(text))
    const other = Uint8Array.from(root, (byte) => byte ^ 1)
    if (lie === 'stale') show(note)
    if (lie === 'stranger') show(signCheckpoint({ origin, size: size + random.below(5), root: other }, this.#strangers))
    if (lie === 'spoiled') show(note.replace(`\n${size}\n`, `\n${size + 1}\n`))
    if (lie === 'two roots' && size > 0) {
      show(signCheckpoint({ origin, size: random.oneIn(2) ? size : 1 + random.below(size), root: other }, this.#keys))
      this.contradicts = true
    } else if (lie === 'two roots') show(note)
    if (lie === 'fork' && size > 0) await this.#fork(size)
  }

  // The log up to somewhere, then an entry that breaks the rules, then perhaps some of what truly came.
  async #fork(published: number): Promise<void> {
    const { random } = this.#world
    const truth = await this.#store.leaves(0, published)
    const at = random.below(published + 1)
    const breaker = ruleBreaker(this.#world, this.#oracle, truth, true)
    if (breaker === null) return
    const after = truth.slice(at, random.oneIn(2) ? undefined : at + random.below(published - at + 1))
    const leaves = [...truth.slice(0, at), breaker, ...after]
    const planted = [...this.#oracle.planted]
    const broken = new Set([at, ...planted.filter((index) => index < at), ...planted.filter((index) => index >= at).map((index) => index + 1)].filter((index) => index < leaves.length))
    const store = memoryStore()
    const [key] = this.#keys
    const origin = key?.name ?? ''
    const { edge, root, tiles } = grow(EMPTY_EDGE, leaves)
    const size = leaves.length
    const entries = leaves.map((entry, index) => ({ index, did: '', cid: '', createdAt: 0, signer: null, nullified: false, rejected: 'NOT_JUDGED', entry }))
    await store.create({ origin, guardId: 'nobody', vkeys: [] })
    await store.underHead((locked) => locked.append({ from: { size: 0, root: locked.head.root }, entries, nullified: [], tiles, to: { size, root, edge, clock: { lastNative: null } } }))
    const note = signCheckpoint({ origin, size, root }, this.#keys)
    await store.publish({ size, root, note, publishedAt: 0 })
    this.contradicts = true
    this.branches.push({ leaves, broken, size, note })
    this.behind = { store, tip: new Tip({ durable: size, published: size }), life: new Life(), isMirror: false }
  }

  // The map's log as far as it is, or not so far, then a leaf that the log does not lead to, and perhaps what would be right again.
  async #makeMap({ keys, oracle: map }: MapPlace, lie: (typeof WRONG_MAPS)[number], { size, root }: Publication): Promise<void> {
    const { random } = this.#world
    const some = map.bytes.slice(0, random.oneIn(3) ? random.below(map.bytes.length + 1) : undefined)
    // The wrong leaf is published, or it is the one that comes next.
    const published = random.oneIn(2) ? map.signedUpTo(Math.min(some.length, map.leaves)) : null
    const before = some.slice(0, published?.size)
    const last = map.leafAt(before.length - 1)
    const right: MapLeaf = { mapRoot: map.rootAt(size), size, root }
    const wrong = this.#wrongLeaf(map, lie, last, right)
    if (wrong === null) return
    const leaves = [...before, encodeMapLeaf(wrong), ...(published === null && random.oneIn(2) ? [encodeMapLeaf(right)] : [])]
    const store = memoryStore()
    const [key] = keys
    const origin = key?.name ?? ''
    await store.map.create({ origin, guardId: 'nobody', vkeys: keys.map(formatVerifierKey) })
    let from = { size: 0, root: grow(EMPTY_EDGE, []).root, edge: EMPTY_EDGE }
    for (const leaf of leaves) {
      const { edge, root, tiles } = grow(from.edge, [leaf])
      const to = { size: edge.size, root, edge }
      if (published?.size === from.size) await store.map.publish({ ...from, note: published.note, publishedAt: 0 })
      await store.map.append({ from, to, leaf, tiles })
      from = to
    }
    const note = signCheckpoint({ origin, size: from.size, root: from.root }, keys)
    if (published === null) await store.map.publish({ ...from, note, publishedAt: 0 })
    this.wrongMap = { store, note }
    this.behindMap = { store, tip: new Tip({ durable: 0, published: 0 }), life: new Life(), isMirror: false }
    this.#oracle.saw(`lies ${lie}`)
    if (published !== null) this.onWrongNext()
  }

  // null where it would be right.
  #wrongLeaf(map: MapPlace['oracle'], lie: (typeof WRONG_MAPS)[number], last: MapLeaf | null, right: MapLeaf): MapLeaf | null {
    const { random } = this.#world
    const other = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes, (byte) => byte ^ 1)
    const entries = map.entriesAt(right.size)
    switch (lie) {
      case 'wrong map root':
        return { ...right, mapRoot: other(right.mapRoot) }
      case 'map of another tree':
        return { ...right, root: other(right.root) }
      case 'map that omits': {
        // What came last of one identity, or all of it.
        const did = random.pick([...this.#oracle.dids, ''])
        const newest = this.#oracle.history(did, right.size).at(-1)
        if (newest === undefined) return null
        const { key } = map.entryOf(did, right.size)
        const rest = entries.filter((entry) => Buffer.compare(entry.key, key) !== 0)
        const earlier = newest.index > 0 && random.oneIn(2) && this.#oracle.history(did, newest.index).length > 0 ? [map.entryOf(did, newest.index)] : []
        return { ...right, mapRoot: naiveMapRoot([...rest, ...earlier]) }
      }
      case 'stale map root':
        return last === null || Buffer.compare(last.mapRoot, right.mapRoot) === 0 ? null : { ...right, mapRoot: last.mapRoot }
      case 'map that goes back':
        break
    }
    if (last === null || last.size === 0) return null
    const size = random.below(last.size)
    return { mapRoot: map.rootAt(size), size, root: this.#oracle.rootAt(size) }
  }

  #flipped(bytes: Uint8Array): Uint8Array {
    const { random } = this.#world
    const changed = Uint8Array.from(bytes)
    const at = random.below(Math.max(1, changed.length))
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
    return changed
  }

  #shuffled(frame: EntriesFrame): readonly EntriesFrame[] {
    const { random } = this.#world
    const { entries } = frame
    const at = random.below(entries.length)
    const changed = [
      [frame, frame],
      [{ ...frame, start: frame.start + 1 }],
      [{ ...frame, entries: entries.flatMap((entry, i) => (i === at ? [entry, entry] : [entry])).slice(0, 256) }],
      entries.length === 1 ? [] : [{ ...frame, entries: entries.filter((_, i) => i !== at) }],
      [{ ...frame, entries: [...entries.slice(at), ...entries.slice(0, at)] }],
    ]
    return random.pick(changed)
  }
}
