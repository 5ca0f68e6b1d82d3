// Evidence: one file that convinces a stranger, who holds a log's key and nothing else, that the log contradicted itself or
// its rules. spec/evidence.md

import { decodeCbor } from './encoding/dag-cbor.ts'
import { base64, bytesEqual, parseDecimal, utf8Decode } from './encoding/text.ts'
import { assert, DirectoryError } from './errors.ts'
import { describeWrongMap, judgeWrongMap, MAP_FAULT_SHAPES, MAP_FAULTS, type MapFault, type WrongMap } from './evidence-map.ts'
import { BREACH_SHAPES, PROVABLE_RULES, verdictOn, type Breach, type PlacedLeaf, type ProvableRule } from './evidence-rules.ts'
import type { MapLeaf } from './map/map-leaf.ts'
import { parseOperation, type Operation } from './plc/operation.ts'
import { MAX_ENTRY_BYTES } from './tlog/bundle.ts'
import { isLogKeyType, openByAnyKey, parseCheckpoint, type OpenedCheckpoint } from './tlog/checkpoint.ts'
import { isCosignerKeyType } from './tlog/cosignature.ts'
import { HASH_BYTES, leafHash } from './tlog/hash.ts'
import { parseNote, verifyNote, type VerifierKey } from './tlog/note.ts'
import { MAX_PROOF_HASHES, verifyConsistency, verifyInclusion } from './tlog/proof.ts'
import { readAs } from './tlog/strict.ts'

/** What a file of evidence holds; nothing of it is trusted before `verifyEvidence`. */
export type Evidence = TwoRoots | Fork | BrokenRule | WrongMap

/** Two checkpoints of one size with two roots. */
export interface TwoRoots {
  readonly kind: 'two-roots'
  /** Signed notes, as they were served. */
  readonly checkpoints: readonly [string, string]
}

/** Two checkpoints of which the larger does not continue the smaller. */
export interface Fork {
  readonly kind: 'fork'
  /** The smaller, then the larger. */
  readonly checkpoints: readonly [string, string]
  /** Root of the larger tree's first entries, as many as the smaller has: 32 bytes. */
  readonly root: Uint8Array
  /** The consistency proof from that root to the larger checkpoint's. */
  readonly proof: readonly Uint8Array[]
}

/** Entries of one tree that cannot all stand in a log that keeps the rules. */
export interface BrokenRule {
  readonly kind: 'broken-rule'
  readonly rule: ProvableRule
  /** Ordered by index. */
  readonly leaves: readonly ProvenLeaf[]
  /** Named by their hashes; that they are in the log is neither shown nor needed. */
  readonly operations: readonly Operation[]
  readonly checkpoints: readonly [string]
}

/** A leaf with its inclusion proof in the tree of the checkpoint. */
export interface ProvenLeaf extends PlacedLeaf {
  readonly proof: readonly Uint8Array[]
}

/** What evidence was found to prove. */
export interface Contradiction {
  readonly evidence: Evidence
  readonly origin: string
  /** The keys of the log by which every checkpoint of the file is signed, of a wrong map that of the map's log: at least one. */
  readonly signers: readonly VerifierKey[]
  /** In the order of the file, with all signatures by known keys, cosignatures too. */
  readonly checkpoints: readonly OpenedCheckpoint[]
  /** What replay says of one of the leaves, unless it rejects one before; null where no rule is at stake. */
  readonly verdict: DirectoryError | null
  /** Where it is not null, nothing is proved yet: only a replay of the log can show that its first `size` entries do not lead to `mapRoot`. */
  readonly replay: MapLeaf | null
}

/** First line of evidence. */
export const EVIDENCE_MAGIC = 'stele evidence v1'

/** Longest evidence that is read, in UTF-16 units. */
export const MAX_EVIDENCE_LENGTH = 4_194_304

/**
 * Checks evidence. `keys` are the log's, and those of witnesses whose cosignatures are of interest. Throws
 * MALFORMED_EVIDENCE for a file that is none, the verdicts of `openByAnyKey`, OUT_OF_RANGE or INVALID_PROOF where a proof does not
 * hold, and NO_CONTRADICTION where all holds and nothing is proved by it. spec/evidence.md#verification
 */
export function verifyEvidence(bytes: Uint8Array, keys: readonly VerifierKey[]): Contradiction {
  if (bytes.length > MAX_EVIDENCE_LENGTH * 3) throw malformed('too long')
  return proveEvidence(parseEvidence(readAs('MALFORMED_EVIDENCE', () => utf8Decode(bytes))), keys)
}

