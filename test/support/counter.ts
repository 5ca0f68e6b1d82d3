// A counter on a socket over a store in memory, with the smallest writer that can feed it.

import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { encodeEntry, type Entry } from '../../src/core/entry.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { grow } from '../../src/core/growth.ts'
import { checkRate } from '../../src/core/plc/admission.ts'
import { findLink } from '../../src/core/plc/chain.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { applyEntry, chainsFromRows, emptyIdentity, indexAt, newestTime, type EntryRow } from '../../src/core/replay.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { signKeyStatement } from '../../src/core/tlog/key-statement.ts'
import { KEY_TYPES, formatVerifierKey, makeSigningKey, type SigningKey } from '../../src/core/tlog/note.ts'
import { createApp } from '../../src/http/app.ts'
import { listen, type ServerLimits } from '../../src/http/listen.ts'
import type { CounterOptions, CounterPorts, Submitted } from '../../src/http/ports.ts'
import type { StreamLimits } from '../../src/stream/limits.ts'
import { openStreams, type Streams } from '../../src/stream/upgrade.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import type { LockedHead, Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { NOTHING_WITHHELD } from '../../src/storage/withheld.ts'
import { fields, signer } from './people.ts'

export const COUNTER_ORIGIN = 'counter.test/log'
export const COUNTER_KEY: SigningKey = makeSigningKey(COUNTER_ORIGIN, KEY_TYPES.ed25519, new Uint8Array(32).fill(9))

/** Where a counter's time begins: 2026-01-02T03:04:05.678Z. */
export const COUNTER_START_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

/** A counter that serves. */
export interface TestCounter extends AsyncDisposable {
  readonly url: string
  readonly store: Store
  readonly tip: Tip
  readonly streams: Streams
  /** What the streams said of themselves: `opened export`, `closed export Left`. */
  readonly observed: string[]
  /** Its time of day, which stands still until a test moves it. */
  readonly clock: { ms: number }
  /** Log lines: level, words, fields. */
  readonly lines: [string, string, Record<string, unknown>][]
  /** As the port: the verdict is thrown. */
  submit(did: string, operation: Operation): Promise<Submitted>
  /** Appends this many identities that nobody signed. */
  fill(count: number): Promise<void>
  /** Signs and publishes a checkpoint of all entries. */
  publish(): Promise<void>
  ask(path: string, options?: AskOptions): Promise<Reply>
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}

/** An answer as it came, not unpacked. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

/** Opens one. `ports` replaces what it would stand on. */
export async function openCounter(given: { readonly ports?: Partial<CounterPorts>; readonly options?: CounterOptions; readonly limits?: Partial<ServerLimits>; readonly streams?: Partial<StreamLimits>; readonly maxCursorAgeMs?: number } = {}): Promise<TestCounter> {
  const clock = { ms: COUNTER_START_MS }
  const store = memoryStore({ now: () => clock.ms })
  await store.create({ origin: COUNTER_ORIGIN, guardId: 'guard', vkeys: [formatVerifierKey(COUNTER_KEY)], statement: signKeyStatement({ origin: COUNTER_ORIGIN, signing: [COUNTER_KEY], retired: [] }, [COUNTER_KEY]) })
  const tip = new Tip()
  const lines: TestCounter['lines'] = []
  const submit = submitTo(store, tip)
  const ports: CounterPorts = {
    store,
    tip,
    submit,
    origin: COUNTER_ORIGIN,
    version: '1.2.3',
    now: () => clock.ms,
    faults: () => [],
    log: (level, fields, words) => lines.push([level, words, fields]),
    ...given.ports,
  }
  const observed: string[] = []
  const streams = openStreams(
    {
      store: ports.store, withheld: ports.withheld ?? NOTHING_WITHHELD, tip: ports.tip, now: ports.now, log: ports.log,
      clientKey: (request) => String(request.headers['x-client'] ?? 'client'),
      admit: () => 0,
      maxCursorAgeMs: given.maxCursorAgeMs ?? null,
      observer: { opened: (stream) => observed.push(`opened ${stream}`), closed: (stream, reason) => observed.push(`closed ${stream} ${reason}`), sent: () => undefined },
    },
    given.streams,
  )
  const server = await listen(createApp(ports, { readRate: 0, writeRate: 0, ...given.options }), { host: '127.0.0.1', port: 0, limits: given.limits ?? {}, upgrades: streams })
  return {
    url: server.url,
    store,
    streams,
    observed,
    tip,
    clock,
    lines,
    submit,
    fill: (count) => fill(store, tip, count),
    publish: () => publish(store, tip, clock.ms),
    ask: (path, options) => ask(server.url, path, options),
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** One request, exactly as written: the path is not normalised, the answer not unpacked. */
export function ask(url: string, path: string, { method = 'GET', headers = {}, body }: AskOptions = {}): Promise<Reply> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const entries = Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]])
    const request = httpRequest({ hostname, port, path, method, headers: Object.fromEntries(entries) as Record<string, string>, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const bytes = Buffer.concat(chunks)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, text: bytes.toString() })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** Posts an operation in its JSON form. */
