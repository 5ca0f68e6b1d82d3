// The database that the settings name. README.md#settings

import type { Config } from './config.ts'
import type { LogLine } from './log/ports.ts'
import { startEmbedded } from './storage/embedded.ts'
import { migrateToLatest } from './storage/migrate.ts'
import { openPostgres } from './storage/postgres.ts'
import type { Store } from './storage/store.ts'

/** Opens the database that the settings name, embedded or not, with the newest schema. `role` is that of a directory's process. */
export async function openStorage(config: Pick<Config, 'databaseUrl' | 'dataDir'> & Partial<Pick<Config, 'role'>>, log: LogLine): Promise<AsyncDisposable & { readonly store: Store }> {
  await using stack = new AsyncDisposableStack()
  const connection = config.databaseUrl ?? stack.use(await startEmbedded({ dataDir: config.dataDir, log })).connection
  // A copy cannot be migrated; it is refused, with words, while its original is older than this program.
  if (config.role !== 'reader') await migrateToLatest({ connection })
  const onIncident = (error: Error): void => log('warn', { error }, `the database: ${error.message}`)
  const store = stack.use(await openPostgres({ connection, onIncident }))
  const owned = stack.move()
  return { store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