/** As `verifyEvidence`, for evidence that has been parsed. */
export function proveEvidence(evidence: Evidence, keys: readonly VerifierKey[]): Contradiction {
  const checkpoints = evidence.checkpoints.map((note) => openWithCosignatures(note, keys))
  const [first] = checkpoints
  assert(first !== undefined, 'evidence has a checkpoint')
  const { origin } = first.checkpoint
  // A map is held against its log, and both have keys of their own.
  const accused = evidence.kind === 'wrong-map' ? [first] : checkpoints
  if (accused.some((opened) => opened.checkpoint.origin !== origin)) throw nothing('the checkpoints are of two logs')
  const signers = keys.filter((key) => accused.every(({ verified }) => key.name === origin && verified.some((signature) => signature.key === key)))
  if (signers.length === 0) throw nothing('no one key of the log signed both checkpoints')
  const known = { evidence, origin, signers, checkpoints }
  if (evidence.kind === 'wrong-map') return { ...known, verdict: null, replay: judgeWrongMap(evidence, checkpoints.map(({ checkpoint }) => checkpoint)) }
  return { ...known, verdict: judge(evidence, checkpoints), replay: null }
}

/** Evidence of two checkpoints, signed notes, of one size with two roots. Throws what `verifyEvidence` throws where they are none. */
export function twoRoots(one: string, other: string, keys: readonly VerifierKey[]): TwoRoots {
  return checked({ kind: 'two-roots', checkpoints: [one, other] }, keys)
}

/**
 * Evidence of two checkpoints, signed notes, of which the larger does not continue the smaller. `root` is that of the first entries
 * of the larger tree, derived again, and `proof` the consistency proof from it. Throws what `verifyEvidence` throws where they show nothing.
 */
export function fork(smaller: string, larger: string, root: Uint8Array, proof: readonly Uint8Array[], keys: readonly VerifierKey[]): Fork {
  return checked({ kind: 'fork', checkpoints: [smaller, larger], root, proof }, keys)
}

/**
 * Evidence of a breach that `findBreach` found. `proofs` are the inclusion proofs of its leaves, in their order, in the tree
 * of `checkpoint`, a signed note. Throws what `verifyEvidence` throws where they show nothing.
 */
export function brokenRule(breach: Breach, proofs: readonly (readonly Uint8Array[])[], checkpoint: string, keys: readonly VerifierKey[]): BrokenRule {
  const leaves = breach.leaves.map(({ index, entry }, i) => ({ index, entry, proof: proofs[i] ?? [] }))
  return checked({ kind: 'broken-rule', rule: breach.rule, leaves, operations: breach.operations, checkpoints: [checkpoint] }, keys)
}

/** Evidence of a leaf of the map's log that is wrong. Throws what `verifyEvidence` throws where it shows nothing. */
export function wrongMap(fault: MapFault, leaves: WrongMap['leaves'], tree: WrongMap['tree'], notes: readonly string[], keys: readonly VerifierKey[]): WrongMap {
  return checked({ kind: 'wrong-map', fault, leaves, tree, checkpoints: notes }, keys)
}

/** The text of evidence. Throws MALFORMED_EVIDENCE where it would not be read back. spec/evidence.md#format */
export function formatEvidence(evidence: Evidence): string {
  checkFields(evidence)
  const text = `${[EVIDENCE_MAGIC, ...headOf(evidence)].join('\n')}\n\n${evidence.checkpoints.join('\n')}`
  if (text.length > MAX_EVIDENCE_LENGTH) throw malformed('too long')
  return text
}

/** The evidence in a text. Throws MALFORMED_EVIDENCE unless `formatEvidence` gives the same text back. What it proves is another question. */
export function parseEvidence(text: string): Evidence {
  if (text.length > MAX_EVIDENCE_LENGTH) throw malformed('too long')
  const [head = '', ...blocks] = text.split('\n\n', 6)
  const [, kind = '', ...lines] = head.split('\n')
  if (lines.length > MAX_LINES) throw malformed('too many lines')
  const evidence = readAs('MALFORMED_EVIDENCE', () => readEvidence(kind, lines, blocks))
  if (formatEvidence(evidence) !== text) throw malformed('not in its one form')
  return evidence
}

