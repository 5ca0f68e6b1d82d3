// Moving the right to sign: handing it over with its memory, or taking it anew where the memory is lost.
// spec/log.md#signer

import { existsSync } from 'node:fs'
import { base64, parseDecimal } from '../core/encoding/text.ts'
import { openCheckpoint } from '../core/tlog/checkpoint.ts'
import type { SigningKey } from '../core/tlog/note.ts'
import type { Head, SignedLog } from '../storage/store.ts'
import { checkExtends } from './consistency.ts'
import { createGuard, GuardError, openGuard, type SignedHead } from './guard.ts'
import { checkKeys, OpenLogError } from './open-log.ts'

/** What a new signer has to know: which guard it follows, its own id, and the last head that was signed. */
export interface HandOver {
  readonly origin: string
  readonly from: string
  readonly to: string
  readonly head: SignedHead
}

/**
 * Retires the guard at `path` in favour of a new one with the id `to`. `keep` must have stored the hand-over durably
 * when it returns: what it holds is the only memory from then on. Throws GuardError while the signer runs.
 */
export function handOver(path: string, origin: string, to: string, keep: (handOver: HandOver) => void): void {
  const guard = openGuard(path, origin)
  try {
    keep({ origin, from: guard.id, to, head: guard.last() })
    guard.retire(to)
  } finally {
    guard[Symbol.dispose]()
  }
}

/**
 * Makes the guard that a hand-over describes and names it in the database. Can be called again, after it was
 * interrupted or done. Throws GuardError or ContradictionError, and leaves the database as it is, where the database's
 * log does not extend what was signed, or the hand-over was taken elsewhere, and StaleSignerError where the database
 * names a third guard, OpenLogError where the keys are not those that it names.
 */
export async function takeOver(store: SignedLog, keys: readonly SigningKey[], guardPath: string, { origin, from, to, head }: HandOver): Promise<void> {
  const current = await requireLog(store, origin)
  checkKeys(current.vkeys, keys)
  await checkExtends(store, head, current)
  if (current.guardId === to) {
    // What was signed since is in the guard that was made then: this record is too old to make another.
    if (guardIdAt(guardPath, origin) === to) return
    throw new GuardError(`this hand-over was taken already: the log is signed with the guard ${to}, which is not ${guardPath}`)
  }
  const publication = await store.publication()
  if (publication !== null && publication.size > head.size) {
    throw new GuardError(
      `this hand-over knows of ${head.size} entries that were signed, but ${publication.size} are published: the machine that wrote it has gone on signing. ` +
        'Stop its directory and hand over again',
    )
  }
  const guard = createGuard(guardPath, origin, to, head)
  guard[Symbol.dispose]()
  if (guard.id !== to) throw new GuardError(`${guardPath} is another guard (${guard.id}) than the one that was handed over (${to})`)
  await store.setSigner(from, { guardId: to, vkeys: current.vkeys })
}

/**
 * Makes a new guard where the old one is lost, and names it in the database. Its memory is the largest of the
 * published checkpoint and of `checkpoints`, signed notes that others hold: what was signed beyond them is
 * forgotten, so they have to be asked first. Resolves with what it remembers. Throws ContradictionError where the
 * stored tree does not extend one of them, OpenLogError where the keys are not those that the database names, and the verdicts of
 * `openCheckpoint` for a note that is not this log's.
 */
export async function adoptSigner(
  store: SignedLog,
  keys: readonly SigningKey[],
  guardPath: string,
  origin: string,
  newId: string,
  checkpoints: readonly string[],
): Promise<SignedHead> {
  const current = await requireLog(store, origin)
  checkKeys(current.vkeys, keys)
  const publication = await store.publication()
  const notes = [...checkpoints, ...(publication === null ? [] : [publication.note])]
  const known = notes.map((note) => openCheckpoint(note, keys).checkpoint)
  for (const checkpoint of known) await checkExtends(store, checkpoint, current)
  const largest = known.sort((a, b) => b.size - a.size)[0]
  if (largest === undefined) throw new OpenLogError('no checkpoint is published and none was given: there is nothing that a new guard could remember')
  const guard = createGuard(guardPath, origin, newId, largest)
  guard[Symbol.dispose]()
  await store.setSigner(current.guardId, { guardId: guard.id, vkeys: current.vkeys })
  return { size: largest.size, root: largest.root }
}

/** The text of a hand-over: five lines. */
export function formatHandOver({ origin, from, to, head }: HandOver): string {
  return `stele hand-over v1\n${origin}\n${from} ${to}\n${head.size}\n${base64.encode(head.root)}\n`
}

/** The hand-over in a text. Throws GuardError for any other text. */
export function parseHandOver(text: string): HandOver {
  try {
    const [, origin = '', ids = '', size = '', root = ''] = text.split('\n')
    const [from = '', to = ''] = ids.split(' ')
    const handOver = { origin, from, to, head: { size: parseDecimal(size), root: base64.decode(root) } }
    if (formatHandOver(handOver) === text && handOver.head.root.length === 32) return handOver
  } catch {
    // said below
  }
  throw new GuardError('this is not a hand-over that `stele signer hand-over` wrote')
}

// The id of the guard in a file; null where there is none.
function guardIdAt(path: string, origin: string): string | null {
  if (!existsSync(path)) return null
  using guard = openGuard(path, origin)
  return guard.id
}

async function requireLog(store: SignedLog, origin: string): Promise<Omit<Head, 'clock'>> {
  const head = await store.head()
  if (head === null) throw new OpenLogError('the database holds no log')
  if (head.origin !== origin) throw new OpenLogError(`the database holds the log ${head.origin}, not ${origin}`)
  return head
}
