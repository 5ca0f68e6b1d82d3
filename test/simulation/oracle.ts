// What must hold after every step, whatever happens: promises to clients, the growth of the log, the rules of identities.

import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { decodeEntry } from '../../src/core/entry.ts'
import type { VerifierKey } from '../../src/core/tlog/note.ts'
import type { Policy } from '../../src/core/tlog/policy.ts'
import type { SignedHead } from '../../src/log/guard.ts'
import type { Append, Store } from '../../src/storage/store.ts'
import type { Tip } from '../../src/storage/tip.ts'
import { checkLog } from '../support/check-log.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'
import { madeAs, recall } from './catalog.ts'
import { inEffect, judge, type Claim, type Judgement, type Placed } from './model.ts'

/** A promise was broken. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** How often each thing was seen: a simulation that sees nothing proves nothing. */
export type Sightings = Record<string, number>

/** Longest distance between clocks, and of a stamp ahead of the clock, milliseconds. */
export const MAX_SKEW_MS = 10_000

/** A checkpoint whose signature was verified. */
export interface OpenedNote extends SignedHead {
  /** What was signed. */
  readonly text: string
}

/** An observer who sees everything and believes nobody. */
export class Oracle {
  readonly sightings: Sightings = {}
  /** The first promise that was broken. */
  violation: Violation | null = null
  readonly #store: Store
  readonly #keys: readonly VerifierKey[]
  readonly #histories = new Map<string, Placed[]>()
  readonly #leaves: Uint8Array[] = []
  readonly #roots = new Map<number, Uint8Array>()
  readonly #acknowledged = new Map<string, { readonly did: string; readonly index: number }>()
  /** For each operation that undid others: sizes of the log that its sender may have seen. */
  readonly #seenSizes = new Map<string, number>()
  /** Texts of checkpoints that have left the signer. */
  readonly #signed = new Set<string>()
  #largestSigned = 0
  /** Entries that the log's holder has put in against the rules. */
  readonly planted = new Set<number>()
  readonly #policy: Policy | null
  /** Notes that were found to be signed. */
  readonly #opened = new Map<string, { readonly name: string; readonly opened: OpenedNote }>()
  #published = 0
  /** Of every checkpoint that was ever published. */
  readonly #publishedSizes = new Set<number>()
  #note = ''
  #looked: Promise<void> = Promise.resolve()
  #lastNative = -Infinity

  /** `policy`: what every published checkpoint but the first has to meet; null for nothing. */
  constructor(store: Store, keys: readonly VerifierKey[], policy: Policy | null) {
    this.#store = store
    this.#keys = keys
    this.#policy = policy
  }

  /** Entries that a published checkpoint covers. */
  get published(): number {
    return this.#published
  }

  /** Entries in the log. */
  get size(): number {
    return this.#leaves.length
  }

  /** The newest time stamp. */
  get newest(): number {
    return this.#lastNative
  }

