// Asking a directory over HTTP: any did:plc directory for identities, a Stele one also for receipts. spec/http.md

import { DirectoryError } from '../core/errors.ts'
import { utf8Decode } from '../core/encoding/text.ts'
import { renderJson } from '../core/encoding/json.ts'
import type { Operation } from '../core/plc/operation.ts'
import { MAX_STATE_PROOF_LENGTH } from '../core/state-proof.ts'
import { MAX_TLOG_PROOF_LENGTH } from '../core/tlog/tlog-proof.ts'
import { parseJson } from './json.ts'
import { request, type RequestOptions } from './request.ts'

/** A directory. Its URL is also the prefix of its log's tiles, for `httpTileReader`. Texts are what it answered: untrusted. Every method throws as `request` does; ServerError carries the directory's words. */
export interface DirectoryClient {
  readonly url: string
  /** JSON of the DID document. */
  document(did: string): Promise<string>
  /** JSON of the identity's data. */
  data(did: string): Promise<string>
  /** JSON array of the operations in effect. */
  operationLog(did: string): Promise<string>
  /** JSON array of all records, nullified ones included: for `parseAuditLog`. */
  auditLog(did: string): Promise<string>
  /** Resolves once the directory holds the operation. Repeating it does no harm. */
  submit(did: string, operation: Operation): Promise<void>
  /** The receipt of an operation (CID in base32). Until a checkpoint covers it, ServerError with status 404 and `retryAfterMs`. */
  receipt(did: string, cid: string): Promise<string>
  /** The state proof of a DID: for `verifyStateProof`. While the directory has no version of its map, ServerError with status 503. */
  stateProof(did: string): Promise<string>
  /** Every record with a `seq` above `after`, up to now: page by page, one JSON text a line. */
  exportPages(after: number): AsyncGenerator<readonly string[]>
}

/** Most records in a page of the export. */
export const EXPORT_PAGE = 1_000

/** Longest answers that are read, bytes. */
const MAX_BYTES = { document: 1_048_576, log: 67_108_864, receipt: MAX_TLOG_PROOF_LENGTH, stateProof: MAX_STATE_PROOF_LENGTH, submitted: 65_536 }

/** The directory at a URL. */
export function directoryClient(url: string, options: RequestOptions = {}): DirectoryClient {
  const base = url.replace(/\/+$/, '')

  async function text(path: string, maxBytes: number): Promise<string> {
    return utf8Decode((await request({ url: `${base}/${path}`, maxBytes }, options)).body)
  }

  return {
    url: base,
    document: (did) => text(encodeURIComponent(did), MAX_BYTES.document),
    data: (did) => text(`${encodeURIComponent(did)}/data`, MAX_BYTES.document),
    operationLog: (did) => text(`${encodeURIComponent(did)}/log`, MAX_BYTES.log),
    auditLog: (did) => text(`${encodeURIComponent(did)}/log/audit`, MAX_BYTES.log),
    receipt: (did, cid) => text(`${encodeURIComponent(did)}/log/${encodeURIComponent(cid)}/proof`, MAX_BYTES.receipt),
    stateProof: (did) => text(`${encodeURIComponent(did)}/state-proof`, MAX_BYTES.stateProof),
    async submit(did, operation) {
      await request({ url: `${base}/${encodeURIComponent(did)}`, maxBytes: MAX_BYTES.submitted, method: 'POST', json: renderJson(operation.value) }, options)
    },
    async *exportPages(after) {
      for (let cursor = after; ; ) {
        const page = await text(`export?after=${cursor}&count=${EXPORT_PAGE}`, MAX_BYTES.log)
        const lines = page.split('\n').filter((line) => line !== '')
        if (lines.length === 0) return
        cursor = seqOf(lines.at(-1) ?? '', cursor)
        // Whoever prints them prints records, and no lines of somebody else's making.
        if (!lines.every((line) => line.startsWith('{'))) throw new DirectoryError('MALFORMED_RECORD', 'a line that is none')
        yield lines
      }
    },
  }
}

function seqOf(line: string, after: number): number {
  const json = parseJson(line)
  const seq = typeof json === 'object' && json !== null && 'seq' in json ? json.seq : undefined
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq <= after) throw new DirectoryError('MALFORMED_RECORD', `no seq above ${after}`)
  return seq
}
