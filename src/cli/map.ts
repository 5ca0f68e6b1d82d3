// `stele map rebuild`: the rows of the map, made anew from the log. spec/map.md#storage

import { Command } from 'commander'
import { readConfig, UsageError } from '../config.ts'
import { base64 } from '../core/encoding/text.ts'
import { rebuildMap } from '../map/rebuild.ts'
import { openDatabase, requireHead } from './database.ts'
import { EXIT } from './exit.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, flagsOf, STORAGE_SETTINGS } from './options.ts'
import { startProgress } from './progress.ts'
import { print, say } from './terminal.ts'

/** The command. */
export function mapCommand(): Command {
  return new Command('map').description('The map of newest states, beside the log.').addHelpText('after', '\nExample:\n  $ stele map rebuild --data ./data').addCommand(rebuildCommand())
}

function rebuildCommand(): Command {
  return addSettings(new Command('rebuild'), STORAGE_SETTINGS)
    .description('Derive the map anew from the log, and see whether it is the one that was published. No directory may run on this database meanwhile.')
    .addHelpText('after', '\nExample:\n  $ stele map rebuild --data ./data\n\nExit codes: 0 the map is the one that was published, 1 it is another: the directory will not sign it.')
    .action(async (_options, command: Command) => {
      await using storage = await openDatabase(readConfig(flagsOf(command)))
      const { store } = storage
      await requireHead(store)
      if ((await store.map.head()) === null) throw new UsageError('this database holds no map: `stele serve` begins one')
      using interrupt = onInterrupt()
      using progress = startProgress('deriving the map', 'entries', null)
      const { version, agrees } = await rebuildMap(store, interrupt.signal, (done, of) => progress.update(done, of))
      progress[Symbol.dispose]()
      print(`entries    ${version.size}`)
      print(`root       ${base64.encode(version.root)}`)
      if (agrees === false) say('error: this is not the root that was published. The log, or what was signed of its map, is not what it was')
      else print(agrees === null ? 'no version is published yet' : 'as published')
      if (agrees === false) process.exitCode = EXIT.failed
    })
}
