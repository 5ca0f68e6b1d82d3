// `stele monitor`: tells owners and hosts what changed, who signed it, and how it is undone. docs/following.md#monitor

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readDirectoryUrl, readDuration, readHttpUrl, readStateDir, UsageError } from '../config.ts'
import { alertLines, alertOf } from '../client/alert.ts'
import { handleOf, show } from '../client/changes.ts'
import { directoryClient } from '../client/directory-client.ts'
import { follow, type FollowOptions, type Wanted } from '../client/follow.ts'
import { parseHandle } from '../client/handle.ts'
import { FOLLOW_LIMITS } from '../client/follow-limits.ts'
import { keysOfPolicy, partKeys, readKeyStatement } from '../client/keys.ts'
import { sleep } from '../client/request.ts'
import { bodiesOf } from '../client/webhook.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { headOf } from '../core/plc/chain.ts'
import { dataOf, type Operation } from '../core/plc/operation.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { parsePolicy } from '../core/tlog/policy.ts'
import { RefusedError } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { addFollowingOptions, knownKeys, openCursor, openWebhook, shownMapKeys, untilEnded, type FollowingFlags } from './following.ts'
import { defaultKeyFile } from './identity-options.ts'
import { onInterrupt } from './interrupt.ts'
import { freshOnly, type Looking } from './looking.ts'
import { addSettings, CLIENT_SETTINGS, collect, flagsOf } from './options.ts'
import { readChain, shellWord } from './owner.ts'
import { requireDid } from './resolve.ts'
import { runHook } from './run-hook.ts'
import { tellChanges, type CommandFor, type Told } from './tell-changes.ts'
import { escapeLine, print, say } from './terminal.ts'
import { MAX_AGE_MS, POLICY_HELP } from './trust.ts'
import { readVerifierKeys } from './verifier-keys.ts'
import { watchStates, type Expected, type StatesWatched } from './watch-states.ts'
import { wordsFor } from './words.ts'

interface Options extends FollowingFlags {
  readonly did?: readonly string[]
  readonly key?: readonly string[]
  readonly handle?: readonly string[]
  readonly from?: readonly string[]
  readonly complete?: true
  readonly absent?: readonly string[]
  readonly active?: readonly string[]
  readonly policy?: string
  readonly maxAge: string
  readonly exec?: string
  readonly recoveryKey?: string
  readonly json?: true
}

/** The command. */
export function monitorCommand(): Command {
  return addFollowingOptions(addSettings(new Command('monitor'), CLIENT_SETTINGS))
    .description('Watch identities, and tell at once what changed, who signed it, and until when and how it can be undone.')
    .option('--did <did>', 'an identity to watch; can be repeated', collect)
    .option('--key <did:key>', 'watch every identity that lists this key, before or after a change; can be repeated', collect)
    .option('--handle <domain>', 'watch every identity that takes, has or leaves a handle at or below this name; can be repeated', collect)
    .option('--absent <did>', 'an identity that nobody should register: told when its absence from the log is not proved any more; can be repeated', collect)
    .option('--active <did>', 'an identity that should stay in the log and active: told when that is not proved any more; can be repeated', collect)
    .option('--policy <file>', `${POLICY_HELP}; it also says when what is shown is old`)
    .option('--max-age <duration>', 'how old what is shown may be before the monitor calls itself blind', '5m')
    .option('--from <url>', 'a directory or mirror to watch, instead of --url; further ones of the same log are compared with it', collect)
    .option('--complete', 'with --did alone: read every entry, so that no server can leave one out')
    .option('--exec <command>', 'a command of the shell to run for every change, with the facts in its environment and on its standard input')
    .option('--recovery-key <file>', 'the key file that the commands it prints are to name; it is not read')
    .option('--json', 'print JSON lines')
    .addHelpText(
      'after',
      '\nExample:\n  $ stele monitor --did did:plc:ewvi7nxzyoun6zhxrhs64oiz --from https://directory.example --recovery-key paper.key --exec ./page-me\n\n' +
        'Without --cursor one is kept in the state folder. Runs until a signal ends it. Exit codes: 0 ended by a signal, 1 failed, 2 wrong command line, 4 the log has contradicted itself, and there is evidence.',
    )
    .action(async (options: Options, command: Command) => {
      const urls = options.from?.map((url) => readHttpUrl('--from', url)) ?? [readDirectoryUrl(flagsOf(command))]
      process.exitCode = await monitor(urls, options)
    })
}

