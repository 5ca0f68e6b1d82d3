// The reading side of the servers of a simulation: files and streams as the real code makes them, over lines that are slow, lose, break and are cut.

import type { Reach } from '../../mirror/upstreams.ts'
import { Refusal } from '../../src/http/error-response.ts'
import type { Answer } from '../../src/http/answer.ts'
import { auditJson } from '../../src/http/rows.ts'
import { bundleOf, checkpointOf, tileOf } from '../../src/http/tlog.ts'
import type { MapStore, Store } from '../../src/storage/store.ts'
import { Growing, type Tip } from '../../src/storage/tip.ts'
import { Blocks } from '../../src/stream/blocks.ts'
import { followFeed } from '../../src/stream/feed.ts'
import { readFilter } from '../../src/stream/filter.ts'
import { STREAM_LIMITS } from '../../src/stream/limits.ts'
import { CLOSE_CODES, StreamEnd } from '../../src/stream/refusal.ts'
import { checkCursor, followLog, followMatches, type Source } from '../../src/stream/subscription.ts'
import type { Life } from '../support/interfere.ts'
import type { Network } from './network.ts'
import type { Oracle } from './oracle.ts'
import type { World } from './world.ts'

/** A process that can be read from. */
export interface Server {
  readonly store: Store
  readonly tip: Tip
  readonly life: Life
  /** Whether all that is durable is signed, as in a mirror. */
  readonly isMirror: boolean
}

/** Who stands before a host, and changes what passes. */
export interface Front {
  /** Who is asked in truth; null for the directory. */
  readonly behind: Server | null
  /** Who is asked for the map, where that is another. */
  readonly behindMap: Server | null
  readonly silent: boolean
  /** Told of what `from` is about to be answered. */
  asked(path: string, from: string): void
  /** The body of a file that is there, as `from` is given it; null makes it missing. */
  answer(path: string, body: Uint8Array, from: string): Uint8Array | null
  /** What is sent in place of a message of a stream. */
  frame(bytes: Uint8Array): readonly Uint8Array[]
}

interface Serving extends Server {
  readonly end: AbortController
  source: Source | null
}

/** How long somebody waits for an answer, as a mirror does. */
const PATIENCE_MS = 10_000
/** Longer than any simulation in the machine's time: who serves hears of what is published. */
const NEVER_MS = 2 ** 31 - 1

/** How it is to read from somewhere. */
export interface Weather {
  /** Until when something is late that was sent there, or asked for. */
  lateUntil: number
  /** When an answer was lost last, or a line broke. */
  brokenAt: number
  /** Lines that are dead and do not say so. */
  dead: number
}

/** Servers, and the lines between them and whoever reads. */
export class Web {
  readonly #world: World
  readonly #network: Network
  readonly #oracle: Oracle
  readonly #servers = new Map<string, Serving>()
  readonly #cuts = new Set<string>()
  readonly fronts = new Map<string, Front>()
  /** Until when, and whether at all, what somebody asks for comes late, and when something of it was lost. */
  readonly #weather = new Map<string, Weather>()

  constructor(world: World, network: Network, oracle: Oracle) {
    this.#world = world
    this.#network = network
    this.#oracle = oracle
  }

  /** Serves under a name, until it is told to stop. */
  serve(name: string, server: Server): void {
    this.#servers.set(name, { ...server, end: new AbortController(), source: null })
  }

  /** Breaks every line to a server. */
  stop(name: string): void {
    this.#servers.get(name)?.end.abort()
    this.#servers.delete(name)
  }

  /** Nothing passes between two any more. */
  cut(one: string, other: string): void {
    this.#cuts.add(`${one} ${other}`).add(`${other} ${one}`)
  }

  /** Everything passes again. */
  mend(): void {
    this.#cuts.clear()
  }

  /** How it is to read from where somebody is. */
  weather(from: string): Weather {
    const weather = this.#weather.get(from) ?? { lateUntil: -Infinity, brokenAt: -Infinity, dead: 0 }
    this.#weather.set(from, weather)
    return weather
  }

  /** How somebody reaches the others: `http://directory`, or the name of a front or server. */
  reach(from: string, life: Life): Reach {
    const fetch: Reach['fetch'] = async (url) => {
      await life.go()
      const { hostname, pathname } = new URL(url instanceof Request ? url.url : url)
      const answer = await this.#get(from, hostname, pathname)
      await life.go()
      if (answer === null) throw new Error('no answer')
      return new Response(Uint8Array.from(answer.body), { status: answer.status })
    }
    const open = (line: Line, url: URL): void => void this.#stream(from, life, line, url)
    const WebSocket = class extends Line {
      constructor(url: string) {
        super(life)
        open(this, new URL(url))
      }
    }
    return { fetch, WebSocket: WebSocket as unknown as typeof globalThis.WebSocket }
  }

