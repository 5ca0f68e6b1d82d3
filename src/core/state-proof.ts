// A state proof: one file that shows, offline, everything that a log holds of an identity at some size of the log, and that there is
// nothing newer; or that it holds nothing. spec/map.md#state-proofs

import { base64, bytesEqual, parseDecimal } from './encoding/text.ts'
import { stateOf } from './did-state.ts'
import { decodeEntry } from './entry.ts'
import { assert, DirectoryError } from './errors.ts'
import { didKey, stateValue, type DidState } from './map/did-state.ts'
import { encodeMapLeaf, mapOrigin, type MapLeaf } from './map/map-leaf.ts'
import { MAP_HASH_BYTES, MAX_PATH_STEPS, pathRoot, type MapEntry, type TriePath } from './map/trie.ts'
import { isDid } from './plc/did.ts'
import { applyEntry, EMPTY_CLOCK, emptyIdentity, type IndexedChain } from './replay.ts'
import { MAX_ENTRY_BYTES } from './tlog/bundle.ts'
import { parseCheckpoint, type OpenedCheckpoint } from './tlog/checkpoint.ts'
import { HASH_BYTES, leafHash } from './tlog/hash.ts'
import { formatVerifierKey, parseNote, type VerifierKey } from './tlog/note.ts'
import { openUnderPolicy, type Policy } from './tlog/policy.ts'
import { MAX_PROOF_HASHES, verifyConsistency, verifyInclusion } from './tlog/proof.ts'
import { readAs } from './tlog/strict.ts'

/** What a file holds; nothing of it is trusted before `verifyStateProof`. */
export interface StateProof extends OwnPart, CommonPart {}

/** What a file says of its DID. */
export interface OwnPart {
  readonly did: string
  /** The way of the DID's key. Its leaf is left out where the map has the key: the state gives it. */
  readonly path: TriePath
  /** What the map says of it; null where it has no such key. */
  readonly state: DidState | null
  /** All of its entries that the log accepted, ordered by index; none where there is no state. */
  readonly entries: readonly PlacedEntry[]
}

/** What the files of all DIDs have in common while no newer checkpoint is published. */
export interface CommonPart {
  /** The tree of the log that the map was derived from. */
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Inclusion proof of the newest leaf of the map's log. */
  readonly inclusion: readonly Uint8Array[]
  /** Consistency proof from the tree that the map was derived from to that of the log's checkpoint. */
  readonly consistency: readonly Uint8Array[]
  /** Signed notes as they were served: of the map's log, and of the log. */
  readonly mapCheckpoint: string
  readonly logCheckpoint: string
}

/** An entry's bytes and where they stand in the log. */
export interface PlacedEntry {
  readonly index: number
  readonly entry: Uint8Array
}

/** Whom a verifier believes. */
export interface StateProofTrust {
  /** Of the log, and of the log of its map. */
  readonly logKeys: readonly VerifierKey[]
  readonly mapKeys: readonly VerifierKey[]
  /** Whose quorum must have seen both checkpoints; its logs are not asked about. null for nobody. */
  readonly policy: Policy | null
  /** How old, in seconds since 1970, a cosignature of the map's checkpoint may be to count for the quorum. Default: 0, of any age. */
  readonly notBefore?: number
}

/** What a verified proof showed. */
export interface ProvedState {
  readonly did: string
  /** Everything that the log holds of it, at the size of `leaf`, each signature verified; null where it holds nothing. */
  readonly identity: IndexedChain | null
  readonly state: DidState | null
  /** The newest version of the map that its checkpoint covers. */
  readonly leaf: MapLeaf
  /** With the signatures that were verified: the times of its cosignatures say how long ago there was no newer version. */
  readonly map: OpenedCheckpoint
  /** A tree of the log that continues the one that the map was derived from. */
  readonly log: OpenedCheckpoint
}

/** First line of a file. */
export const STATE_PROOF_MAGIC = 'stele state-proof v1'

/** Longest file that is read, in UTF-16 units. */
export const MAX_STATE_PROOF_LENGTH = 16_777_216

/**
 * Checks the proof for a DID, signatures of operations included. Throws MALFORMED_PROOF for a file that is none or is another DID's, the verdicts of
 * `openUnderPolicy` on either checkpoint, WRONG_ORIGIN where the map is another log's, OUT_OF_RANGE or INVALID_PROOF where
 * the state is not shown, and the verdict of replay on an entry that breaks a rule. spec/map.md#verification
 */
