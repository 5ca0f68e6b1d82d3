// `stele resolve --verify`: a document that is proved, and one line for each thing that was. docs/client.md#on-the-command-line

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Option, type Command } from 'commander'
import { readDirectoryUrl, readDuration, readHttpUrl, readStateDir, UsageError } from '../config.ts'
import { evidenceFile, fileCheckpoints } from '../client/file-store.ts'
import { partKeys } from '../client/keys.ts'
import { agreement } from '../client/latest.ts'
import { stateProof } from '../client/latest-proof.ts'
import { RESOLVE_LIMITS } from '../client/limits.ts'
import { ResolveError, RESOLVE_TEXTS, type SkippedServer } from '../client/resolve-error.ts'
import type { WitnessedBy } from '../client/resolve-log.ts'
import { createResolver, LEVELS, type Level, type Resolution, type ResolverOptions } from '../client/resolve.ts'
import type { Proved } from '../client/proved.ts'
import { parseDecimal } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
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
  readonly mapVkey?: readonly string[]
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
    .option('--map-vkey <key or file>', "for --level latest: the key of the log's map, unless the --policy lists it; then one server is enough", collect)
    .option('--max-age <duration>', MAX_AGE_HELP.replace('any age', '5m'))
    .option('--from <url...>', 'with --verify: the servers to ask, instead of --url; those that do not answer or do not prove it are named and skipped')
    .option('--agree <number>', "for --level latest: how many servers have to give the same answer, whatever the map says (default: 2, where the map's key is not known)")
}

/** Resolves a DID as the options say; what was proved goes to stderr. Throws UsageError, and RefusedError where the level is not reached. */
export async function resolveVerified(did: string, options: VerifyOptions, command: Command): Promise<Resolution> {
  const { folder, require, mapKeys, ...given } = readOptions(options, command)
  const store = fileCheckpoints(folder)
  const resolver = createResolver({ ...given, store })
  try {
    const resolution = await resolver.resolve(did, { require })
    saySkipped(resolution.skipped)
    for (const proved of resolution.proved) for (const line of linesFor(proved)) say(line)
    return resolution
  } catch (error) {
    if (!(error instanceof ResolveError)) throw error
    saySkipped(error.skipped)
    for (const vkey of error.evidence === null ? [] : [...(given.logKeys ?? []), ...mapKeys].map(formatVerifierKey)) {
      if ((await store.evidence(vkey)) !== error.evidence) continue
      const file = evidenceFile(folder, vkey)
      say(`evidence   ${file}: stele verify-evidence ${file} --vkey ${vkey}`)
      break
    }
    const isSaid = error.words === '' || error.code === 'NO_ANSWER' || error.skipped.some(({ code }) => code === error.code)
    const words = isSaid ? '' : `: ${error.words}`
    throw new RefusedError(`${require} is not proved. ${RESOLVE_TEXTS[error.code]}${words} (${error.code})`)
  }
}

function readOptions(options: VerifyOptions, command: Command): ResolverOptions & { readonly folder: string; readonly require: Level; readonly mapKeys: readonly VerifierKey[] } {
  const { level, maxAge, from, agree = '2' } = options
  const policy = options.policy === undefined ? null : parsePolicy(readFileSync(options.policy, 'utf8'))
  const listed = (policy?.logs ?? []).map((log) => log.key)
  const { logKeys } = partKeys(options.vkey === undefined ? listed : readVerifierKeys(options.vkey))
  const mapName = mapOrigin(logKeys[0]?.name ?? '')
  const mapKeys = options.mapVkey === undefined ? listed.filter(({ name }) => name === mapName) : readVerifierKeys(options.mapVkey, '--map-vkey')
  const require = level ?? defaultLevel(policy, logKeys)
  if (new Set(logKeys.map(({ name }) => name)).size > 1) throw new UsageError('the keys are of several logs: name those of one with --vkey')
  if (require !== 'signed' && logKeys.length === 0) throw new UsageError(`--level ${require}: name the log's key with --vkey, or a --policy`)
  if ((require === 'witnessed' || require === 'latest') && (policy?.quorum ?? null) === null) throw new UsageError(`--level ${require} needs a --policy that asks for witnesses`)
  if (maxAge !== undefined && policy === null) throw new UsageError('--max-age is about the witnesses of a --policy')
  if (options.mapVkey !== undefined && require !== 'latest') throw new UsageError('--map-vkey is for --level latest')
  if (mapKeys.some(({ name }) => name !== mapName)) throw new UsageError(`--map-vkey: the map of this log is ${mapName}`)
  const byMap = mapKeys.length > 0 && options.agree === undefined
  const count = verdictOf(() => parseDecimal(agree)).value ?? 0
  if (count < 2) throw new UsageError(`--agree: ${agree} is not a number from 2 on`)
  const servers = from === undefined ? [readDirectoryUrl(flagsOf(command))] : from.map((url) => readHttpUrl('--from', url))
  if (require === 'latest' && !byMap && new Set(servers.map((url) => new URL(url).host)).size < count) throw new UsageError(`--level latest: name ${count} servers or more with --from, or the key of the log's map with --map-vkey or in the --policy`)
  return {
    servers, logKeys, mapKeys, require,
    folder: join(readStateDir(), 'checkpoints'),
    maxAgeMs: maxAge === undefined ? RESOLVE_LIMITS.cosignatureAgeMs : readDuration('--max-age', maxAge, MAX_AGE_MS),
    latest: [byMap ? stateProof({ mapKeys }) : agreement(count)],
    ...(policy === null ? {} : { policy }),
  }
}

function defaultLevel(policy: Policy | null, keys: readonly VerifierKey[]): Level {
  if ((policy?.quorum ?? null) !== null) return 'witnessed'
  return keys.length > 0 ? 'included' : 'signed'
}

function linesFor(proved: Proved): string[] {
  if (proved.level === 'signed') {
    const { operations, head } = proved
    return [`signed     ${operations === 1 ? 'the only operation' : `all ${operations} operations`}, as the rules ask; in effect is ${head}`]
  }
  if (proved.level === 'included') {
    const { indices, checkpoint } = proved
    const named = indices.slice(-MOST_NAMED).join(', ')
    return [`included   ${indices.length === 1 ? 'entry' : 'entries'} ${indices.length > MOST_NAMED ? `..., ${named}` : named} of the ${checkpoint.size} of ${checkpoint.origin}`]
  }
  if (proved.level === 'witnessed') return [`witnessed  ${describeBy(proved.by)}`]
  const { map, size, words } = proved
  const latest = `latest     nothing newer among ${size} entries: ${words}`
  if (map === null) return [latest]
  const since = map.since === 0 ? [] : [`not said   what the ${map.since} entries are that the log has had since; none of them is older than the age that was asked for`]
  return [`map        version ${map.version}, witnessed ${describeBy(map.by)}`, `derived    ${describeBy(map.derivedBy)}: so this map is the one that the log leads to`, latest, ...since]
}

function describeBy(by: readonly WitnessedBy[]): string {
  return by.map(({ witness, timestamp }) => `by ${witness} ${describeSeconds(timestamp)}`).join(', ')
}

function saySkipped(skipped: readonly SkippedServer[]): void {
  for (const { server, code, words } of skipped) say(`skipped    ${server}: ${words} (${code})`)
}
