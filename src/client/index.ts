// The public surface of `stele/client`: verifying clients for browsers and Node. spec/http.md#conventions

export { parseAuditLog, verifyAuditLog } from './audit.ts'
export { describeData, describeLink, describeOperation, describeSigner, handleOf, isRecovery, signedBy, type Change, type ChangedThing, type SignedBy } from './changes.ts'
export { answerAll, checkTree, type KnownRoot, type Problem, type RejectedEntry, type TreeCheckOptions, type TreeReport, type VerifyAnswers } from './check-tree.ts'
export { directoryClient, EXPORT_PAGE, type DirectoryClient } from './directory-client.ts'
export { fsck, type FsckOptions, type FsckReport } from './fsck.ts'
export { HandleError, parseHandle, resolveHandle, type HandleLookup, type ResolvedHandle } from './handle.ts'
export { followCheckpoint, proveConsistency, proveInclusion, readCheckpoint, readEntry, type ProvedLeaf } from './log-client.ts'
export { describeDuration, forksOf, obstacleTo, type Fork, type Obstacle } from './recovery.ts'
export { ServerError, UnreachableError, type RequestOptions } from './request.ts'
export { httpTileReader, MAX_BUNDLE_BYTES, NotServedError, type TileReader } from './tile-reader.ts'
