// `stele follow URL`: every operation of a log, verified, to standard output or a webhook, from where the last run ended. docs/following.md

import { once } from 'node:events'
import { Command } from 'commander'
import { readHttpUrl, UsageError } from '../config.ts'
import { followRuns, type Followed } from '../client/follow.ts'
import { renderFollowed } from '../client/followed-json.ts'
import { bodiesOf, type Deliver } from '../client/webhook.ts'
import { openVerifier } from './fast-verifier.ts'
import { addFollowingOptions, knownKeys, openCursor, openWebhook, untilEnded, type FollowingFlags } from './following.ts'
import { onInterrupt } from './interrupt.ts'
import { watchSight } from './looking.ts'
import { addSettings, collect } from './options.ts'
import { requireDid } from './resolve.ts'
import { print, say } from './terminal.ts'

interface Options extends FollowingFlags {
  readonly did?: readonly string[]
  readonly service?: readonly string[]
  readonly complete?: true
  readonly from?: string
}

/** The command. */
export function followCommand(): Command {
  return addFollowingOptions(addSettings(new Command('follow'), ['log-level']))
    .description('Follow a log: every operation that a signed checkpoint covers, verified, once it is there, as JSON lines or to a webhook.')
    .argument('<url...>', 'a directory or mirror; further ones of the same log are compared with it, and take over when it fails')
    .option('--did <did>', 'only the operations of this identity; can be repeated', collect)
    .option('--service <url>', 'only those of identities that come to, are at, or leave this service endpoint; can be repeated', collect)
    .option('--complete', 'with --did or --service: read every entry, so that no server can leave one out')
    .option('--from <index>', 'the first entry where there is no cursor yet, or `now` (default: 0)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele follow https://directory.example --vkey log.vkey --cursor follow.cursor > operations.jsonl\n' +
        '  $ stele follow https://directory.example --service https://pds.example --webhook https://pds.example/hooks/plc --secret-file hook.secret --cursor pds.cursor\n\n' +
        'Runs until a signal ends it. Exit codes: 0 ended by a signal, 1 failed, 2 wrong command line, 4 the log has contradicted itself, and there is evidence.',
    )
    .action(async (urls: string[], options: Options) => {
      process.exitCode = await run(urls.map((url) => readHttpUrl('url', url)), options)
    })
}

async function run(urls: readonly string[], options: Options): Promise<number> {
  const dids = (options.did ?? []).map(requireDid)
  const services = options.service ?? []
  if (options.complete === true && dids.length + services.length === 0) throw new UsageError('--complete goes with --did or --service: without them every entry is read')
  const from = readFrom(options.from)
  using interrupt = onInterrupt()
  const { signal } = interrupt
  const deliver = openWebhook(options, signal)
  const cursor = openCursor(options.cursor)
  await using verifier = await openVerifier()
  const keys = await knownKeys(options, cursor, urls, signal)
  const sight = watchSight(({ words }) => say(words))
  const following = { urls, keys, cursor, from, filter: { dids, services }, complete: options.complete === true, signal, verifyAnswers: verifier.answer.bind(verifier), ...sight }
  return await untilEnded(
    async () => {
      for await (const run of followRuns(following)) await (deliver === null ? write(run, signal) : post(deliver, run))
    },
    signal, options.evidence, keys[0]?.name ?? '',
  )
}

function readFrom(text: string | undefined): number | 'now' {
  if (text === undefined || text === 'now') return text ?? 0
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--from: ${text} is neither the index of an entry nor \`now\``)
  return Number(text)
}

async function write(run: readonly Followed[], signal: AbortSignal): Promise<void> {
  for (const one of run) print(renderFollowed(one))
  if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain', { signal })
}

async function post(deliver: Deliver, run: readonly Followed[]): Promise<void> {
  for (const { first, count, body } of bodiesOf(run[0]?.checkpoint.origin ?? '', run.map(renderFollowed))) {
    await deliver(`${run[first]?.index ?? 0}-${run[first + count - 1]?.index ?? 0}`, body)
  }
}
