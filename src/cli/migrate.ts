// `stele migrate`: brings the database's tables to this version. Serving does it by itself.

import { Command } from 'commander'
import { readConfig } from '../config.ts'
import { openStorage } from '../open-storage.ts'
import { openLogLines } from '../system.ts'
import { addSettings, flagsOf, STORAGE_SETTINGS } from './options.ts'
import { say } from './terminal.ts'

/** The command. */
export function migrateCommand(): Command {
  return addSettings(new Command('migrate'), STORAGE_SETTINGS)
    .description("Bring the database's tables to this version. `serve` does it by itself; this is for databases that many processes share.")
    .addHelpText('after', '\nExample:\n  $ stele migrate --database-url postgres://localhost/stele')
    .action(async (_options, command: Command) => {
      const config = readConfig(flagsOf(command))
      await using storage = await openStorage(config, openLogLines(config.logLevel))
      await storage.store.ping()
      say('the tables are those of this version')
    })
}
