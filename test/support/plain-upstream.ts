// A plain did:plc directory that misbehaves on command: pages, a stream and audit logs over a list that a test may change as it likes.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { fromJson, renderJson } from '../../src/core/encoding/json.ts'
import { formatTimestamp } from '../../src/core/encoding/timestamp.ts'
import { parseOperation, type Operation } from '../../src/core/plc/operation.ts'
import { renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from '../../src/core/plc/records.ts'

/** One operation as the directory shows it. */
export interface Shown extends LedgerRecord {
  readonly seq: number
  readonly nullified: boolean
  /** The line that stands for it in pages and in the stream, whatever it is. */
  readonly raw?: string | Buffer
}

/** The directory. All of it can be changed at any time. */
export interface PlainDirectory extends AsyncDisposable {
  readonly url: string
  /** What it shows, in the order of its pages. */
  rows: Shown[]
  /** Whether its operations have numbers. */
  numbered: boolean
  /** Whether nothing is answered at all. */
  gone: boolean
  /** Whether it has a stream. */
  streams: boolean
  /** Why a stream is refused at once; null for no reason. */
  closes: string | null
  /** Answers that are 429, and after how many seconds it may be asked again. */
  busy: { times: number; retryAfter: number }
  /** Changes the lines of a page. */
  page: (lines: readonly (string | Buffer)[], after: string) => readonly (string | Buffer)[]
  /** Changes a message of the stream: what is sent in its place, in order. */
  event: (text: string, row: Shown) => readonly string[]
  /** Changes an audit log; null makes it a 404. */
  audit: (text: string, did: string) => string | null
  /** Paths of all requests. */
  readonly asked: string[]
  /** Shows one operation more: in the stream too, unless it is `silent`. */
  show(did: string, operation: Operation, given?: Partial<Shown> & { readonly silent?: boolean }): Shown
  /** Shows these records as well. */
  showAll(records: Iterable<LedgerRecord>): void
  /** Cuts every stream that is open. */
  cut(): void
}

/** When the first operation that is shown without a time was accepted; the others follow, a second each. */
export const SHOWN_MS = Date.parse('2024-01-01T00:00:00.000Z')

/** Opens one that shows nothing yet. */
export async function openPlain(): Promise<PlainDirectory> {
  const sockets = new WebSocketServer({ noServer: true })
  const server = createServer(answer)

  const directory: PlainDirectory = {
    url: '', rows: [], numbered: true, gone: false, streams: true, closes: null, busy: { times: 0, retryAfter: 0 },
    page: (lines) => lines, event: (text) => [text], audit: (text) => text, asked: [],
    show(did, operation, { silent = false, ...given } = {}) {
      const seq = given.seq ?? Math.max(0, ...directory.rows.map((row) => row.seq)) + 1
      const row: Shown = { did, operation, cid: operation.cid, seq, nullified: false, createdAt: SHOWN_MS + seq * 1000, ...given }
      directory.rows.push(row)
      if (!silent) for (const socket of sockets.clients) send(socket, row)
      return row
    },
    showAll(records) {
      let seq = Math.max(0, ...directory.rows.map((row) => row.seq))
      for (const record of records) directory.rows.push({ nullified: false, ...record, seq: ++seq })
    },
    cut: () => sockets.clients.forEach((socket) => socket.terminate()),
    async [Symbol.asyncDispose]() {
      directory.cut()
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://upstream')
    directory.asked.push(url.pathname + url.search)
    if (directory.gone) {
      request.socket.destroy()
    } else if (directory.busy.times > 0) {
      directory.busy.times--
      response.writeHead(429, { 'retry-after': String(directory.busy.retryAfter) }).end('{"message":"slow down"}')
    } else if (request.method === 'POST') {
      take(request, response, decodeURIComponent(url.pathname.slice(1)))
    } else if (url.pathname === '/export') {
      const after = url.searchParams.get('after') ?? ''
      response.writeHead(200, { 'content-type': 'application/jsonlines' }).end(joined(directory.page(linesAfter(after, Number(url.searchParams.get('count') ?? 1000)), after)))
    } else {
      const did = /^\/([^/]+)\/log\/audit$/.exec(decodeURIComponent(url.pathname))?.[1] ?? ''
      const rows = directory.rows.filter((row) => row.did === did && row.raw === undefined).sort((a, b) => a.createdAt - b.createdAt)
      const text = rows.length === 0 ? null : directory.audit(renderAuditLog(rows), did)
      response.writeHead(text === null ? 404 : 200, { 'content-type': 'application/json' }).end(text ?? '{"message":"DID not registered"}')
    }
  }

  // As deployed: digits are a number where operations have some, and anything else is a date.
  function linesAfter(after: string, count: number): (string | Buffer)[] {
    if (directory.numbered && /^\d+$/.test(after)) {
      const rows = directory.rows.filter(({ seq }) => seq > Number(after)).sort((a, b) => a.seq - b.seq)
      return rows.slice(0, count).map((row) => row.raw ?? renderSequenced(row))
    }
    const time = after === '' ? -Infinity : new Date(after).getTime()
    const rows = directory.rows.filter(({ createdAt }) => createdAt > time).sort((a, b) => a.createdAt - b.createdAt || (a.cid < b.cid ? -1 : 1))
    return rows.slice(0, count).map((row) => row.raw ?? renderLegacy(row))
  }

  // Whatever is submitted is shown, and is in the stream a moment later.
  function take(request: IncomingMessage, response: ServerResponse, did: string): void {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end('OK')
      directory.show(did, parseOperation(fromJson(JSON.parse(Buffer.concat(chunks).toString()))))
    })
  }

  function send(socket: WebSocket, row: Shown): void {
    const { seq, did, operation, cid, createdAt } = row
    const text = `{"seq":${seq},"type":"sequenced_op","did":${JSON.stringify(did)},"operation":${renderJson(operation.value)},"cid":"${cid}","createdAt":"${formatTimestamp(createdAt)}"}`
    for (const message of directory.event(row.raw === undefined ? text : String(row.raw), row)) socket.send(message)
  }

  server.on('upgrade', (request, socket, head) => {
    directory.asked.push(request.url ?? '')
    if (directory.gone || !directory.streams) {
      socket.destroy()
      return
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const cursor = Number(new URL(request.url ?? '', 'http://upstream').searchParams.get('cursor') ?? Infinity)
      const newest = Math.max(0, ...directory.rows.map((row) => row.seq))
      const reason = directory.closes ?? (cursor > newest && cursor !== Infinity ? 'FutureCursor' : null)
      if (reason !== null) client.close(1000, reason)
      else for (const row of directory.rows.filter(({ seq }) => seq > cursor).sort((a, b) => a.seq - b.seq)) send(client, row)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(directory, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

function joined(lines: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(lines.flatMap((line, i) => [...(i === 0 ? [] : [Buffer.from('\n')]), Buffer.from(line)]))
}
