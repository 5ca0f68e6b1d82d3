// `stele monitor`: tells owners and hosts what changed, who signed it, and how it is undone. docs/following.md#monitor

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readDirectoryUrl, readHttpUrl, readStateDir, UsageError } from '../config.ts'
import { alertLines, alertOf, renderAlert, type Undo } from '../client/alert.ts'
import { handleOf, show } from '../client/changes.ts'
import { directoryClient } from '../client/directory-client.ts'
import { follow, type Followed, type Wanted } from '../client/follow.ts'
import { renderFollowed } from '../client/followed-json.ts'
import { parseHandle } from '../client/handle.ts'
import { sleep } from '../client/request.ts'
import { bodiesOf } from '../client/webhook.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { headOf } from '../core/plc/chain.ts'
import { dataOf, type Operation } from '../core/plc/operation.ts'
import { RefusedError } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { addFollowingOptions, knownKeys, openCursor, openWebhook, untilEnded, type FollowingFlags } from './following.ts'
import { defaultKeyFile } from './identity-options.ts'
import { onInterrupt } from './interrupt.ts'
import { watchSight } from './looking.ts'
import { addSettings, CLIENT_SETTINGS, collect, flagsOf } from './options.ts'
import { readChain, shellWord } from './owner.ts'
import { requireDid } from './resolve.ts'
import { runHook } from './run-hook.ts'
import { escapeControls, escapeLine, print, say } from './terminal.ts'
import { wordsFor } from './words.ts'

interface Options extends FollowingFlags {
  readonly did?: readonly string[]
  readonly key?: readonly string[]
  readonly handle?: readonly string[]
  readonly from?: readonly string[]
  readonly complete?: true
  readonly exec?: string
  readonly recoveryKey?: string
  readonly json?: true
}

/** One thing to tell. */
interface Event {
  /** Lines for people. */
  readonly lines: readonly string[]
  /** One line. */
  readonly json: string
  /** For the environment of a command. */
  readonly facts: Readonly<Record<string, string>>
  /** Names the delivery. */
  readonly id: string
}

/** The command. */
export function monitorCommand(): Command {
  return addFollowingOptions(addSettings(new Command('monitor'), CLIENT_SETTINGS))
    .description('Watch identities, and tell at once what changed, who signed it, and until when and how it can be undone.')
    .option('--did <did>', 'an identity to watch; can be repeated', collect)
    .option('--key <did:key>', 'watch every identity that lists this key, before or after a change; can be repeated', collect)
    .option('--handle <domain>', 'watch every identity that takes, has or leaves a handle at or below this name; can be repeated', collect)
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
  if (dids.length === 0 && wanted === null) throw new UsageError('name what to watch: --did, --key or --handle')
  using interrupt = onInterrupt()
  const { signal } = interrupt
  const deliver = openWebhook(options, signal)
  const cursor = openCursor(options.cursor ?? defaultCursor(urls, dids, wanted))
  const first = (await cursor.read()) === null
  const keys = await knownKeys(options, cursor, urls, signal)
  const origin = keys[0]?.name ?? ''
  const commandFor = recoverCommand(urls[0] ?? '', options.recoveryKey)

  const tell = async ({ lines, json, facts, id }: Event): Promise<void> => {
    if (options.json === true) print(json)
    else for (const line of lines) print(escapeLine(line))
    const { exec } = options
    const failure = exec === undefined ? null : await runHook(exec, facts, json, (ms) => sleep(ms, signal))
    if (failure !== null) say(`the command of --exec failed: ${failure}`)
    for (const { body } of deliver === null ? [] : bodiesOf(origin, [json])) await deliver?.(id, body)
  }
  // What is told at any moment waits its turn.
  let telling: Promise<void> = Promise.resolve()
  const inTurn = (event: Event): Promise<void> => {
    telling = telling.then(() => tell(event))
    return telling
  }
  const sight = watchSight(({ type, words }) => {
    const event = { lines: [`${formatTimestamp(Date.now())} ${words}`], json: JSON.stringify({ type, words }), facts: { STELE_EVENT: type, STELE_WORDS: escapeLine(words) }, id: `${type}-${Date.now()}` }
    inTurn(event).catch(() => undefined) // it is thrown where the next one is awaited
  })

  await using verifier = await openVerifier()
  const following = {
    urls, keys, cursor, from: 'now' as const, filter: { dids }, complete: options.complete === true, runEntries: 1, signal, verifyAnswers: verifier.answer.bind(verifier), ...sight,
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
      for await (const one of follow(following)) await inTurn(eventOf(one, origin, commandFor))
    },
    signal, options.evidence, origin,
  )
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

function eventOf(one: Followed, origin: string, commandFor: CommandFor): Event {
  const { index } = one
  const where = `entry ${index} of ${origin}`
  const id = `${index}-${index}`
  if (one.type === 'rejected') {
    const { code } = one.verdict
    const did = one.entry?.did ?? ''
    const meaning = one.told ? 'by the history that the server tells of it. Ask another server: where that is wrong, the entry counts' : 'it changes nothing, and the log should not hold it'
    const words = `${where}, said to be of ${did}, breaks a rule (${code}): ${meaning}`
    return { lines: [words], json: renderFollowed(one), facts: { STELE_EVENT: 'rejected', STELE_DID: did, STELE_SEQ: String(index + 1), STELE_WORDS: escapeLine(words) }, id }
  }
  const { chain } = one
  const now = Date.now()
  const alert = alertOf(chain, now)
  const command = (undo: Undo): string => commandFor(chain.did, undo)
  const [undo] = alert.undo
  return {
    lines: alertLines(alert, where, command, now),
    json: renderAlert(alert, index + 1, chain, command),
    facts: {
      STELE_EVENT: 'change',
      STELE_DID: chain.did,
      STELE_CID: alert.cid,
      STELE_SEQ: String(index + 1),
      STELE_WORDS: escapeLine(alert.changes.map(({ words }) => `it ${words}`).join('; ')),
      STELE_SIGNER: alert.signer.key,
      STELE_UNDO_UNTIL: undo === undefined ? '' : formatTimestamp(undo.until),
      STELE_UNDO_COMMAND: undo === undefined ? '' : escapeControls(command(undo)),
    },
    id,
  }
}

type CommandFor = (did: string, undo: Undo) => string

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
