// Opening a log: what must agree before a process may sign for it. spec/log.md#opening

import { DirectoryError } from '../core/errors.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import type { SigningKey } from '../core/tlog/note.ts'
import type { Head, Publication, Store } from '../storage/store.ts'
import { Tip } from '../storage/tip.ts'
import { checkExtends } from './consistency.ts'
import { GuardError, type Guard } from './guard.ts'

/** Key, guard and database do not belong together: words for the operator. */
export class OpenLogError extends Error {
  override readonly name = 'OpenLogError'
}

/**
 * Opens the log of `store` for its signer, and resolves with the tip as it stands. Throws OpenLogError, GuardError
 * or ContradictionError, and changes nothing, where the key is another log's, the database names another guard,
 * or the stored tree does not extend what was signed.
 */
export async function openLog(store: Store, keys: readonly SigningKey[], guard: Guard): Promise<Tip> {
  // The guard is read before the head: the head can only have grown since.
  const last = guard.last()
  const head = await store.head()
  if (head === null) throw new OpenLogError('the database holds no log, but there is a key and a guard for one: bring the database back, or create a new log under another origin with `stele init`')
  if (head.guardId !== guard.id) {
    throw new GuardError(
      `the database names another guard (${head.guardId}) as this log's signer; this one is ${guard.id}. Two signers with one key would contradict each other. ` +
        'Start where that guard is, or move the right to sign: stele signer --help',
    )
  }
  await checkExtends(store, last, head)
  const publication = await store.publication()
  checkKeys(head, keys, publication)
  if (publication !== null) {
    if (publication.size > last.size) {
      throw new OpenLogError(
        `the guard remembers a signature at size ${last.size}, but a checkpoint of size ${publication.size} is published: the guard was restored from a backup. ` +
          'What was signed since is unknown to it, so it cannot be trusted. Bring back the newest guard',
      )
    }
    await checkExtends(store, publication, head)
  }
  return new Tip({ durable: head.size, published: publication?.size ?? 0 })
}

function checkKeys(head: Head, keys: readonly SigningKey[], publication: Publication | null): void {
  const strangers = keys.filter((key) => key.name !== head.origin)
  if (strangers.length > 0) throw new OpenLogError(`the key is of ${strangers.map((key) => key.name).join(', ')}, the database holds the log ${head.origin}`)
  if (publication === null) return
  try {
    openCheckpoint(publication.note, keys)
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error
    throw new OpenLogError(`the published checkpoint is not signed by this key (${error.code}): it is the key of another log, or another key of this one`)
  }
}
