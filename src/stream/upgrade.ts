// Subscribers: who is let in, what each may hold, and how each is let go. spec/stream.md

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { WebSocketServer, type RawData, type ServerOptions, type WebSocket } from 'ws'
import { verdictOf } from '../core/errors.ts'
import { parseCredit } from '../core/frame.ts'
import { parseDecimal } from '../core/encoding/text.ts'
import { Growing } from '../storage/tip.ts'
import { NOTHING_WITHHELD, withholding, WithheldError } from '../storage/withheld.ts'
import { Blocks, type Block } from './blocks.ts'
import { followFeed } from './feed.ts'
import { readFilter, type Filter } from './filter.ts'
import { STREAM_LIMITS, type StreamLimits } from './limits.ts'
import type { StreamName, StreamPorts } from './ports.ts'
import { CLOSE_CODES, Refused, StreamEnd, type CloseReason } from './refusal.ts'
import { checkCursor, followExport, followLog, followMatches, type Source } from './subscription.ts'

/** The streams of one server. */
export interface Streams extends AsyncDisposable {
  /** Whether a request, which asks for an upgrade, is for one of the streams; any other is an ordinary request. */
  accepts(request: IncomingMessage): boolean
  /** Opens the stream that a request asks for. Throws Refused, and leaves the socket alone, where it is not opened. */
  open(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Bytes that wait in this process for each subscriber. */
  waitingBytes(): number[]
  /** Tells all subscribers that the server stops, and lets them go. */
  close(): Promise<void>
}

/** Streams over a store. `limits` replaces bounds. */
export function openStreams(ports: StreamPorts, replaced: Partial<StreamLimits> = {}): Streams {
  const limits: StreamLimits = { ...STREAM_LIMITS, ...replaced }
  const { tip, withheld = NOTHING_WITHHELD } = ports
  const store = withholding(ports.store, withheld)
  const ended = new AbortController()
  const feed = followFeed(ports, limits.refreshSeconds * 1000, ended.signal)
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.messageBytes,
    closeTimeout: limits.closeSeconds * 1000, // missing from the library's types
  } as ServerOptions)
  const subscribers = new Set<Subscriber>()
  const source: Source = { store, feed, limits, blocks: new Blocks(store, limits, withheld, () => subscribers.size > 1) }
  const perAddress = new Map<string, number>()
  const sweep = setInterval(() => {
    for (const subscriber of subscribers) subscriber.look(performance.now())
  }, limits.sweepMs)
  sweep.unref()
  let closing: Promise<void> | null = null

  function letIn(request: IncomingMessage): { key: string; plan: Plan } {
    const key = ports.clientKey(request)
    if (closing !== null) throw new Refused('STOPPING', undefined, limits.retrySeconds)
    const waitMs = ports.admit(key)
    if (waitMs > 0) throw new Refused('TOO_MANY_REQUESTS', undefined, Math.ceil(waitMs / 1000))
    const { 'sec-websocket-key': handshake = '', 'sec-websocket-version': version } = request.headers
    if (version !== '13' || !/^[+/0-9A-Za-z]{22}==$/.test(handshake)) throw new Refused('INVALID_HANDSHAKE')
    const plan = readPlan(request, limits)
    if (subscribers.size >= limits.subscribers) throw new Refused('TOO_MANY_STREAMS', undefined, limits.retrySeconds)
    if ((perAddress.get(key) ?? 0) >= limits.subscribersPerAddress) throw new Refused('TOO_MANY_OF_ADDRESS', undefined, limits.retrySeconds)
    return { key, plan }
  }

  async function closeAll(): Promise<void> {
    await Promise.all([...subscribers].map((subscriber) => {
      subscriber.end('ServerStopping')
      return subscriber.gone
    }))
    clearInterval(sweep)
    ended.abort()
  }

  return {
    accepts: (request) => request.method === 'GET' && /^websocket$/i.test(request.headers.upgrade ?? '') && streamOf(request) !== null,
    open(request, socket, head) {
      const { key, plan } = letIn(request)
      server.handleUpgrade(request, socket, head, (ws) => {
        const subscriber = new Subscriber(ws, socket as Socket, plan, ports, limits)
        subscribers.add(subscriber)
        perAddress.set(key, (perAddress.get(key) ?? 0) + 1)
        void subscriber.gone.then(() => {
          subscribers.delete(subscriber)
          const left = (perAddress.get(key) ?? 1) - 1
          if (left === 0) perAddress.delete(key)
          else perAddress.set(key, left)
        })
        void subscriber.run(async function* (signal) {
          const cursor = plan.cursor ?? tip.durable
          await checkCursor(store, tip, cursor, { maxAgeMs: ports.maxCursorAgeMs, now: ports.now })
          if (plan.stream === 'export') return yield* followExport(source, cursor, signal)
          const filter = plan.filterComes ? await subscriber.filter : plan.filter
          return yield* filter === null ? followLog(source, cursor, signal) : followMatches(source, filter, cursor, signal)
        })
      })
    },
    waitingBytes: () => [...subscribers].map((subscriber) => subscriber.waitingBytes),
    close: () => (closing ??= closeAll()),
    [Symbol.asyncDispose]: () => (closing ??= closeAll()),
  }
}

