// The map of the log that is mirrored: derived here from the entries that are held, and held against every leaf of the map's log.
// spec/mirror.md#map

import { keysBeyond } from '../src/client/keys.ts'
import { proveConsistency, readRoot } from '../src/client/log-client.ts'
import { NotServedError, type TileReader } from '../src/client/tile-reader.ts'
import { alarmPart } from '../src/core/alarm.ts'
import { bytesEqual } from '../src/core/encoding/text.ts'
import { assert, DirectoryError, verdictOf } from '../src/core/errors.ts'
import type { Evidence } from '../src/core/evidence.ts'
import type { MapFault } from '../src/core/evidence-map.ts'
import { grow } from '../src/core/growth.ts'
import { decodeMapLeaf, mapOrigin, type MapLeaf } from '../src/core/map/map-leaf.ts'
import { openCheckpoint, type Checkpoint } from '../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from '../src/core/tlog/note.ts'
import { TILE_WIDTH } from '../src/core/tlog/tile.ts'
import type { Clock, LogLine } from '../src/log/ports.ts'
import type { Ahead } from '../src/map/ahead.ts'
import type { Derived } from '../src/map/derive.ts'
import { readLeaf, type HeldMap } from '../src/map/held-map.ts'
import type { MapChange, MapHead, Store } from '../src/storage/store.ts'
import type { Tip } from '../src/storage/tip.ts'
import { accuseLeaf, findMapFork, type WrongLeaf } from './accuse-map.ts'
import { tilesOf } from './checkpoints.ts'
import { fullerNote, type MirrorCosigner, type Signed } from './cosigner.ts'
import type { EvidenceFolder } from './evidence-folder.ts'
import { MIRROR_LIMITS } from './limits.ts'
import { MapRows } from './map-rows.ts'
import { grownTiles, readLeaves, type MapSource } from './map-source.ts'

/** What following the map stands on. */
export interface MapFollowingPorts {
  readonly store: Store
  /** Of the log: what is held of it is verified. */
  readonly tip: Tip
  readonly held: HeldMap
  /** Of the log. */
  readonly origin: string
  /** The guard's stand-in in the store of a mirror. */
  readonly guardId: string
  /** The keys of the map that the operator names; null to believe those that are shown first. */
  readonly keys: readonly VerifierKey[] | null
  /** The log's keys that are known so far. */
  readonly logKeys: () => readonly VerifierKey[]
  readonly sources: () => readonly MapSource[]
  /** Keeps what contradicts the log. */
  readonly folder: Pick<EvidenceFolder, 'keepEvidence' | 'keepAlarm' | 'contradiction'>
  /** Cosigns what is published; null for nobody. */
  readonly cosigner: MirrorCosigner | null
  readonly clock: Clock
  readonly log: LogLine
  /** Words for the operator that must not be missed. */
  readonly say: (words: string) => void
}

/** The map that was signed is not the log's, or its log contradicts itself: it is followed no more. */
class MapStopped extends Error {
  override readonly name = 'MapStopped'
}

/** A leaf that is derived and waits for its checkpoint to be published. */
interface NextLeaf {
  /** Of the map's log, after the leaf. */
  readonly root: Uint8Array
  readonly bytes: Uint8Array
  readonly derived: Derived
}

/** Leaves that are read and shown to be the map log's before they are derived. */
const LEAVES_TOGETHER = 16 * TILE_WIDTH

/** Following the map of one log. */
export class MapFollowing {
  readonly #ports: MapFollowingPorts
  readonly #signal: AbortSignal
  #keys: readonly VerifierKey[] = []
  /** To the newest leaf that is held. */
  readonly #rows: MapRows
  #next: NextLeaf | null = null
  #leaves: number | null = null
  #halted: string | null = null
  #trouble: string | null = null
  /** One thing after the other: what is read, and what is to be cosigned. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(ports: MapFollowingPorts, signal: AbortSignal) {
    this.#ports = ports
    this.#signal = signal
    this.#rows = new MapRows(ports.store, ports.held, signal)
  }

  /** Why the map is followed no more, for good; null while it is. */
  get halted(): string | null {
    return this.#halted
  }

