// What one server says of an identity, verified level by level. docs/client.md#levels

import { parseAuditLog, verifyAuditLog } from './audit.ts'
import { directoryClient, type DirectoryClient } from './directory-client.ts'
import { RESOLVE_LIMITS } from './limits.ts'
import { proveInclusion } from './log-client.ts'
import { ServerError, sleep, UnreachableError, type RequestOptions } from './request.ts'
import { ServerFault, type ServerFaultCode } from './resolve-error.ts'
import { httpTileReader, NotServedError, type TileReader } from './tile-reader.ts'
import { bytesEqual } from '../core/encoding/text.ts'
import { decodeEntryHeader, encodeEntry } from '../core/entry.ts'
import { DirectoryError } from '../core/errors.ts'
import type { Chain, Link } from '../core/plc/chain.ts'
import { applyEntry, emptyIdentity, EMPTY_CLOCK } from '../core/replay.ts'
import type { Checkpoint } from '../core/tlog/checkpoint.ts'
import { parseCheckpoint } from '../core/tlog/checkpoint-text.ts'
import { leafHash } from '../core/tlog/hash.ts'
import { parseNote } from '../core/tlog/note.ts'
import { verifyInclusion } from '../core/tlog/proof.ts'
import { tilePath } from '../core/tlog/tile.ts'
import { parseTlogProof, type TlogProof } from '../core/tlog/tlog-proof.ts'

/** What a resolver remembers of a server. */
export interface ServerMemory {
  readonly url: string
  /** How long its last audit log took, milliseconds; 0 before the first. */
  latencyMs: number
  /** When it failed last, by `elapsed`; null where it has not, or has answered since. */
  failedAt: number | null
  /** Size of the largest tree that it has shown. */
  shownSize: number
  /** Tiles that it has served, by path. */
  readonly tiles: Map<string, Uint8Array>
}

/** A server that is asked; what it says is untrusted. */
export interface ResolveServer {
  readonly memory: ServerMemory
  readonly directory: DirectoryClient
  readonly tiles: TileReader
}

/** Time, as an argument. */
export interface ResolveClock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds that never go back. */
  elapsed(): number
}

/** One resolution. */
export interface Session {
  readonly clock: ResolveClock
  /** Until when a server is waited for that is not there yet, by `elapsed`. */
  readonly deadline: number
  /** All servers, each of which may be asked for the tiles that it has shown. */
  readonly servers: readonly ResolveServer[]
  /** How whatever is asked for it is asked. */
  readonly request: RequestOptions
  readonly signal: AbortSignal | undefined
}

/** A server that nothing is known of. */
export function newServer(url: string): ServerMemory {
  return { url, latencyMs: 0, failedAt: null, shownSize: 0, tiles: new Map() }
}

/** The server, to be asked with these options. */
export function openServer(memory: ServerMemory, options: RequestOptions): ResolveServer {
  return { memory, directory: directoryClient(memory.url, options), tiles: keepTiles(httpTileReader(memory.url, options), memory.tiles) }
}

/** The identity's operations, each of which keeps the rules: `signed`. Throws ServerFault. */
export async function readChain({ directory }: ResolveServer, did: string): Promise<Chain> {
  return await asFault('INVALID_HISTORY', async () => {
    try {
      // Counted before each is read, which is what takes time.
      const records = parseAuditLog(await directory.auditLog(did), RESOLVE_LIMITS.operations)
      if (records.length === 0) throw new ServerFault('INVALID_HISTORY', 'no operations')
      return verifyAuditLog(did, records)
    } catch (error) {
      if (error instanceof ServerError && error.status === 404) throw new ServerFault('NOT_FOUND', error.message, error)
      throw error
    }
  })
}

/** The receipts of all operations of a chain, in their order, unverified. Throws ServerFault. */
export async function readReceipts(server: ResolveServer, chain: Chain, session: Session): Promise<TlogProof[]> {
  const receipts: TlogProof[] = []
  let next = 0
  const reading = async (): Promise<void> => {
    for (let at = next++; at < chain.links.length; at = next++) {
      try {
        receipts[at] = await readReceipt(server, chain.did, linkAt(chain, at).operation.cid, session)
      } catch (error) {
        next = chain.links.length // nobody waits for the others any more
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: RESOLVE_LIMITS.receiptsAtOnce }, reading))
  return receipts
}

