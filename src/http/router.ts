// Every endpoint, a row each. spec/http.md#endpoints

import type { Handler } from './answer.ts'
import { getAuditLog, getData, getDocument, getLastOperation, getLog } from './did.ts'
import { getExport } from './export.ts'
import { getHealth } from './health.ts'
import { postLookup } from './lookup.ts'
import { getMapBundle, getMapCheckpoint, getMapKeyStatement, getMapTile, getMapVerifierKeys, getNextMapLeaf, getStateProof } from './map.ts'
import { getDivergence, getDivergences, getRefused, getUpstreamCursor, getUpstreamNumbers } from './notary.ts'
import { getDescription } from './openapi.ts'
import { getConsistency, getInclusion, getReceipt } from './proof.ts'
import type { Representation } from './send.ts'
import { postOperation } from './submit.ts'
import { getStream } from './stream.ts'
import { getBundle, getCheckpoint, getKeptCheckpoints, getKeyStatement, getRejected, getTile, getVerifierKeys, getWithheld } from './tlog.ts'
import { getWelcome } from './welcome.ts'

/** One endpoint. */
export interface Route extends Representation {
  /** GET stands for HEAD too. */
  readonly method: 'GET' | 'POST'
  /** `:name` is one part of the path, `*name` the rest of it. */
  readonly path: string
  readonly handler: Handler
  /** One line for people. */
  readonly summary: string
}

/** The table. The first row that matches counts: what is fixed stands before what is named. */
export const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/', cache: 'revalidate', gzip: true, summary: 'this list', handler: (call) => getWelcome(call, ROUTES) },
  { method: 'GET', path: '/_health', cache: 'never', gzip: false, summary: 'whether the directory does its work', handler: getHealth },
  { method: 'GET', path: '/openapi.json', cache: 'revalidate', gzip: true, summary: 'this API as OpenAPI 3.1', handler: getDescription },
  { method: 'GET', path: '/export', cache: 'revalidate', gzip: true, summary: 'the ledger as JSON lines, after a sequence number or a time', handler: getExport },
  { method: 'GET', path: '/export/stream', cache: 'never', gzip: false, summary: 'the ledger as it grows, over a WebSocket', handler: getStream },
  { method: 'GET', path: '/checkpoint', cache: 'revalidate', gzip: false, summary: 'the newest published checkpoint of the log', handler: getCheckpoint },
  { method: 'GET', path: '/tile/entries/*path', cache: 'immutable', gzip: true, summary: 'up to 256 entries of the log', handler: getBundle },
  { method: 'GET', path: '/tile/*path', cache: 'immutable', gzip: false, summary: 'up to 256 hashes of the log', handler: getTile },
  { method: 'GET', path: '/log/vkey', cache: 'revalidate', gzip: false, summary: 'the keys of the log, one a line', handler: getVerifierKeys },
  { method: 'GET', path: '/log/keys', cache: 'revalidate', gzip: false, summary: 'what the log says of its keys, as a signed note', handler: getKeyStatement },
  { method: 'GET', path: '/log/checkpoints', cache: 'revalidate', gzip: false, summary: 'earlier checkpoints with the cosignatures that came to them, as JSON lines', handler: getKeptCheckpoints },
  { method: 'GET', path: '/log/rejected', cache: 'revalidate', gzip: true, summary: 'the entries of the log that break its rules, as JSON lines', handler: getRejected },
  { method: 'GET', path: '/log/withheld', cache: 'revalidate', gzip: true, summary: 'the entries whose bytes the operator does not show, as JSON lines', handler: getWithheld },
  { method: 'GET', path: '/log/upstream', cache: 'revalidate', gzip: true, summary: 'of a notary, the upstream numbers of its entries, as JSON lines', handler: getUpstreamNumbers },
  { method: 'GET', path: '/log/upstream/cursor', cache: 'revalidate', gzip: false, summary: 'of a notary, where to go on here for a cursor of its upstream, or there for one of its own', handler: getUpstreamCursor },
  { method: 'GET', path: '/log/refused', cache: 'revalidate', gzip: true, summary: 'of a notary, what its upstream showed and what it set aside, as JSON lines', handler: getRefused },
  { method: 'GET', path: '/log/divergent', cache: 'revalidate', gzip: true, summary: 'of a notary, the identities of which its upstream shows another history, as JSON lines', handler: getDivergences },
  { method: 'GET', path: '/log/divergent/:did', cache: 'revalidate', gzip: true, summary: 'of a notary, both histories of such an identity', handler: getDivergence },
  { method: 'GET', path: '/log/stream', cache: 'never', gzip: false, summary: 'the log as it grows, over a WebSocket', handler: getStream },
  { method: 'GET', path: '/log/proof/inclusion', cache: 'revalidate', gzip: false, summary: 'the proof that an entry is in the tree of a size', handler: getInclusion },
  { method: 'GET', path: '/log/proof/consistency', cache: 'revalidate', gzip: false, summary: 'the proof that a tree continues a smaller one', handler: getConsistency },
  { method: 'GET', path: '/map/checkpoint', cache: 'revalidate', gzip: false, summary: 'the newest published checkpoint of the log of the map', handler: getMapCheckpoint },
  { method: 'GET', path: '/map/tile/entries/*path', cache: 'immutable', gzip: true, summary: 'up to 256 versions of the map', handler: getMapBundle },
  { method: 'GET', path: '/map/tile/*path', cache: 'immutable', gzip: false, summary: 'up to 256 hashes of the log of the map', handler: getMapTile },
  { method: 'GET', path: '/map/vkey', cache: 'revalidate', gzip: false, summary: 'the keys of the log of the map, one a line', handler: getMapVerifierKeys },
  { method: 'GET', path: '/map/keys', cache: 'revalidate', gzip: false, summary: 'what the log of the map says of its keys, as a signed note', handler: getMapKeyStatement },
  { method: 'GET', path: '/map/next', cache: 'never', gzip: false, summary: 'the version of the map that waits for its checkpoint', handler: getNextMapLeaf },
  { method: 'POST', path: '/dids', cache: 'never', gzip: true, summary: 'the DID documents of up to 1,000 DIDs as JSON lines', handler: postLookup },
  { method: 'GET', path: '/:did', cache: 'revalidate', gzip: true, summary: 'the DID document', handler: getDocument },
  { method: 'POST', path: '/:did', cache: 'never', gzip: false, summary: 'submits a signed operation', handler: postOperation },
  { method: 'GET', path: '/:did/data', cache: 'revalidate', gzip: true, summary: 'the data of the identity', handler: getData },
  { method: 'GET', path: '/:did/log', cache: 'revalidate', gzip: true, summary: 'the operations in effect, oldest first', handler: getLog },
  { method: 'GET', path: '/:did/log/audit', cache: 'revalidate', gzip: true, summary: 'every operation with its time, nullified ones included', handler: getAuditLog },
  { method: 'GET', path: '/:did/log/last', cache: 'revalidate', gzip: true, summary: 'the newest operation in effect', handler: getLastOperation },
  { method: 'GET', path: '/:did/state-proof', cache: 'revalidate', gzip: true, summary: 'the proof of everything that the log holds of the identity, or that it holds nothing', handler: getStateProof },
  { method: 'GET', path: '/:did/log/:cid/proof', cache: 'revalidate', gzip: true, summary: 'the receipt of an operation: the proof that it is in the log', handler: getReceipt },
]