/** What a request asks for. */
interface Plan {
  readonly stream: StreamName
  /** Index of the first entry; null for those to come. */
  readonly cursor: number | null
  /** Bytes that the subscriber grants to begin with; Infinity where it leaves the pace to the connection. */
  readonly credit: number
  readonly filter: Filter | null
  /** Whether the subscriber's first message is its filter. */
  readonly filterComes: boolean
}

const PATH = /^\/(export|log)\/stream\/?$/

function urlOf(request: IncomingMessage): URL | null {
  return URL.parse(request.url ?? '', 'http://localhost')
}

function streamOf(request: IncomingMessage): string | null {
  return PATH.exec(urlOf(request)?.pathname ?? '')?.[1] ?? null
}

function readPlan(request: IncomingMessage, limits: StreamLimits): Plan {
  const parameters = urlOf(request)?.searchParams ?? new URLSearchParams()
  if (streamOf(request) === 'export') {
    const [text = '', ...more] = parameters.getAll('cursor')
    if (more.length > 0 || !/^\d*$/.test(text)) throw new Refused('INVALID_CURSOR')
    return { stream: 'export', cursor: text === '' ? null : Number(text), credit: Infinity, filter: null, filterComes: false }
  }
  const number = (name: string): number | null => {
    const [text, ...more] = parameters.getAll(name)
    if (text === undefined) return null
    const { value } = verdictOf(() => parseDecimal(text))
    if (value === null || more.length > 0) throw new Refused('INVALID_NUMBER', name)
    return value
  }
  const filterComes = parameters.get('filter') === 'message'
  const filter = readFilter(parameters, limits)
  const credit = Math.min(number('credit') ?? Infinity, parameters.has('credit') ? limits.creditBytes : Infinity)
  return { stream: filterComes || filter !== null ? 'matches' : 'log', cursor: number('from'), credit, filter, filterComes }
}

/** Why a subscriber is no longer there: what it was told, or that it left or was lost without a word from here. */
type End = CloseReason | 'Left' | 'Dead'

class Subscriber {
  /** Resolves once its connection is closed. */
  readonly gone: Promise<void>
  /** Resolves once its filter has come. */
  readonly filter: Promise<Filter>
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #plan: Plan
  readonly #ports: StreamPorts
  readonly #limits: StreamLimits
  readonly #stop = new AbortController()
  readonly #filtered = Promise.withResolvers<Filter>()
  readonly #opened = performance.now()
  /** Bytes that were granted, and those of them that were used, since the beginning. */
  readonly #granted: Growing
  #used = 0
  #filterDue: boolean
  #messages = 0
  #end: End | null = null
  /** When, and how far, the subscriber was last seen to take what waits for it. */
  #taken = { bytes: 0, at: this.#opened }
  /** What had been taken and received at the last ping, and how many pings have gone unheeded. */
  #ping = { at: this.#opened, taken: 0, received: 0, unheeded: 0 }

