// `stele verify RECEIPT`: checks a receipt offline. spec/log.md#receipts

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { parseJson } from '../client/json.ts'
import { fromJson } from '../core/encoding/json.ts'
import { base64 } from '../core/encoding/text.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { parseOperation, type Operation } from '../core/plc/operation.ts'
import { verifyReceipt } from '../core/receipt.ts'
import { addSettings, collect } from './options.ts'
import { print } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function verifyCommand(): Command {
  return addSettings(new Command('verify'), ['log-level'])
    .description('Check a receipt offline: that the log whose key you name holds the operation, for whom, and since when.')
    .argument('<receipt>', 'file with the receipt, - for standard input')
    .requiredOption('--operation <file>', "file with the operation's JSON, or with its record from an audit log or an export")
    .requiredOption('--vkey <key or file>', VKEY_HELP, collect)
    .addHelpText('after', '\nExample:\n  $ stele verify alice.tlog-proof --operation alice.json --vkey log.vkey')
    .action((receipt: string, options: { operation: string; vkey: readonly string[] }) => {
      const keys = readVerifierKeys(options.vkey)
      const { entry, index, opened } = verifyReceipt(readFileSync(receipt === '-' ? 0 : receipt, 'utf8'), readOperation(options.operation), keys)
      const { origin, size, root } = opened.checkpoint
      print(`verified   ${entry.operation.cid}`)
      print(`identity   ${entry.did}`)
      print(`accepted   ${formatTimestamp(entry.createdAt)}${entry.source === null ? '' : ` by ${entry.source}`}`)
      print(`log        ${origin}, entry ${index} of ${size}, root ${base64.encode(root)}`)
    })
}

function readOperation(path: string): Operation {
  const json = parseJson(readFileSync(path, 'utf8'))
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new UsageError(`${path} does not hold one operation`)
  return parseOperation(fromJson('operation' in json ? json.operation : json))
}
