// What must hold of a map after every step: its leaves, what is signed and shown of them, its rows, and the proofs that are made.

import { createHash } from 'node:crypto'
import { parseStateProof, verifyStateProof } from '../../src/core/state-proof.ts'
import type { SigningKey } from '../../src/core/tlog/note.ts'
import type { SignedHead } from '../../src/log/guard.ts'
import type { ShownVersion } from '../../src/map/held-map.ts'
import type { MapHead, MapVersion, Publication, Store } from '../../src/storage/store.ts'
import { encodeTheirs } from '../support/ipld.ts'
import { naiveMapPath, naiveMapRoot, type NaiveEntry } from '../support/naive-map.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { madeAs } from './catalog.ts'
import { inEffect, type Placed } from './model.ts'
import type { Oracle } from './oracle.ts'

/** What a leaf of the map's log says. */
export interface NaiveLeaf {
  readonly mapRoot: Uint8Array
  readonly size: number
  readonly root: Uint8Array
}

/** Knows what the map of a log's first entries is, and looks at what is made of it. */
export class MapOracle {
  readonly #log: Oracle
  readonly #store: Store
  readonly #logKeys: readonly SigningKey[]
  readonly #keys: readonly SigningKey[]
  readonly #bytes: Uint8Array[] = []
  readonly #leaves: NaiveLeaf[] = []
  /** Checkpoints that have left the signer, by size: their texts, and the first note of each. */
  readonly #signed = new Map<number, { readonly text: string; readonly note: string }>()
  /** Told of each checkpoint when its first note leaves the signer. */
  onSigned: (note: string) => void = () => undefined
  readonly #values = new Map<string, Uint8Array>()
  readonly #roots = new Map<number, Uint8Array>()
  #head: MapHead | null = null
  #publication: Publication | null = null
  #version: MapVersion | null = null
  #looked: Promise<void> = Promise.resolve()

  constructor(log: Oracle, store: Store, logKeys: readonly SigningKey[], keys: readonly SigningKey[]) {
    this.#log = log
    this.#store = store
    this.#logKeys = logKeys
    this.#keys = keys
  }

  /** Every leaf that the map's log holds, as bytes. */
  get bytes(): readonly Uint8Array[] {
    return this.#bytes
  }