/**
 * Proves that every operation of a chain is in the tree of a checkpoint, in this order and at these times, and returns
 * their indices: `included`. Throws ServerFault.
 */
export async function proveIncluded({ tiles }: ResolveServer, chain: Chain, receipts: readonly TlogProof[], checkpoint: Checkpoint): Promise<readonly number[]> {
  return await asFault('NOT_INCLUDED', async () => {
    let state = { identity: emptyIdentity(chain.did), clock: EMPTY_CLOCK }
    for (const [at, { operation, createdAt, signer }] of chain.links.entries()) {
      const receipt = receipts[at]
      const extra = receipt?.extra ?? null
      if (receipt === undefined || extra === null) throw new DirectoryError('MALFORMED_PROOF', 'no extra line')
      const header = decodeEntryHeader(extra)
      const { index, proof } = receipt
      if (header.did !== chain.did || header.createdAt !== createdAt) throw new ServerFault('NOT_INCLUDED', 'the receipt is of another DID or time')
      if (index <= (state.identity.indices.at(-1) ?? -1)) throw new ServerFault('NOT_INCLUDED', 'the order is not that of the log')
      const entry = { ...header, operation }
      const leaf = leafHash(encodeEntry(entry))
      if (isOfTree(receipt.checkpoint, checkpoint)) verifyInclusion({ index, size: checkpoint.size, leaf, proof, root: checkpoint.root })
      else await proveInclusion(tiles, checkpoint, index, leaf)
      state = applyEntry(state.clock, state.identity, index, entry, signer)
    }
    return state.identity.indices
  })
}

/** Does something with a server: what it answered wrongly is a ServerFault with `code`, what it did not answer one too. */
export async function asFault<T>(code: ServerFaultCode, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof DirectoryError) throw new ServerFault(code, error.message, error)
    if (error instanceof UnreachableError) throw new ServerFault('UNREACHABLE', error.message, error)
    if (error instanceof ServerError || error instanceof NotServedError) throw new ServerFault('REFUSED', error.message, error)
    throw error
  }
}

async function readReceipt({ directory }: ResolveServer, did: string, cid: string, { clock, deadline, signal }: Session): Promise<TlogProof> {
  return await asFault('NOT_INCLUDED', async () => {
    for (;;) {
      try {
        return parseTlogProof(await directory.receipt(did, cid))
      } catch (error) {
        if (!(error instanceof ServerError) || error.status !== 404) throw error
        // A receipt that will be there says when; any other 404 is that there is none.
        if (error.retryAfterMs === null) throw new ServerFault('NOT_INCLUDED', error.message, error)
        const waitMs = Math.max(error.retryAfterMs, RESOLVE_LIMITS.againMs)
        if (clock.elapsed() + waitMs > deadline) throw new ServerFault('NOT_PUBLISHED', error.message, error)
        await sleep(waitMs, signal)
      }
    }
  })
}

// Tiles never change. What was wrong must not stay: whoever finds a fault forgets all of them.
function keepTiles(reader: TileReader, kept: Map<string, Uint8Array>): TileReader {
  return {
    ...reader,
    async tile(tile) {
      const path = tilePath(tile)
      const bytes = kept.get(path) ?? (await reader.tile(tile))
      kept.delete(path)
      kept.set(path, bytes)
      const [oldest = path] = kept.keys()
      if (kept.size > RESOLVE_LIMITS.tiles) kept.delete(oldest)
      return bytes
    },
  }
}

function isOfTree(note: string, { size, root }: Checkpoint): boolean {
  const other = parseCheckpoint(parseNote(note).text)
  return other.size === size && bytesEqual(other.root, root)
}

function linkAt(chain: Chain, at: number): Link {
  const link = chain.links[at]
  if (link === undefined) throw new RangeError('no such link')
  return link
}