  /** All DIDs of the log. */
  get dids(): string[] {
    return [...this.#histories.keys()]
  }

  /** What the log holds of a DID, or held when it had `size` entries. */
  history(did: string, size = Infinity): Placed[] {
    return (this.#histories.get(did) ?? []).filter(({ index }) => index < size)
  }

  /** Fails unless it holds, and remembers it: whoever is observed may catch what is thrown. */
  check(holds: boolean, words: string): asserts holds {
    if (holds) return
    const violation = new Violation(words)
    this.violation ??= violation
    throw violation
  }

  /** Counts something. */
  saw(what: string, count = 1): void {
    this.sightings[what] = (this.sightings[what] ?? 0) + count
  }

  /** An operation has reached a process that knew `seenSize` entries. */
  arrived(cid: string, seenSize: number): void {
    this.#seenSizes.set(cid, Math.max(seenSize, this.#seenSizes.get(cid) ?? 0))
  }

  /** A client was told that its operation is in the log. */
  acknowledged(did: string, cid: string, index: number): void {
    this.saw('accepted')
    const before = this.#acknowledged.get(`${did} ${cid}`)
    if (before !== undefined) {
      this.saw('accepted again')
      this.check(before.index === index, `${cid} was at ${before.index} and is now said to be at ${index}`)
    }
    const placed = this.history(did).find((operation) => operation.cid === cid)
    this.check(placed !== undefined, `${cid} was acknowledged and is not in the log`)
    this.check(placed.index === index, `${cid} was acknowledged at ${index} and is at ${placed.index}`)
    this.#acknowledged.set(`${did} ${cid}`, { did, index })
  }

  /** A client was told that its operation is wrong; the log had `sizeBefore` entries when it was sent. */
  refused(did: string, claim: Claim, code: string, sizeBefore: number, now: number): void {
    this.saw(`refused ${code}`)
    if (code === 'RATE_LIMITED') {
      const recent = this.history(did).filter(({ createdAt }) => createdAt > now - 7 * 86_400_000 - MAX_SKEW_MS)
      this.check(recent.length >= 10, `${claim.cid} was refused for its rate after ${recent.length} operations in a week`)
      return
    }
    const sizes = [sizeBefore, ...this.history(did).map(({ index }) => index + 1).filter((size) => size > sizeBefore)]
    const judgements = sizes.map((size) => judge(did, this.history(did, size), claim, Math.max(now, this.#lastNative)))
    if (code === 'STALE_PREV') {
      const disputes = judgements.some((judgement) => 'undoes' in judgement && judgement.undoes.length > 0)
      this.check(disputes || judgements.some(isRefusal), `${claim.cid} was refused as stale and undoes nothing`)
      return
    }
    this.check(judgements.some(isRefusal), `${claim.cid} was refused with ${code}, and the rules allow it`)
  }

  /** A transaction is about to append, having read the time `reading`, or knowing it from the one before (null), on a machine that says `machine`. */
  appending({ entries }: Append, reading: number | null, machine: number): void {
    if (reading === null) {
      for (const { createdAt } of entries) {
        this.check(createdAt >= machine - MAX_SKEW_MS, `an entry is stamped ${machine - createdAt} ms before the clock`)
        this.check(createdAt <= machine + 2 * MAX_SKEW_MS, `an entry is stamped ${createdAt - machine} ms ahead of the clock`)
      }
      this.saw('written in one step')
      return
    }
    this.check(Math.abs(reading - machine) <= MAX_SKEW_MS, `a round was stamped while the clocks were ${reading - machine} ms apart`)
    for (const { createdAt } of entries) {
      this.check(createdAt >= reading, 'an entry is stamped before the clock')
      this.check(createdAt <= reading + MAX_SKEW_MS, `an entry is stamped ${createdAt - reading} ms ahead of the clock`)
    }
  }

  /** A note has left the signer, whose guard remembered `guarded`. */
  async signed(note: string, guarded: SignedHead): Promise<void> {
    const { text, size, root } = this.#open(note)
    const isNew = !this.#signed.has(text)
    this.check(!isNew || (guarded.size === size && equal(guarded.root, root)), `size ${size} was signed while the guard remembered ${guarded.size}`)
    if (isNew) this.saw('signed')
    this.#signed.add(text)
    this.#largestSigned = Math.max(size, this.#largestSigned)
    await this.look()
    this.check(size <= this.size, `size ${size} was signed and ${this.size} entries are durable`)
    this.check(equal(root, this.rootAt(size)), `another root was signed at size ${size}`)
  }

  /** What one process believes must be true. */
  believes(name: string, tip: Tip): void {
    this.check(tip.durable <= this.size, `${name} believes in ${tip.durable} entries of ${this.size}`)
    this.check(tip.published <= this.#published, `${name} believes in a publication of ${tip.published} beyond ${this.#published}`)
  }

  /** Whether the log's signer has signed a tree that begins with these entries. */
  covers(size: number, root: Uint8Array): boolean {
    return size <= this.#largestSigned && equal(root, this.rootAt(size))
  }

  /** Whether a checkpoint, a signed note, is one of those that have left the signer. */
  hasSigned(note: string): boolean {
    return this.#signed.has(this.#open(note).text)
  }

  /** Whether a checkpoint of this size was published. */
  wasPublished(size: number): boolean {
    return this.#publishedSizes.has(size)
  }

  /** Hash of an entry, as a leaf. */
  leafAt(index: number): Uint8Array {
    return this.#leaves[index] ?? new Uint8Array()
  }

  /** Looks at what is new, one after the other where several ask for it. */
  look(): Promise<void> {
    const looked = this.#looked.then(() => this.#look())
    this.#looked = looked.catch(() => undefined)
    return looked
  }

  async #look(): Promise<void> {
    const head = await this.#store.head()
    this.check(head !== null, 'the log is gone')
    this.check(head.size >= this.size, `the head went back from ${this.size} to ${head.size}`)
    if (head.size > this.size) {
      const touched = new Set<string>()
      for (const row of await this.#store.entries(this.size, head.size)) {
        this.#admit(row.index, row.did, row.cid, row.createdAt, row.entry)
        if (!this.planted.has(row.index)) touched.add(row.did)
      }
      this.check(head.size === this.size, 'the head has a size and not the entries')
      this.saw('rounds')
      for (const did of touched) await this.compare(this.#store, did)
    }
    const publication = await this.#store.publication()
    if (publication === null) return
    this.check(publication.size >= this.#published, `the publication went back from ${this.#published} to ${publication.size}`)
    if (publication.size > this.#published) this.saw('publications')
    this.#published = publication.size
    this.#publishedSizes.add(publication.size)
    this.check(publication.size <= this.size, 'more is published than is durable')
    this.check(equal(publication.root, this.rootAt(publication.size)), 'another root is published')
    if (publication.note !== this.#note && publication.size > 0) this.witnessed(publication.note)
    this.#note = publication.note
  }

  /** Looks at everything, from the beginning. */
  async lookWhole(): Promise<void> {
    await this.look()
    await checkLog(this.#store, this.#keys, recall)
    const rows = await this.#store.entries(0, Number.MAX_SAFE_INTEGER)
    for (const [name, { did, index }] of this.#acknowledged) {
      this.check(`${did} ${rows[index]?.cid}` === name, `${name} was acknowledged at ${index} and is not there any more`)
    }
  }

  #admit(index: number, did: string, cid: string, createdAt: number, leaf: Uint8Array): void {
    if (this.planted.has(index)) {
      this.#leaves.push(naiveLeafHash(leaf))
      return
    }
    const entry = decodeEntry(leaf)
    this.check(index === this.size && entry.did === did && entry.operation.cid === cid && entry.createdAt === createdAt, `the row of entry ${index} is not the entry`)
    const { claim } = madeAs(cid)
    const history = this.history(did)
    this.check(history.every((operation) => operation.cid !== cid), `${cid} is in the log twice`)
    this.check(history.every((operation) => operation.createdAt < createdAt), `entry ${index} is not later than all of its DID`)
    this.check(createdAt >= this.#lastNative, `entry ${index} is earlier than the log`)
    const judgement = judge(did, history, claim, createdAt)
    this.check('undoes' in judgement, `entry ${index} breaks the rules: ${JSON.stringify(judgement)}`)
    const seenSize = this.#seenSizes.get(cid)
    this.check(seenSize !== undefined, `entry ${index} was sent by nobody`)
    // Whoever knew the first that is undone has asked for a recovery.
    const [first] = judgement.undoes
    this.check(first === undefined || first.index < seenSize, `entry ${index} undoes entry ${first?.index}, which its sender cannot have known`)
    if (first !== undefined) this.saw('recoveries')
    if (claim.tombstone) this.saw('tombstones')
    history.push({ ...claim, index, createdAt })
    this.#histories.set(did, history)
    this.#lastNative = createdAt
    this.#leaves.push(naiveLeafHash(leaf))
  }

  /** What a store that holds `size` entries of the log says of an identity is what the rules say. */
  async compare(store: Store, did: string, size = Infinity): Promise<void> {
    const history = this.history(did, size)
    const tower = inEffect(history)
    const rows = (await store.history([did], 0)).filter((row) => row.rejected === null)
    this.check(
      rows.length === history.length && rows.every((row, i) => row.cid === history[i]?.cid && row.nullified === !tower.some(({ cid }) => cid === row.cid)),
      `the store and the rules differ about ${did}`,
    )
    const newest = await store.newest(did)
    this.check(newest?.cid === tower.at(-1)?.cid, `the newest operation of ${did} is another`)
  }

  #open(note: string): OpenedNote {
    return this.opened(note, this.#keys)
  }

  /** A checkpoint as its format says, checked by another library than that which signed it. Fails unless the first of these keys has signed it first. */
  opened(note: string, [key]: readonly VerifierKey[]): OpenedNote {
    const known = this.#opened.get(note)
    if (known !== undefined && known.name === key?.name) return known.opened
    const [, text = '', name = '', size = '', root = '', signer = '', signature = ''] = /^((.+)\n(\d+)\n(.{44})\n)\n— (\S+) (\S+)\n(?:— .+\n)*$/.exec(note) ?? []
    this.check(key !== undefined && name === key.name && signer === key.name, `a note is not the log's: ${note}`)
    this.check(verify(null, Buffer.from(text), publicKeyOf(key), Buffer.from(signature, 'base64').subarray(4)), `a note is not signed: ${note}`)
    const opened = { text, size: Number(size), root: Buffer.from(root, 'base64') }
    this.#opened.set(note, { name, opened })
    return opened
  }

  /** Fails unless two different witnesses of the policy have signed it, with a time, and nobody's signature is wrong. */
  witnessed(note: string): void {
    if (this.#policy === null) return
    const [text = '', lines = ''] = note.split('\n\n')
    const seen = new Set<string>()
    for (const line of lines.trimEnd().split('\n').slice(1)) {
      const [, name = '', encoded = ''] = line.split(' ')
      const blob = Buffer.from(encoded, 'base64')
      const witness = this.#policy.witnesses.find(({ key }) => key.name === name && key.id === blob.subarray(0, 4).toString('hex'))
      this.check(witness !== undefined, `a stranger has cosigned: ${note}`)
      const message = `cosignature/v1\ntime ${blob.readBigUInt64BE(4)}\n${text}\n`
      this.check(verify(null, Buffer.from(message), publicKeyOf(witness.key), blob.subarray(12)), `a cosignature is wrong: ${note}`)
      seen.add(name)
    }
    this.check(seen.size >= 2, `it was published with ${seen.size} cosignatures: ${note}`)
    this.saw(seen.size === 2 ? 'seen by two' : 'seen by three')
  }

  /** The root of the log's first entries. */
  rootAt(size: number): Uint8Array {
    const root = this.#roots.get(size) ?? naiveRoot(this.#leaves.slice(0, size))
    this.#roots.set(size, root)
    return root
  }
}

function publicKeyOf({ publicKey }: VerifierKey): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') }, format: 'jwk' })
}

function isRefusal(judgement: Judgement): boolean {
  return 'refused' in judgement
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
