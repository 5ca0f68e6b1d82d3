// `stele export`: the ledger as JSON lines, from a directory or from a database.

import { once } from 'node:events'
import { Command } from 'commander'
import { readConfig, readDirectoryUrl, UsageError } from '../config.ts'
import { directoryClient, EXPORT_PAGE } from '../client/directory-client.ts'
import { ByteWriter } from '../core/encoding/transcode.ts'
import { writeSequenced } from '../core/entry-json.ts'
import type { Store } from '../storage/store.ts'
import { openDatabase, requireHead } from './database.ts'
import { addSettings, CLIENT_SETTINGS, flagsOf, STORAGE_SETTINGS } from './options.ts'
import { print } from './terminal.ts'

/** The command. */
export function exportCommand(): Command {
  return addSettings(new Command('export'), [...new Set([...CLIENT_SETTINGS, ...STORAGE_SETTINGS])])
    .description('Print every operation as JSON lines, in the order of the log, as /export does.')
    .option('--database', 'read the database of --data or --database-url instead of asking a directory')
    .option('--after <seq>', 'only what comes after this sequence number', '0')
    .addHelpText('after', '\nExample:\n  $ stele export --url https://plc.directory --after 1000 > export.jsonl')
    .action(async (options: { database?: true; after: string }, command: Command) => {
      const flags = flagsOf(command)
      const after = Number(options.after)
      if (!/^\d{1,16}$/.test(options.after) || !Number.isSafeInteger(after)) throw new UsageError(`--after: ${options.after} is not a sequence number`)
      if (options.database !== true) {
        await write(directoryClient(readDirectoryUrl(flags)).exportPages(after))
        return
      }
      await using storage = await openDatabase(readConfig(flags))
      await write(storedPages(storage.store, after))
    })
}

/** The lines of a database's log with a `seq` above `after`, page by page. Throws NoLogError where there is none. */
export async function* storedPages(store: Store, after: number): AsyncGenerator<readonly string[]> {
  const { size } = await requireHead(store)
  let next: number | null = after
  while (next !== null) {
    const page = await readPage(store, next, size)
    if (page.lines.length > 0) yield page.lines
    next = page.next
  }
}

// `next` is null where nothing is left.
async function readPage(store: Store, from: number, size: number): Promise<{ readonly lines: readonly string[]; readonly next: number | null }> {
  const lines: string[] = []
  let next: number | null = null
  const out = new ByteWriter()
  await store.exportFrom(from, size, EXPORT_PAGE, (stored) => {
    out.length = 0
    writeSequenced(out, stored)
    lines.push(Buffer.from(out.written()).toString())
    next = stored.index + 1
  })
  return { lines, next }
}

async function write(pages: AsyncIterable<readonly string[]>): Promise<void> {
  for await (const lines of pages) {
    for (const line of lines) print(line)
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
  }
}