/** What evidence proves, in one sentence; where a replay is missing, what it would prove. */
export function describeContradiction({ evidence, origin, checkpoints, verdict, replay }: Contradiction): string {
  if (evidence.kind === 'wrong-map') return describeWrongMap(evidence, checkpoints.map(({ checkpoint }) => checkpoint), replay)
  const [first, second] = checkpoints.map(({ checkpoint }) => checkpoint)
  const last = second ?? first
  assert(first !== undefined && last !== undefined, 'evidence has a checkpoint')
  if (evidence.kind === 'two-roots') return `the log ${origin} signed two trees of ${first.size} entries that are not the same: it showed different people different logs`
  if (evidence.kind === 'fork') {
    const words = 'it changed or left out entries, or showed different people different logs'
    return `the log ${origin} signed a tree of ${last.size} entries that does not continue the tree of ${first.size} entries that it signed: ${words}`
  }
  const reason = verdict?.message.slice(0, 300).toWellFormed() ?? ''
  return `the log ${origin} signed a tree of ${first.size} entries that breaks a rule, as ${indicesOf(evidence.leaves)}: ${reason}`
}

const ENTRY = 'entry '
const OPERATION = 'operation '
const ROOT = 'root '
const BROKEN_RULE = 'broken-rule '
const WRONG_MAP = 'wrong-map '
const LEAF = 'leaf '

// What any rule asks for at most: so many entries with their proofs, and operations.
const SHAPES = Object.values(BREACH_SHAPES)
const MAX_LINES = Math.max(...SHAPES.map(({ leaves }) => leaves)) * (1 + MAX_PROOF_HASHES) + Math.max(...SHAPES.map(({ most }) => most))

function judge(evidence: Exclude<Evidence, WrongMap>, [first, second]: readonly OpenedCheckpoint[]): DirectoryError | null {
  assert(first !== undefined, 'evidence has a checkpoint')
  const { size, root } = first.checkpoint
  if (evidence.kind === 'broken-rule') {
    for (const { index, entry, proof } of evidence.leaves) verifyInclusion({ index, size, leaf: leafHash(entry), proof, root })
    const verdict = verdictOn(evidence)
    if (verdict === null) throw nothing(`the rule "${evidence.rule}" may have been kept`)
    return verdict
  }
  assert(second !== undefined, 'there are two checkpoints')
  const larger = second.checkpoint
  if (evidence.kind === 'two-roots') {
    if (larger.size !== size) throw nothing('the checkpoints are of two sizes')
    if (bytesEqual(larger.root, root)) throw nothing('the checkpoints have one root')
    return null
  }
  if (larger.size <= size) throw nothing('the second checkpoint is not larger')
  verifyConsistency({ oldSize: size, oldRoot: evidence.root, newSize: larger.size, newRoot: larger.root, proof: evidence.proof })
  if (bytesEqual(evidence.root, root)) throw nothing('the larger tree continues the smaller')
  return null
}

// Keys named like the origin are the log's. All others may be those of cosigners, whose signatures are a matter of interest only.
function openWithCosignatures(note: string, keys: readonly VerifierKey[]): OpenedCheckpoint {
  const opened = openByAnyKey(note, keys)
  const { origin } = opened.checkpoint
  const known = keys.filter((key) => (key.name === origin ? isLogKeyType(key.type) : isCosignerKeyType(key.type)))
  return { ...opened, verified: verifyNote(opened.note, known) }
}

function checked<T extends Evidence>(evidence: T, keys: readonly VerifierKey[]): T {
  formatEvidence(evidence)
  proveEvidence(evidence, keys)
  return evidence
}

function headOf(evidence: Evidence): string[] {
  const lines = (hashes: readonly Uint8Array[]): string[] => hashes.map((hash) => base64.encode(hash))
  if (evidence.kind === 'two-roots') return [evidence.kind]
  if (evidence.kind === 'fork') return [evidence.kind, `${ROOT}${base64.encode(evidence.root)}`, ...lines(evidence.proof)]
  if (evidence.kind === 'wrong-map') {
    const tree = evidence.tree === null ? [] : [`${ROOT}${base64.encode(evidence.tree.root)}`, ...lines(evidence.tree.proof)]
    return [`${WRONG_MAP}${evidence.fault}`, ...evidence.leaves.flatMap(({ index, entry, proof }) => [`${LEAF}${index} ${base64.encode(entry)}`, ...lines(proof)]), ...tree]
  }
  return [
    `${BROKEN_RULE}${evidence.rule}`,
    ...evidence.leaves.flatMap(({ index, entry, proof }) => [`${ENTRY}${index} ${base64.encode(entry)}`, ...lines(proof)]),
    ...evidence.operations.map(({ bytes }) => `${OPERATION}${base64.encode(bytes)}`),
  ]
}

