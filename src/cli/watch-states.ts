// Whether identities are in the log or not, as somebody expects it, by proofs of their newest states. docs/following.md#absence-and-presence

import { handleOf, show } from '../client/changes.ts'
import type { CursorStore } from '../client/cursor.ts'
import { FOLLOW_LIMITS } from '../client/follow-limits.ts'
import { parseJson } from '../client/json.ts'
import { keysBeyond } from '../client/keys.ts'
import { describeDuration } from '../client/recovery.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { DirectoryError } from '../core/errors.ts'
import { headOf } from '../core/plc/chain.ts'
import { dataOf } from '../core/plc/operation.ts'
import { verifyStateProof, type ProvedState, type StateProofTrust } from '../core/state-proof.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { BLIND_MS, watchSight } from './looking.ts'
import type { Told } from './tell-changes.ts'
import { escapeLine } from './terminal.ts'

/** What may be expected of an identity. */
export type Expected = 'absent' | 'active'

/** What is watched, and who is told. */
export interface StatesWatched {
  readonly expected: ReadonlyMap<string, Expected>
  /** Servers of one log: the first one that proves a state counts. */
  readonly urls: readonly string[]
  /** With a policy, the cosignatures of its quorum have to be as young as `maxAgeMs` says. */
  readonly trust: Omit<StateProofTrust, 'notBefore'>
  /** How old what a proof says may be, milliseconds. */
  readonly maxAgeMs: number
  readonly proofOf: (url: string, did: string) => Promise<string>
  /** Keys that the log, or that of its map, announces to whoever knows some. */
  readonly newKeys: (url: string, known: readonly VerifierKey[], of: 'log/keys' | 'map/keys') => Promise<readonly VerifierKey[]>
  /** What was told before: nothing is told twice. */
  readonly memory: CursorStore
  /** Is told what is there, and as expected, when watching begins. */
  readonly introduce: (words: string) => void
  /** Is told one thing at a time. */
  readonly tell: (told: Told) => Promise<void>
  readonly clock: {
    /** Milliseconds since 1970. */
    timeOfDay(): number
    /** Milliseconds that never go back. */
    now(): number
    sleep(ms: number, signal: AbortSignal): Promise<void>
  }
}

const OF_THE_MAP = { blindMs: FOLLOW_LIMITS.statesMs + BLIND_MS, again: 'the map can be looked at again, after %: what it says now is what counts' }

/** Watches until `signal` is aborted, and throws its reason; what `tell` and the memory throw as well. */
export async function watchStates(watched: StatesWatched, signal: AbortSignal): Promise<never> {
  const { expected, urls, memory, introduce, tell, clock } = watched
  const known = new Map(Object.entries(readMemory(await memory.read())))
  const look = startLooking(watched)
  const pending: Told[] = []
  const sight = watchSight((seen) => pending.push(toldOfSight(seen.type, seen.words, clock.timeOfDay())), () => clock.timeOfDay(), () => clock.now(), OF_THE_MAP)
  for (;;) {
    let missed = false
    for (const [did, expectation] of expected) {
      let proved: ProvedState | null = null
      for (const url of urls) {
        try {
          proved = await look(url, did)
          break
        } catch (error) {
          signal.throwIfAborted()
          if (!(error instanceof Error)) throw error
          sight.onTrouble(url, new Error(`no proof of ${did}: ${error.message}`))
        }
      }
      missed ||= proved === null
      if (proved === null) continue
      const state = stateIn(proved)
      const before = known.get(did)
      if (before === state) continue
      const told = toldOfState(did, expectation, state, proved)
      if (before === undefined && state === expectation) introduce(`watching: ${told.lines.join('')}`)
      else pending.push(told)
      for (const told of pending.splice(0)) await tell(told)
      known.set(did, state)
      await memory.write(JSON.stringify(Object.fromEntries(known)))
    }
    if (!missed) sight.onLook()
    for (const told of pending.splice(0)) await tell(told)
    await clock.sleep(missed ? FOLLOW_LIMITS.pollMs : FOLLOW_LIMITS.statesMs, signal)
  }
}

/** What was found: nothing, or what the newest operation came to. */
type Found = 'absent' | 'active' | 'deactivated'

function stateIn({ state }: ProvedState): Found {
  return state === null ? 'absent' : state.deactivated ? 'deactivated' : 'active'
}