async function monitor(urls: readonly string[], options: Options): Promise<number> {
  const dids = (options.did ?? []).map(requireDid)
  const wanted = readWanted(options.key ?? [], options.handle ?? [])
  const expected = readExpected(options)
  const follows = dids.length > 0 || wanted !== null
  if (!follows && expected.size === 0) throw new UsageError('name what to watch: --did, --key, --handle, --absent or --active')
  const policy = options.policy === undefined ? null : parsePolicy(readFileSync(options.policy, 'utf8'))
  if (policy !== null && policy.quorum === null) throw new UsageError(`--policy: the policy in ${options.policy} asks for no witness`)
  const maxAgeMs = readDuration('--max-age', options.maxAge, MAX_AGE_MS)
  using interrupt = onInterrupt()
  const { signal } = interrupt
  const deliver = openWebhook(options, signal)
  const cursorFile = options.cursor ?? defaultCursor(urls, [...dids, ...expected.keys()], wanted)
  const cursor = openCursor(cursorFile)
  const first = (await cursor.read()) === null
  const ofPolicy = keysOfPolicy(policy)
  const keys = options.vkey === undefined && ofPolicy.logKeys.length > 0 ? ofPolicy.logKeys : await knownKeys(options, cursor, urls, signal)
  const origin = keys[0]?.name ?? ''
  const commandFor = recoverCommand(urls[0] ?? '', options.recoveryKey)

  const tell = async ({ lines, json, facts, id }: Told): Promise<void> => {
    if (options.json === true) print(json)
    else for (const line of lines) print(escapeLine(line))
    const { exec } = options
    const failure = exec === undefined ? null : await runHook(exec, facts, json, (ms) => sleep(ms, signal))
    if (failure !== null) say(`the command of --exec failed: ${failure}`)
    for (const { body } of deliver === null ? [] : bodiesOf(origin, [json])) await deliver?.(id, body)
  }

  // What is told at any moment waits its turn.
  let telling: Promise<void> = Promise.resolve()
  const inTurn = (told: Told): Promise<void> => (telling = telling.then(() => tell(told)))
  const clock = { timeOfDay: Date.now, now: () => performance.now(), sleep: (ms: number, until: AbortSignal) => sleep(ms, until) }
  if (policy === null) say('no --policy was given: without witnesses, a server that shows an old log for ever is not told from one at rest')

  const statesOf = async (): Promise<StatesWatched> => {
    const named = [...(options.vkey === undefined ? [] : partKeys(readVerifierKeys(options.vkey)).mapKeys), ...ofPolicy.mapKeys].filter(({ name }) => name === mapOrigin(origin))
    const mapKeys = named.length > 0 ? named : await shownMapKeys(urls[0] ?? '', origin, signal)
    const request = { attempts: 1, timeoutMs: FOLLOW_LIMITS.requestMs, signal }
    return {
      expected, urls, maxAgeMs, clock,
      trust: { logKeys: keys, mapKeys, policy },
      proofOf: (url, did) => directoryClient(url, request).stateProof(did),
      newKeys: async (url, known, of) => (await readKeyStatement(url, known, request, of)).signing,
      memory: openCursor(`${cursorFile}.states`),
      introduce: (words) => print(escapeLine(words)),
      tell: inTurn,
    }
  }

  await using verifier = await openVerifier()
  const following = {
    urls, keys, cursor, from: 'now' as const, filter: { dids }, complete: options.complete === true, runEntries: 1, verifyAnswers: verifier.answer.bind(verifier),
    ...(wanted === null ? {} : { wanted }),
  }
  return await untilEnded(
    async () => {
      for (const did of first ? dids : []) {
        await introduce(urls[0] ?? '', did, commandFor).catch((error: unknown) => {
          // A name that nobody knows is a mistake of whoever typed it; a server that is gone will come back.
          if (error instanceof RefusedError) throw error
          say(`what is there of ${did} cannot be read now: ${wordsFor(error)}`)
        })
      }
      const stop = new AbortController()
      const until = AbortSignal.any([signal, stop.signal])
      const fresh = (looking: Looking): Pick<FollowOptions, 'onLook' | 'onTrouble'> => (policy === null ? looking : freshOnly(looking, policy, maxAgeMs, Date.now))
      const works = [
        ...(follows ? [tellChanges({ source: (looking) => follow({ ...following, signal: until, ...fresh(looking) }), origin, commandFor, tell: inTurn, clock })] : []),
        ...(expected.size === 0 ? [] : [watchStates(await statesOf(), until)]),
      ]
      try {
        await Promise.all(works)
      } finally {
        stop.abort()
        await Promise.allSettled(works)
      }
    },
    signal, options.evidence, origin,
  )
}