  /** Why there is no newer version, in words; null where all is well. */
  get trouble(): string | null {
    return this.#halted ?? this.#trouble
  }

  /** Leaves of the map's log that are held here; null while that is not known. */
  get leaves(): number | null {
    return this.#leaves
  }

  /** Follows the map until the signal is aborted; where it is seen to be wrong, until proofs are made of the last version that was right. Throws nothing. */
  async run(): Promise<void> {
    while (!this.#signal.aborted && this.#halted === null) {
      await this.#inTurn(() => this.#readAny())
      await this.#ports.clock.sleep(MIRROR_LIMITS.pollMs, this.#signal)
    }
    while (!this.#signal.aborted && !(await this.#inTurn(() => this.#showLast()))) await this.#ports.clock.sleep(MIRROR_LIMITS.pollMs, this.#signal)
  }

  /**
   * Resolves with whether every leaf under a signed checkpoint is what is derived here, once it is or when `signal` aborts. The last one need not be
   * published. Where one is not, following ends. Throws incidents of the store.
   */
  async reaches(signed: Signed, signal: AbortSignal): Promise<boolean> {
    const either = AbortSignal.any([signal, this.#signal])
    const over = new Promise<false>((resolve) => either.addEventListener('abort', () => resolve(false), { once: true }))
    while (!either.aborted && this.#halted === null) {
      // What is done before may take long: a new mirror derives the whole map.
      const leads = this.#inTurn(() => (either.aborted ? Promise.resolve(false) : this.#leadsTo(signed)))
      if (await Promise.race([leads, over])) return true
      await this.#ports.clock.sleep(MIRROR_LIMITS.firstRetryMs, either)
    }
    return false
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  // From the first upstream that has a map.
  async #readAny(): Promise<void> {
    const { sources, log } = this.#ports
    for (const source of sources()) {
      try {
        const head = await this.#begin(source)
        await this.#rows.ahead()
        await this.#read(source, head)
        return
      } catch (error) {
        if (this.#signal.aborted || error instanceof MapStopped) return
        const words = `${source.url}: ${error instanceof Error ? error.message : String(error)}`
        if (!(error instanceof NotServedError) && words !== this.#trouble) log('warn', { url: source.url, error }, 'the map cannot be read')
        this.#trouble = words
      }
    }
  }

  // The keys of the map are those that are named or stored, or else the ones that were shown first.
  async #begin({ url, keys, statement }: MapSource): Promise<MapHead> {
    const { store, origin, guardId, say, folder, cosigner } = this.#ports
    let head = await store.map.head()
    if (head === null) {
      const name = mapOrigin(origin)
      const own = this.#ports.keys ?? (await keys()).filter((key) => key.name === name)
      if (own.length === 0) throw new NotServedError(`${url} shows no key of ${name}`)
      const vkeys = own.map(formatVerifierKey)
      if (this.#ports.keys === null) {
        say(
          `WARNING: no --map-vkey was given, so the key of the map that ${url} shows is believed, now and from now on: ${vkeys.join(' ')}. ` +
            'Whoever answers there could be anybody: compare it with what the directory says elsewhere',
        )
      }
      // For those who ask this mirror.
      const said = await statement(own).catch((error: unknown) => orNull(error))
      await store.map.create({ origin: name, guardId, vkeys, ...(said === null ? {} : { statement: said.note }) })
      head = await store.map.head()
      assert(head !== null, 'the log of the map was begun')
    }
    this.#leaves = head.size
    if (this.#keys.length > 0) return head
    this.#keys = head.vkeys.map(parseVerifierKey)
    cosigner?.setKeys(this.#keys)
    const kept = folder.contradiction(this.#keys)
    if (kept !== null) this.#halt(`${kept.words}: the evidence is in ${kept.file}`)
    return head
  }

  // From the leaves that are held to the checkpoint that is shown, as far as the entries for it are here.
  async #read(source: MapSource, from: MapHead): Promise<void> {
    const { store } = this.#ports
    const { reader } = source
    let head = from
    const signed = await this.#readSigned(source, head)
    const { checkpoint } = signed
    if (checkpoint.size <= head.size) {
      await this.#judge(signed, head)
      if (checkpoint.size === head.size) await this.#publishAgain(signed)
      this.#trouble = null
      return
    }
    while (head.size < checkpoint.size) {
      const end = Math.min(checkpoint.size, head.size + LEAVES_TOGETHER)
      const leaves = await readLeaves(reader, head.size, end)
      await this.#showPrefix(reader, { origin: checkpoint.origin, size: end, root: grow(head.edge, leaves).root }, signed)
      for (const bytes of leaves) {
        const derived = await this.#derive(head, bytes, signed, reader)
        if (derived === null) return
        const grown = grow(head.edge, [bytes])
        const to = { size: grown.edge.size, root: grown.root, edge: grown.edge }
        await store.map.append({ from: head, to, leaf: bytes, tiles: grown.tiles })
        head = { ...head, ...to }
        this.#leaves = head.size
        this.#next = null
        const ahead = await this.#rows.ahead()
        ahead.take(derived)
        // Until the last of them proofs are made of what was published before: a wrong one may follow.
        if (head.size === checkpoint.size) await this.#write(signed, decodeMapLeaf(bytes), ahead)
      }
    }
    this.#trouble = null
  }

  // Throws the verdict on a note that no known key has signed, unless one of them has signed by which it was followed.
  async #readSigned(source: MapSource, head: MapHead): Promise<Signed> {
    const note = await source.reader.checkpoint()
    const { value, verdict } = verdictOf(() => openCheckpoint(note, this.#keys))
    if (value !== null) return { checkpoint: value.checkpoint, note }
    if (verdict.code !== 'UNTRUSTED_NOTE' || !(await this.#learnKeys(source, head))) throw verdict
    return { checkpoint: openCheckpoint(note, this.#keys).checkpoint, note }
  }

  // As of the log. spec/log.md#key-statements
  async #learnKeys({ statement }: MapSource, { guardId }: MapHead): Promise<boolean> {
    const { store, cosigner, log } = this.#ports
    const read = await statement(this.#keys).catch((error: unknown) => orNull(error))
    if (read === null || keysBeyond(this.#keys, read.statement.signing).length === 0) return false
    const vkeys = read.statement.signing.map(formatVerifierKey)
    await store.map.setSigner(guardId, { guardId, vkeys, statement: read.note })
    this.#keys = [...read.statement.signing, ...read.statement.retired]
    cosigner?.setKeys(this.#keys)
    log('warn', { vkeys }, 'the log of the map has changed its keys, and the key that was known has signed that it did: the new ones count from now on')
    return true
  }

  // The rows of the newest leaf that is held, with its checkpoint.
  async #write(signed: Signed, leaf: MapLeaf, ahead: Ahead): Promise<void> {
    await this.#rows.write(ahead, (change) => this.#publish(signed, change))
    this.#ports.held.show({ leaves: signed.checkpoint.size, leaf })
  }

  // All leaves are held. A crash may have come between the last one and its rows.
  async #publishAgain(signed: Signed): Promise<void> {
    const leaf = await readLeaf(this.#ports.store, signed.checkpoint.size - 1)
    if (leaf === null || (await this.#rows.ahead()).written.size >= leaf.size) return this.#publish(signed)
    await this.#write(signed, leaf, await this.#rows.upTo(leaf))
  }

  // The last version that was published, where the rows hold a later one or are not known. Whether there is no more to do.
  async #showLast(): Promise<boolean> {
    const { store, held, log } = this.#ports
    try {
      const publication = held.shown === null ? await store.map.publication() : null
      if (publication === null) return true
      const leaf = await readLeaf(store, publication.size - 1)
      await this.#rows.ahead()
      if (held.shown !== null || leaf === null) return true
      await this.#rows.writeAlone(await this.#rows.upTo(leaf))
      held.show({ leaves: publication.size, leaf })
      return true
    } catch (error) {
      if (!this.#signal.aborted) log('warn', { error }, 'the last version of the map that was right cannot be shown yet')
      return false
    }
  }

  // The checkpoint of all leaves that are held, with this mirror's own cosignatures; perhaps the same as before, with more signatures.
  async #publish({ checkpoint, note }: Signed, change?: MapChange): Promise<void> {
    const { store, cosigner, clock } = this.#ports
    const known = await store.map.publication()
    const best = fullerNote(known?.size === checkpoint.size ? known.note : null, note, cosigner)
    const last = cosigner?.last(checkpoint.origin) ?? null
    const tiles = tilesOf(store.map)
    if (last !== null && last.size <= checkpoint.size && !bytesEqual(await readRoot(tiles, last.size, checkpoint.size), last.root)) await this.#contradicted({ checkpoint, note }, tiles)
    const full = (await cosigner?.vouch({ checkpoint, note: best })) ?? best
    if (change === undefined && known?.note === full) return
    await store.map.publish({ size: checkpoint.size, root: checkpoint.root, note: full, publishedAt: clock.timeOfDay() }, change)
  }

  // That the leaves held, and those that were read, are the first of the tree that was signed. Throws INVALID_PROOF or ROOT_MISMATCH where what is served is not that tree.
  async #showPrefix(reader: TileReader, prefix: Checkpoint, signed: Signed): Promise<void> {
    const { checkpoint } = signed
    try {
      if (prefix.size < checkpoint.size) await proveConsistency(reader, prefix, checkpoint)
      else if (!bytesEqual(prefix.root, checkpoint.root)) throw new DirectoryError('ROOT_MISMATCH', `${checkpoint.size} leaves of the map`)
    } catch (error) {
      if (error instanceof DirectoryError && (await this.#findFork(signed, reader)) !== null) await this.#contradicted(signed, reader)
      throw error
    }
  }

  async #judge(signed: Signed, { size }: MapHead): Promise<void> {
    const tiles = tilesOf(this.#ports.store.map)
    if (!bytesEqual(await readRoot(tiles, signed.checkpoint.size, size), signed.checkpoint.root)) await this.#contradicted(signed, tiles)
  }

  // Whether the leaves that are held, and the next one, are all that a signed checkpoint covers.
  async #leadsTo(signed: Signed): Promise<boolean> {
    const { store } = this.#ports
    const { size } = signed.checkpoint
    try {
      for (const last of [false, true]) {
        const head = await store.map.head()
        if (head === null) return false
        if (size <= head.size) {
          await this.#judge(signed, head)
          return true
        }
        if (size === head.size + 1 && (await this.#takeNext(signed, head))) return true
        // It may have been published meanwhile, as may those before it.
        if (!last) await this.#readAny()
      }
      return false
    } catch (error) {
      if (error instanceof MapStopped) return false
      throw error
    }
  }

  async #takeNext(signed: Signed, head: MapHead): Promise<boolean> {
    const { root } = signed.checkpoint
    if (this.#next !== null && bytesEqual(this.#next.root, root)) return true
    for (const { next } of this.#ports.sources()) {
      const bytes = await next().catch(() => null)
      if (bytes === null) continue
      const grown = grow(head.edge, [bytes])
      if (!bytesEqual(grown.root, root)) continue
      const derived = await this.#derive(head, bytes, signed, grownTiles(this.#ports.store, grown))
      if (derived !== null) this.#next = { root, bytes, derived }
      return derived !== null
    }
    return false
  }

  /** The version of the leaf after those that are held; null while the entries for it are not here. `tiles` are those of the signed tree. Throws MapStopped where it is not the log's. */
  async #derive(head: MapHead, bytes: Uint8Array, signed: Signed, tiles: Pick<TileReader, 'tile'>): Promise<Derived | null> {
    const { store, tip } = this.#ports
    if (this.#next !== null && bytesEqual(this.#next.bytes, bytes) && this.#next.derived.change.from === this.#rows.version) return this.#next.derived
    const wrong: WrongLeaf = { head, bytes, signed, tiles }
    const { value: leaf } = verdictOf(() => decodeMapLeaf(bytes))
    if (leaf === null) return this.#stop('leaf', wrong, 'it is no version of a map')
    const before = (await readLeaf(store, head.size - 1))?.size ?? -1
    if (leaf.size <= before) return this.#stop('order', wrong, `it is of ${leaf.size} entries, and comes after one of ${before}`)
    // What is said of the log is held against a checkpoint of it.
    const covered = (await store.publication())?.size ?? 0
    if (leaf.size > Math.min(covered, tip.durable)) {
      this.#trouble = `the newest version of the map is of ${leaf.size} entries, and ${covered} are verified here`
      return null
    }
    if (!bytesEqual(await readRoot(tilesOf(store), leaf.size, covered), leaf.root)) return this.#stop('tree', wrong, 'it names another tree of that size than the log has')
    const derived = await (await this.#rows.near(leaf.size)).derive(leaf.size, this.#signal)
    return bytesEqual(derived.change.to.root, leaf.mapRoot) ? derived : this.#stop('root', wrong, `the ${leaf.size} entries of the log lead to another root`)
  }

  // A leaf that was signed and is not what the log leads to. What shows it to a stranger is kept, or at least what was seen.
  async #stop(fault: MapFault, wrong: WrongLeaf, words: string): Promise<never> {
    const { store, folder, logKeys } = this.#ports
    const { head, bytes, signed } = wrong
    const said = `leaf ${head.size} of the log of the map was signed and is wrong: ${words}`
    const evidence = await accuseLeaf(fault, wrong, { store, keys: this.#keys, logKeys: logKeys() })
    const parts = [alarmPart('checkpoint', signed.note), alarmPart('leaf', bytes), alarmPart('index', String(head.size))]
    const file = evidence === null ? folder.keepAlarm(said, parts) : folder.keepEvidence(`wrong-map-${fault}-${head.size}`, evidence)
    return this.#halt(`${said}; what shows it is in ${file ?? 'the log lines alone'}`, { leaf: new TextDecoder().decode(bytes), note: signed.note })
  }

  // Two checkpoints, both signed by the map's key, and two trees.
  async #contradicted(signed: Signed, larger: Pick<TileReader, 'tile'>): Promise<never> {
    const { folder } = this.#ports
    const { size, origin } = signed.checkpoint
    const words = `the log of the map has signed a tree of ${size} leaves that contradicts the ${this.#leaves ?? 0} leaves held here`
    const evidence = await this.#findFork(signed, larger)
    const file = evidence === null ? folder.keepAlarm(words, [alarmPart('origin', origin), alarmPart('checkpoint', signed.note)]) : folder.keepEvidence(`map-${evidence.kind}-${size}`, evidence)
    return this.#halt(`${words}; what shows it is in ${file ?? 'the log lines alone'}`, { note: signed.note })
  }

  async #findFork(signed: Signed, larger: Pick<TileReader, 'tile'>): Promise<Evidence | null> {
    const { store, cosigner } = this.#ports
    const known = [(await store.map.publication())?.note, cosigner?.last(signed.checkpoint.origin)?.note].filter((note) => note !== undefined)
    return findMapFork(known, signed, larger, this.#keys)
  }

  #halt(words: string, fields: Record<string, unknown> = {}): never {
    this.#halted = words
    this.#ports.log('error', fields, `the map is followed no more: ${words}`)
    throw new MapStopped(words)
  }
}

// What is wrong with a statement says nothing.
function orNull(error: unknown): null {
  if (error instanceof DirectoryError) return null
  throw error
}
