// Writers that make identities and change them, never give an operation up, and remember what was acknowledged.

import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderJson } from '../../src/core/encoding/json.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signOperation } from '../../src/core/plc/signature.ts'
import { fields, signer } from './people.ts'

export interface LoadOptions {
  /** Directories that take writes; a writer goes to the next where one fails. */
  readonly urls: readonly string[]
  readonly writers: number
  /** Longest pause of a writer between two operations, milliseconds. */
  readonly pauseMs: number
  /** Most operations that all of them begin in a second. Of what was not begun in time at most BEHIND_MS are made up for. Default: any number. */
  readonly perSecond?: number
  /** Operations that are signed before the first is sent, so that what is measured has the machine to itself; what goes beyond is signed meanwhile. Default: none. */
  readonly prepared?: number
}

/** What a load has seen. */
export interface LoadFigures {
  readonly acknowledged: number
  /** Attempts that had to be made again. */
  readonly retried: number
  /** Longest time in which nothing was acknowledged to anybody, milliseconds. */
  readonly longestOutageMs: number
  /** Longest time from an operation's first attempt to its acknowledgement, milliseconds. */
  readonly longestWaitMs: number
}

/** Writers at work. */
export interface Load {
  /** DID of each operation that was acknowledged, by CID, in the order of the acknowledgements. */
  readonly acknowledged: ReadonlyMap<string, string>
  /** Since this was asked last. */
  lap(): LoadFigures
  /** Resolves once this many more operations are acknowledged. Throws where that takes longer than `withinMs`. */
  progress(count: number, withinMs: number): Promise<void>
  /** Lets every writer bring its operation to an end. Throws where one was refused. */
  finish(): Promise<void>
}

/** Operations of an identity before the next one begins: below what an hour allows. */
const CHAIN_LENGTH = 5
const ATTEMPT_MS = 20_000
/** Answers come in bursts: writers who wait for them must not fall behind a rate that others would keep. */
const BEHIND_MS = 250

/** Sets writers to work. */
export function startLoad({ urls, writers, pauseMs, perSecond = Infinity, prepared = 0 }: LoadOptions): Load {
  const ready = Array.from({ length: Math.ceil(prepared / CHAIN_LENGTH) }, (_, i) => signedChain(`ready-${i}`)).reverse()
  const acknowledged = new Map<string, string>()
  const stop = new AbortController()
  const lines = new Set<Line>()
  let nextAt = performance.now()
  let counted = 0
  let retried = 0
  let lastAt = performance.now()
  let longestOutageMs = 0
  let longestWaitMs = 0

  async function deliver({ did, cid, body }: Signed, start: number, own: readonly Line[]): Promise<void> {
    const since = performance.now()
    for (let attempt = 0; ; attempt++) {
      const verdict = await own[(start + attempt) % own.length]?.post(`/${did}`, body)
      if (verdict === 'accepted') break
      if (verdict !== 'again') throw new Error(`${cid} of ${did} was refused: ${verdict}`)
      retried++
      await sleep(20 + Math.random() * 80)
    }
    const now = performance.now()
    acknowledged.set(cid, did)
    longestOutageMs = Math.max(longestOutageMs, now - lastAt)
    longestWaitMs = Math.max(longestWaitMs, now - since)
    lastAt = now
  }

  async function write(writer: number): Promise<void> {
    const own = urls.map((url) => newLine(new URL(url)))
    for (const line of own) lines.add(line)
    for (let n = 0; !stop.signal.aborted; n++) {
      for (const operation of ready.pop() ?? signedChain(`${writer}-${n}`)) {
        if (stop.signal.aborted) return
        await deliver(operation, writer, own)
        nextAt = Math.max(nextAt + 1000 / perSecond, performance.now() - BEHIND_MS)
        await sleep(Math.max(0, nextAt - performance.now()) + Math.random() * pauseMs, undefined, { signal: stop.signal }).catch(() => undefined)
      }
    }
  }

  const work = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  work.catch(() => undefined)
  return {
    acknowledged,
    lap() {
      const figures = { acknowledged: acknowledged.size - counted, retried, longestOutageMs: Math.round(longestOutageMs), longestWaitMs: Math.round(longestWaitMs) }
      counted = acknowledged.size
      retried = longestOutageMs = longestWaitMs = 0
      return figures
    },
    async progress(count, withinMs) {
      const goal = acknowledged.size + count
      const until = performance.now() + withinMs
      while (acknowledged.size < goal) {
        if (performance.now() > until) throw new Error(`nobody was served for long: ${acknowledged.size} of ${goal} acknowledged after ${withinMs} ms`)
        await Promise.race([work, sleep(10)])
      }
    },
    async finish() {
      stop.abort()
      await work
      for (const line of lines) line.close()
    },
  }
}

const KEY = signer('load')

/** An operation as it is sent. */
interface Signed {
  readonly did: string
  readonly cid: string
  readonly body: string
}

// All of an identity's operations, signed before the first is sent: none depends on an answer.
function signedChain(name: string): Signed[] {
  const rotationKeys = [KEY.did]
  const chain: Operation[] = []
  for (let i = 0; i < CHAIN_LENGTH; i++) {
    chain.push(signOperation(operationValue(fields({ rotationKeys, alsoKnownAs: [`at://v${i}.${name}.test`], prev: chain[i - 1]?.cid ?? null })), KEY))
  }
  const did = didOf(chain[0]?.bytes ?? new Uint8Array())
  return chain.map(({ cid, value }) => ({ did, cid, body: renderJson(value) }))
}

/** A writer's connection to a server, opened again where it was lost. One request at a time. */
interface Line {
  /** What became of one attempt: 'accepted', 'again' where another may be worth it, or the verdict. */
  post(path: string, body: string): Promise<string>
  close(): void
}

// A bare socket: `http` takes about as much of the machine as what is asked of the other side.
function newLine({ hostname, port }: URL): Line {
  let socket: Socket | null = null
  let heard = ''
  let settle: (verdict: string) => void = () => undefined

  const open = (): Socket => {
    const opened = connect({ host: hostname, port: Number(port), noDelay: true, timeout: ATTEMPT_MS }).setEncoding('latin1')
    opened.on('error', () => undefined).on('timeout', () => opened.destroy())
    opened.on('close', () => {
      socket = null
      settle('again')
    })
    opened.on('data', (part: string) => {
      heard += part
      const end = heard.indexOf('\r\n\r\n') + 4
      if (end < 4) return
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(heard)?.[1])
      if (Number.isNaN(length)) opened.destroy()
      if (!(heard.length >= end + length)) return
      const status = Number(heard.slice(9, 12))
      settle(status === 200 ? 'accepted' : status >= 500 ? 'again' : `${status} ${heard.slice(end)}`)
    })
    return opened
  }

  return {
    post: (path, body) =>
      new Promise((resolve) => {
        heard = ''
        settle = resolve
        socket ??= open()
        socket.write(`POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
      }),
    close: () => socket?.destroy(),
  }
}
