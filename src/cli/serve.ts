// `stele serve`: the directory, until a signal or a failure ends it. README.md#run-one

import { Command } from 'commander'
import { readConfig, type Config } from '../config.ts'
import { startDirectory } from '../directory.ts'
import { EXIT } from './exit.ts'
import { addSettings, DIRECTORY_SETTINGS, flagsOf } from './options.ts'
import { signalled } from './signalled.ts'
import { print, say } from './terminal.ts'

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
