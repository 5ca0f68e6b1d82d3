// `stele recover-log`: a database that lacks what was signed is filled from whoever serves the log. spec/mirror.md#recovering

import { Command } from 'commander'
import { recoverLog, type Recovered, type RecoveryPorts } from '../../mirror/recover-log.ts'
import { httpTileReader } from '../client/tile-reader.ts'
import { readConfig, readHttpUrl, UsageError } from '../config.ts'
import { openGuard } from '../log/guard.ts'
import { refuseNotary } from '../log/open-log.ts'
import { logOfDataFolder, readKeys, stateFiles } from '../state-files.ts'
import { systemClock } from '../system.ts'
import { openDatabase } from './database.ts'
import { openVerifier } from './fast-verifier.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, flagsOf, LOG_SETTINGS } from './options.ts'
import { startProgress } from './progress.ts'
import { say } from './terminal.ts'

/** The command. */
export function recoverLogCommand(): Command {
  return addSettings(new Command('recover-log'), LOG_SETTINGS)
    .description(
      'Where the database lacks what was signed, or is lost altogether: fill it again with the bytes that a mirror of this log has kept, up to the size and root that the guard remembers. ' +
        'Every process of the log must be stopped. Nothing is signed by this; `stele serve` goes on after it.',
    )
    .requiredOption('--from <url>', 'who serves the log: a mirror, or anybody who has its tiles and bundles')
    .addHelpText('after', '\nExample:\n  $ stele recover-log --from https://mirror.example --data ./data')
    .action(async (options: { from: string }, command: Command) => {
      const config = readConfig(flagsOf(command))
      const url = readHttpUrl('--from', options.from)
      await using database = await openDatabase(config)
      const { store } = database
      await refuseNotary(store)
      const origin = (await store.head())?.origin ?? config.origin ?? logOfDataFolder(config)
      if (origin === null) throw new UsageError('the database is empty, and nothing here says which log was in it: name it with --origin NAME')
      if (config.origin !== null && config.origin !== origin) throw new UsageError(`--origin is ${config.origin}, but the database holds the log ${origin}`)
      const files = stateFiles(config, origin)
      const keys = readKeys(files.keyFile, origin)
      // Held to the end, so that no directory signs meanwhile.
      using guard = openGuard(files.guardFile, origin)
      const { from, to, published } = await recover({ store, url, origin, keys, guard: { id: guard.id, ...guard.last() } })
      if (to === from) say(`the database holds all that was signed: ${to} entries. Nothing was missing`)
      else say(`${to - from} entries were taken from ${url}: the database holds the ${to} that were signed, with their root. ${published === null ? 'No checkpoint is published' : `The checkpoint of ${published} is published`}; \`stele serve\` goes on from here`)
    })
}

async function recover(ports: Pick<RecoveryPorts, 'store' | 'url' | 'origin' | 'keys' | 'guard'>): Promise<Recovered> {
  await using verifier = await openVerifier()
  using progress = startProgress('recovering', 'entries', ports.guard.size)
  using interrupt = onInterrupt()
  return await recoverLog({
    ...ports,
    reader: httpTileReader(ports.url, { signal: interrupt.signal }),
    verify: (questions) => verifier.answer(questions),
    now: () => systemClock.timeOfDay(),
    onProgress: (done, of) => progress.update(done, of),
    signal: interrupt.signal,
  })
}
