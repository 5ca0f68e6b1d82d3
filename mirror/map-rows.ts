// The rows of the map on a mirror, and the versions that are derived ahead of them and not written yet. spec/mirror.md#map

import { bytesEqual } from '../src/core/encoding/text.ts'
import type { MapLeaf } from '../src/core/map/map-leaf.ts'
import { Ahead } from '../src/map/ahead.ts'
import { deriveInSteps } from '../src/map/derive.ts'
import type { HeldMap } from '../src/map/held-map.ts'
import { MAP_LIMITS } from '../src/map/limits.ts'
import type { MapChange, MapVersion, Store } from '../src/storage/store.ts'

/** What the rows of a store and the tree above them hold, and what goes ahead of it. */
export class MapRows {
  readonly #store: Store
  readonly #held: HeldMap
  readonly #signal: AbortSignal
  /** Null where it is not certain what rows and tree hold. */
  #ahead: Ahead | null = null

  constructor(store: Store, held: HeldMap, signal: AbortSignal) {
    this.#store = store
    this.#held = held
    this.#signal = signal
  }

  /** The last version that was taken, or else the one that is written; null where that is not certain. */
  get version(): MapVersion | null {
    return this.#ahead?.version ?? null
  }

  /** What goes ahead of what rows and tree hold, which are read anew where that is not certain. Throws as `HeldMap.load`. */
  async ahead(): Promise<Ahead> {
    if (this.#ahead !== null) return this.#ahead
    // Another tree than before.
    const written = await this.#held.load()
    return (this.#ahead = new Ahead(this.#store, this.#held.tree, written))
  }

  /** As `ahead`, from where the version of `size` entries is derived at once: what is far away, or was gone past, is written first. */
  async near(size: number): Promise<Ahead> {
    const [store, held] = [this.#store, this.#held]
    const ahead = await this.ahead()
    if (ahead.version.size <= size && size - ahead.written.size <= MAP_LIMITS.stepEntries) return ahead
    held.show(null)
    await this.writeAlone(ahead)
    this.#ahead = null
    if (ahead.version.size > size) await store.map.clear()
    const from = ahead.version.size > size ? await held.load() : ahead.version
    const written = await deriveInSteps(store, held.tree, from, size, this.#signal)
    return (this.#ahead = new Ahead(store, held.tree, written))
  }

  /** Derives the version of a leaf that is held: it was compared when it was taken. */
  async upTo(leaf: MapLeaf): Promise<Ahead> {
    const ahead = await this.near(leaf.size)
    if (ahead.version.size < leaf.size) ahead.take(await ahead.derive(leaf.size, this.#signal))
    if (!bytesEqual(ahead.version.root, leaf.mapRoot)) throw new Error(`the rows of the map are not those of its leaf of ${leaf.size} entries: run \`stele map rebuild\`, while no mirror runs on this database`)
    return ahead
  }

  /** Rows and tree come to the last version that was taken. `store` writes what changes of the rows; where it throws, they are read anew. */
  async write({ derived: { change, upper } }: Ahead, store: (change: MapChange) => Promise<void>): Promise<void> {
    this.#ahead = null
    await store(change)
    this.#held.tree.apply(upper)
    this.#ahead = new Ahead(this.#store, this.#held.tree, change.to)
  }

  /** The same, without a checkpoint. */
  async writeAlone(ahead: Ahead): Promise<void> {
    if (ahead.version !== ahead.written) await this.write(ahead, (change) => this.#store.map.change(change))
  }
}
