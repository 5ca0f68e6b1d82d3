// `stele mirror --plain`: a plain did:plc directory followed into a log of its own, until a signal or a failure ends it.
// docs/operations.md#running-a-notary

import type { Command } from 'commander'
import { MIRROR_LIMITS } from '../../mirror/limits.ts'
import { startNotary, type NotaryConfig } from '../../mirror/start-notary.ts'
import { parseTimestamp } from '../core/encoding/timestamp.ts'
import { verdictOf } from '../core/errors.ts'
import { readConfig, readHttpUrl, UsageError, type SettingName } from '../config.ts'
import { EXIT } from './exit.ts'
import { addSettings, flagsOf } from './options.ts'
import { signalled } from './signalled.ts'
import { print, say } from './terminal.ts'

/** Options that only a notary has. */
export interface NotaryOptions {
  readonly upstream: readonly string[]
  readonly plain?: true
  readonly source?: string
  readonly upstreamRate?: string
  readonly acknowledged?: string
  readonly forwardWrites?: true
}

const NOTARY_SETTINGS = ['origin', 'key', 'guard', 'checkpoint-interval', 'map-interval', 'no-map', 'policy', 'witness-rate', 'witness-fail-open'] as const satisfies readonly SettingName[]

/** Adds them to the command. */
export function addNotaryOptions(command: Command): Command {
  return addSettings(
    command
      .option('--plain', 'the upstream is a plain did:plc directory, which has no log: check every operation, and keep a log of them under an origin and a key of its own')
      .option('--source <name>', "with --plain, the upstream's name, written into every entry for ever (default: the host of its address)")
      .option('--upstream-rate <number>', `with --plain, requests of the upstream in a minute, 0 for any number (default: ${MIRROR_LIMITS.requestsPerMinute})`)
      .option('--acknowledged <time>', 'with --plain, what was set aside or diverged before this time (2026-11-21T00:00:00.000Z) is known: it stays listed and is no fault in health'),
    NOTARY_SETTINGS,
  )
}

/** Throws UsageError where an option of a notary is given to a mirror of a log. */
export function refuseNotaryOptions(command: Command): void {
  const given: Record<string, unknown> = command.opts()
  const flags = flagsOf(command)
  const stray = [...NOTARY_SETTINGS.filter((name) => flags[name] !== undefined), ...(given['source'] === undefined ? [] : ['source']), ...(given['upstreamRate'] === undefined ? [] : ['upstream-rate']), ...(given['acknowledged'] === undefined ? [] : ['acknowledged'])]
  if (stray.length > 0) throw new UsageError(`--${stray[0]} goes with --plain: a mirror of a log has none of its own`)
}

/** What the options say. Throws UsageError. */
export function readNotaryConfig(options: NotaryOptions, command: Command): NotaryConfig {
  const given: Record<string, unknown> = command.opts()
  const [url, ...more] = options.upstream
  if (url === undefined || more.length > 0) throw new UsageError('--plain follows one --upstream: two directories are two histories')
  for (const [name, flag] of [['upstreamVkey', '--upstream-vkey'], ['mapVkey', '--map-vkey'], ['cosign', '--cosign']] as const) {
    if (given[name] !== undefined) throw new UsageError(`${flag} does not go with --plain: such an upstream has no log`)
  }
  const { source = null, upstreamRate = String(MIRROR_LIMITS.requestsPerMinute) } = options
  if (source === '') throw new UsageError('--source: a name has at least one character')
  if (!/^\d{1,7}$/.test(upstreamRate)) throw new UsageError(`--upstream-rate: ${upstreamRate} is not a number of requests a minute (0 to 9999999)`)
  const { value: acknowledged } = verdictOf(() => (options.acknowledged === undefined ? 0 : parseTimestamp(options.acknowledged)))
  if (acknowledged === null) throw new UsageError(`--acknowledged: ${options.acknowledged} is not a time like 2026-11-21T00:00:00.000Z`)
  const flags = flagsOf(command)
  // A switch here, and an address for a directory.
  delete flags['forward-writes']
  return { ...readConfig(flags), role: 'signer', upstream: readHttpUrl('--upstream', url), source, passOn: options.forwardWrites === true, requestsPerMinute: Number(upstreamRate), acknowledged }
}

/** Runs a notary until it is told to stop, or cannot go on; resolves with the exit code. */
export async function serveNotary(config: NotaryConfig): Promise<number> {
  const ended = signalled()
  const notary = await startNotary(config)
  print(`stele mirror listening on ${notary.url}`)
  const failure = await Promise.race([notary.failed, ended])
  if (failure !== null) say(`error: the notary has to stop: ${failure.message}`)
  await notary[Symbol.asyncDispose]()
  return failure === null ? EXIT.ok : EXIT.failed
}
