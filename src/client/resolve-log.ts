// The log as a resolver knows it: its newest verified checkpoint never goes back, and every other is held against it. docs/client.md#levels

import type { CheckpointStore } from './checkpoint-store.ts'
import { findFork } from './fork.ts'
import { RESOLVE_LIMITS } from './limits.ts'
import { sleep } from './request.ts'
import { ResolveError, ServerFault } from './resolve-error.ts'
import { asFault, type ResolveServer, type Session } from './resolve-server.ts'
import { bytesEqual } from '../core/encoding/text.ts'
import { DirectoryError, verdictOf } from '../core/errors.ts'
import { formatEvidence, type Evidence } from '../core/evidence.ts'
import { isLogKeyType, openCheckpoint, type Checkpoint } from '../core/tlog/checkpoint.ts'
import { formatVerifierKey, verifyNote, type VerifiedSignature, type VerifierKey } from '../core/tlog/note.ts'
import { meetsQuorum, witnessesOf, type Policy } from '../core/tlog/policy.ts'

/** A checkpoint that a server shows, signed by the log and consistent with all that was verified before. */
export interface SeenCheckpoint {
  readonly checkpoint: Checkpoint
  /** The signed note. */
  readonly note: string
  /** The log's signatures and the witnesses'. */
  readonly verified: readonly VerifiedSignature[]
}

/** A witness that has seen a tree. */
export interface WitnessedBy {
  /** Its name in the policy. */
  readonly witness: string
  /** Seconds since 1970. */
  readonly timestamp: number
}

/** The trusted side of a log. Its methods throw ServerFault for what is wrong with a server, and ResolveError CONTRADICTED or BROKEN_STORE. */
export interface ResolveLog {
  /** Size of the largest verified tree; 0 before the first. */
  size(): Promise<number>
  /** The server's checkpoint, at least `size` entries large: waits until the session's deadline for one that is smaller. */
  see(server: ResolveServer, size: number, session: Session): Promise<SeenCheckpoint>
  /** Who has witnessed a checkpoint lately enough at `now`, milliseconds since 1970: the quorum of the policy at least. Default age: that of the trust. */
  witnessed(seen: SeenCheckpoint, now: number, maxAgeMs?: number): readonly WitnessedBy[]
}

/** What a log is trusted by. */
export interface LogTrust {
  /** Of one name, the origin. */
  readonly keys: readonly VerifierKey[]
  /** null where no witnesses are known. */
  readonly policy: Policy | null
  /** How old cosignatures may be, milliseconds. */
  readonly maxAgeMs: number
}

