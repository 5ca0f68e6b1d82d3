// `latest` by the map of the log: the state proof of an identity shows that there is nothing newer, or nothing at all. spec/map.md#resolution

import { keysOfPolicy } from './keys.ts'
import { isAllOf, placedOperations, type LatestQuestion, type LatestWay, type ShownLatest } from './latest.ts'
import type { ShownMap, VerifiedAnswer } from './proved.ts'
import { RESOLVE_LIMITS } from './limits.ts'
import { readEntry } from './log-client.ts'
import { sleep } from './request.ts'
import { ServerFault } from './resolve-error.ts'
import { resolveLog, type ResolveLog, type SeenCheckpoint } from './resolve-log.ts'
import { asFault, newServer, openServer, type ResolveServer, type ServerMemory, type Session } from './resolve-server.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import { mapOrigin } from '../core/map/map-leaf.ts'
import { emptyChain } from '../core/plc/chain.ts'
import { parseStateProof, verifyStateProof, type ProvedState } from '../core/state-proof.ts'
import { RULES_NAME } from '../core/tlog/cosignature.ts'
import type { VerifierKey } from '../core/tlog/note.ts'
import { quorumWitnesses, type PolicyWitness } from '../core/tlog/policy.ts'

/** What the way by the map may be given. */
export interface StateProofOptions {
  /** The keys of the map's log. Default: those that the resolver's policy lists, in `log` lines of the name ORIGIN/map. No server is asked for them. */
  readonly mapKeys?: readonly VerifierKey[]
  /** How old the cosignatures of both checkpoints may be, and what the map does not have yet, milliseconds. Default: the resolver's. */
  readonly maxAgeMs?: number
}

/** A state that was proved, under checkpoints that are witnessed and continue those before. */
interface Proof {
  readonly state: ProvedState
  readonly seen: SeenCheckpoint
  readonly map: ShownMap
}

/**
 * The newest version of the log's map, which a mirror of the policy's quorum derived, has nothing newer; or has no such identity, where no server
 * gives an answer.
 */
export function stateProof(options: StateProofOptions = {}): LatestWay {
  const memories = new Map<string, ServerMemory>()
  const maps = new WeakMap<ResolveLog, KnownMap>()

  return async (question) => {
    const { did, each, servers, faultOf, skip, known } = question
    const { policy } = known.trust
    const origin = mapOrigin(known.trust.keys[0]?.name ?? '')
    const keys = (options.mapKeys ?? keysOfPolicy(policy).mapKeys).filter(({ name }) => name === origin)
    if (keys.length === 0) return `no key of ${origin} was given`
    const mirrors = policy === null ? [] : quorumWitnesses(policy).filter(({ key }) => key.name.endsWith(RULES_NAME))
    if (mirrors.length === 0) return `no mirror is in the quorum of the policy (a witness whose key's name ends in ${RULES_NAME}): nobody would say that the map is the one that the log leads to`
    const maxAgeMs = options.maxAgeMs ?? known.trust.maxAgeMs
    const map: KnownMap = maps.get(known.log) ?? { log: resolveLog({ keys, policy, maxAgeMs }, known.store), lacked: null }
    maps.set(known.log, map)
    const prove = (server: string, waitMs: number): Promise<Proof | null> => question.ask(server, waitMs, (opened, session) => readProof(opened, session, { question, map, keys, mirrors, maxAgeMs, memories }))

    async function show(answer: VerifiedAnswer, waitMs: number): Promise<ShownLatest | null> {
      const proof = await prove(answer.server, waitMs)
      if (proof === null) return null
      const { identity, leaf: { size } } = proof.state
      const operations = identity === null ? [] : placedOperations(identity)
      return isAllOf(answer, { size, operations }, skip) ? { answer, ...shownBy(proof, 'has nothing newer') } : null
    }

    async function showAbsent(server: string, waitMs: number): Promise<ShownLatest | null> {
      const proof = await prove(server, waitMs)
      if (proof === null) return null
      const answer = { server, chain: emptyChain(did), data: null, seen: proof.seen, indices: [], proved: [] }
      if (proof.state.identity === null) return { answer, absent: true, ...shownBy(proof, 'has no such identity') }
      skip(answer, 'OMITTED', 'its own proof shows the identity')
      return null
    }

    // First without waiting for anybody; then those again that may only be late.
    const late: VerifiedAnswer[] = []
    let isAnswered = false
    for await (const answer of each()) {
      isAnswered = true
      const shown = await show(answer, 0)
      if (shown !== null) return shown
      if (isLate(faultOf(answer.server))) late.push(answer)
    }
    for (const answer of late) {
      const shown = await show(answer, known.patienceMs)
      if (shown !== null) return shown
    }
    const missing = isAnswered ? [] : servers.filter((server) => faultOf(server) === 'NOT_FOUND')
    for (const waitMs of [0, known.patienceMs]) {
      for (const server of missing) {
        if (waitMs > 0 && !isLate(faultOf(server))) continue
        const shown = await showAbsent(server, waitMs)
        if (shown !== null) return shown
      }
    }
    return `no server proved it by ${origin}`
  }
}