export function postJson(counter: TestCounter, did: string, body: string, headers: Record<string, string> = {}): Promise<Reply> {
  return counter.ask(`/${did}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...headers } })
}

/** A writer of one operation at a time: the tip moves, then the answer comes. */
export function submitTo(store: Store, tip: Tip): (did: string, operation: Operation) => Promise<Submitted> {
  return async (did, operation) => {
    const index = await store.underHead((locked) => decide(locked, did, operation))
    tip.advanceDurable(index + 1)
    return { outcome: 'accepted', index }
  }
}

async function decide(locked: LockedHead, did: string, operation: Operation): Promise<number> {
  const identity = chainsFromRows(await locked.history([did], 0)).get(did) ?? emptyIdentity(did)
  const { chain } = identity
  const position = findLink(chain, operation.cid)
  if (position !== null) {
    if (chain.links[position]?.nullified) throw new DirectoryError('MISORDERED')
    return indexAt(identity, position)
  }
  const { head } = locked
  const now = await locked.now()
  const createdAt = Math.max(now, head.clock.lastNative ?? now, newestTime(chain) + 1)
  const entry = { did, createdAt, operation, source: null }
  const applied = applyEntry(head.clock, identity, head.size, entry, undefined)
  checkRate(chain, operation, createdAt)
  await append(locked, [entry], applied.signer, applied.nullified)
  return head.size
}

async function append(locked: LockedHead, entries: readonly Entry[], signer: number, nullified: readonly number[]): Promise<void> {
  const { head } = locked
  const rows = entries.map((entry, i): EntryRow => {
    const { did, createdAt, operation } = entry
    return { index: head.size + i, did, cid: operation.cid, createdAt, signer, nullified: false, rejected: null, entry: encodeEntry(entry) }
  })
  const { edge, root, tiles } = grow(head.edge, rows.map((row) => row.entry))
  const lastNative = entries.at(-1)?.createdAt ?? null
  await locked.append({ from: head, entries: rows, nullified, tiles, to: { size: edge.size, root, edge, clock: { lastNative } } })
}

async function fill(store: Store, tip: Tip, count: number): Promise<void> {
  const rotationKeys = [signer('nobody').did]
  const size = await store.underHead(async (locked) => {
    const { head } = locked
    const createdAt = Math.max(await locked.now(), head.clock.lastNative ?? 0)
    const entries = Array.from({ length: count }, (_, i): Entry => {
      const value = operationValue(fields({ rotationKeys, alsoKnownAs: [`at://filler-${head.size + i}.test`] }))
      const operation = parseOperation(new Map([...value, ['sig', 'A'.repeat(86)]]))
      return { did: didOf(operation.bytes), createdAt, operation, source: null }
    })
    if (count > 0) await append(locked, entries, 0, [])
    return head.size + count
  })
  tip.advanceDurable(size)
}

async function publish(store: Store, tip: Tip, now: number): Promise<void> {
  const head = await store.head()
  if (head === null) throw new Error('there is no log')
  const { size, root } = head
  await store.publish({ size, root, note: signCheckpoint({ origin: COUNTER_ORIGIN, size, root }, [COUNTER_KEY]), publishedAt: now })
  tip.advancePublished(size)
}