/** The log of these keys, remembered in `store`. */
export function resolveLog({ keys, policy, maxAgeMs }: LogTrust, store: CheckpointStore): ResolveLog {
  const names = new Map(keys.filter((key) => isLogKeyType(key.type)).map((key) => [key, formatVerifierKey(key)]))
  const known = [...keys, ...(policy?.witnesses ?? []).map((witness) => witness.key)]
  const opened = new Map<string, SeenCheckpoint>()
  let last: Promise<unknown> = Promise.resolve()

  // One after the other, so that what is compared with is what is replaced.
  async function alone<T>(work: () => Promise<T>): Promise<T> {
    const before = last
    const mine = (async () => {
      await before.catch(() => undefined)
      return await work()
    })()
    last = mine
    return await mine
  }

  /** Opens a note by one of the keys alone, or (null) by all that are known. What its signatures prove does not change, and it is shown again and again. */
  function open(note: string, key: VerifierKey | null): SeenCheckpoint {
    const id = key === null ? note : `${formatVerifierKey(key)}\n${note}`
    const before = opened.get(id)
    if (before !== undefined) return before
    const { checkpoint, note: parsed } = openCheckpoint(note, key === null ? keys : [key])
    const seen = { checkpoint, note, verified: verifyNote(parsed, key === null ? known : [key]) }
    if (opened.size >= RESOLVE_LIMITS.notes) opened.clear()
    opened.set(id, seen)
    return seen
  }

  /** The largest verified checkpoint by the name of each key. */
  async function kept(): Promise<ReadonlyMap<string, SeenCheckpoint>> {
    const found = new Map<string, SeenCheckpoint>()
    for (const [key, name] of names) {
      const evidence = await store.evidence(name)
      if (evidence !== null) throw new ResolveError('CONTRADICTED', key.name, [], evidence)
      const note = await store.newest(name)
      if (note === null) continue
      const { value, verdict } = verdictOf(() => open(note, key))
      if (verdict !== null) throw new ResolveError('BROKEN_STORE', verdict.message)
      found.set(name, value)
    }
    return found
  }

  async function convict(evidence: Evidence): Promise<never> {
    const text = formatEvidence(evidence)
    for (const name of names.values()) await store.convict(name, text)
    throw new ResolveError('CONTRADICTED', keys[0]?.name ?? '', [], text)
  }

  /**
   * Whether a server's checkpoint was shown to be of one tree with another; not, where it is the smaller one and nobody has shown the tiles of the
   * larger. Throws where it is shown not to be, and where the server itself does not show it.
   */
  async function compare(server: ResolveServer, seen: SeenCheckpoint, other: SeenCheckpoint, { servers }: Session): Promise<boolean> {
    if (seen.checkpoint.size === other.checkpoint.size && bytesEqual(seen.checkpoint.root, other.checkpoint.root)) return true
    const isLarger = seen.checkpoint.size >= other.checkpoint.size
    const readers = isLarger ? [server] : servers.filter((one) => one.memory.shownSize >= other.checkpoint.size)
    for (const { tiles } of readers) {
      try {
        const evidence = await findFork(tiles, seen.note, other.note, keys)
        if (evidence !== null) await convict(evidence)
        return true
      } catch (error) {
        if (error instanceof ResolveError) throw error
        // Two trees, and no key that signed both: another log of the same name.
        if (error instanceof DirectoryError && error.code === 'NO_CONTRADICTION') throw new ServerFault('OTHER_LOG', 'its tree is not the one that was verified before', error)
        if (isLarger) await asFault('INCONSISTENT', () => Promise.reject(error))
      }
    }
    return false
  }

  async function read(server: ResolveServer): Promise<SeenCheckpoint> {
    const note = await asFault('REFUSED', () => server.tiles.checkpoint())
    const { value, verdict } = verdictOf(() => open(note, null))
    if (verdict === null) return value
    const other = verdict.code === 'WRONG_ORIGIN' || verdict.code === 'UNTRUSTED_NOTE'
    throw new ServerFault(other ? 'OTHER_LOG' : 'INVALID_CHECKPOINT', verdict.message, verdict)
  }

  /** Holds a checkpoint against all that are kept, and keeps it where it is the largest. Returns whether it was shown to be of one tree with them. */
  async function hold(server: ResolveServer, seen: SeenCheckpoint, session: Session): Promise<boolean> {
    for (;;) {
      const before = await kept()
      const others = new Map([...before.values()].map((other) => [other.note, other]))
      // What is asked of servers is asked outside of `alone`, so that one that is silent keeps nobody waiting.
      for (const other of others.values()) if (!(await compare(server, seen, other, session))) return false
      if (await alone(() => keepUnlessMoved(seen, before))) return true
    }
  }

  async function keepUnlessMoved(seen: SeenCheckpoint, before: ReadonlyMap<string, SeenCheckpoint>): Promise<boolean> {
    const now = await kept()
    for (const name of names.values()) if (now.get(name)?.note !== before.get(name)?.note) return false
    for (const { key } of seen.verified) {
      const name = names.get(key)
      if (name !== undefined && seen.checkpoint.size > (now.get(name)?.checkpoint.size ?? -1)) await store.keep(name, seen.checkpoint.size, seen.note)
    }
    return true
  }

  return {
    size: async () => Math.max(0, ...[...(await kept()).values()].map(({ checkpoint }) => checkpoint.size)),

    async see(server, size, session) {
      const { clock, deadline, signal } = session
      for (;;) {
        const seen = await read(server)
        if ((await hold(server, seen, session)) && seen.checkpoint.size >= size) {
          server.memory.shownSize = Math.max(server.memory.shownSize, seen.checkpoint.size)
          return seen
        }
        if (clock.elapsed() + RESOLVE_LIMITS.againMs > deadline) throw new ServerFault('STALE', `it has ${seen.checkpoint.size} entries`)
        await sleep(RESOLVE_LIMITS.againMs, signal)
      }
    },

    witnessed({ checkpoint, verified }, now, ageMs = maxAgeMs) {
      if (policy === null || policy.quorum === null) throw new ServerFault('NOT_WITNESSED', 'the policy asks for no witness')
      if (!meetsQuorum(policy, verified)) throw new ServerFault('NOT_WITNESSED', checkpoint.origin)
      const [from, to] = [(now - ageMs) / 1000, (now + ageMs) / 1000]
      const recent = verified.filter(({ timestamp }) => timestamp !== null && timestamp >= from && timestamp <= to)
      const by = witnessesOf(policy, recent).map(({ witness, timestamp }) => ({ witness: witness.name, timestamp }))
      if (!meetsQuorum(policy, recent)) throw new ServerFault('NOT_RECENT', `${checkpoint.origin}, only ${by.length} of them`)
      return by
    },
  }
}
