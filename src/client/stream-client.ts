// Following a log over a WebSocket, in a browser or in Node: frames as fast as they are taken, and no faster.
// spec/stream.md#log-stream

import { DirectoryError } from '../core/errors.ts'
import { decodeFrame, formatCredit, MAX_FRAME_BYTES, type Frame } from '../core/frame.ts'

/** What may be asked of a stream; everything has a default. */
export interface StreamOptions {
  /** Ends the stream. */
  readonly signal?: AbortSignal
  /** Bytes that may be on their way or wait here, beside one message. Default 4 MiB. */
  readonly bufferBytes?: number
  /** Default: the platform's. */
  readonly WebSocket?: typeof WebSocket
}

/** Which entries of a log: those of the DIDs, and those that name one of the services before or after; with `history` the earlier ones of their DIDs, too. */
export interface StreamFilter {
  readonly dids?: readonly string[]
  readonly services?: readonly string[]
  readonly history?: boolean
}

/** A stream ended, or could not be opened. To go on from where it was is the normal way. */
export class StreamClosedError extends Error {
  override readonly name = 'StreamClosedError'
  /** Of the WebSocket; 1006 where there was no close. */
  readonly code: number
  /** Such as `FutureCursor`: spec/stream.md#closing. Not to be trusted. */
  readonly reason: string

  constructor(code: number, reason: string) {
    super(reason === '' ? `the stream ended (${code})` : `the stream ended: ${reason}`)
    this.code = code
    this.reason = reason
  }
}

/**
 * The frames of a log's stream from the entry at `from` on, below the prefix `baseUrl` (http or https). Nothing in them
 * is verified. Throws StreamClosedError when the stream ends, MALFORMED_FRAME, and the signal's reason.
 */
export async function* logStream(baseUrl: string, from: number, options: StreamOptions & { readonly filter?: StreamFilter } = {}): AsyncGenerator<Frame, never> {
  const { filter, bufferBytes = DEFAULT_BUFFER_BYTES } = options
  const url = streamUrl(baseUrl, 'log/stream', { from: String(from), credit: formatCredit(bufferBytes), ...(filter === undefined ? {} : { filter: 'message' }) })
  const first = filter === undefined ? null : filterText(filter)
  let taken = 0
  for await (const { data, send } of messages(url, { ...options, maxBytes: bufferBytes + MAX_FRAME_BYTES }, first)) {
    if (!(data instanceof ArrayBuffer)) throw new DirectoryError('MALFORMED_FRAME', 'a text')
    yield decodeFrame(new Uint8Array(data))
    taken += data.byteLength
    if (taken * 2 < bufferBytes) continue
    send(formatCredit(taken))
    taken = 0
  }
  throw new StreamClosedError(1006, '')
}

/**
 * The messages of a directory's `/export/stream` after `cursor`, each the JSON text of one operation: of any did:plc
 * directory. That stream has no flow control that a WebSocket client can use: where more than `bufferBytes` wait here,
 * it is ended as `ConsumerTooSlow`, and can be taken up again. Throws StreamClosedError and the signal's reason.
 */
export async function* exportStream(baseUrl: string, cursor: number | null, options: StreamOptions = {}): AsyncGenerator<string, never> {
  const url = streamUrl(baseUrl, 'export/stream', cursor === null ? {} : { cursor: String(cursor) })
  for await (const { data } of messages(url, { ...options, maxBytes: options.bufferBytes ?? DEFAULT_BUFFER_BYTES }, null)) {
    if (typeof data === 'string') yield data
  }
  throw new StreamClosedError(1006, '')
}

const DEFAULT_BUFFER_BYTES = 4_194_304

/** Fewer than any message of either protocol has. */
const LEAST_BYTES = 64

interface Message {
  readonly data: unknown
  readonly send: (text: string) => void
}

// A WebSocket as a sequence of its messages. It has no way to be paused, so what arrives waits here.
async function* messages(url: string, options: StreamOptions & { readonly maxBytes: number }, first: string | null): AsyncGenerator<Message> {
  const { signal, maxBytes, WebSocket: Socket = WebSocket } = options
  signal?.throwIfAborted()
  const socket = new Socket(url)
  socket.binaryType = 'arraybuffer'
  const waiting: unknown[] = []
  let bytes = 0
  let end: StreamClosedError | null = null
  let wake: () => void = () => undefined
  socket.addEventListener('open', () => {
    if (first !== null) socket.send(first)
  })
  socket.addEventListener('message', ({ data }) => {
    if (end !== null) return
    waiting.push(data)
    bytes += sizeOf(data)
    // Empty ones take room, too.
    if (bytes > maxBytes || waiting.length > maxBytes / LEAST_BYTES) {
      end = new StreamClosedError(1000, 'ConsumerTooSlow')
      socket.close()
    }
    wake()
  })
  socket.addEventListener('close', ({ code, reason }) => {
    end ??= new StreamClosedError(code, reason)
    wake()
  })
  // Says nothing that `close` does not say; without a listener Node would complain.
  socket.addEventListener('error', () => undefined)
  const abort = (): void => wake()
  signal?.addEventListener('abort', abort)
  const send = (text: string): void => {
    if (socket.readyState === socket.OPEN) socket.send(text)
  }
  try {
    for (;;) {
      signal?.throwIfAborted()
      if (waiting.length > 0) {
        const data = waiting.shift()
        bytes -= sizeOf(data)
        yield { data, send }
      } else if (end !== null) {
        throw end
      } else {
        await new Promise<void>((resolve) => (wake = resolve))
      }
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    socket.close()
  }
}

function sizeOf(data: unknown): number {
  if (data instanceof ArrayBuffer) return data.byteLength
  return typeof data === 'string' ? data.length * 2 : 0
}

function streamUrl(baseUrl: string, path: string, parameters: Readonly<Record<string, string>>): string {
  const url = new URL(path, baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`)
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:'
  url.search = new URLSearchParams(parameters).toString()
  return url.href
}

function filterText({ dids = [], services = [], history = false }: StreamFilter): string {
  const parameters = new URLSearchParams(history ? { history: '1' } : {})
  for (const did of dids) parameters.append('did', did)
  for (const service of services) parameters.append('service', service)
  return parameters.toString()
}