export function verifyStateProof(text: string, did: string, trust: StateProofTrust): ProvedState {
  const proof = parseStateProof(text)
  if (proof.did !== did) throw malformed(`it is about ${proof.did}`)
  const { state, size, root } = proof
  const log = open(proof.logCheckpoint, trust.logKeys, trust, 0)
  const map = open(proof.mapCheckpoint, trust.mapKeys, trust, trust.notBefore ?? 0)
  if (map.checkpoint.origin !== mapOrigin(log.checkpoint.origin)) throw new DirectoryError('WRONG_ORIGIN', map.checkpoint.origin)

  const key = didKey(did)
  const leaf = state === null ? proof.path.leaf : { key, value: stateValue(state) }
  const mapLeaf = { mapRoot: pathRoot(key, { steps: proof.path.steps, leaf }), size, root }
  const newest = map.checkpoint.size - 1
  verifyInclusion({ index: newest, size: map.checkpoint.size, leaf: leafHash(encodeMapLeaf(mapLeaf)), proof: proof.inclusion, root: map.checkpoint.root })
  verifyConsistency({ oldSize: size, oldRoot: root, newSize: log.checkpoint.size, newRoot: log.checkpoint.root, proof: proof.consistency })

  const identity = state === null ? null : replayEntries(proof)
  if (state !== null && identity !== null) {
    const derived = stateOf(identity, proof.entries.map(({ entry }) => leafHash(entry)))
    if (!bytesEqual(stateValue(derived), stateValue(state))) throw new DirectoryError('INVALID_PROOF', 'the entries come to another state')
  }
  return { did, identity, state, leaf: mapLeaf, map, log }
}

/** The text of a proof. Throws MALFORMED_PROOF where it would not be read back. spec/map.md#state-proofs */
export function formatStateProof(proof: StateProof): string {
  return joinStateProof(proof, formatCommonPart(proof))
}

/** As `formatStateProof`, of a part of its own and the text of what it has in common with others. */
export function joinStateProof(own: OwnPart, common: string): string {
  checkOwn(own)
  const { did, path, state, entries } = own
  const lines = [
    STATE_PROOF_MAGIC,
    `did ${did}`,
    ...path.steps.map(({ bit, sibling }) => `step ${bit} ${base64.encode(sibling)}`),
    ...(path.leaf === null ? [] : [`leaf ${base64.encode(path.leaf.key)} ${base64.encode(path.leaf.value)}`]),
    ...(state === null ? [] : [formatState(state)]),
    ...entries.map(({ index, entry }) => `entry ${index} ${base64.encode(entry)}`),
  ]
  const text = `${lines.join('\n')}\n${common}`
  if (text.length > MAX_STATE_PROOF_LENGTH) throw malformed('too long')
  return text
}

/** The text of what proofs have in common, from the `tree` line on. Throws MALFORMED_PROOF where it would not be read back. */
export function formatCommonPart(common: CommonPart): string {
  checkCommon(common)
  const { size, root, inclusion, consistency, mapCheckpoint, logCheckpoint } = common
  const lines = [
    `tree ${size} ${base64.encode(root)}`,
    ...inclusion.map((hash) => `inclusion ${base64.encode(hash)}`),
    ...consistency.map((hash) => `consistency ${base64.encode(hash)}`),
  ]
  return `${lines.join('\n')}\n\n${mapCheckpoint}\n${logCheckpoint}`
}

/** The proof in a text. Throws MALFORMED_PROOF unless `formatStateProof` gives the same text back. What it shows is another question. */
export function parseStateProof(text: string): StateProof {
  if (text.length > MAX_STATE_PROOF_LENGTH) throw malformed('too long')
  // A checkpoint has no empty line of its own: its note is two of the blocks between empty lines.
  const [head = '', mapText = '', mapSignatures = '', ...log] = text.split('\n\n', 6)
  const [, ...lines] = head.split('\n')
  const proof = readAs('MALFORMED_PROOF', () => readLines(lines, { mapCheckpoint: `${mapText}\n\n${mapSignatures}\n`, logCheckpoint: log.join('\n\n') }))
  if (formatStateProof(proof) !== text) throw malformed('not in its one form')
  return proof
}

function open(note: string, keys: readonly VerifierKey[], { policy }: StateProofTrust, notBefore: number): OpenedCheckpoint {
  const logs = keys.map((key) => ({ key, vkey: formatVerifierKey(key), url: null }))
  return openUnderPolicy(note, { ...(policy ?? NOBODY), logs }, notBefore)
}

const NOBODY: Policy = { logs: [], witnesses: [], groups: [], quorum: null }

