// A verifier of state proofs written from spec/map.md, spec/log.md and spec/did-plc.md alone: node:crypto, and libraries of others for
// DAG-CBOR and the rules of operations. It shares no code with what it checks.

import { createHash, createPublicKey, verify } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import * as plc from '@did-plc/lib'
import { CID } from 'multiformats/cid'

export interface IndependentKeys {
  /** One verifier key each. */
  readonly log: string
  readonly map: string
  readonly witness: string
}

export interface IndependentState {
  readonly did: string
  /** null where the log holds nothing of it. */
  readonly data: unknown
  readonly indices: readonly number[]
  readonly deactivated: boolean
  readonly size: number
}

/** What a state proof shows of a DID, both checkpoints cosigned by the witness. Throws, with a reason, where it shows nothing. */
export async function verifyIndependently(text: string, did: string, keys: IndependentKeys): Promise<IndependentState> {
  const file = parse(text)
  check(file.did === did, 'about another DID')
  const log = openCheckpoint(file.logNote, keys.log, keys.witness)
  const map = openCheckpoint(file.mapNote, keys.map, keys.witness)
  check(map.origin === `${log.origin}/map`, 'the map of another log')

  const key = sha256(Buffer.from(did))
  let root: Buffer
  if (file.state !== null) root = sha256(Buffer.of(0), key, valueOf(file.state))
  else if (file.leaf !== null) {
    check(!file.leaf.key.equals(key), 'the key is there')
    root = sha256(Buffer.of(0), file.leaf.key, file.leaf.value)
  } else {
    check(file.steps.length === 0, 'an empty map with steps')
    root = sha256()
  }
  for (const [i, { bit, hash }] of file.steps.toReversed().entries()) {
    check(bit <= 255 && bit > (file.steps.toReversed()[i + 1]?.bit ?? -1), 'bits ascend')
    const own = ((key[Math.floor(bit / 8)] ?? 0) >> (7 - (bit % 8))) % 2
    root = own === 0 ? sha256(Buffer.of(1, bit), root, hash) : sha256(Buffer.of(1, bit), hash, root)
  }
  const leaf = sha256(Buffer.of(0), Buffer.from(`${root.toString('base64')}\n${file.size}\n${file.root.toString('base64')}\n`))
  check(map.size > 0, 'a map without a leaf')
  check(rootFromInclusion(map.size - 1, map.size, leaf, file.inclusion).equals(map.root), 'the leaf is not the last one')
  checkConsistency(file.size, file.root, log.size, log.root, file.consistency)
  if (file.state === null) return { did, data: null, indices: [], deactivated: false, size: file.size }

  const { state, entries } = file
  check(entries.length === state.entries && entries.every(({ index }, i) => index < file.size && index > (entries[i - 1]?.index ?? -1)), 'indices')
  check(mth(entries.map(({ index, bytes }) => sha256(Buffer.of(0), u64(index), sha256(Buffer.of(0), bytes)))).equals(state.history), 'the history is another')
  const inEffect = await replay(did, entries)
  const head = inEffect.at(-1)
  check(head !== undefined && head.index === state.head, 'another head')
  const data = dataOf(head.operation)
  check((data === null) === state.deactivated, 'deactivated or not')
  check(sha256(data === null ? Buffer.alloc(0) : Buffer.from(dagCbor.encode(data))).equals(state.data), 'other data')
  return { did, data, indices: entries.map(({ index }) => index), deactivated: state.deactivated, size: file.size }
}

interface State {
  readonly entries: number
  readonly head: number
  readonly deactivated: boolean
  readonly history: Buffer
  readonly data: Buffer
}

interface PlacedBytes {
  readonly index: number
  readonly bytes: Buffer
}