function readExpected({ absent = [], active = [] }: Options): ReadonlyMap<string, Expected> {
  const expected = new Map<string, Expected>([...absent.map((did) => [requireDid(did), 'absent'] as const), ...active.map((did) => [requireDid(did), 'active'] as const)])
  if (expected.size < absent.length + active.length) throw new UsageError('an identity is named twice by --absent and --active')
  return expected
}

// What is there when watching begins: a theft may be older than the watch.
async function introduce(url: string, did: string, commandFor: CommandFor): Promise<void> {
  const chain = await readChain(directoryClient(url, { attempts: 3 }), did)
  const head = headOf(chain)
  const data = head === null ? null : dataOf(head.operation)
  const handle = data === null ? null : handleOf(data.alsoKnownAs)
  const words = data === null ? 'it has been ended' : `${handle === null ? 'without a handle' : `handle ${show(handle)}`}, ${data.rotationKeys.length} rotation keys`
  print(escapeLine(`watching ${did}: ${words}, ${chain.links.length} operations, the newest accepted ${formatTimestamp(head?.createdAt ?? 0)}`))
  const alert = alertOf(chain, Date.now())
  if (alert.undo.length > 0) for (const line of alertLines(alert, 'before it was watched', (undo) => commandFor(did, undo), Date.now())) print(escapeLine(line))
}

// The file of a key is its owner's to know; the one that `did create` made is found without being named.
function recoverCommand(url: string, keyFile: string | undefined): CommandFor {
  return (did, { from }) => {
    const key = keyFile ?? (existsSync(defaultKeyFile(readStateDir(), did, 'rotation')) ? null : 'FILE-OF-ONE-OF-THESE-KEYS')
    return `stele did recover ${did} --from ${from}${key === null ? '' : ` --key ${shellWord(key)}`} --url ${shellWord(url)} --yes`
  }
}

function readWanted(keys: readonly string[], handles: readonly string[]): Wanted | null {
  if (keys.length + handles.length === 0) return null
  const wrong = keys.find((key) => !/^did:key:z[1-9A-HJ-NP-Za-km-z]+$/.test(key))
  if (wrong !== undefined) throw new UsageError('--key takes a public key, did:key:z...')
  const domains = handles.map((text) => {
    const handle = parseHandle(text)
    if (handle === null) throw new UsageError(`--handle: ${text} is no name such as alice.example.com`)
    return handle
  })
  const names = (operation: Operation | null): boolean => {
    const data = operation === null ? null : dataOf(operation)
    if (data === null) return false
    if (keys.some((key) => data.rotationKeys.includes(key) || [...data.verificationMethods.values()].includes(key))) return true
    return data.alsoKnownAs.some((name) => domains.some((domain) => isAtOrBelow(name.toLowerCase(), domain)))
  }
  return { name: JSON.stringify([[...keys].sort(), [...domains].sort()]), test: (operation, before) => names(operation) || names(before) }
}

function isAtOrBelow(name: string, domain: string): boolean {
  return name === `at://${domain}` || (name.startsWith('at://') && name.endsWith(`.${domain}`))
}

// Whoever watches the same goes on where that ended.
function defaultCursor(urls: readonly string[], dids: readonly string[], wanted: Wanted | null): string {
  const name = createHash('sha256').update(JSON.stringify([urls, [...dids].sort(), wanted?.name])).digest('hex').slice(0, 16)
  return join(readStateDir(), 'monitor', `${name}.cursor`)
}
