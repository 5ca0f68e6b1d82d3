// The program: finds the command, runs it, and turns whatever goes wrong into one line and an exit code. README.md#run-one

import { CommanderError } from 'commander'
import { boundHeap } from '../bounded-heap.ts'
import { readLogLevel, UsageError } from '../config.ts'
import { useNative } from '../crypto/use-native.ts'
import { EXIT } from './exit.ts'
import { flagsOf } from './options.ts'
import { buildProgram } from './program.ts'
import { escapeControls, say } from './terminal.ts'
import { wordsFor } from './words.ts'

/** Runs the command line `args`, without program names, and resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe()
  boundHeap()
  useNative()
  let level: string = 'info'
  const program = await buildProgram(args[0])
  program.hook('preAction', (_program, command) => {
    level = readLogLevel(flagsOf(command))
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return Number(process.exitCode ?? EXIT.ok)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (level === 'debug' || level === 'trace') process.stderr.write(`${escapeControls(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`)
    else say(`error: ${wordsFor(error)}`)
    return error instanceof UsageError ? EXIT.usage : EXIT.failed
  }
}

// `stele export | head` is no failure.
function endQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok)
    throw error
  })
}
