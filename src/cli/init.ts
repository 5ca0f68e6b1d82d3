// `stele init`: creates a log, with its key and its guard, and signs the empty tree. spec/log.md#creation

import { Command } from 'commander'
import { readConfig } from '../config.ts'
import { KEY_TYPES } from '../core/tlog/note.ts'
import { createNamedLog } from '../directory.ts'
import { addSettings, LOG_SETTINGS, flagsOf } from './options.ts'
import { print, say } from './terminal.ts'

/** The command. */
export function initCommand(): Command {
  return addSettings(new Command('init'), LOG_SETTINGS)
    .description('Create the log: its key and guard where there are none, and the signed checkpoint of size 0. Prints its verifier keys, one a line.')
    .option('--ml-dsa', 'give it a second key, ML-DSA-44, beside the Ed25519 one')
    .addHelpText('after', '\nExample:\n  $ stele init --origin directory.example/log --database-url postgres://localhost/stele')
    .action(async (options: { mlDsa?: true }, command: Command) => {
      const types = options.mlDsa === true ? [KEY_TYPES.ed25519, KEY_TYPES.mlDsa44] : [KEY_TYPES.ed25519]
      const log = await createNamedLog(readConfig(flagsOf(command)), types)
      say(`created the log ${log.origin}; its key is ${log.keyFile}, its guard ${log.guardFile}: keep both, and never copy the guard`)
      print(log.vkey)
    })
}
