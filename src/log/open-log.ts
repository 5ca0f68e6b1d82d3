// Opening a log: what must agree before a process may sign for it. spec/log.md#opening

import { DirectoryError } from '../core/errors.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import { formatVerifierKey, parseVerifierKey, type SigningKey, type VerifierKey } from '../core/tlog/note.ts'
import type { Head, Publication, SignedLog, Store } from '../storage/store.ts'
import { Tip } from '../storage/tip.ts'
import { checkExtends } from './consistency.ts'
import { GuardError, type Guard } from './guard.ts'

/** Stands for the guard in the database of a mirror: nobody signs there, and only the mirror appends. */
export const MIRROR_GUARD = 'mirror'

/** Stands before the id of the guard in a database that is being filled again: nobody signs there or takes operations until it is whole. */
export const RECOVERING = 'recovering '

/** Throws OpenLogError for the log of a mirror, to which nobody else may append, and for one whose recovery was cut short. */
export function refuseMirror({ origin, guardId }: Pick<Head, 'origin' | 'guardId'>): void {
  if (guardId.startsWith(RECOVERING)) throw new OpenLogError(`the recovery of the log ${origin} was cut short, and the database does not hold all that was signed: do it again, \`stele recover-log --from URL\``)
  if (guardId !== MIRROR_GUARD) return
  throw new OpenLogError(`the database is that of a mirror of the log ${origin}: what anybody else appended there would part it from that log for ever. Serve it with \`stele mirror\`, or give this process a database of its own`)
}

/** Throws OpenLogError for the log of a notary, to which nobody else may append: what was accepted there would end it. */
export async function refuseNotary({ notary }: Pick<Store, 'notary'>): Promise<void> {
  const upstream = await notary.upstream()
  if (upstream === null) return
  throw new OpenLogError(`the database is that of a notary of ${upstream.source}, which alone appends there. Serve it with \`stele mirror --plain\`, or give this process a database of its own`)
}

/** Key, guard and database do not belong together: words for the operator. */
export class OpenLogError extends Error {
  override readonly name = 'OpenLogError'
}

/**
 * Opens the log of `store` for its signer, and resolves with the tip as it stands. Throws OpenLogError, GuardError
 * or ContradictionError, and changes nothing, where the keys are not those that the database names, the database names another guard,
 * or the stored tree does not extend what was signed.
 */
export async function openLog(store: SignedLog, keys: readonly SigningKey[], guard: Guard): Promise<Tip> {
  checkKeys((await requireSigner(store, guard)).vkeys, keys)
  return checkLog(store, keys, guard)
}

/** As `openLog`, for keys that need not be all that the database names. */
export async function checkLog(store: SignedLog, keys: readonly SigningKey[], guard: Guard): Promise<Tip> {
  // The guard is read before the head: the head can only have grown since.
  const last = guard.last()
  const head = await requireSigner(store, guard)
  await checkExtends(store, last, head)
  const publication = await store.publication()
  checkPublished(head, keys, publication)
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

/** The head of the log whose signer holds this guard. Throws OpenLogError where there is no log, GuardError where the database names another guard. */
export async function requireSigner(store: SignedLog, guard: Guard): Promise<Omit<Head, 'clock'>> {
  const head = await store.head()
  if (head === null) throw new OpenLogError('the database holds no log, but there is a key and a guard for one: bring the database back, take the log from a mirror (`stele recover-log --from URL`), or create a new log under another origin with `stele init`')
  refuseMirror(head)
  if (head.guardId !== guard.id) {
    throw new GuardError(
      `the database names another guard (${head.guardId}) as this log's signer; this one is ${guard.id}. Two signers with one key would contradict each other. ` +
        'Start where that guard is, or move the right to sign: stele signer --help',
    )
  }
  return head
}

/** Throws OpenLogError unless these are exactly the keys that the database names. */
export function checkKeys(vkeys: readonly string[], keys: readonly SigningKey[]): void {
  const missing = vkeys.find((vkey) => !keys.some((key) => formatVerifierKey(key) === vkey))
  if (missing !== undefined) {
    const key = parseVerifierKey(missing)
    throw new OpenLogError(
      `this log is signed with the key ${wordsForKey(key)} too, which is not at hand: who relies on it would miss its signature. Bring it back into the key file. ` +
        `Where it is lost for ever, or a retirement was cut short: stele signer retire-key ${key.id}`,
    )
  }
  const stranger = keys.find((key) => !vkeys.includes(formatVerifierKey(key)))
  if (stranger !== undefined) {
    throw new OpenLogError(
      `the key file holds the key ${wordsForKey(stranger)}, with which this log is not signed: a change of keys was cut short, or the database is an older one. ` +
        `Do it again: stele signer add-key FILE, or stele signer retire-key ${stranger.id}`,
    )
  }
}

/** A key by name and id. */
export function wordsForKey({ name, id }: VerifierKey): string {
  return `${name}+${id}`
}

function checkPublished(head: Pick<Head, 'origin'>, keys: readonly SigningKey[], publication: Publication | null): void {
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