// One line after the other, each in the place that the page gives it.
function parse(text: string) {
  check(text.length <= 16_777_216, 'too long')
  const blocks = text.split('\n\n')
  check(blocks.length === 5, 'a head and two notes')
  const [head = '', mapText = '', mapLines = '', logText = '', logLines = ''] = blocks
  const lines = head.split('\n')
  const next = (): string[] => lines.shift()?.split(' ') ?? []
  const isNext = (word: string): boolean => lines[0]?.startsWith(`${word} `) ?? false
  check(lines.shift() === 'stele state-proof v1', 'another file')
  const [didWord, did = '', ...noMore] = next()
  check(didWord === 'did' && noMore.length === 0 && /^did:plc:[a-z2-7]{24}$/.test(did), 'did')
  const steps: { bit: number; hash: Buffer }[] = []
  while (isNext('step')) steps.push(fields(next(), 3, ([bit, hash]) => ({ bit: decimal(bit), hash: hash32(hash) })))
  const leaf = isNext('leaf') ? fields(next(), 3, ([key, value]) => ({ key: hash32(key), value: hash32(value) })) : null
  const state: State | null = isNext('state')
    ? fields(next(), 6, ([entries, head, status, history, data]) => {
        check(status === 'active' || status === 'deactivated', 'status')
        return { entries: decimal(entries), head: decimal(head), deactivated: status === 'deactivated', history: hash32(history), data: hash32(data) }
      })
    : null
  const entries: PlacedBytes[] = []
  while (isNext('entry')) entries.push(fields(next(), 3, ([index, bytes]) => ({ index: decimal(index), bytes: base64(bytes) })))
  check(state === null ? entries.length === 0 : leaf === null && entries.length > 0, 'state and leaf')
  const { size, root } = fields(isNext('tree') ? next() : [], 3, ([size, root]) => ({ size: decimal(size), root: hash32(root) }))
  const [inclusion, consistency]: [Buffer[], Buffer[]] = [[], []]
  while (isNext('inclusion')) inclusion.push(fields(next(), 2, ([hash]) => hash32(hash)))
  while (isNext('consistency')) consistency.push(fields(next(), 2, ([hash]) => hash32(hash)))
  check(lines.length === 0 && inclusion.length <= 54 && consistency.length <= 54 && steps.length <= 256, 'lines that are not known')
  return { did, steps, leaf, state, entries, size, root, inclusion, consistency, mapNote: `${mapText}\n\n${mapLines}\n`, logNote: `${logText}\n\n${logLines}` }
}

function valueOf({ entries, head, deactivated, history, data }: State): Buffer {
  return sha256(Buffer.from('stele/did-state/v1\0'), u64(entries), history, u64(head), Buffer.of(deactivated ? 1 : 0), data)
}

function openCheckpoint(note: string, vkey: string, witness: string): { origin: string; size: number; root: Buffer } {
  check(note.endsWith('\n'), 'a note ends with a newline')
  const end = note.lastIndexOf('\n\n')
  const text = note.slice(0, end + 1)
  const [origin = '', size, root, last, ...rest] = text.split('\n')
  check(last === '' && rest.length === 0, 'three lines')
  const checkpoint = { origin, size: decimal(size), root: hash32(root) }
  const lines = note.slice(end + 2, -1).split('\n')
  check(lines.every((line) => /^\u2014 [^ +]+ [A-Za-z0-9+/]+=*$/.test(line)), 'signature lines')
  const signatures = lines.map((line) => ({ name: line.split(' ')[1], blob: base64(line.split(' ')[2]) }))
  for (const [key, isWitness] of [[vkey, false], [witness, true]] as const) {
    const [name, id, ...encoded] = key.split('+')
    const typed = base64(encoded.join('+'))
    check(typed[0] === (isWitness ? 4 : 1), 'type of the key')
    check(isWitness || name === origin, 'named like the origin')
    const own = signatures.filter((signature) => signature.name === name && signature.blob.subarray(0, 4).toString('hex') === id)
    check(own.length > 0, `${name} has not signed`)
    for (const { blob } of own) {
      check(blob.length === 4 + (isWitness ? 8 : 0) + 64, 'length of a signature')
      const message = isWitness ? `cosignature/v1\ntime ${blob.readBigUInt64BE(4)}\n${text}` : text
      const publicKey = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), typed.subarray(1)]), format: 'der', type: 'spki' })
      check(verify(null, Buffer.from(message), publicKey, blob.subarray(-64)), `the signature by ${name} does not verify`)
    }
  }
  return checkpoint
}

