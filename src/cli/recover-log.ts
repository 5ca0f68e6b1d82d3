// `stele recover-log`: a database that lacks what was signed is filled from whoever serves the log. spec/mirror.md#recovering

import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { recoverLog, RecoveryError, type Recovered, type RecoveryPorts } from '../../mirror/recover-log.ts'
import { recoverMap } from '../../mirror/recover-map.ts'
import { httpTileReader } from '../client/tile-reader.ts'
import { readConfig, readHttpUrl, UsageError, type Config } from '../config.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { GuardError, openGuard } from '../log/guard.ts'
import { refuseNotary } from '../log/open-log.ts'
import { logOfDataFolder, mapFiles, readKeys, stateFiles } from '../state-files.ts'
import type { Store } from '../storage/store.ts'
import { systemClock } from '../system.ts'
import { openDatabase } from './database.ts'
import { EXIT } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, flagsOf, LOG_SETTINGS } from './options.ts'
import { startProgress } from './progress.ts'
import { say } from './terminal.ts'

/** The command. */
export function recoverLogCommand(): Command {
  return addSettings(new Command('recover-log'), LOG_SETTINGS)
    .description(
      'Where the database lacks what was signed, or is lost altogether: fill it again with the bytes that a mirror of this log has kept, up to the size and root that the guard remembers; the log of its map as well. ' +
        'Every process of the log must be stopped. Nothing is signed by this; `stele serve` goes on after it.',
    )
    .requiredOption('--from <url>', 'who serves the log: a mirror, or anybody who has its tiles and bundles')
    .addHelpText('after', '\nExample:\n  $ stele recover-log --from https://mirror.example --data ./data\n\nExit codes: 0 all that was signed is there, 1 failed, 2 wrong command line, 3 the log is whole, and the log of its map is not.')
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
      process.exitCode = await recoverOwnMap(store, config, origin, url)
    })
}

// A map that has signed nothing yet is begun by `stele serve`.
async function recoverOwnMap(store: Store, config: Config, log: string, url: string): Promise<number> {
  const origin = mapOrigin(log)
  const files = mapFiles(config, log)
  if (!existsSync(files.guardFile)) return EXIT.ok
  try {
    using guard = openGuard(files.guardFile, origin)
    const last = guard.last()
    if (last.size === 0) return EXIT.ok
    using interrupt = onInterrupt()
    const { signal } = interrupt
    const { from, to } = await recoverMap({
      store, url, origin, signal,
      reader: httpTileReader(`${url}/map`, { signal }),
      keys: readKeys(files.keyFile, origin),
      guard: { id: guard.id, ...last },
      now: () => systemClock.timeOfDay(),
    })
    if (to > from) say(`${to - from} versions of the map were taken up again: its log holds the ${to} that were signed. \`stele serve\` derives the map itself`)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof RecoveryError || error instanceof GuardError || error instanceof UsageError)) throw error
    say(`the log of the map is not whole: ${error.message}. The log goes on without it`)
    return EXIT.remarks
  }
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