// Asks for a proof that is as new as it has to be. Throws what is wrong with it.
function startLooking({ trust, maxAgeMs, proofOf, newKeys, clock }: StatesWatched): (url: string, did: string) => Promise<ProvedState> {
  let { logKeys, mapKeys } = trust
  let newest = 0
  /** How large the log was seen to be, and when. */
  const sizes: { readonly size: number; readonly at: number }[] = []

  const verify = (text: string, did: string): ProvedState => verifyStateProof(text, did, { ...trust, logKeys, mapKeys, ...(trust.policy === null ? {} : { notBefore: (clock.timeOfDay() - maxAgeMs) / 1000 }) })
  return async (url, did) => {
    const text = await proofOf(url, did)
    let proved: ProvedState
    try {
      proved = verify(text, did)
    } catch (error) {
      if (!(error instanceof DirectoryError) || error.code !== 'UNTRUSTED_NOTE') throw stale(error, maxAgeMs)
      const fresh = async (known: readonly VerifierKey[], of: 'log/keys' | 'map/keys'): Promise<readonly VerifierKey[]> => keysBeyond(known, await newKeys(url, known, of).catch(() => []))
      const [ofLog, ofMap] = [await fresh(logKeys, 'log/keys'), await fresh(mapKeys, 'map/keys')]
      if (ofLog.length + ofMap.length === 0) throw error
      logKeys = [...logKeys, ...ofLog]
      mapKeys = [...mapKeys, ...ofMap]
      proved = verify(text, did)
    }
    const { map, log, leaf } = proved
    if (map.checkpoint.size < newest) throw new Error(`it shows version ${map.checkpoint.size - 1} of the map, and version ${newest - 1} was seen before`)
    newest = map.checkpoint.size
    const now = clock.now()
    if (log.checkpoint.size > (sizes.at(-1)?.size ?? 0)) sizes.push({ size: log.checkpoint.size, at: now })
    while ((sizes[0]?.size ?? Infinity) <= leaf.size) sizes.shift()
    const [missed] = sizes
    if (missed !== undefined && now - missed.at > maxAgeMs) throw new Error(`the newest version of the map is of ${leaf.size} entries, and the log has had ${missed.size} for ${describeDuration(now - missed.at)}`)
    return proved
  }
}

function stale(error: unknown, maxAgeMs: number): unknown {
  return error instanceof DirectoryError && error.code === 'QUORUM_NOT_MET' ? new Error(`what it shows was not cosigned by the policy's quorum within the last ${describeDuration(maxAgeMs)}`) : error
}

function toldOfSight(type: string, words: string, now: number): Told {
  return { lines: [`${formatTimestamp(now)} ${words}`], json: JSON.stringify({ type, words }), facts: { STELE_EVENT: type, STELE_WORDS: escapeLine(words) }, id: `${type}-${now}` }
}

function toldOfState(did: string, expected: Expected, state: Found, { identity, leaf }: ProvedState): Told {
  const head = identity === null ? null : headOf(identity.chain)
  const data = head === null ? null : dataOf(head.operation)
  const handle = data === null ? null : handleOf(data.alsoKnownAs)
  const accepted = head === null ? '' : `, by ${head.operation.cid}, accepted ${formatTimestamp(head.createdAt)}`
  const is = state === 'absent' ? 'is not in the log' : state === 'deactivated' ? `is deactivated${accepted}` : `is active${handle === null ? '' : `, with the handle ${show(handle)}`}${accepted}`
  const words = `${did} ${is}; expected is that it is ${expected}. Proved for the first ${leaf.size} entries of the log`
  const facts = { STELE_EVENT: 'state', STELE_DID: did, STELE_CID: head?.operation.cid ?? '', STELE_STATE: state, STELE_EXPECTED: expected, STELE_WORDS: escapeLine(words) }
  return { lines: [words], json: JSON.stringify({ type: 'state', did, state, expected, cid: head?.operation.cid ?? null, handle, size: leaf.size }), facts, id: `state-${did.slice(-24)}-${leaf.size}` }
}

function readMemory(text: string | null): Record<string, Found> {
  const json = text === null ? {} : parseJson(text)
  if (typeof json !== 'object' || json === null) throw new Error('the file of what was told before is damaged: delete it, and what is there is told once more')
  return json as Record<string, Found>
}
