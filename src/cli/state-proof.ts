// `stele state-proof DID`: the proof of everything that a log holds of an identity, or that it holds nothing. spec/map.md#state-proofs

import { writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { parseStateProof } from '../core/state-proof.ts'
import { addSettings, CLIENT_SETTINGS, collect, directoryOf } from './options.ts'
import { requireDid } from './resolve.ts'
import { print, say } from './terminal.ts'
import { MAX_AGE_HELP, POLICY_HELP, readTrust, type TrustOptions } from './trust.ts'
import { VKEY_HELP } from './verifier-keys.ts'
import { checkState } from './verify-state.ts'

/** The command. */
export function stateProofCommand(): Command {
  return addSettings(new Command('state-proof'), CLIENT_SETTINGS)
    .description('Fetch the proof of everything that the log holds of an identity, and that there is nothing newer; or that it holds nothing.')
    .argument('<did>', 'did:plc:...')
    .option('--out <file>', 'where the proof goes (default: stdout)')
    .option('--vkey <key or file>', `${VKEY_HELP}; that of its map too (GET /map/vkey). With them the proof is verified`, collect)
    .option('--policy <file>', `${POLICY_HELP}; with it the proof is verified`)
    .option('--max-age <duration>', MAX_AGE_HELP)
    .addHelpText('after', '\nExample:\n  $ stele state-proof did:plc:ewvi7nxzyoun6zhxrhs64oiz --out alice.state-proof\n  $ stele verify alice.state-proof --policy witnesses.policy --max-age 60s')
    .action(async (given: string, options: TrustOptions & { readonly out?: string }, command: Command) => {
      const trust = readTrust(options)
      const did = requireDid(given)
      const proof = await directoryOf(command).stateProof(did)
      if (trust === null) parseStateProof(proof)
      else checkState(proof, did, trust)
      if (options.out === undefined) print(proof.trimEnd())
      else writeFileSync(options.out, proof)
      if (trust === null) say('the proof has not been verified: name the keys of the log and its map with --vkey, or a --policy, here or for `stele verify`')
    })
}
