// The browser-safe public surface: `import ... from 'stele'`. Everything here is synchronous and pure.

export { assert, DirectoryError, verdictOf, type ErrorCode } from './errors.ts'
export { base32, base58btc, base64, base64url, bytesEqual, concatBytes, hex, parseDecimal, utf8Decode, utf8Encode, type TextCodec } from './encoding/text.ts'
export { cidOf, formatCid, normalizeCid, parseCid } from './encoding/cid.ts'
export { compareKeys, decodeCbor, encodeCbor, isCborArray, isCborMap, MAX_DEPTH, type CborMap, type CborValue } from './encoding/dag-cbor.ts'
export { fromJson, renderedKeys, renderJson } from './encoding/json.ts'
export { formatTimestamp, parseTimestamp } from './encoding/timestamp.ts'

export { ADMISSION_LIMITS, admitJson, admitOperation, checkRate } from './plc/admission.ts'
export {
  applyOperation,
  disputedLink,
  emptyChain,
  findLink,
  headOf,
  prevCid,
  RECOVERY_WINDOW_MS,
  signatureQuestion,
  type Chain,
  type Link,
} from './plc/chain.ts'
export { didOf, isDid } from './plc/did.ts'
export { formatDidKey, multikeyCurve, parseDidKey, type Curve, type DidKey } from './plc/did-key.ts'
export { renderData, renderDocument } from './plc/document.ts'
export {
  dataOf,
  operationValue,
  parseOperation,
  rotationKeysOf,
  tombstoneValue,
  unsignedBytes,
  type IdentityData,
  type Operation,
  type OperationFields,
  type OperationType,
} from './plc/operation.ts'
export { parseRecord, renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from './plc/records.ts'
export { findSigner, signerFromSecret, signOperation, type OperationSigner, type SignatureAnswer, type SignatureQuestion } from './plc/signature.ts'

export { decodeBundle, encodeBundle, MAX_ENTRY_BYTES } from './tlog/bundle.ts'
export { formatCheckpoint, openCheckpoint, parseCheckpoint, signCheckpoint, type Checkpoint, type OpenedCheckpoint } from './tlog/checkpoint.ts'
export { cosign, RULES_NAME } from './tlog/cosignature.ts'
export { appendLeaf, decodeEdge, edgeRoot, EMPTY_EDGE, encodeEdge, type Edge } from './tlog/edge.ts'
export { EMPTY_ROOT, HASH_BYTES, leafHash, nodeHash } from './tlog/hash.ts'
export { openKeyStatement, signKeyStatement, type KeyStatement } from './tlog/key-statement.ts'
export {
  formatNote,
  formatSigningKey,
  formatVerifierKey,
  KEY_TYPES,
  makeSigningKey,
  parseNote,
  parseSigningKey,
  parseVerifierKey,
  signText,
  verifyNote,
  type Note,
  type NoteSignature,
  type SigningKey,
  type VerifiedSignature,
  type VerifierKey,
} from './tlog/note.ts'
export { meetsQuorum, openUnderPolicy, parsePolicy, quorumWitnesses, witnessesOf, type Policy, type PolicyGroup, type PolicyLog, type PolicyWitness } from './tlog/policy.ts'
export {
  consistencyPlan,
  foldNodes,
  inclusionPlan,
  rangeNodes,
  subtreePlan,
  verifyConsistency,
  verifyInclusion,
  verifySubtree,
  type Node,
  type Range,
} from './tlog/proof.ts'
export { bundlePath, parseTilePath, planTiles, proofFromTileList, proofFromTiles, TILE_WIDTH, tileForNode, tilePath, tilesOf, type TileId, type TilePath } from './tlog/tile.ts'
export { formatTlogProof, parseTlogProof, type TlogProof } from './tlog/tlog-proof.ts'

export { decodeEntry, decodeEntryHeader, encodeEntry, encodeEntryHeader, MAX_SOURCE_LENGTH, type Entry, type EntryHeader } from './entry.ts'
export { decodeFrame, encodeFrame, formatCredit, MAX_FRAME_BYTES, parseCredit, type CheckpointFrame, type EntriesFrame, type Frame, type MatchFrame } from './frame.ts'
export { ALARM_MAGIC, alarmPart, alarmWords, formatAlarm, isAlarm, parseAlarm, partText, type Alarm, type AlarmPart } from './alarm.ts'
export {
  brokenRule,
  describeContradiction,
  EVIDENCE_MAGIC,
  fork,
  formatEvidence,
  MAX_EVIDENCE_LENGTH,
  parseEvidence,
  proveEvidence,
  twoRoots,
  verifyEvidence,
  wrongMap,
  type BrokenRule,
  type Contradiction,
  type Evidence,
  type Fork,
  type ProvenLeaf,
  type TwoRoots,
} from './evidence.ts'
export { MAP_FAULTS, type MapFault, type WrongMap } from './evidence-map.ts'
export { findBreach, PROVABLE_RULES, verdictOn, type Breach, type PlacedLeaf, type ProvableRule } from './evidence-rules.ts'
export { grow, type Growth, type TileGrowth } from './growth.ts'
export { formatReceipt, verifyReceipt, verifyReceiptUnderPolicy, type ProvedEntry } from './receipt.ts'
export {
  applyEntry,
  chainsFromRows,
  checkRoot,
  EMPTY_CLOCK,
  planQuestions,
  planReplay,
  replay,
  type EntryRow,
  type IndexedChain,
  type LogClock,
  type Replayed,
  type ReplayPlan,
  type ReplayState,
} from './replay.ts'
export { dataValue, stateOf, stateOfRows } from './did-state.ts'
export { dataHash, didKey, historyRoot, stateValue, type DidState, type HistoryLeaf } from './map/did-state.ts'
export { decodeMapLeaf, encodeMapLeaf, mapOrigin, type MapLeaf } from './map/map-leaf.ts'
export { EMPTY_MAP_ROOT, packEntries, pathRoot, triePath, trieRoot, valueAt, type MapEntry, type PathStep, type TriePath } from './map/trie.ts'
export {
  formatStateProof,
  MAX_STATE_PROOF_LENGTH,
  parseStateProof,
  verifyStateProof,
  type PlacedEntry,
  type ProvedState,
  type StateProof,
  type StateProofTrust,
} from './state-proof.ts'
