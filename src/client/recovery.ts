// What a rotation key could undo in an identity's history, and why not. spec/did-plc.md#recovery

import { assert, verdictOf } from '../core/errors.ts'
import { RECOVERY_WINDOW_MS, type Chain, type Link } from '../core/plc/chain.ts'
import { parseDidKey } from '../core/plc/did-key.ts'
import { rotationKeysOf } from '../core/plc/operation.ts'
import { signedBy } from './changes.ts'

/** A place from which a recovery could go on: an operation in effect that others follow. */
export interface Fork {
  /** Position of the last operation that would stay in effect. */
  readonly position: number
  /** Positions of those that it would nullify, oldest first: never empty. */
  readonly undone: readonly number[]
  /** did:keys that can undo them, strongest first; none where the strongest of all signed. */
  readonly keys: readonly string[]
  /** The last moment at which they can, milliseconds since 1970. */
  readonly until: number
}

/** Why a key cannot undo what follows a place. */
export interface Obstacle {
  readonly why: 'not-listed' | 'unreachable' | 'too-weak' | 'too-late'
  /** The reason with the rule: sentences. */
  readonly words: string
}

const MINUTE_MS = 60_000

/** Every place of a chain, the newest first. */
export function forksOf(chain: Chain): readonly Fork[] {
  const inEffect = [...chain.links.keys()].filter((position) => !linkAt(chain, position).nullified)
  return inEffect.slice(0, -1).map((position, at) => forkAt(chain, position, inEffect.slice(at + 1))).toReversed()
}

/** Why `key` (did:key) cannot undo at `now`, milliseconds since 1970, what follows a place; null where it can. */
export function obstacleTo(chain: Chain, fork: Fork, key: string, now: number): Obstacle | null {
  const keys = rotationKeysOf(linkAt(chain, fork.position).operation)
  const [first = 0] = fork.undone
  const bar = signedBy(chain, first)
  const index = keys.indexOf(key)
  const rule = `Only a rotation key that stands before number ${bar.priority}, which signed the first operation to be undone, can undo it`
  if (index < 0) return { why: 'not-listed', words: `The key is none of the ${keys.length} rotation keys that counted at that place. ${rule}.` }
  if (keys.slice(0, index).some((other) => verdictOf(() => parseDidKey(other)).verdict !== null)) {
    return { why: 'unreachable', words: `A rotation key that stands before number ${index + 1} cannot be parsed, so no signature of number ${index + 1} counts there.` }
  }
  if (index + 1 >= bar.priority) {
    const end = bar.priority === 1 ? ': there is none stronger, so it stands for ever' : ''
    return { why: 'too-weak', words: `The key is too weak: it is rotation key ${index + 1} of ${keys.length} there. ${rule}${end}.` }
  }
  if (now > fork.until) {
    return { why: 'too-late', words: `It is too late, by ${describeDuration(now - fork.until)}. A stronger key can undo an operation within 72 hours of its acceptance, and not afterwards.` }
  }
  return null
}

/** A length of time for people: `2 days 3 h`, `71 min`, `less than a minute`. */
export function describeDuration(ms: number): string {
  const minutes = Math.floor(ms / MINUTE_MS)
  if (minutes < 1) return 'less than a minute'
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 100) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} days`
}

function forkAt(chain: Chain, position: number, undone: readonly number[]): Fork {
  const [first] = undone
  assert(first !== undefined, 'others follow it')
  const disputed = linkAt(chain, first)
  return {
    position,
    undone,
    keys: rotationKeysOf(linkAt(chain, position).operation).slice(0, disputed.signer),
    until: disputed.createdAt + RECOVERY_WINDOW_MS,
  }
}

function linkAt(chain: Chain, position: number): Link {
  const link = chain.links[position]
  assert(link !== undefined, 'positions come from the chain itself')
  return link
}
