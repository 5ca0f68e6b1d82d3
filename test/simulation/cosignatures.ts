// What mirrors say of a map: whoever wants their cosignatures asks for them, with what was signed rightly or wrongly, and each one is held
// against what it states.

import { tilesOf } from '../../mirror/checkpoints.ts'
import { readProof } from '../../src/client/log-client.ts'
import type { TileReader } from '../../src/client/tile-reader.ts'
import { parseCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { parseNote } from '../../src/core/tlog/note.ts'
import { consistencyPlan } from '../../src/core/tlog/proof.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import type { Store } from '../../src/storage/store.ts'
import type { Cosigned } from '../../src/witness/state.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import type { MapPlace, Site } from './directory-process.ts'
import type { Liar } from './liar.ts'
import type { MapOracle } from './map-oracle.ts'
import type { Oracle } from './oracle.ts'
import type { Town } from './people.ts'

/** What a mirror answers who asks it to cosign: its signature lines, or the code of a refusal, with the size that it cosigned last. */
export type CosignReply = { readonly lines: string } | { readonly code: string; readonly size: number }

/** Longer than a mirror waits for what it does not hold yet. */
const PATIENCE_MS = 15_000

/** Knows every cosignature that the mirrors have made, of the log and of its map. */
export class CosignOracle {
  readonly #log: Oracle
  readonly #map: MapOracle
  readonly #last = new Map<string, Cosigned>()
  readonly #lines = new Map<string, Set<string>>()

  constructor(log: Oracle, map: MapOracle) {
    this.#log = log
    this.#map = map
  }

  /** A mirror has started: it remembers what it cosigned last. */
  started(name: string, origin: string, last: Cosigned | null): void {
    const before = this.#last.get(`${name} ${origin}`)
    this.#log.check(before?.size === last?.size && before?.note === last?.note, `${name} has cosigned ${before?.size} of ${origin}, and remembers ${last?.size}`)
  }

  /** A mirror over this store has cosigned, and nobody has seen it yet. Fails unless all of it is what the mirror holds and, of the map, what it derived. */
  async cosigned(name: string, { origin, size, root, timestamp, note }: Cosigned, store: Store): Promise<void> {
    const key = `${name} ${origin}`
    const before = this.#last.get(key)
    this.#log.check(before === undefined || size > before.size || (size === before.size && equal(root, before.root)), `${name} has cosigned ${size} of ${origin} after ${before?.size}`)
    this.#log.check(before === undefined || timestamp >= before.timestamp, `${name} has cosigned ${size} of ${origin} at an earlier time than before`)
    this.#last.set(key, { origin, size, root, timestamp, note })
    const lines = this.#lines.get(name) ?? new Set()
    for (const line of ownLines(note, name)) lines.add(line)
    this.#lines.set(name, lines)
    if (!origin.endsWith('/map')) {
      this.#log.saw('trees cosigned')
      this.#log.check(equal(rootOf(await store.leaves(0, size)), root), `${name} has cosigned ${size} entries of a tree that it does not hold`)
      return
    }
    await this.#map.look()
    const leaf = this.#map.leafAt(size - 1)
    this.#log.check(equal(root, this.#map.treeAt(size)) && (size === 0 || leaf !== null), `${name} has cosigned ${size} leaves of the map that are not what the log leads to`)
    const [head, publication, held] = [await store.head(), await store.publication(), await store.map.head()]
    const { size: entries = 0, root: tree = root } = leaf ?? {}
    this.#log.check(entries <= (head?.size ?? 0) && entries <= (publication?.size ?? 0), `${name} has cosigned a map of ${entries} entries and holds ${head?.size}, ${publication?.size} of them published`)
    this.#log.check(leaf === null || equal(rootOf(await store.leaves(0, entries)), tree), `${name} has cosigned a map of ${entries} entries and holds others`)
    this.#log.check(size <= (held?.size ?? 0) + 1, `${name} has cosigned ${size} leaves of the map and has compared ${held?.size} of those before the last`)
    this.#log.saw('maps cosigned')
    if (size > this.#map.leaves) this.#log.saw('maps cosigned that nobody had published')
  }

  /** Somebody is shown a note, or the lines of one: those in the mirror's name are cosignatures that it has made. */
  shown(name: string, text: string): void {
    for (const line of ownLines(text, name)) this.#log.check(this.#lines.get(name)?.has(line) === true, `${name} shows a cosignature that it did not remember: ${line}`)
  }
}

/** Those who ask a mirror to cosign the map of a site: as its directory does for a quorum, and as anybody may. */
export class Askers {
  readonly #site: Site
  readonly #map: MapPlace
  readonly #liar: Liar
  readonly #host: string
  /** What it is known to have cosigned last. */
  #known = 0

  constructor(site: Site, map: MapPlace, liar: Liar, host: string) {
    this.#site = site
    this.#map = map
    this.#liar = liar
    this.#host = host
    map.oracle.onSigned = (note) => {
      if (!site.world.random.oneIn(3)) void this.#ask(note, tilesOf(site.database.store.map))
    }
    liar.onWrongNext = () => {
      if (site.world.random.oneIn(3)) void this.#askWrong()
    }
  }

  /** Ask now and then, until the town is not busy any more. */
  async live(town: Town): Promise<void> {
    const { world } = town
    const { random } = world
    while (town.busy) {
      await world.sleep(random.below(15_000))
      if (random.oneIn(8)) {
        await this.#askWrong()
        continue
      }
      const notes = this.#map.oracle.notes
      const note = random.oneIn(2) ? notes.at(-1) : notes[random.below(notes.length)]
      if (note !== undefined) await this.#ask(note, tilesOf(this.#site.database.store.map))
    }
  }

  async #askWrong(): Promise<void> {
    const wrong = this.#liar.wrongMap
    if (wrong === null) return
    this.#liar.misled.add(this.#host)
    await this.#ask(wrong.note, tilesOf(wrong.store.map))
  }

  // As a log asks a witness.
  async #ask(note: string, tiles: Pick<TileReader, 'tile'>): Promise<void> {
    const { network } = this.#site
    const oracle: Oracle = this.#site.oracle
    const { size } = parseCheckpoint(parseNote(note).text)
    for (let tries = 0; tries < 3; tries++) {
      const oldSize = Math.min(size, this.#known)
      const proof = await readProof(tiles, consistencyPlan(oldSize, size), size)
      const reply = (await network.request(`cosigner ${this.#host}`, formatAddCheckpoint({ oldSize, proof, note: parseNote(note) }), PATIENCE_MS)) as CosignReply | null
      if (reply === null) return
      if ('lines' in reply) {
        this.#known = Math.max(this.#known, size)
        oracle.saw('cosignatures given')
        return
      }
      oracle.saw(`cosigners answered ${reply.code}`)
      if (reply.code !== 'STALE') return
      this.#known = reply.size
      if (reply.size > size) return
    }
  }
}

function ownLines(text: string, name: string): string[] {
  return text.split('\n').filter((line) => line.startsWith(`— ${name}/`))
}

function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  return naiveRoot(leaves.map(naiveLeafHash))
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
