// `stele import`: the history of other directories becomes the beginning of a log. spec/log.md#entry

import { Command } from 'commander'
import { readConfig, UsageError } from '../config.ts'
import { MAX_SOURCE_LENGTH } from '../core/entry.ts'
import type { Store } from '../storage/store.ts'
import { openDatabase } from './database.ts'
import { EXIT } from './exit.ts'
import { openVerifier } from './fast-verifier.ts'
import { importRecords, type ImportOptions, type ImportReport } from './import-records.ts'
import { readSource, sourceName } from './import-sources.ts'
import { onInterrupt } from './interrupt.ts'
import { addSettings, flagsOf, STORAGE_SETTINGS } from './options.ts'
import { startProgress } from './progress.ts'
import { say } from './terminal.ts'

/** The command. */
export function importCommand(): Command {
  return addSettings(new Command('import'), STORAGE_SETTINGS)
    .description('Verify the history of other directories and append it to a log that has accepted nothing itself yet. Running it again goes on where it ended.')
    .argument('<source...>', 'audit logs (JSON) or exports (JSON lines): files (.gz too), URLs, or - for standard input')
    .option('--source <name>', "where the history comes from, written into every entry for ever (default: a URL's host, else import)")
    .option('--keep-going', 'leave invalid operations out and name them at the end, rather than ending before the first')
    .addHelpText(
      'after',
      '\nExamples:\n  $ stele import export.jsonl.gz --source plc.directory\n  $ stele import https://plc.directory/export\n\n' +
        'Exit codes: 0 imported, 1 ended before an invalid operation or interrupted, 3 imported, but operations were left out or nullified flags differ.',
    )
    .action(async (sources: string[], options: { source?: string; keepGoing?: true }, command: Command) => {
      const name = options.source
      if (name !== undefined && (name.length === 0 || name.length > MAX_SOURCE_LENGTH)) throw new UsageError(`--source: a name has 1 to ${MAX_SOURCE_LENGTH} characters`)
      await using storage = await openDatabase(readConfig(flagsOf(command)))
      await using verifier = await openVerifier()
      using interrupt = onInterrupt()
      for (const source of sources) {
        const report = await importSource(storage.store, source, {
          source: name ?? sourceName(source),
          verifyAnswers: (questions) => verifier.answer(questions),
          keepGoing: options.keepGoing === true,
          signal: interrupt.signal,
        })
        await tell(storage.store, source, report, options.keepGoing === true)
        const code = exitCodeOf(report, options.keepGoing === true)
        if (code !== EXIT.ok) process.exitCode = code
        if (code === EXIT.failed) return
      }
    })
}

async function importSource(store: Store, source: string, options: ImportOptions & { readonly signal: AbortSignal }): Promise<ImportReport> {
  using progress = startProgress(`importing ${source}`, 'operations', null)
  return await importRecords(store, readSource(source, options.signal), { ...options, onProgress: (done) => progress.update(done) })
}

async function tell(store: Store, source: string, { appended, known, invalid, differing, interrupted }: ImportReport, keepGoing: boolean): Promise<void> {
  say(`${source}: ${appended} operations imported${known === 0 ? '' : `, ${known} were there already`}`)
  for (const { where, did, cid, verdict } of invalid) say(`invalid: ${where}: ${did === '' ? '' : `${did} ${cid}: `}${verdict.message}`)
  for (const index of differing) {
    const [row] = await store.entries(index, index + 1)
    say(`differs: ${source} says that ${row?.cid} of ${row?.did} is ${row?.nullified ? 'not ' : ''}nullified; by the rules it is${row?.nullified ? '' : ' not'}`)
  }
  if (invalid.length > 0 && !keepGoing) say('ended there: nothing after it was imported, what came before it was. --keep-going leaves such operations out')
  if (interrupted) say('interrupted; running it again goes on from here')
}

function exitCodeOf({ invalid, differing, interrupted }: ImportReport, keepGoing: boolean): number {
  if (interrupted || (invalid.length > 0 && !keepGoing)) return EXIT.failed
  return invalid.length > 0 || differing.length > 0 ? EXIT.remarks : EXIT.ok
}
