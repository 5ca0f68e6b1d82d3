// Subscribers of the streams: one that keeps what it is sent, and one that holds nothing of a log but an edge.

import { once } from 'node:events'
import { WebSocket, type ClientOptions } from 'ws'
import type { Frame } from '../../src/core/frame.ts'
import { grow } from '../../src/core/growth.ts'
import { checkRoot } from '../../src/core/replay.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_EDGE, type Edge } from '../../src/core/tlog/edge.ts'
import type { VerifierKey } from '../../src/core/tlog/note.ts'

/** A subscriber that keeps what it is sent. */
export interface Subscriber extends Disposable {
  readonly socket: WebSocket
  /** Texts and bytes, in the order in which they came. */
  readonly messages: (string | Uint8Array)[]
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  /** Resolves once this many messages have come; rejects where the stream ends before. */
  until(count: number): Promise<void>
}

/** Opens a stream. */
export async function subscribe(url: string, path: string, options: ClientOptions = {}): Promise<Subscriber> {
  const socket = new WebSocket(url.replace('http', 'ws') + path, options)
  const messages: (string | Uint8Array)[] = []
  let changed: () => void = () => undefined
  let ended = false
  socket.on('message', (data: Buffer, binary) => {
    messages.push(binary ? new Uint8Array(data) : data.toString())
    changed()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => {
      ended = true
      changed()
      resolve({ code, reason: reason.toString() })
    })
  })
  socket.on('error', () => undefined)
  await once(socket, 'open')
  return {
    socket,
    messages,
    closed,
    async until(count) {
      while (messages.length < count) {
        if (ended) throw new Error(`the stream ended after ${messages.length} of ${count} messages`)
        await new Promise<void>((resolve) => (changed = resolve))
      }
    },
    [Symbol.dispose]: () => socket.terminate(),
  }
}

/** What is answered to an upgrade that is refused. */
export async function refusalOf(url: string, path: string, options: ClientOptions = {}): Promise<{ status: number; message: string; retryAfter: string | undefined }> {
  const socket = new WebSocket(url.replace('http', 'ws') + path, options)
  socket.on('error', () => undefined)
  const [request, response] = (await once(socket, 'unexpected-response')) as [{ destroy(): void }, NodeJS.ReadableStream & { statusCode: number; headers: Record<string, string> }]
  let body = ''
  for await (const chunk of response) body += String(chunk)
  request.destroy()
  return { status: response.statusCode, message: (JSON.parse(body) as { message: string }).message, retryAfter: response.headers['retry-after'] }
}

/** The sequence numbers in messages of `/export/stream`. */
export function seqsOf(messages: readonly (string | Uint8Array)[]): number[] {
  return messages.map((message) => (JSON.parse(String(message)) as { seq: number }).seq)
}

/** A consumer of `/log/stream` that holds an edge, re-derives every root, and keeps apart what no checkpoint covers yet. */
export class EdgeConsumer {
  /** The tree under the newest checkpoint, or the one that it began with. */
  edge: Edge
  /** Checkpoints that were verified. */
  checked = 0
  /** Most entries that waited for a checkpoint. */
  mostProvisional = 0
  readonly #keys: readonly VerifierKey[]
  #provisional: Uint8Array[] = []
  #next: number

  constructor(keys: readonly VerifierKey[], edge: Edge = EMPTY_EDGE) {
    this.#keys = keys
    this.edge = edge
    this.#next = edge.size
  }

  /** Index of the entry that has to come next. */
  get next(): number {
    return this.#next
  }

  /** Takes one frame. Throws where it is not what has to come, or a root is not that of what came. */
  take(frame: Frame): void {
    if (frame.type === 'match') throw new Error('a match without a filter')
    if (frame.type === 'entries') {
      if (frame.start !== this.#next) throw new Error(`entry ${frame.start} came where ${this.#next} was due`)
      this.#next += frame.entries.length
      this.#provisional.push(...frame.entries)
      if (!frame.provisional) this.#fold(this.#next)
      this.mostProvisional = Math.max(this.mostProvisional, this.#provisional.length)
      return
    }
    const { checkpoint } = openCheckpoint(frame.note, this.#keys)
    this.#fold(checkpoint.size)
    checkRoot({ edge: this.edge, clock: { lastNative: null } }, checkpoint)
    this.checked++
  }

  // What the next checkpoint covers can be folded before it comes.
  #fold(size: number): void {
    const covered = this.#provisional.slice(0, size - this.edge.size)
    this.edge = grow(this.edge, covered).edge
    this.#provisional = this.#provisional.slice(covered.length)
  }
}
