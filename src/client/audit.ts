// An identity's history as a directory tells it, verified from its genesis on. spec/did-plc.md#chain

import { DirectoryError } from '../core/errors.ts'
import { applyOperation, emptyChain, signatureQuestion, type Chain } from '../core/plc/chain.ts'
import { parseRecord, type LedgerRecord } from '../core/plc/records.ts'
import { findSigner } from '../core/plc/signature.ts'
import { parseJson } from './json.ts'

/** The records in an audit log's JSON, `most` at most. Throws MALFORMED_JSON, MALFORMED_RECORD and what `parseRecord` throws. */
export function parseAuditLog(text: string, most = Infinity): LedgerRecord[] {
  const json = parseJson(text)
  if (!Array.isArray(json)) throw new DirectoryError('MALFORMED_RECORD', 'not an array')
  if (json.length > most) throw new DirectoryError('MALFORMED_RECORD', `${json.length} operations`)
  return json.map(parseRecord)
}

/**
 * The chain of an identity's records: every signature and rule is checked, so that a directory can leave out the
 * newest operations and nullified ones, and nothing else. Throws MALFORMED_RECORD for another identity's record or a `nullified` that the
 * rules do not give, and the verdict on an operation that breaks a rule.
 */
export function verifyAuditLog(did: string, records: readonly LedgerRecord[]): Chain {
  let chain = emptyChain(did)
  for (const record of records) {
    if (record.did !== did) throw new DirectoryError('MALFORMED_RECORD', 'of another DID')
    chain = applyOperation(chain, record.operation, record.createdAt, findSigner(signatureQuestion(record.operation, chain))).chain
  }
  for (const [position, { nullified }] of records.entries()) {
    if (nullified !== undefined && nullified !== chain.links[position]?.nullified) throw new DirectoryError('MALFORMED_RECORD', `nullified is ${nullified}`)
  }
  return chain
}
