// The database that a command works on, opened as the directory opens it.

import type { Config } from '../config.ts'
import { openStorage } from '../open-storage.ts'
import { NoLogError, type Head, type Store } from '../storage/store.ts'
import { openLogLines } from '../system.ts'

/**
 * Opens the database of the settings. What a server says at the level `info` is kept back: a command says by itself
 * what it does.
 */
export function openDatabase(config: Config): Promise<AsyncDisposable & { readonly store: Store }> {
  return openStorage(config, openLogLines(config.logLevel === 'info' ? 'warn' : config.logLevel))
}

/** The head of the log. Throws NoLogError where there is none. */
export async function requireHead(store: Store): Promise<Head> {
  const head = await store.head()
  if (head === null) throw new NoLogError('the database holds no log')
  return head
}
