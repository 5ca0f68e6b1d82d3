// `stele proof DID`: the receipt of an operation, which proves offline that the log holds it. spec/log.md#receipts

import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { readDuration } from '../config.ts'
import { parseAuditLog } from '../client/audit.ts'
import type { DirectoryClient } from '../client/directory-client.ts'
import { ServerError, sleep } from '../client/request.ts'
import { renderJson } from '../core/encoding/json.ts'
import { DirectoryError } from '../core/errors.ts'
import type { LedgerRecord } from '../core/plc/records.ts'
import { parseTlogProof } from '../core/tlog/tlog-proof.ts'
import { addSettings, CLIENT_SETTINGS, collect, directoryOf } from './options.ts'
import { requireDid } from './resolve.ts'
import { print, say } from './terminal.ts'
import { lacksQuorum, POLICY_HELP, readTrust, type Trust, type TrustOptions } from './trust.ts'
import { VKEY_HELP } from './verifier-keys.ts'

/** Shortest and longest wait for a checkpoint. */
const TIMEOUT_MS = { min: 0, max: 3_600_000 }

/** How often a receipt without a quorum is asked for again. */
const QUORUM_POLL_MS = 1_000

interface ProofOptions extends Pick<TrustOptions, 'vkey' | 'policy'> {
  readonly out?: string
  readonly operation?: string
  readonly timeout: string
}

/** The command. */
export function proofCommand(): Command {
  return addSettings(new Command('proof'), CLIENT_SETTINGS)
    .description("Fetch an operation's receipt: the proof that the log holds it. Waits until a checkpoint covers it.")
    .argument('<did>', 'did:plc:...')
    .argument('[cid]', 'the operation (default: the newest in effect)')
    .option('--out <file>', 'where the receipt goes (default: stdout)')
    .option('--operation <file>', "where the operation's JSON goes, which `stele verify` needs beside the receipt")
    .option('--vkey <key or file>', `${VKEY_HELP}; with it the receipt is verified`, collect)
    .option('--policy <file>', `${POLICY_HELP}; with it the receipt is verified, and its quorum waited for`)
    .option('--timeout <duration>', 'longest wait for a checkpoint', '60s')
    .addHelpText('after', '\nExample:\n  $ stele proof did:plc:ewvi7nxzyoun6zhxrhs64oiz --out alice.tlog-proof --operation alice.json --vkey log.vkey')
    .action(async (did: string, cid: string | undefined, options: ProofOptions, command: Command) => {
      const directory = directoryOf(command)
      const timeoutMs = readDuration('--timeout', options.timeout, TIMEOUT_MS)
      const trust = readTrust(options)
      const record = chosen(parseAuditLog(await directory.auditLog(requireDid(did))), cid)
      const receipt = await waitForReceipt(directory, record, timeoutMs, trust)
      if (trust === null) parseTlogProof(receipt)
      else trust.verify(receipt, record.operation)
      if (options.operation !== undefined) writeFileSync(options.operation, `${renderJson(record.operation.value)}\n`)
      if (options.out === undefined) print(receipt.trimEnd())
      else writeFileSync(options.out, receipt)
      if (options.out !== undefined) print(record.cid)
      if (trust === null) say('the receipt has not been verified: name the key of the log with --vkey, or a --policy, here or for `stele verify`')
    })
}

function chosen(records: readonly LedgerRecord[], cid: string | undefined): LedgerRecord {
  const record = cid === undefined ? records.findLast(({ nullified }) => nullified !== true) : records.find((record) => record.cid === cid)
  if (record === undefined) throw new DirectoryError('OPERATION_NOT_FOUND', cid)
  return record
}

// A checkpoint that is about to come is a 404 that says when to ask again. Witnesses may be late: a later checkpoint, or
// the same one with their cosignatures, has the quorum then.
async function waitForReceipt(directory: DirectoryClient, { did, cid, operation }: LedgerRecord, timeoutMs: number, trust: Trust | null): Promise<string> {
  const end = performance.now() + timeoutMs
  for (;;) {
    try {
      const receipt = await directory.receipt(did, cid)
      if (trust === null || performance.now() + QUORUM_POLL_MS > end || !lacksQuorum(trust, receipt, operation)) return receipt
      await sleep(QUORUM_POLL_MS)
    } catch (error) {
      if (!(error instanceof ServerError) || error.status !== 404 || error.retryAfterMs === null) throw error
      if (performance.now() + error.retryAfterMs > end) throw error
      await sleep(error.retryAfterMs)
    }
  }
}