  constructor(ws: WebSocket, socket: Socket, plan: Plan, ports: StreamPorts, limits: StreamLimits) {
    this.#ws = ws
    this.#socket = socket
    this.#plan = plan
    this.#ports = ports
    this.#limits = limits
    this.#granted = new Growing(plan.credit)
    this.#filterDue = plan.filterComes
    this.filter = this.#filtered.promise
    this.gone = new Promise((resolve) => {
      ws.once('close', () => {
        this.#end ??= 'Left'
        this.#stop.abort()
        ports.observer.closed(plan.stream, this.#end)
        resolve()
      })
    })
    ws.on('error', (error) => ports.log('debug', { error }, 'a subscriber broke the protocol'))
    ws.on('message', (data, binary) => this.#hear(data, binary))
    ports.observer.opened(plan.stream)
  }

  /** Bytes that wait in this process. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  /** Sends what a stream gives until it ends or the subscriber does. */
  async run(stream: (signal: AbortSignal) => AsyncGenerator<Block, never>): Promise<void> {
    const { signal } = this.#stop
    try {
      for await (const block of stream(signal)) await this.#send(block, signal)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof StreamEnd) return this.end(error.reason)
      if (error instanceof WithheldError) return this.end('Withheld')
      this.#ports.log('error', { error, stream: this.#plan.stream }, 'a stream failed')
      this.end('TryAgainLater')
    }
  }

  /** Closes the stream, with a reason. */
  end(reason: CloseReason): void {
    if (this.#end !== null) return
    this.#end = reason
    this.#stop.abort()
    this.#ws.close(CLOSE_CODES[reason], reason)
  }

  /** Lets go of a subscriber that does not take what it asked for, or that is not there any more. */
  look(now: number): void {
    const { stallSeconds, subscriberBytes, pingSeconds, deadPings, filterSeconds } = this.#limits
    const waiting = this.waitingBytes
    const taken = this.#socket.bytesWritten - waiting
    this.#messages = 0
    if (waiting === 0 || taken > this.#taken.bytes) this.#taken = { bytes: taken, at: now }
    else if (now - this.#taken.at > stallSeconds * 1000 || waiting > subscriberBytes) return this.end('ConsumerTooSlow')
    if (this.#filterDue && now - this.#opened > filterSeconds * 1000) return this.end('InvalidMessage')
    if (now - this.#ping.at < pingSeconds * 1000 || this.#end !== null) return
    const received = this.#socket.bytesRead
    // What the connection takes while nothing waits says nothing of who is at its other end.
    const heeded = received > this.#ping.received || (waiting > 0 && taken > this.#ping.taken)
    const unheeded = heeded ? 0 : this.#ping.unheeded + 1
    this.#ping = { at: now, taken, received, unheeded }
    if (unheeded > deadPings) {
      this.#end = 'Dead'
      this.#ws.terminate()
    } else {
      this.#ws.ping()
    }
  }

  // One block waits in this process at a time: the next one is made when the connection has taken it.
  async #send({ bytes, payload, messages }: Block, signal: AbortSignal): Promise<void> {
    await this.#granted.past(this.#used, signal)
    this.#used += payload
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error instanceof Error ? reject(error) : resolve()))
    })
    this.#ports.observer.sent(this.#plan.stream, messages, bytes.length)
    // A connection that takes all at once, of blocks that are kept, would never let anybody else have a turn.
    await setImmediate()
  }

  #hear(data: RawData, binary: boolean): void {
    this.#messages++
    if (this.#messages > this.#limits.messagesPerSecond * Math.max(1, this.#limits.sweepMs / 1000)) return this.end('TooManyMessages')
    // What a consumer of the deployed stream may say has never meant anything.
    if (this.#plan.stream === 'export') return
    const text = binary || !Buffer.isBuffer(data) ? null : data.toString()
    if (text === null) return this.end('InvalidMessage')
    if (this.#filterDue) return this.#takeFilter(text)
    const { value } = verdictOf(() => parseCredit(text))
    if (value === null) return this.end('InvalidMessage')
    this.#granted.advance(Math.min(this.#granted.value + value, this.#used + this.#limits.creditBytes))
  }

  #takeFilter(text: string): void {
    this.#filterDue = false
    try {
      const filter = readFilter(new URLSearchParams(text), this.#limits)
      if (filter === null) throw new Refused('INVALID_DID', 'none')
      this.#filtered.resolve(filter)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.end('InvalidMessage')
    }
  }
}