function replayEntries({ did, entries, size }: StateProof): IndexedChain {
  let [identity, clock] = [emptyIdentity(did), EMPTY_CLOCK]
  for (const { index, entry } of entries) {
    if (index >= size) throw new DirectoryError('OUT_OF_RANGE', `entry ${index} of ${size}`)
    const decoded = decodeEntry(entry)
    if (decoded.did !== did) throw new DirectoryError('INVALID_PROOF', `entry ${index} is of ${decoded.did}`)
    ;({ identity, clock } = applyEntry(clock, identity, index, decoded, undefined))
  }
  return identity
}

function formatState({ entries, head, deactivated, history, data }: DidState): string {
  return `state ${entries} ${head} ${deactivated ? DEACTIVATED : ACTIVE} ${base64.encode(history)} ${base64.encode(data)}`
}

const ACTIVE = 'active'
const DEACTIVATED = 'deactivated'

function readLines(lines: readonly string[], checkpoints: Pick<StateProof, 'mapCheckpoint' | 'logCheckpoint'>): StateProof {
  const steps: TriePath['steps'][number][] = []
  const entries: PlacedEntry[] = []
  const [inclusion, consistency]: [Uint8Array[], Uint8Array[]] = [[], []]
  let [did, size] = ['', 0]
  let root = new Uint8Array()
  let leaf: MapEntry | null = null
  let state: DidState | null = null
  for (const line of lines) {
    const [word = '', first = '', second = '', third = '', fourth = '', fifth = ''] = line.split(' ', 6)
    if (word === 'did') did = first
    else if (word === 'step') steps.push({ bit: parseDecimal(first), sibling: base64.decode(second) })
    else if (word === 'leaf') leaf = { key: base64.decode(first), value: base64.decode(second) }
    else if (word === 'state') {
      state = { entries: parseDecimal(first), head: parseDecimal(second), deactivated: third === DEACTIVATED, history: base64.decode(fourth), data: base64.decode(fifth) }
    } else if (word === 'entry') entries.push({ index: parseDecimal(first), entry: base64.decode(second) })
    else if (word === 'tree') [size, root] = [parseDecimal(first), new Uint8Array(base64.decode(second))]
    else if (word === 'inclusion') inclusion.push(base64.decode(first))
    else if (word === 'consistency') consistency.push(base64.decode(first))
    else throw malformed('unknown line')
    if (steps.length > MAX_PATH_STEPS || Math.max(inclusion.length, consistency.length) > MAX_PROOF_HASHES) throw malformed('too many lines')
  }
  return { did, path: { steps, leaf }, state, entries, size, root, inclusion, consistency, ...checkpoints }
}

function checkOwn({ did, path: { steps, leaf }, state, entries }: OwnPart): void {
  if (!isDid(did)) throw malformed('did')
  checkHashes([...steps.map(({ sibling }) => sibling), ...(leaf === null ? [] : [leaf.key, leaf.value]), ...(state === null ? [] : [state.history, state.data])])
  if (steps.length > MAX_PATH_STEPS || steps.some(({ bit }) => bit >= MAX_PATH_STEPS)) throw malformed('steps')
  if (state === null ? entries.length > 0 : leaf !== null || entries.length !== state.entries || entries.length === 0) throw malformed('a state has its entries, and its own leaf')
  if (leaf !== null && bytesEqual(leaf.key, didKey(did))) throw malformed('the key itself stands at the end')
  if (entries.some(({ index, entry }, i) => index <= (entries[i - 1]?.index ?? -1) || entry.length > MAX_ENTRY_BYTES)) throw malformed('entries')
  checkNumbers([...entries.map(({ index }) => index), ...(state === null ? [] : [state.head])])
}

function checkCommon({ size, root, inclusion, consistency, mapCheckpoint, logCheckpoint }: CommonPart): void {
  checkHashes([root, ...inclusion, ...consistency])
  if (inclusion.length > MAX_PROOF_HASHES || consistency.length > MAX_PROOF_HASHES) throw malformed('hashes')
  checkNumbers([size])
  for (const note of [mapCheckpoint, logCheckpoint]) readAs('MALFORMED_PROOF', () => parseCheckpoint(parseNote(note).text))
}

function checkHashes(hashes: readonly Uint8Array[]): void {
  assert(MAP_HASH_BYTES === HASH_BYTES, 'all hashes are of one length')
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw malformed('a hash that is not 32 bytes')
}

function checkNumbers(numbers: readonly number[]): void {
  if (!numbers.every((n) => Number.isSafeInteger(n) && n >= 0)) throw malformed('numbers')
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_PROOF', reason)
}
