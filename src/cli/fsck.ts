// `stele fsck`: whether a log is whole, all of it derived again. spec/log.md#fsck

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readConfig, readDirectoryUrl, UsageError, type Config } from '../config.ts'
import type { VerifyAnswers } from '../client/check-tree.ts'
import { fsck, type FsckReport } from '../client/fsck.ts'
import { httpTileReader } from '../client/tile-reader.ts'
import { base64 } from '../core/encoding/text.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { checkDatabase } from './check-database.ts'
import { openDatabase } from './database.ts'
import { EXIT } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { addSettings, CLIENT_SETTINGS, collect, flagsOf, STORAGE_SETTINGS, type Flags } from './options.ts'
import { startProgress } from './progress.ts'
import { escapeLine, print, say } from './terminal.ts'
import { readVerifierKeys, VKEY_HELP } from './verifier-keys.ts'

/** The command. */
export function fsckCommand(): Command {
  return addSettings(new Command('fsck'), [...new Set([...CLIENT_SETTINGS, ...STORAGE_SETTINGS])])
    .description('Read a whole log and derive everything again: every tile, every root, every rule.')
    .argument('[url]', "the log's prefix, which is the address of a directory (default: --url)")
    .option('--database', 'check the database of --data or --database-url, its derived columns too')
    .option('--vkey <key or file>', `${VKEY_HELP} (default with --database: log.vkey in --data)`, collect)
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele fsck https://directory.example --vkey log.vkey\n  $ stele fsck --database --data ./data\n\n' +
        'Exit codes: 0 whole, 1 broken or not readable, 3 whole, with entries that break a rule and were rejected.',
    )
    .action(async (url: string | undefined, options: { database?: true; vkey?: readonly string[] }, command: Command) => {
      const flags = flagsOf(command)
      const given = options.vkey === undefined ? null : readVerifierKeys(options.vkey)
      if (options.database === true && url !== undefined) throw new UsageError('name a URL or --database, not both')
      await using verifier = await openVerifier()
      const verifyAnswers: VerifyAnswers = (questions) => verifier.answer(questions)
      const report = options.database === true ? await checkStored(readConfig(flags), given, verifyAnswers) : await checkPublished(url, flags, given, verifyAnswers)
      process.exitCode = tell(report)
    })
}

async function checkPublished(url: string | undefined, flags: Flags, keys: readonly VerifierKey[] | null, verifyAnswers: VerifyAnswers): Promise<FsckReport> {
  warnWithout(keys)
  using progress = startProgress('checking', 'entries', 0)
  const reader = httpTileReader(readDirectoryUrl(url === undefined ? flags : { ...flags, url }))
  return await fsck(reader, keys, { verifyAnswers, onProgress: (done, size) => progress.update(done, size) })
}

async function checkStored(config: Config, given: readonly VerifierKey[] | null, verifyAnswers: VerifyAnswers): Promise<FsckReport> {
  await using storage = await openDatabase(config)
  const file = join(config.dataDir, 'log.vkey')
  const keys = given ?? (existsSync(file) ? readVerifierKeys([file]) : null)
  warnWithout(keys)
  using progress = startProgress('checking', 'entries', 0)
  return await checkDatabase(storage.store, keys, { verifyAnswers, onProgress: (done, size) => progress.update(done, size) })
}

function warnWithout(keys: readonly VerifierKey[] | null): void {
  if (keys === null) say("nobody vouches for the checkpoint: name the log's key with --vkey to have its signature checked")
}

function tell({ checkpoint, entries, dids, rejected, problems }: FsckReport): number {
  if (checkpoint !== null) print(`log        ${escapeLine(checkpoint.origin)}\nsize       ${checkpoint.size}\nroot       ${base64.encode(checkpoint.root)}`)
  print(`checked    ${entries} entries of ${dids} identities`)
  for (const { index, did, code, words } of rejected) print(`rejected   entry ${index}${did === '' ? '' : ` of ${did}`}: ${code}: ${escapeLine(words)}`)
  for (const { where, words } of problems) print(`broken     ${where}: ${escapeLine(words)}`)
  if (problems.length > 0) return EXIT.failed
  print(rejected.length === 0 ? 'whole' : `whole, with ${rejected.length} rejected entries`)
  return rejected.length === 0 ? EXIT.ok : EXIT.remarks
}