/** The map of a log. */
interface KnownMap {
  readonly log: ResolveLog
  /** The entry that the map was last found to lack first: its index, and its `createdAt`, milliseconds since 1970. */
  lacked: { readonly index: number; readonly createdAt: number } | null
}

interface Proving {
  readonly question: LatestQuestion
  readonly map: KnownMap
  readonly keys: readonly VerifierKey[]
  readonly mirrors: readonly PolicyWitness[]
  readonly maxAgeMs: number
  /** Of the servers' map logs, by the URL of the server. */
  readonly memories: Map<string, ServerMemory>
}

// Waits for a proof that is fresh enough.
async function readProof(server: ResolveServer, session: Session, proving: Proving): Promise<Proof> {
  const { clock, deadline, signal } = session
  for (;;) {
    try {
      return await readProofOnce(server, { ...session, deadline: -Infinity }, proving)
    } catch (error) {
      memoryIn(proving.memories, server.memory.url).tiles.clear() // what was wrong must not stay
      if (!(error instanceof ServerFault) || !isLate(error.code) || clock.elapsed() + RESOLVE_LIMITS.againMs > deadline) throw error
      await sleep(RESOLVE_LIMITS.againMs, signal)
    }
  }
}

async function readProofOnce(server: ResolveServer, session: Session, { question: { did, known }, map, keys, mirrors, maxAgeMs, memories }: Proving): Promise<Proof> {
  const { log, trust } = known
  const text = await asFault('REFUSED', () => server.directory.stateProof(did))
  return await asFault('INVALID_STATE_PROOF', async () => {
    const { mapCheckpoint, logCheckpoint } = parseStateProof(text)
    const now = session.clock.now()
    const mapServers = session.servers.map(({ memory: { url } }) => openServer(memoryIn(memories, url), session.request))
    const mapServer = openServer(memoryIn(memories, server.memory.url), session.request)
    const seenMap = await map.log.see(showing(mapServer, mapCheckpoint), await map.log.size(), { ...session, servers: mapServers })
    const seen = await log.see(showing(server, logCheckpoint), 0, session)
    const by = map.log.witnessed(seenMap, now)
    log.witnessed(seen, now, maxAgeMs)
    const derivedBy = by.filter(({ witness }) => mirrors.some(({ name }) => name === witness))
    if (derivedBy.length === 0) throw new ServerFault('NOT_DERIVED', `it is cosigned by ${by.map(({ witness }) => witness).join(', ')} alone`)
    const state = verifyStateProof(text, did, { logKeys: trust.keys, mapKeys: keys, policy: null })
    const { leaf: { size } } = state
    const since = seen.checkpoint.size - size
    // Whoever makes the map could stop making it, and have its last version cosigned again and again.
    if (since > 0) {
      if (map.lacked?.index !== size) map.lacked = { index: size, createdAt: (await readEntry(server.tiles, seen.checkpoint, size)).entry.createdAt }
      const { createdAt } = map.lacked
      if (Math.abs(now - createdAt) > maxAgeMs) throw new ServerFault('NOT_RECENT', `the map lacks entry ${size}, of ${formatTimestamp(createdAt)}`)
    }
    return { state, seen, map: { version: seenMap.checkpoint.size - 1, by, derivedBy, since } }
  })
}

// The server, as one that has shown this checkpoint.
function showing(server: ResolveServer, note: string): ResolveServer {
  return { ...server, tiles: { ...server.tiles, checkpoint: () => Promise.resolve(note) } }
}

function memoryIn(memories: Map<string, ServerMemory>, url: string): ServerMemory {
  const memory = memories.get(url) ?? newServer(`${url}/map`)
  memories.set(url, memory)
  return memory
}

function isLate(code: string | undefined): boolean {
  return code === 'STALE' || code === 'NOT_RECENT'
}

function shownBy({ state: { leaf: { size } }, map }: Proof, words: string): Pick<ShownLatest, 'size' | 'words' | 'map'> {
  return { size, map, words: `the map of ${size} entries, which ${map.derivedBy.map(({ witness }) => witness).join(', ')} derived, ${words}` }
}