  /** A note of each checkpoint that has left the signer, as they left it. */
  get notes(): readonly string[] {
    return [...this.#signed.values()].map(({ note }) => note)
  }

  /** The largest checkpoint of at most so many leaves that has left the signer; null where none has. */
  signedUpTo(most: number): { readonly size: number; readonly note: string } | null {
    const size = Math.max(-1, ...[...this.#signed.keys()].filter((known) => known <= most))
    const note = this.#signed.get(size)?.note
    return note === undefined ? null : { size, note }
  }

  /** Leaves that the published checkpoint covers. */
  get leaves(): number {
    return this.#publication?.size ?? 0
  }

  /** Entries of the log that the newest published version is derived from; -1 before the first. */
  get published(): number {
    return this.#leaves[(this.#publication?.size ?? 0) - 1]?.size ?? -1
  }

  /** Keys and values of the map of the log's first `size` entries, as the rules of identities and the text of spec/map.md say. */
  entriesAt(size: number): NaiveEntry[] {
    return this.#log.dids.filter((did) => this.#log.history(did, size).length > 0).map((did) => this.entryOf(did, size))
  }

  /** Key and value of one of them. */
  entryOf(did: string, size: number): NaiveEntry {
    return { key: sha256(Buffer.from(did)), value: this.#valueOf(did, this.#log.history(did, size)) }
  }

  /** A leaf of the map's log; null where there is none. */
  leafAt(index: number): NaiveLeaf | null {
    return this.#leaves[index] ?? null
  }

  /** The root of that map. */
  rootAt(size: number): Uint8Array {
    const root = this.#roots.get(size) ?? naiveMapRoot(this.entriesAt(size))
    this.#roots.set(size, root)
    return root
  }

  /** The root of the map's log of its first `size` leaves. */
  treeAt(size: number): Uint8Array {
    return naiveRoot(this.#bytes.slice(0, size).map(naiveLeafHash))
  }

  /** A note of the map's log has left the signer, whose guard remembered `guarded`. */
  async signed(note: string, guarded: SignedHead): Promise<void> {
    const { text, size, root } = this.#log.opened(note, this.#keys)
    const before = this.#signed.get(size)?.text
    this.#log.check(before === undefined || before === text, `two checkpoints of ${size} leaves of the map were signed`)
    this.#log.check(before !== undefined || (guarded.size === size && equal(guarded.root, root)), `${size} leaves of the map were signed while the guard remembered ${guarded.size}`)
    if (before === undefined) this.#log.saw('maps signed')
    if (before === undefined) this.#signed.set(size, { text, note })
    await this.look()
    this.#log.check(size <= this.#leaves.length, `${size} leaves of the map were signed and ${this.#leaves.length} are durable`)
    this.#log.check(equal(root, this.treeAt(size)), `another root of ${size} leaves of the map was signed`)
    if (before === undefined) this.onSigned(note)
  }

  /** Whether a note is one of those that have left the signer. */
  hasSigned(note: string): boolean {
    const { text, size } = this.#log.opened(note, this.#keys)
    return this.#signed.get(size)?.text === text
  }

  /** Looks at what is new, one after the other where several ask for it. */
  look(): Promise<void> {
    const looked = this.#looked.then(() => this.#look())
    this.#looked = looked.catch(() => undefined)
    return looked
  }

  async #look(): Promise<void> {
    await this.#log.look()
    const { map } = this.#store
    const head = await map.head()
    this.#log.check(head !== null, 'the log of the map is gone')
    if (head !== this.#head) {
      this.#log.check(head.size >= this.#leaves.length, `the log of the map went back from ${this.#leaves.length} to ${head.size}`)
      for (const bytes of await map.leaves(this.#leaves.length, head.size)) this.#admit(bytes)
      this.#log.check(head.size === this.#leaves.length && equal(head.root, this.treeAt(head.size)), 'the head of the map is not that of its leaves')
      this.#head = head
    }
    const publication = await map.publication()
    if (publication !== null && publication !== this.#publication) this.#lookAtPublication(publication)
    const version = await map.version()
    this.#log.check(version !== null, 'the rows of the map are gone')
    if (version === this.#version) return
    this.#version = version
    this.#log.check(equal(version.root, this.rootAt(version.size)), `the rows of the map are not those of ${version.size} entries`)
    this.#log.check(version.size === Math.max(0, this.published), `the rows are those of ${version.size} entries, and the map of ${this.published} is published`)
  }

  /** Looks at every row. */
  async lookWhole(): Promise<void> {
    await this.look()
    await this.lookAtRows(this.#store)
  }

  /** Fails unless the rows of a store are those of the version that it says they are. */
  async lookAtRows({ map }: Store): Promise<void> {
    const version = await map.version()
    const rows = (await map.bucketHashes(0, Infinity)).map(({ bucket }) => bucket)
    const bytes = Buffer.concat(await map.buckets(rows))
    const expected = Buffer.concat(this.entriesAt(version?.size ?? 0).map(({ key, value }) => Buffer.concat([key, value])).sort((a, b) => Buffer.compare(a, b)))
    this.#log.check(bytes.equals(expected), `the buckets are not the map of ${version?.size} entries`)
  }

  /** Whether a version is one of the published ones of this log. */
  isPublished(version: ShownVersion): boolean {
    const leaf = this.#leaves[version.leaves - 1]
    return version.leaves <= (this.#publication?.size ?? 0) && leaf !== undefined && leaf.size === version.leaf.size && equal(leaf.mapRoot, version.leaf.mapRoot) && equal(leaf.root, version.leaf.root)
  }

  /** The version that a process shows must be a published one. */
  shows(name: string, shown: ShownVersion | null): void {
    this.#log.check(shown === null || this.isPublished(shown), `${name} shows a map of ${shown?.leaf.size} entries, leaf ${shown?.leaves}, that is not published`)
  }

  /** A proof was made for a DID by somebody who showed `least` leaves when he was asked; `verify`: whether every signature is verified, too. */
  async proved(text: string, did: string, least: number, verify: boolean): Promise<void> {
    await this.look()
    const proof = parseStateProof(text)
    const map = this.#log.opened(proof.mapCheckpoint, this.#keys)
    const leaf = this.#leaves[map.size - 1]
    this.#log.check(leaf !== undefined && map.size >= least, `a proof by ${map.size} leaves of the map was given where ${least} were shown`)
    this.#log.check(leaf.size === proof.size && equal(leaf.root, proof.root), `a proof is not by the newest of ${map.size} leaves`)
    const history = this.#log.history(did, leaf.size)
    const { steps, leaf: end } = naiveMapPath(this.entriesAt(leaf.size), sha256(Buffer.from(did)))
    this.#log.check(proof.path.steps.length === steps.length && steps.every(({ bit, sibling }, i) => bit === proof.path.steps[i]?.bit && equal(sibling, proof.path.steps[i].sibling)), `a proof has another path of ${did}`)
    this.#log.check(proof.entries.length === history.length && history.every(({ index }, i) => index === proof.entries[i]?.index && equal(naiveLeafHash(proof.entries[i].entry), this.#log.leafAt(index))), `a proof has other entries of ${did}`)
    this.#log.check((proof.state === null) === (history.length === 0) && (history.length > 0 || equal(end?.value ?? EMPTY, proof.path.leaf?.value ?? EMPTY)), `a proof has another end of ${did}`)
    this.#log.saw(history.length > 0 ? 'proofs of presence' : 'proofs of absence')
    if (!verify) return
    try {
      const { identity, state } = verifyStateProof(text, did, { logKeys: this.#logKeys, mapKeys: this.#keys, policy: null })
      const head = inEffect(history).at(-1)
      this.#log.check((identity?.chain.links.length ?? 0) === history.length && (head === undefined || state?.head === head.index), `a proof shows another state of ${did}`)
    } catch (error) {
      this.#log.check(false, `a proof of ${did} is refused: ${String(error)}`)
    }
    this.#log.saw('proofs verified')
  }

  #admit(bytes: Uint8Array): void {
    const [, mapRoot = '', size = '', root = ''] = /^(.{43}=)\n(0|[1-9]\d*)\n(.{43}=)\n$/.exec(Buffer.from(bytes).toString()) ?? []
    const leaf = { mapRoot: Buffer.from(mapRoot, 'base64'), size: Number(size), root: Buffer.from(root, 'base64') }
    this.#log.check(size !== '' && leaf.size > (this.#leaves.at(-1)?.size ?? -1), `a leaf of the map of ${size} entries follows one of ${this.#leaves.at(-1)?.size}`)
    this.#log.check(this.#log.wasPublished(leaf.size) && equal(leaf.root, this.#log.rootAt(leaf.size)), `a leaf of the map names ${size} entries, which no published checkpoint covers so`)
    this.#log.check(equal(leaf.mapRoot, this.rootAt(leaf.size)), `a leaf of the map has another root than the map of ${size} entries`)
    this.#bytes.push(bytes)
    this.#leaves.push(leaf)
    this.#log.saw('versions of the map')
  }

  #lookAtPublication(publication: Publication): void {
    const { size, root, note } = publication
    this.#log.check(size >= (this.#publication?.size ?? 0), `${size} leaves of the map are published after ${this.#publication?.size}`)
    this.#log.check(size <= this.#leaves.length && equal(root, this.treeAt(size)), `${size} leaves of the map are published with another root`)
    this.#log.check(this.hasSigned(note), `a checkpoint of the map is published that was not signed: ${note}`)
    this.#log.witnessed(note)
    this.#publication = publication
    // What belongs to it is looked at anew.
    this.#version = null
  }

  #valueOf(did: string, history: readonly Placed[]): Uint8Array {
    const name = `${did} ${history.length}`
    const value = this.#values.get(name) ?? valueOf(history, history.map(({ index }) => this.#log.leafAt(index)))
    this.#values.set(name, value)
    return value
  }
}

const EMPTY = new Uint8Array()

// spec/map.md#values
function valueOf(history: readonly Placed[], leaves: readonly Uint8Array[]): Uint8Array {
  const head = inEffect(history).at(-1)
  const root = naiveRoot(history.map(({ index }, i) => naiveLeafHash(Buffer.concat([u64(index), leaves[i] ?? EMPTY]))))
  const data = head === undefined || head.tombstone ? EMPTY : encodeTheirs(dataOf(head.cid))
  return sha256(Buffer.from('stele/did-state/v1\0'), u64(history.length), root, u64(head?.index ?? 0), Buffer.of(head?.tombstone === true ? 1 : 0), sha256(data))
}

function dataOf(cid: string): unknown {
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = plain(madeAs(cid).operation.value) as Record<string, unknown>
  return { rotationKeys, verificationMethods, alsoKnownAs, services }
}

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]))
  return Array.isArray(value) ? value.map(plain) : value
}

function u64(n: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(n))
  return bytes
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest())
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
