// A receipt: the proof, checked offline, that an operation is in a log. A C2SP tlog-proof whose `extra` is what the
// leaf says beside the operation. spec/log.md#receipts

import { decodeEntryHeader, encodeEntry, encodeEntryHeader, type Entry } from './entry.ts'
import { DirectoryError } from './errors.ts'
import type { Operation } from './plc/operation.ts'
import { openCheckpoint, type OpenedCheckpoint } from './tlog/checkpoint.ts'
import { leafHash } from './tlog/hash.ts'
import type { VerifierKey } from './tlog/note.ts'
import { openUnderPolicy, type Policy } from './tlog/policy.ts'
import { verifyInclusion } from './tlog/proof.ts'
import { formatTlogProof, parseTlogProof } from './tlog/tlog-proof.ts'

/** What a verified receipt proved. */
export interface ProvedEntry {
  readonly entry: Entry
  readonly index: number
  /** The checkpoint that covers it and the signatures on it that were verified. */
  readonly opened: OpenedCheckpoint
}

/** The receipt's text. `proof` is the inclusion proof of `index` in the tree of `checkpoint`, a signed note. */
export function formatReceipt(entry: Entry, index: number, proof: readonly Uint8Array[], checkpoint: string): string {
  return formatTlogProof({ extra: encodeEntryHeader(entry), index, proof, checkpoint })
}

/**
 * Checks a receipt for an operation under the keys of a log. Throws MALFORMED_PROOF for a receipt that is none,
 * the verdicts of `openCheckpoint`, OUT_OF_RANGE or INVALID_PROOF where the operation is not proved.
 */
export function verifyReceipt(text: string, operation: Operation, logKeys: readonly VerifierKey[]): ProvedEntry {
  return prove(text, operation, (checkpoint) => openCheckpoint(checkpoint, logKeys))
}

/**
 * As `verifyReceipt`, under a policy: its logs, and its quorum of witnesses. Throws also what `openUnderPolicy` throws.
 * `notBefore`, in seconds since 1970, is how old a cosignature may be to count.
 */
export function verifyReceiptUnderPolicy(text: string, operation: Operation, policy: Policy, notBefore = 0): ProvedEntry {
  return prove(text, operation, (checkpoint) => openUnderPolicy(checkpoint, policy, notBefore))
}

function prove(text: string, operation: Operation, open: (checkpoint: string) => OpenedCheckpoint): ProvedEntry {
  const { extra, index, proof, checkpoint } = parseTlogProof(text)
  if (extra === null) throw new DirectoryError('MALFORMED_PROOF', 'no extra line: which DID and time it proves is unknown')
  const entry = { ...decodeEntryHeader(extra), operation }
  const opened = open(checkpoint)
  const { size, root } = opened.checkpoint
  verifyInclusion({ index, size, leaf: leafHash(encodeEntry(entry)), proof, root })
  return { entry, index, opened }
}
