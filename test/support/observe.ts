// Somebody who looks at a log from outside during the whole of a test, and asks in the end whether it kept its word.

import { setTimeout as sleep } from 'node:timers/promises'
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { base64 } from '../../src/core/encoding/text.ts'
import { appendLeaf, edgeRoot, EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { bundlePath, TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import { decodeBundle } from '../../src/core/tlog/bundle.ts'
import type { Cluster } from './cluster.ts'
import { naiveLeafHash, naiveRoot } from './naive-tree.ts'
import type { Load } from './load.ts'

const POLL_MS = 20
const ANSWER_MS = 5_000
/** A process that was told nothing looks at the database every second; one that lost it, every five at most. */
const QUIESCENCE_MS = 15_000

/** A poller of checkpoints. */
export interface Observer {
  /** Ends the polling, and resolves with the root (base64) that was seen for each size. */
  finish(): Promise<ReadonlyMap<number, string>>
  /** Longest time without a new checkpoint since this was asked last, milliseconds. */
  lap(): number
}

/** Asks each process in turn for its checkpoint. Every one must be signed, none smaller than one that was seen before, anywhere. */
export function observe({ members, vkey }: Cluster): Observer {
  const key = parseVerifierKey(readFileSync(vkey, 'utf8').trim())
  const urls = Object.values(members).map((member) => member.url)
  const seen = new Map<number, string>()
  const stop = new AbortController()
  let largest = 0
  let stillness = 0
  let movedAt = performance.now()

  async function poll(): Promise<void> {
    for (let n = 0; !stop.signal.aborted; n++) {
      const note = await get(`${urls[n % urls.length]}/checkpoint`).catch(() => null)
      if (note !== null) {
        const { size, root } = openCheckpoint(note.toString(), [key]).checkpoint
        if (size < largest) throw new Error(`a checkpoint of size ${size} was shown after one of size ${largest}`)
        if (size > largest) {
          stillness = Math.max(stillness, performance.now() - movedAt)
          movedAt = performance.now()
        }
        largest = size
        const known = seen.get(size)
        if (known !== undefined && known !== base64.encode(root)) throw new Error(`two roots of size ${size}`)
        seen.set(size, base64.encode(root))
      }
      await sleep(POLL_MS)
    }
  }

  const polling = poll()
  polling.catch(() => undefined)
  return {
    async finish() {
      stop.abort()
      await polling
      return seen
    },
    lap() {
      const ms = Math.round(stillness)
      stillness = 0
      return ms
    },
  }
}

/**
 * Waits until the cluster has come to rest, then asks for everything: each acknowledged operation exactly once and
 * nothing else, no gap, the same bytes from every process, every checkpoint that was ever seen a prefix of the
 * log, and `fsck` content from outside and inside. All writers must have finished.
 */
export async function checkCluster(cluster: Cluster, load: Load, observer: Observer): Promise<void> {
  const { members, home, vkey, database } = cluster
  const urls = Object.values(members).map((member) => member.url)
  const checkpoint = await rest(urls, load.acknowledged.size)
  const exports = await Promise.all(urls.map(exported))
  const [first = ''] = exports
  for (const other of exports) expect(other === first, 'every process exports the same bytes').toBe(true)

  const lines = first.split('\n').filter((line) => line !== '')
  const rows = lines.map((line) => JSON.parse(line) as { did: string; cid: string; seq: number })
  expect(rows.map((row) => row.seq)).toEqual(rows.map((_, index) => index + 1))
  expect(new Set(rows.map((row) => `${row.cid} ${row.did}`))).toEqual(new Set([...load.acknowledged].map(([cid, did]) => `${cid} ${did}`)))
  expect(rows).toHaveLength(load.acknowledged.size)

  const seen = await observer.finish()
  await checkRoots(members.reader.url, rows.length, new Map([...seen, [rows.length, checkpoint.split('\n')[2] ?? '']]))
  for (const args of [[members.signer.url], ['--database', ...database]]) {
    const { code, stdout, stderr } = await home.run(['fsck', ...args, '--vkey', vkey])
    expect({ code, last: stdout.trimEnd().split('\n').at(-1) }, stderr).toEqual({ code: 0, last: 'whole' })
  }
}

/** The whole export of a directory, as it sends it. */
export async function exported(url: string): Promise<string> {
  let all = ''
  for (let after = 0; ; ) {
    const page = (await get(`${url}/export?after=${after}&count=1000`)).toString()
    if (page === '') return all
    all += page.endsWith('\n') ? page : `${page}\n`
    const last = page.trimEnd().split('\n').at(-1) ?? ''
    after = (JSON.parse(last) as { seq: number }).seq
  }
}

/** The body of an answer with status 200. */
export async function get(url: string): Promise<Buffer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) })
  const body = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${body.toString()}`)
  return body
}

// Until all show one checkpoint that covers everything, and have heard of the last entry. Resolves with it.
async function rest(urls: readonly string[], size: number): Promise<string> {
  const until = performance.now() + QUIESCENCE_MS
  for (;;) {
    const notes = await Promise.all(urls.map((url) => get(`${url}/checkpoint`).then(String, String)))
    const ends = await Promise.all(urls.map((url) => get(`${url}/export?after=${Math.max(0, size - 1)}`).then(String, () => '')))
    const [first = ''] = notes
    if (first.split('\n')[1] === String(size) && notes.every((note) => note === first) && ends.every((end) => end !== '')) return first
    if (performance.now() > until) throw new Error(`no rest at size ${size}: ${notes.join('; ')}; ${ends.join('; ')}`)
    await sleep(50)
  }
}

// Every root that was seen, against the entries as they are served: by folding them one by one, and the largest by definition.
async function checkRoots(url: string, size: number, roots: ReadonlyMap<number, string>): Promise<void> {
  const leaves: Uint8Array[] = []
  for (let start = 0; start < size; start += TILE_WIDTH) {
    const width = Math.min(TILE_WIDTH, size - start)
    const bundle = await get(`${url}/${bundlePath(start / TILE_WIDTH, width)}`)
    leaves.push(...decodeBundle(bundle, width).map(naiveLeafHash))
  }
  const derived = new Map<number, string>()
  let edge = EMPTY_EDGE
  derived.set(0, base64.encode(edgeRoot(edge)))
  for (const leaf of leaves) {
    edge = appendLeaf(edge, leaf).edge
    if (roots.has(edge.size)) derived.set(edge.size, base64.encode(edgeRoot(edge)))
  }
  for (const [seenSize, root] of roots) expect(derived.get(seenSize), `the checkpoint of size ${seenSize}`).toBe(root)
  expect(base64.encode(naiveRoot(leaves))).toBe(roots.get(size))
}
