// `stele keygen`: keys for logs and keys for operations, each secret into a file of its own. README.md#state

import { randomBytes } from 'node:crypto'
import { Command, Option } from 'commander'
import { UsageError } from '../config.ts'
import type { Curve } from '../core/plc/did-key.ts'
import { formatSigningKey, formatVerifierKey, isKeyName, KEY_TYPES, makeSigningKey } from '../core/tlog/note.ts'
import { makeOperationKey } from './operation-key.ts'
import { addSettings } from './options.ts'
import { writeSecretFile } from '../secret-file.ts'
import { print } from './terminal.ts'

const LOG_KEY_TYPES = { ed25519: KEY_TYPES.ed25519, 'ml-dsa-44': KEY_TYPES.mlDsa44 } as const

/** The command, with a subcommand for each kind of key. */
export function keygenCommand(): Command {
  return new Command('keygen')
    .description('Make a key: the secret goes into a new file that only you can read, the public key to stdout.')
    .addCommand(logKeyCommand())
    .addCommand(operationKeyCommand())
    .addHelpText('after', '\nExample:\n  $ stele keygen operation --out alice.key')
}

function logKeyCommand(): Command {
  return addSettings(new Command('log'), ['log-level'])
    .description("Make a log's signing key: a PRIVATE+KEY+... line in the file, the verifier key on stdout.")
    .argument('<origin>', 'name of the log')
    .requiredOption('--out <file>', 'where the secret goes; never overwritten')
    .addOption(new Option('--type <type>', 'kind of signature').choices(Object.keys(LOG_KEY_TYPES)).default('ed25519'))
    .addHelpText('after', '\nExample:\n  $ stele keygen log directory.example/log --out log.key > log.vkey')
    .action((origin: string, options: { out: string; type: keyof typeof LOG_KEY_TYPES }) => {
      if (!isKeyName(origin)) throw new UsageError(`${origin} cannot be the name of a log: no spaces, no plus sign, not empty`)
      const key = makeSigningKey(origin, LOG_KEY_TYPES[options.type], Uint8Array.from(randomBytes(32)))
      writeSecretFile(options.out, formatSigningKey(key))
      print(formatVerifierKey(key))
    })
}

function operationKeyCommand(): Command {
  return addSettings(new Command('operation'), ['log-level'])
    .description('Make a key that signs operations: its multibase secret (z...) in the file, the did:key on stdout.')
    .requiredOption('--out <file>', 'where the secret goes; never overwritten')
    .addOption(new Option('--curve <curve>', 'secp256k1 or P-256').choices(['k256', 'p256']).default('k256'))
    .addHelpText('after', '\nExample:\n  $ stele keygen operation --curve p256 --out alice.key')
    .action((options: { out: string; curve: Curve }) => {
      const { signer, secret } = makeOperationKey(options.curve)
      writeSecretFile(options.out, secret)
      print(signer.did)
    })
}
