// `stele resolve --verify`: a document that is proved, and one line for each thing that was. docs/client.md#on-the-command-line

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import { readDirectoryUrl, readDuration, readHttpUrl, readStateDir, UsageError } from '../config.ts'
import { evidenceFile, fileCheckpoints } from '../client/file-store.ts'
import { agreement } from '../client/latest.ts'
import { RESOLVE_LIMITS } from '../client/limits.ts'
import { ResolveError, RESOLVE_TEXTS, type SkippedServer } from '../client/resolve-error.ts'
import { createResolver, LEVELS, type Level, type Proved, type Resolution, type ResolverOptions } from '../client/resolve.ts'
import { parseDecimal } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { formatVerifierKey, type VerifierKey } from '../core/tlog/note.ts'
import { parsePolicy, type Policy } from '../core/tlog/policy.ts'
import { describeSeconds } from './describe-checkpoint.ts'
import { RefusedError } from './exit.ts'
import { collect, flagsOf } from './options.ts'
import { say } from './terminal.ts'
import { MAX_AGE_HELP, POLICY_HELP } from './trust.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The options of `--verify`. */
export interface VerifyOptions {
  readonly verify?: true
  readonly level?: Level
  readonly policy?: string
  readonly vkey?: readonly string[]
  readonly maxAge?: string
  readonly from?: readonly string[]
  readonly agree?: string
}

const MAX_AGE_MS = { min: 1_000, max: 315_360_000_000 }
/** Most entries of a log that are named one by one. */
const MOST_NAMED = 20

/** Adds them to a command. */
export function addVerifyOptions(command: Command): Command {
  return command
    .option('--verify', 'fetch all operations, replay them here, and say on stderr what was proved; nothing is believed')
    .addOption(new Option('--level <level>', 'with --verify: what has to be proved (default: witnessed with a --policy, included with --vkey, else signed)').choices(LEVELS))
    .option('--policy <file>', `with --verify: ${POLICY_HELP}`)
    .option('--vkey <key or file>', `with --verify: ${VKEY_HELP}`, collect)
    .option('--max-age <duration>', MAX_AGE_HELP.replace('any age', '5m'))
    .option('--from <url...>', 'with --verify: the servers to ask, instead of --url; those that do not answer or do not prove it are named and skipped')
    .option('--agree <number>', 'for --level latest: how many servers have to give the same answer (default: 2)')
}

/** Resolves a DID as the options say; what was proved goes to stderr. Throws UsageError, and RefusedError where the level is not reached. */
export async function resolveVerified(did: string, options: VerifyOptions, command: Command): Promise<Resolution> {
  const { folder, require, ...given } = readOptions(options, command)
  const resolver = createResolver({ ...given, store: fileCheckpoints(folder) })
  try {
    const resolution = await resolver.resolve(did, { require })
    saySkipped(resolution.skipped)
    for (const proved of resolution.proved) say(lineFor(proved))
    return resolution
  } catch (error) {
    if (!(error instanceof ResolveError)) throw error
    saySkipped(error.skipped)
    const keys = given.logKeys ?? []
    if (error.evidence !== null && keys[0] !== undefined) {
      const file = evidenceFile(folder, formatVerifierKey(keys[0]))
      say(`evidence   ${file}: stele verify-evidence ${file} --vkey ${formatVerifierKey(keys[0])}`)
    }
    const isSaid = error.words === '' || error.code === 'NO_ANSWER' || error.skipped.some(({ code }) => code === error.code)
    const words = isSaid ? '' : `: ${error.words}`
    throw new RefusedError(`${require} is not proved. ${RESOLVE_TEXTS[error.code]}${words} (${error.code})`)
  }
}

function readOptions(options: VerifyOptions, command: Command): ResolverOptions & { readonly folder: string; readonly require: Level } {
  const { level, maxAge, from, agree = '2' } = options
  const policy = options.policy === undefined ? null : parsePolicy(readFileSync(options.policy, 'utf8'))
  const logKeys = options.vkey === undefined ? (policy?.logs ?? []).map((log) => log.key) : readVerifierKeys(options.vkey)
  const require = level ?? defaultLevel(policy, logKeys)
  if (new Set(logKeys.map(({ name }) => name)).size > 1) throw new UsageError('the keys are of several logs: name those of one with --vkey')
  if (require !== 'signed' && logKeys.length === 0) throw new UsageError(`--level ${require}: name the log's key with --vkey, or a --policy`)
  if ((require === 'witnessed' || require === 'latest') && (policy?.quorum ?? null) === null) throw new UsageError(`--level ${require} needs a --policy that asks for witnesses`)
  if (maxAge !== undefined && policy === null) throw new UsageError('--max-age is about the witnesses of a --policy')
  const count = verdictOf(() => parseDecimal(agree)).value ?? 0
  if (count < 2) throw new UsageError(`--agree: ${agree} is not a number from 2 on`)
  const servers = from === undefined ? [readDirectoryUrl(flagsOf(command))] : from.map((url) => readHttpUrl('--from', url))
  if (require === 'latest' && new Set(servers.map((url) => new URL(url).host)).size < count) throw new UsageError(`--level latest: name ${count} servers or more with --from`)
  return {
    servers, logKeys, require,
    folder: join(readStateDir(), 'checkpoints'),
    maxAgeMs: maxAge === undefined ? RESOLVE_LIMITS.cosignatureAgeMs : readDuration('--max-age', maxAge, MAX_AGE_MS),
    latest: [agreement(count)],
    ...(policy === null ? {} : { policy }),
  }
}

function defaultLevel(policy: Policy | null, keys: readonly VerifierKey[]): Level {
  if ((policy?.quorum ?? null) !== null) return 'witnessed'
  return keys.length > 0 ? 'included' : 'signed'
}

function lineFor(proved: Proved): string {
  if (proved.level === 'signed') {
    const { operations, head } = proved
    return `signed     ${operations === 1 ? 'the only operation' : `all ${operations} operations`}, as the rules ask; in effect is ${head}`
  }
  if (proved.level === 'included') {
    const { indices, checkpoint } = proved
    const named = indices.slice(-MOST_NAMED).join(', ')
    return `included   ${indices.length === 1 ? 'entry' : 'entries'} ${indices.length > MOST_NAMED ? `..., ${named}` : named} of the ${checkpoint.size} of ${checkpoint.origin}`
  }
  if (proved.level === 'witnessed') return `witnessed  ${proved.by.map(({ witness, timestamp }) => `by ${witness} ${describeSeconds(timestamp)}`).join(', ')}`
  return `latest     nothing newer among ${proved.size} entries: ${proved.words}`
}

function saySkipped(skipped: readonly SkippedServer[]): void {
  for (const { server, code, words } of skipped) say(`skipped    ${server}: ${words} (${code})`)
}
