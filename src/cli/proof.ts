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
import { verifyReceipt } from '../core/receipt.ts'
import { parseTlogProof } from '../core/tlog/tlog-proof.ts'
import { addSettings, CLIENT_SETTINGS, collect, directoryOf } from './options.ts'
import { requireDid } from './resolve.ts'
import { print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** Shortest and longest wait for a checkpoint. */
const TIMEOUT_MS = { min: 0, max: 3_600_000 }

interface ProofOptions {
  readonly out?: string
  readonly operation?: string
  readonly vkey?: readonly string[]
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
    .option('--timeout <duration>', 'longest wait for a checkpoint', '60s')
    .addHelpText('after', '\nExample:\n  $ stele proof did:plc:ewvi7nxzyoun6zhxrhs64oiz --out alice.tlog-proof --operation alice.json --vkey log.vkey')
    .action(async (did: string, cid: string | undefined, options: ProofOptions, command: Command) => {
      const directory = directoryOf(command)
      const timeoutMs = readDuration('--timeout', options.timeout, TIMEOUT_MS)
      const keys = options.vkey === undefined ? null : readVerifierKeys(options.vkey)
      const record = chosen(parseAuditLog(await directory.auditLog(requireDid(did))), cid)
      const receipt = await waitForReceipt(directory, record, timeoutMs)
      if (keys === null) parseTlogProof(receipt)
      else verifyReceipt(receipt, record.operation, keys)
      if (options.operation !== undefined) writeFileSync(options.operation, `${renderJson(record.operation.value)}\n`)
      if (options.out === undefined) print(receipt.trimEnd())
      else writeFileSync(options.out, receipt)
      if (options.out !== undefined) print(record.cid)
      if (keys === null) say('the receipt has not been verified: name the key of the log with --vkey, here or for `stele verify`')
    })
}

function chosen(records: readonly LedgerRecord[], cid: string | undefined): LedgerRecord {
  const record = cid === undefined ? records.findLast(({ nullified }) => nullified !== true) : records.find((record) => record.cid === cid)
  if (record === undefined) throw new DirectoryError('OPERATION_NOT_FOUND', cid)
  return record
}

// A checkpoint that is about to come is a 404 that says when to ask again.
async function waitForReceipt(directory: DirectoryClient, { did, cid }: LedgerRecord, timeoutMs: number): Promise<string> {
  const end = performance.now() + timeoutMs
  for (;;) {
    try {
      return await directory.receipt(did, cid)
    } catch (error) {
      if (!(error instanceof ServerError) || error.status !== 404 || error.retryAfterMs === null) throw error
      if (performance.now() + error.retryAfterMs > end) throw error
      await sleep(error.retryAfterMs)
    }
  }
}
