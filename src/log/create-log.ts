// Creating a log: an empty tree, signed and published. spec/log.md#creation

import { EMPTY_ROOT } from '../core/tlog/hash.ts'
import { signKeyStatement } from '../core/tlog/key-statement.ts'
import { formatVerifierKey, KEY_TYPES, type SigningKey } from '../core/tlog/note.ts'
import { LogExistsError, type SignedLog } from '../storage/store.ts'
import { Tip } from '../storage/tip.ts'
import { createGuard, type Guard } from './guard.ts'
import { UNOBSERVED, type Clock } from './ports.ts'
import { publishOnce } from './publisher.ts'

/** What a new log is made of. */
export interface NewLog {
  readonly origin: string
  readonly keys: readonly SigningKey[]
  readonly guardPath: string
  /** A name for the guard that no other has, such as 32 random hexadecimal digits. */
  readonly guardId: string
}

/**
 * Creates a log in an empty store: the guard first, which records the empty tree; then the log; then its first
 * checkpoint, of size 0. Interrupted anywhere it can be called again, or the log simply started. Resolves with the
 * open guard. Throws LogExistsError where the store holds a log, GuardError where the guard is another log's.
 */
export async function createLog(store: SignedLog, { origin, keys, guardPath, guardId }: NewLog, clock: Clock): Promise<Guard> {
  if ((await store.head()) !== null) throw new LogExistsError('the database holds a log already')
  const guard = createGuard(guardPath, origin, guardId, { size: 0, root: EMPTY_ROOT })
  try {
    const statement = signKeyStatement({ origin, signing: keys, retired: [] }, keys.filter((key) => key.type === KEY_TYPES.ed25519))
    await store.create({ origin, guardId: guard.id, vkeys: keys.map(formatVerifierKey), statement })
    await publishOnce({ store, tip: new Tip({ durable: 0, published: 0 }), guard, keys, clock, observer: UNOBSERVED, witnesses: null })
    return guard
  } catch (error) {
    guard[Symbol.dispose]()
    throw error
  }
}
