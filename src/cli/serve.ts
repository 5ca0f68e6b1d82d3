// `stele serve`: the directory, until a signal or a failure ends it. README.md#run-one

import { constants } from 'node:os'
import { Command } from 'commander'
import { readConfig, type Config } from '../config.ts'
import { startDirectory } from '../directory.ts'
import { EXIT } from './exit.ts'
import { addSettings, DIRECTORY_SETTINGS, flagsOf } from './options.ts'
import { print, say } from './terminal.ts'

/**
 * A signal within this time after the first is the same one: Ctrl-C reaches a process from the terminal and,
 * where npm or another parent passes it on, a second time.
 */
const SAME_SIGNAL_MS = 500

/** The command. */
export function serveCommand(): Command {
  return addSettings(new Command('serve'), DIRECTORY_SETTINGS)
    .description('Serve the directory: take operations, publish the log, answer. Creates the log where the embedded database holds none.')
    .addHelpText('after', '\nExample:\n  $ stele serve --port 2582 --data ./data\n\nSIGINT or SIGTERM ends it gracefully, a second one at once.')
    .action(async (_options, command: Command) => {
      process.exitCode = await serve(readConfig(flagsOf(command)))
    })
}

async function serve(config: Config): Promise<number> {
  const ended = signalled()
  const directory = await startDirectory(config)
  print(`stele listening on ${directory.url}`)
  const failure = await Promise.race([directory.failed, ended])
  if (failure !== null) say(`error: the directory has to stop: ${failure.message}`)
  await directory[Symbol.asyncDispose]()
  return failure === null ? EXIT.ok : EXIT.failed
}

// Resolves with null at the first signal; the second ends the process where it stands.
function signalled(): Promise<null> {
  return new Promise((resolve) => {
    let first: number | null = null
    const onSignal = (signal: NodeJS.Signals): void => {
      const now = performance.now()
      if (first === null) {
        first = now
        resolve(null)
      } else if (now - first >= SAME_SIGNAL_MS) {
        process.exit(128 + constants.signals[signal])
      }
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  })
}