function readEvidence(kind: string, lines: readonly string[], blocks: readonly string[]): Evidence {
  if (kind === 'two-roots') return { kind, checkpoints: readTwo(blocks) }
  if (kind === 'fork') {
    const [root = '', ...proof] = lines
    return { kind, checkpoints: readTwo(blocks), root: base64.decode(root.slice(ROOT.length)), proof: proof.map((hash) => base64.decode(hash)) }
  }
  const fault = MAP_FAULTS.find((fault) => kind === `${WRONG_MAP}${fault}`)
  if (fault !== undefined) return readWrongMap(fault, lines, blocks)
  const rule = PROVABLE_RULES.find((rule) => kind === `${BROKEN_RULE}${rule}`)
  if (rule === undefined) throw malformed('unknown kind')
  const leaves: { index: number; entry: Uint8Array; proof: Uint8Array[] }[] = []
  const operations: Operation[] = []
  for (const line of lines) {
    if (line.startsWith(ENTRY)) {
      const [, index = '', entry = ''] = line.split(' ', 3)
      leaves.push({ index: parseDecimal(index), entry: base64.decode(entry), proof: [] })
    } else if (line.startsWith(OPERATION)) {
      operations.push(parseOperation(decodeCbor(base64.decode(line.slice(OPERATION.length)))))
    } else {
      leaves.at(-1)?.proof.push(base64.decode(line))
    }
  }
  return { kind: 'broken-rule', rule, leaves, operations, checkpoints: [readNote(blocks, 0)] }
}

function readWrongMap(fault: MapFault, lines: readonly string[], blocks: readonly string[]): WrongMap {
  const leaves: { index: number; entry: Uint8Array; proof: Uint8Array[] }[] = []
  let tree: { root: Uint8Array; proof: Uint8Array[] } | null = null
  for (const line of lines) {
    if (line.startsWith(LEAF)) {
      const [, index = '', entry = ''] = line.split(' ', 3)
      leaves.push({ index: parseDecimal(index), entry: base64.decode(entry), proof: [] })
    } else if (line.startsWith(ROOT)) {
      tree = { root: base64.decode(line.slice(ROOT.length)), proof: [] }
    } else {
      (tree ?? leaves.at(-1))?.proof.push(base64.decode(line))
    }
  }
  return { kind: 'wrong-map', fault, leaves, tree, checkpoints: MAP_FAULT_SHAPES[fault].tree ? readTwo(blocks) : [readNote(blocks, 0)] }
}

function readTwo(blocks: readonly string[]): [string, string] {
  return [`${readNote(blocks, 0)}\n`, readNote(blocks, 2)]
}

// A checkpoint has no empty line of its own, so its note is two of the blocks between empty lines.
function readNote(blocks: readonly string[], at: number): string {
  return blocks.slice(at, at + 2).join('\n\n')
}

function checkFields(evidence: Evidence): void {
  for (const note of evidence.checkpoints) readAs('MALFORMED_EVIDENCE', () => parseCheckpoint(parseNote(note).text))
  if (evidence.kind === 'two-roots') return
  const proofs = evidence.kind === 'fork' ? [[evidence.root], evidence.proof] : evidence.leaves.map(({ proof }) => proof)
  if (evidence.kind === 'wrong-map' && evidence.tree !== null) proofs.push([evidence.tree.root], evidence.tree.proof)
  if (proofs.some((proof) => proof.length > MAX_PROOF_HASHES || proof.some((hash) => hash.length !== HASH_BYTES))) throw malformed('hashes')
  if (evidence.kind === 'fork') return
  const { leaves } = evidence
  if (evidence.kind === 'wrong-map') {
    const shape = MAP_FAULT_SHAPES[evidence.fault]
    if (leaves.length !== shape.leaves || (evidence.tree !== null) !== shape.tree || evidence.checkpoints.length !== (shape.tree ? 2 : 1)) throw malformed(`what shows "${evidence.fault}"`)
  } else {
    const shape = BREACH_SHAPES[evidence.rule]
    if (leaves.length !== shape.leaves || evidence.operations.length < shape.fewest || evidence.operations.length > shape.most) throw malformed(`what shows "${evidence.rule}"`)
  }
  for (const [i, { index, entry }] of leaves.entries()) {
    if (!Number.isSafeInteger(index) || index <= (leaves[i - 1]?.index ?? -1) || entry.length > MAX_ENTRY_BYTES) throw malformed('entries')
  }
}

function indicesOf(leaves: readonly PlacedLeaf[]): string {
  const indices = leaves.map(({ index }) => String(index))
  return indices.length === 1 ? `entry ${indices.join('')} shows` : `entries ${indices.slice(0, -1).join(', ')} and ${indices.at(-1) ?? ''} show together`
}

function malformed(reason: string): DirectoryError {
  return new DirectoryError('MALFORMED_EVIDENCE', reason)
}

function nothing(reason: string): DirectoryError {
  return new DirectoryError('NO_CONTRADICTION', reason)
}