// RFC 9162, 2.1.3.2
function rootFromInclusion(index: number, size: number, leaf: Buffer, proof: readonly Buffer[]): Buffer {
  let [fn, sn, hash] = [index, size - 1, leaf]
  for (const sibling of proof) {
    check(sn > 0, 'too many hashes')
    if (fn % 2 === 1 || fn === sn) {
      hash = sha256(Buffer.of(1), sibling, hash)
      while (fn % 2 === 0 && fn > 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else hash = sha256(Buffer.of(1), hash, sibling)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  check(sn === 0, 'too few hashes')
  return hash
}

// RFC 9162, 2.1.4.2
function checkConsistency(first: number, firstRoot: Buffer, second: number, secondRoot: Buffer, given: readonly Buffer[]): void {
  check(first <= second, 'a smaller tree')
  if (first === 0) return check(given.length === 0 && firstRoot.equals(sha256()), 'the empty tree')
  if (first === second) return check(given.length === 0 && firstRoot.equals(secondRoot), 'one size, one root')
  const proof = Number.isInteger(Math.log2(first)) ? [firstRoot, ...given] : [...given]
  let [fn, sn] = [first - 1, second - 1]
  while (fn % 2 === 1) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  const [start, ...rest] = proof
  check(start !== undefined, 'too few hashes')
  let [fr, sr] = [start, start]
  for (const c of rest) {
    check(sn > 0, 'too many hashes')
    if (fn % 2 === 1 || fn === sn) {
      fr = sha256(Buffer.of(1), c, fr)
      sr = sha256(Buffer.of(1), c, sr)
      while (fn % 2 === 0 && fn > 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else sr = sha256(Buffer.of(1), sr, c)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  check(sn === 0 && fr.equals(firstRoot) && sr.equals(secondRoot), 'not consistent')
}

function mth(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves
  if (first === undefined || leaves.length === 1) return first ?? sha256()
  let k = 1
  while (2 * k < leaves.length) k *= 2
  return sha256(Buffer.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k)))
}

interface PlacedOperation {
  readonly index: number
  readonly operation: plc.CompatibleOpOrTombstone
}

// The operations in effect, oldest first, by the deployed directory's own library.
async function replay(did: string, entries: readonly PlacedBytes[]): Promise<PlacedOperation[]> {
  let accepted: (PlacedOperation & { readonly cid: CID; readonly createdAt: Date })[] = []
  for (const { index, bytes } of entries) {
    const entry: { did: string; createdAt: string; operation: plc.CompatibleOpOrTombstone } = dagCbor.decode(bytes)
    check(Buffer.from(dagCbor.encode(entry)).equals(bytes) && entry.did === did, 'no entry of this DID')
    const before = accepted.map(({ operation, cid, createdAt }): plc.IndexedOperation => ({ did, operation, cid, createdAt, nullified: false }))
    const { nullified } = await plc.assureValidNextOp(did, before, entry.operation)
    const gone = new Set(nullified.map(String))
    const cid = CID.createV1(0x71, digestOf(entry.operation))
    accepted = [...accepted.filter((earlier) => !gone.has(earlier.cid.toString())), { index, operation: entry.operation, cid, createdAt: new Date(entry.createdAt) }]
  }
  return accepted
}

function digestOf(operation: plc.CompatibleOpOrTombstone) {
  const digest = sha256(Buffer.from(dagCbor.encode(operation)))
  return { code: 0x12, size: 32, digest: new Uint8Array(digest), bytes: new Uint8Array(Buffer.concat([Buffer.of(0x12, 32), digest])) }
}

function dataOf(operation: plc.CompatibleOpOrTombstone): unknown {
  if (operation.type === 'plc_tombstone') return null
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = plc.normalizeOp(operation)
  return { rotationKeys, verificationMethods, alsoKnownAs, services }
}

function fields<T>(words: readonly string[], count: number, read: (rest: readonly (string | undefined)[]) => T): T {
  check(words.length === count, 'fields of a line')
  return read(words.slice(1))
}

function decimal(text: string | undefined): number {
  check(text !== undefined && /^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text)), 'no number')
  return Number(text)
}

function base64(text: string | undefined): Buffer {
  const bytes = Buffer.from(text ?? '', 'base64')
  check(text !== undefined && bytes.toString('base64') === text, 'no base64')
  return bytes
}

function hash32(text: string | undefined): Buffer {
  const bytes = base64(text)
  check(bytes.length === 32, 'no hash')
  return bytes
}

function u64(n: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(n))
  return bytes
}

function sha256(...parts: readonly Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Error(`shows nothing: ${reason}`)
}
