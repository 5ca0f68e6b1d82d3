// A follower that goes on in the background of a page, and what it has taken so far.

import { follow, memoryCheckpoints, memoryCursor, webStorageCheckpoints, webStorageCursor, type WebStorage } from '../../src/client/index.ts'
import { parseVerifierKey } from '../../src/core/index.ts'

/** What is followed. */
export interface PageFollow {
  readonly url: string
  readonly vkey: string
  readonly dids?: readonly string[]
}

/** One operation that was taken. */
export interface Taken {
  readonly index: number
  readonly cid: string | null
  /** Whether it came with a proof of its own. */
  readonly proved: boolean
}

let taken: Taken[] = []
let troubles = 0
let stop: () => Promise<string | null> = () => Promise.resolve(null)

/** Begins to follow, from where the storage says (null: from the start, and nothing is kept). */
export function begin({ url, vkey, dids }: PageFollow, storage: WebStorage | null): null {
  const [cursor, checkpoints] = storage === null ? [memoryCursor(), memoryCheckpoints()] : [webStorageCursor(storage, 'test'), webStorageCheckpoints(storage, 'test')]
  const ending = new AbortController()
  taken = []
  troubles = 0
  const options = { urls: [url], keys: [parseVerifierKey(vkey)], cursor, checkpoints, signal: ending.signal, onTrouble: () => void troubles++ }
  const running = (async () => {
    for await (const { type, index, entry, proof } of follow({ ...options, ...(dids === undefined ? {} : { filter: { dids } }) })) {
      taken.push({ index, cid: type === 'operation' ? entry.operation.cid : null, proved: proof !== null })
    }
  })()
  const ended = running.catch((error: unknown) => (error instanceof Error ? error.name : String(error)))
  stop = async () => {
    ending.abort()
    return (await ended) ?? null
  }
  return null
}

/** All that was taken, once it is so many; or what there is after half a minute. */
export async function takenOnce(count: number): Promise<{ readonly taken: readonly Taken[]; readonly troubles: number }> {
  for (const until = performance.now() + 30_000; taken.length < count && performance.now() < until; ) await new Promise((resolve) => setTimeout(resolve, 20))
  return { taken, troubles }
}

/** Ends it, and says why it ended. */
export function end(): Promise<string | null> {
  return stop()
}
