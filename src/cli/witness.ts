// `stele witness`: cosigns the checkpoints of logs, until a signal or a failure ends it. docs/operations.md#running-a-witness

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { readHeaderName, readLogLevel, readPort, readRequestRate, UsageError } from '../config.ts'
import { isLogKeyType } from '../core/tlog/checkpoint.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { parsePolicy } from '../core/tlog/policy.ts'
import { openLogLines } from '../system.ts'
import { WITNESS_LIMITS } from '../witness/limits.ts'
import { startWitness, type WitnessOptions } from '../witness/start-witness.ts'
import { EXIT } from './exit.ts'
import { addSettings, collect, flagsOf } from './options.ts'
import { signalled } from './signalled.ts'
import { print, say } from './terminal.ts'
import { readVerifierKeys } from './verifier-keys.ts'

interface Options {
  readonly port: string
  readonly host: string
  readonly data: string
  readonly name?: string
  readonly log?: readonly string[]
  readonly policy?: string
  readonly clientIpHeader?: string
  readonly logRate: string
  readonly addressRate: string
}

/** The command. */
export function witnessCommand(): Command {
  return addSettings(new Command('witness'), ['log-level'])
    .description("Cosign the checkpoints of logs, any C2SP logs: each only if it continues the one cosigned before. Makes the witness's keys where the data folder holds none.")
    .option('--port <number>', 'TCP port, 0 for any', '2584')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--data <folder>', 'folder of the keys and of the state; never to be restored from a backup', './witness-data')
    .option('--name <name>', 'name of the witness, for ever: a host name and path, without a scheme; needed at the first start')
    .option('--log <key or file>', "a log to witness: its verifier key (NAME+ID+BASE64), or a file with one a line; can be repeated", collect)
    .option('--policy <file>', 'a tlog-policy whose logs are witnessed too')
    .option('--client-ip-header <name>', 'header in which a reverse proxy names the client (its last address counts); none is trusted without it')
    .option('--log-rate <number>', 'cosignatures a second for one log, with bursts of five times that; 0 for any number', String(WITNESS_LIMITS.logRate))
    .option('--address-rate <number>', 'requests a second of one address, with bursts of five times that; 0 for any number', String(WITNESS_LIMITS.addressRate))
    .addHelpText('after', '\nExample:\n  $ stele witness --name witness.example/w1 --log log.vkey\n\nSIGINT or SIGTERM ends it gracefully, a second one at once.')
    .action(async (options: Options, command: Command) => {
      const level = readLogLevel(flagsOf(command))
      process.exitCode = await serve({
        port: readPort('--port', options.port),
        host: options.host,
        dataDir: resolve(options.data),
        name: options.name ?? null,
        logKeys: readLogKeys(options),
        clientIpHeader: readHeaderName(options.clientIpHeader ?? null),
        logRate: readRequestRate('--log-rate', options.logRate),
        addressRate: readRequestRate('--address-rate', options.addressRate),
        log: openLogLines(level),
      })
    })
}

async function serve(options: WitnessOptions): Promise<number> {
  const ended = signalled()
  const witness = await startWitness(options)
  print(`stele witness listening on ${witness.url}`)
  const failure = await Promise.race([witness.failed, ended])
  if (failure !== null) say(`error: the witness has to stop: ${failure.message}`)
  await witness[Symbol.asyncDispose]()
  return failure === null ? EXIT.ok : EXIT.failed
}

function readLogKeys({ log = [], policy }: Options): readonly VerifierKey[] {
  const keys = [...readVerifierKeys(log, '--log'), ...(policy === undefined ? [] : parsePolicy(readFileSync(policy, 'utf8')).logs.map(({ key }) => key))]
  if (keys.length === 0) throw new UsageError('--log or --policy: a witness needs the verifier key of at least one log')
  const wrong = keys.find((key) => !isLogKeyType(key.type))
  if (wrong !== undefined) throw new UsageError(`--log: the key of ${wrong.name} is of type ${wrong.type}, with which no log signs`)
  return keys
}