  async #get(from: string, host: string, path: string): Promise<File | null> {
    const world = this.#world
    const front = this.fronts.get(host)
    front?.asked(path, from)
    const server = this.#find(host, path)
    const lost = async (): Promise<null> => {
      this.#broke(from)
      await world.sleep(world.random.oneIn(2) ? PATIENCE_MS : world.random.below(50))
      return null
    }
    if (!(await this.#passes(from, host)) || front?.silent === true) return lost()
    if (server === null) {
      this.#broke(from)
      return null
    }
    const file = await server.life.race(this.#read(server, path)).catch(() => null)
    if (file === null || !(await this.#passes(host, from))) return lost()
    if (file.status !== 200) this.#broke(from)
    if (file.status !== 200 || front === undefined) return file
    const body = front.answer(path, file.body, from)
    return body === null ? { status: 404, body: new Uint8Array() } : { status: 200, body }
  }

  // As the counter does.
  async #read({ store, tip, isMirror }: Server, path: string): Promise<File> {
    const served = async (needed: number): Promise<number> => (isMirror ? tip.durable : Math.max(tip.published, tip.published >= needed ? 0 : ((await store.publication())?.size ?? 0)))
    try {
      if (path === '/log/keys' || path === '/map/keys') return { status: 404, body: new Uint8Array() }
      const [, did] = /^\/(did:plc:[a-z2-7]{24})\/log\/audit$/.exec(decodeURIComponent(path)) ?? []
      if (did !== undefined) return { status: 200, body: auditJson((await store.history([did], 0)).filter((row) => row.rejected === null)) }
      const answer = await (path.startsWith('/map/') ? mapFile(store.map, path.slice('/map'.length)) : logFile(store, path, served))
      return { status: 200, body: bytesOf(answer) }
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error)
      this.#oracle.check(!words.startsWith('assertion'), `a server has failed at ${path}: ${words}`)
      return { status: error instanceof Refusal ? 404 : 500, body: new Uint8Array() }
    }
  }

  async #stream(from: string, life: Life, line: Line, url: URL): Promise<void> {
    const world = this.#world
    const { random } = world
    const host = url.hostname
    const front = this.fronts.get(host)
    const server = this.#find(host)
    const passes = await this.#passes(from, host)
    if (!passes || server === null || front?.silent === true) {
      this.#broke(from)
      await world.sleep(random.below(PATIENCE_MS))
      return line.ended(1006, '')
    }
    const signal = AbortSignal.any([line.left.signal, server.end.signal])
    const cursor = Number(url.searchParams.get('from'))
    line.granted.advance(Number(url.searchParams.get('credit')))
    let used = 0
    try {
      await checkCursor(server.store, server.tip, cursor, { maxAgeMs: null, now: () => world.now })
      const filter = url.searchParams.get('filter') === 'message' ? readFilter(new URLSearchParams(await line.opened()), STREAM_LIMITS) : null
      for await (const { bytes, payload } of filter === null ? followLog(sourceOf(server), cursor, signal) : followMatches(sourceOf(server), filter, cursor, signal)) {
        await line.granted.past(used, signal)
        used += payload
        if (!(await this.#passes(host, from)) || life.ended) break
        const message = bytes.slice(bytes.length - payload)
        for (const sent of front?.frame(message) ?? [message]) line.receive(sent)
        this.#oracle.saw('frames')
      }
      // A line that is broken may never say so.
      this.#broke(from)
      if (random.oneIn(2)) line.ended(1006, '')
      else this.#dies(from, line)
    } catch (error) {
      if (!line.left.signal.aborted) this.#broke(from)
      if (error instanceof StreamEnd) line.ended(CLOSE_CODES[error.reason], error.reason)
      else line.ended(1006, '')
    } finally {
      if (life.ended) line.close()
      // Who stands behind a front serves this line alone.
      if (![...this.#servers.values()].includes(server)) server.end.abort()
    }
  }

  #find(host: string, path = ''): Serving | null {
    const front = this.fronts.get(host)
    const behind = (path.startsWith('/map/') ? front?.behindMap : null) ?? front?.behind ?? null
    if (behind !== null) return { ...behind, end: new AbortController(), source: null }
    const name = front === undefined ? host : 'directory'
    const found = [...this.#servers].filter(([server]) => server.startsWith(name)).map(([, server]) => server)
    return found.length === 0 ? null : this.#world.random.pick(found)
  }

  #broke(from: string): void {
    this.weather(from).brokenAt = this.#world.now
  }

  #dies(from: string, line: Line): void {
    if (line.left.signal.aborted) return
    this.weather(from).dead++
    line.left.signal.addEventListener('abort', () => {
      this.weather(from).dead--
      this.#broke(from)
    })
  }

  async #passes(from: string, to: string): Promise<boolean> {
    const { random } = this.#world
    const { lossy } = this.#network
    const ms = random.oneIn(20) ? random.below(5_000) : random.below(50)
    if (ms >= 50) for (const end of [from, to]) this.weather(end).lateUntil = Math.max(this.weather(end).lateUntil, this.#world.now + ms)
    await this.#world.sleep(ms)
    return !this.#cuts.has(`${from} ${to}`) && !(lossy !== Infinity && random.oneIn(4 * lossy))
  }
}

function logFile(log: Pick<Store, 'publication' | 'tiles' | 'leaves'>, path: string, served: (needed: number) => Promise<number>): Promise<Answer> {
  if (path === '/checkpoint') return checkpointOf(log)
  return path.startsWith('/tile/entries/') ? bundleOf(log, path, served) : tileOf(log, path, served)
}

async function mapFile(map: MapStore, path: string): Promise<Answer> {
  const head = await map.head()
  if (head === null) throw new Refusal('NO_MAP')
  if (path === '/next') {
    const size = (await map.publication())?.size ?? 0
    const [leaf] = await map.leaves(size, size + 1)
    if (leaf === undefined) throw new Refusal('NO_NEXT_LEAF')
    return { type: 'text/plain', body: leaf }
  }
  if (path === '/vkey') return { type: 'text/plain', body: head.vkeys.map((vkey) => `${vkey}\n`).join('') }
  return logFile(map, path, async () => (await map.publication())?.size ?? 0)
}

interface File {
  readonly status: number
  readonly body: Uint8Array
}

function bytesOf({ body }: Answer): Uint8Array {
  if (typeof body === 'string') return new TextEncoder().encode(body)
  if (body instanceof Uint8Array) return body
  throw new Error('a file is sent whole')
}

// One for all who follow a server, and only where there are any.
function sourceOf(serving: Serving): Source {
  const { store, tip, end } = serving
  serving.source ??= { store, blocks: new Blocks(store, STREAM_LIMITS), feed: followFeed({ store, tip, log: () => undefined }, NEVER_MS, end.signal), limits: STREAM_LIMITS }
  return serving.source
}

type Heard = (event: { readonly data?: unknown; readonly code?: number; readonly reason?: string }) => void

/** The end of a WebSocket at its reader: as much of it as readers use. */
class Line {
  readonly OPEN = 1
  readyState = 1
  binaryType = 'blob'
  readonly left = new AbortController()
  /** Bytes that the reader takes, since the beginning. */
  readonly granted = new Growing(0)
  readonly #life: Life
  readonly #listeners = new Map<string, Heard>()
  readonly #filter = Promise.withResolvers<string>()

  constructor(life: Life) {
    this.#life = life
  }

  addEventListener(type: string, listener: Heard): void {
    this.#listeners.set(type, listener)
  }

  /** Says that it is open; resolves with the first thing that its reader says. */
  opened(): Promise<string> {
    this.#listeners.get('open')?.({})
    return this.#filter.promise
  }

  /** What its reader says is a grant, or its filter. */
  send(text: string): void {
    if (/^\d+$/.test(text)) this.granted.advance(this.granted.value + Number(text))
    else this.#filter.resolve(text)
  }

  close(): void {
    this.readyState = 3
    this.left.abort()
  }

  /** Something has come. */
  receive(bytes: Uint8Array): void {
    if (!this.#life.ended && this.readyState === this.OPEN) this.#listeners.get('message')?.({ data: Uint8Array.from(bytes).buffer })
  }

  /** It is over. */
  ended(code: number, reason: string): void {
    if (!this.#life.ended && this.readyState === this.OPEN) this.#listeners.get('close')?.({ code, reason })
    this.close()
  }
}
