// Whom a receipt is checked under: the log's keys, or a policy with its witnesses. spec/log.md#receipts

import { readFileSync } from 'node:fs'
import { readDuration, UsageError } from '../config.ts'
import { verdictOf } from '../core/errors.ts'
import type { Operation } from '../core/plc/operation.ts'
import { verifyReceipt, verifyReceiptUnderPolicy, type ProvedEntry } from '../core/receipt.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { parsePolicy, type Policy } from '../core/tlog/policy.ts'
import { readVerifierKeys } from './verifier-keys.ts'

/** The options that name it: keys or a policy, never both. */
export interface TrustOptions {
  readonly vkey?: readonly string[]
  readonly policy?: string
  readonly maxAge?: string
}

/** Whom a receipt is checked under. */
export interface Trust {
  /** Of the logs: those that were named, or the policy's. */
  readonly keys: readonly VerifierKey[]
  /** null where only the log's keys are named. */
  readonly policy: Policy | null
  /** How old a cosignature may be to count, seconds since 1970; 0 for any age. */
  readonly notBefore: () => number
  /** Throws as `verifyReceipt` or `verifyReceiptUnderPolicy`. */
  verify(receipt: string, operation: Operation): ProvedEntry
}

/** The help of `--policy`. */
export const POLICY_HELP = 'tlog-policy file: the logs that are accepted, and the witnesses that must have seen the checkpoint'

/** The help of `--max-age`. */
export const MAX_AGE_HELP = 'with --policy: cosignatures older than this do not count (default: any age)'

/** What `--max-age` may be. */
export const MAX_AGE_MS = { min: 0, max: 315_360_000_000 }

/** The trust that options name; null where they name none. Throws UsageError where they do not go together, MALFORMED_POLICY for a file that is none. */
export function readTrust({ vkey, policy: path, maxAge }: TrustOptions): Trust | null {
  if (vkey !== undefined && path !== undefined) throw new UsageError('name the log by --vkey or by --policy, not both')
  if (maxAge !== undefined && path === undefined) throw new UsageError('--max-age is about the witnesses of a --policy')
  if (path === undefined) {
    if (vkey === undefined) return null
    const keys = readVerifierKeys(vkey)
    return { keys, policy: null, notBefore: () => 0, verify: (receipt, operation) => verifyReceipt(receipt, operation, keys) }
  }
  const policy = parsePolicy(readFileSync(path, 'utf8'))
  if (maxAge !== undefined && policy.quorum === null) throw new UsageError(`--max-age: the policy in ${path} asks for no witness`)
  const maxAgeMs = maxAge === undefined ? null : readDuration('--max-age', maxAge, MAX_AGE_MS)
  const notBefore = (): number => (maxAgeMs === null ? 0 : (Date.now() - maxAgeMs) / 1000)
  return { keys: policy.logs.map(({ key }) => key), policy, notBefore, verify: (receipt, operation) => verifyReceiptUnderPolicy(receipt, operation, policy, notBefore()) }
}

/** Whether a receipt proves its operation but for the quorum, which may still be met under a later checkpoint. */
export function lacksQuorum(trust: Trust, receipt: string, operation: Operation): boolean {
  return verdictOf(() => trust.verify(receipt, operation)).verdict?.code === 'QUORUM_NOT_MET'
}
