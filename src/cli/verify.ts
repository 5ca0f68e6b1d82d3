// `stele verify FILE`: checks a receipt or a state proof offline. spec/log.md#receipts

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { UsageError } from '../config.ts'
import { parseJson } from '../client/json.ts'
import { fromJson } from '../core/encoding/json.ts'
import { base64 } from '../core/encoding/text.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { parseOperation, type Operation } from '../core/plc/operation.ts'
import { parseStateProof } from '../core/state-proof.ts'
import { witnessesOf } from '../core/tlog/policy.ts'
import { describeNoteKey, describeSeconds } from './describe-checkpoint.ts'
import { addSettings, collect } from './options.ts'
import { escapeLine, print } from './terminal.ts'
import { MAX_AGE_HELP, POLICY_HELP, readTrust, type TrustOptions } from './trust.ts'
import { VKEY_HELP } from './verifier-keys.ts'
import { checkState, isStateProof, tellState } from './verify-state.ts'

/** The command. */
export function verifyCommand(): Command {
  return addSettings(new Command('verify'), ['log-level'])
    .description('Check a file offline. A receipt: that the log holds the operation, for whom and since when. A state proof: what the log holds of an identity, and that there is nothing newer. Under a policy also who else has seen it.')
    .argument('<file>', 'file with the receipt or the state proof, - for standard input')
    .option('--operation <file>', "of a receipt: file with the operation's JSON, or with its record from an audit log or an export")
    .option('--vkey <key or file>', `${VKEY_HELP}. Of a state proof, that of the map too`, collect)
    .option('--policy <file>', POLICY_HELP)
    .option('--max-age <duration>', MAX_AGE_HELP)
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele verify alice.tlog-proof --operation alice.json --vkey log.vkey\n' +
        '  $ stele verify alice.tlog-proof --operation alice.json --policy witnesses.policy\n' +
        '  $ stele verify alice.state-proof --policy witnesses.policy --max-age 60s',
    )
    .action((file: string, options: TrustOptions & { readonly operation?: string }) => {
      const trust = readTrust(options)
      if (trust === null) throw new UsageError("name the log's key with --vkey, or a --policy")
      const { policy } = trust
      const text = readFileSync(file === '-' ? 0 : file, 'utf8')
      if (isStateProof(text)) {
        tellState(checkState(text, parseStateProof(text).did, trust), trust)
        return
      }
      if (options.operation === undefined) throw new UsageError("a receipt is checked against an operation: name the file with its JSON by --operation")
      const { entry, index, opened } = trust.verify(text, readOperation(options.operation))
      const { origin, size, root } = opened.checkpoint
      print(`verified   ${entry.operation.cid}`)
      print(`identity   ${entry.did}`)
      print(`accepted   ${formatTimestamp(entry.createdAt)}${entry.source === null ? '' : ` by ${escapeLine(entry.source)}`}`)
      print(`log        ${origin}, entry ${index} of ${size}, root ${base64.encode(root)}`)
      if (policy === null) return
      const witnesses = witnessesOf(policy, opened.verified)
      const logKeys = new Set(opened.verified.map(({ key }) => key).filter((key) => key.name === origin && policy.logs.some((log) => log.key === key)))
      for (const key of logKeys) print(`signed     ${describeNoteKey(key)}`)
      for (const { witness, timestamp } of witnesses) print(`witnessed  by ${escapeLine(witness.name)} ${describeSeconds(timestamp)}`)
      print(policy.quorum === null ? 'quorum     none: the policy asks for no witness' : `quorum     ${escapeLine(policy.quorum)}: met`)
    })
}

function readOperation(path: string): Operation {
  const json = parseJson(readFileSync(path, 'utf8'))
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new UsageError(`${path} does not hold one operation`)
  return parseOperation(fromJson('operation' in json ? json.operation : json))
}
