// The public surface of `stele/client`: verifying clients for browsers and Node. spec/http.md#conventions

export { parseAuditLog, verifyAuditLog } from './audit.ts'
export { describeData, describeLink, describeOperation, describeSigner, handleOf, isRecovery, signedBy, type Change, type ChangedThing, type SignedBy } from './changes.ts'
export { alertLines, alertOf, renderAlert, type Alert, type Undo } from './alert.ts'
export { answerAll, checkTree, type KnownRoot, type Problem, type RejectedEntry, type TreeCheckOptions, type TreeReport, type VerifyAnswers } from './check-tree.ts'
export { memoryCheckpoints, webStorageCheckpoints, type CheckpointStore, type WebStorage } from './checkpoint-store.ts'
export { CursorError, memoryCursor, webStorageCursor, type CursorStore } from './cursor.ts'
export { directoryClient, EXPORT_PAGE, type DirectoryClient } from './directory-client.ts'
export { follow, followRuns, type CoveredEntry, type FollowClock, type Followed, type FollowedOperation, type FollowedRejection, type FollowOptions, type Wanted } from './follow.ts'
export { FOLLOW_LIMITS } from './follow-limits.ts'
export { renderFollowed } from './followed-json.ts'
export { findBrokenRule, findFork } from './fork.ts'
export { fsck, type FsckOptions, type FsckReport, type KeptCheckpoint } from './fsck.ts'
export { HandleError, parseHandle, resolveHandle, type HandleLookup, type ResolvedHandle } from './handle.ts'
export { formatAuditState, inspectLog, parseAuditState, type AuditedMap, type AuditState, type InspectOptions, type Inspection, type MapInspection, type WitnessFinding } from './inspect.ts'
export { historyOf, type ReadHistory } from './judge.ts'
export { keysOfPolicy, readKeyStatement } from './keys.ts'
export {
  agreement,
  followed,
  indexFollowed,
  type FollowedLog,
  type FollowedOperations,
  type KnownLog,
  type LatestQuestion,
  type LatestWay,
  type PlacedOperation,
  type ShownLatest,
} from './latest.ts'
export { stateProof, type StateProofOptions } from './latest-proof.ts'
export { RESOLVE_LIMITS } from './limits.ts'
export { LogContradictionError } from './log-memory.ts'
export { followCheckpoint, proveConsistency, proveInclusion, readCheckpoint, readEntry, type ProvedLeaf } from './log-client.ts'
export { describeDuration, forksOf, obstacleTo, type Fork, type Obstacle } from './recovery.ts'
export { ServerError, UnreachableError, type RequestOptions } from './request.ts'
export type { Proved, ShownMap, VerifiedAnswer } from './proved.ts'
export { createResolver, LEVELS, type Asked, type Level, type Resolution, type Resolver, type ResolverOptions } from './resolve.ts'
export { ResolveError, RESOLVE_TEXTS, type ResolveCode, type ServerFaultCode, type SkippedServer } from './resolve-error.ts'
export { type LogTrust, type ResolveLog, type SeenCheckpoint, type WitnessedBy } from './resolve-log.ts'
export { type ResolveClock, type ResolveServer, type ServerMemory, type Session } from './resolve-server.ts'
export { exportStream, logStream, StreamClosedError, type StreamFilter, type StreamOptions } from './stream-client.ts'
export { httpTileReader, MAX_BUNDLE_BYTES, NotServedError, orElse, WithheldError, type TileReader } from './tile-reader.ts'
export { bodiesOf, signDelivery, webhook, WEBHOOK_LIMITS, type DeadLetter, type Deliver, type WebhookOptions } from './webhook.ts'
