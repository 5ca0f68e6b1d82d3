// Fuzz targets of the counter: requests as they are written, bodies, queries; each answered over a connection in memory.

import { duplexPair } from 'node:stream'
import { gunzipSync, gzipSync } from 'node:zlib'
import { renderJson } from '../../../src/core/encoding/json.ts'
import { parseRecord } from '../../../src/core/plc/records.ts'
import { decodeBundle } from '../../../src/core/tlog/bundle.ts'
import { parseNote, parseVerifierKey } from '../../../src/core/tlog/note.ts'
import { parseTlogProof } from '../../../src/core/tlog/tlog-proof.ts'
import { createApp } from '../../../src/http/app.ts'
import { listen, type Listening } from '../../../src/http/listen.ts'
import { COUNTER_ORIGIN, openCounter } from '../../support/counter.ts'
import { person } from '../../support/people.ts'
import { bytesOfAll, must, type Target } from '../target.ts'
import { accepted } from '../target.ts'

const alice = person('alice')
const update = alice.update(alice.genesis, { key: 1 })
const bob = person('bob')

const PATHS = [
  '/', '/_health', '/checkpoint', '/log/vkey',
  '/export', '/export?after=0&count=10', '/export?after=2026-01-02T03:04:05.678Z', '/export?count=3', '/export?after=15',
  '/tile/0/000.p/20', '/tile/0/000.p/7', '/tile/entries/000.p/20', '/tile/entries/000.p/1',
  '/log/proof/inclusion?index=5', '/log/proof/inclusion?index=5&size=20', '/log/proof/consistency?from=3', '/log/proof/consistency?from=0&to=20',
  ...['', '/data', '/log', '/log/audit', '/log/last', `/log/${update.cid}/proof`].map((rest) => `/${alice.did}${rest}`),
  `/${encodeURIComponent(alice.did)}/data`, 'http://directory.example/_health',
]

const REQUESTS = [
  ...PATHS.map((path, i) => `GET ${path}\nAccept-Encoding: ${i % 2 === 0 ? 'gzip' : 'identity'}\n\n`),
  `HEAD /${alice.did}\nIf-None-Match: "x"\nIf-Modified-Since: Fri, 02 Jan 2026 03:05:35 GMT\n\n`,
  'OPTIONS /export\nOrigin: https://app.example\nAccess-Control-Request-Headers: content-type, x-y\n\n',
  'GET /\nAccept: text/html;q=0.9, application/json;q=0.1\nRange: bytes=0-5\n\n',
  `POST /${alice.did}\nContent-Type: application/json; charset=utf-8\nPrefer: wait=1\nAccept: text/x.tlog-proof\n\n${renderJson(update.value)}`,
  `POST /${alice.did}\nContent-Type: application/json\nPrefer: respond-async, wait="5"; x=y\n\n${renderJson(update.value)}`,
]

const QUERIES = [
  ...['after=0&count=10', 'after=2026-01-02T03:04:05.678Z', 'count=1&after=', 'after=19'].map((query) => `/export?${query}`),
  ...['index=5&size=20', 'index=0&size=1'].map((query) => `/log/proof/inclusion?${query}`),
  ...['from=3&to=20', 'from=0'].map((query) => `/log/proof/consistency?${query}`),
]

const WORDS = [
  alice.did, update.cid, 'did:plc:', '%00', '%zz', '%ff', '%2f', '/..', '//', '?', '&', 'count=', 'after=', 'index=', 'size=', 'from=', 'to=',
  '.p/', 'x001/', '9'.repeat(30), '-1', '1e3', '0x10', '2026-01-01', '1970', 'Infinity', 'GET', 'HEAD', 'POST', 'PUT', 'CONNECT', 'TRACE',
  'Accept: */*', 'gzip;q=0', 'wait=', '"', '\r',
]

export const HTTP_TARGETS: readonly Target[] = [
  {
    name: 'HTTP requests',
    form: 'text',
    seeds: bytesOfAll(REQUESTS),
    words: WORDS,
    maxMs: 1_000,
    hostile: bytesOfAll([
      `GET /${'a'.repeat(100_000)}\n\n`, `GET /${'%25'.repeat(4_000)}\n\n`, `GET /${'/'.repeat(15_000)}\n\n`,
      `GET /${'a/log/'.repeat(2_500)}\n\n`, `GET /?${'a&'.repeat(7_900)}\n\n`, `GET /tile/${'x001/'.repeat(3_000)}\n\n`,
      `GET /export?${'after=1&'.repeat(1_500)}\n\n`, `GET /\nAccept: ${'a/b;q=0.1,'.repeat(1_500)}\n\n`,
      `GET /\n${'Accept: a/b\n'.repeat(1_000)}\n`, `GET /\nAccept-Encoding: ${'gzip;q=0.1,'.repeat(1_400)}\n\n`,
      `GET /\nIf-None-Match: ${'"x",'.repeat(3_000)}\n\n`, `POST /x\nPrefer: ${'wait =  '.repeat(2_000)}\n\n`,
      `POST /x\nContent-Type: application/json;${' '.repeat(15_000)}x\n\n`,
    ]),
    async run(input) {
      const [head = '', ...rest] = Buffer.from(input).toString('latin1').split('\n\n')
      const [line = '', ...headers] = head.split('\n')
      return await exchange(line, headers, Buffer.from(rest.join('\n\n'), 'latin1'))
    },
  },
  {
    name: 'HTTP paths and queries',
    form: 'text',
    seeds: bytesOfAll([...PATHS, ...QUERIES]),
    words: WORDS,
    run: async (input) => {
      // As most clients would: what may not stand in a target is percent-encoded, and what is too long is cut.
      const path = Buffer.from(input).toString('latin1').slice(0, 4_000).replaceAll(
        /[^!-~]|#/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(2, '0')}`,
      )
      return await exchange(`GET ${path}`, [], Buffer.alloc(0))
    },
  },
  {
    name: 'HTTP bodies',
    form: 'json',
    seeds: bytesOfAll([alice.genesis, update, bob.genesis].map((operation) => renderJson(operation.value))),
    words: ['plc_operation', 'plc_tombstone', 'sig', 'prev', 'type', 'services', update.cid, 'did:key:z'],
    maxMs: 1_000,
    hostile: [
      ...bytesOfAll([
        '['.repeat(100_000), `${'['.repeat(51_000)}${']'.repeat(51_000)}`, `{"a":${'{"a":'.repeat(17_000)}`, `"${'\\ud800'.repeat(17_000)}"`,
        `[${'1e999,'.repeat(17_000)}1]`,
      ]),
      new Uint8Array(102_401),
    ],
    run: async (input) => {
      const did = Buffer.from(input).includes('at://bob') ? bob.did : alice.did
      const packed = input.length % 8 === 0
      return await exchange(
        `POST /${did}`, ['Content-Type: application/json', ...(packed ? ['Content-Encoding: gzip'] : [])],
        packed ? gzipSync(input) : Buffer.from(input),
      )
    },
  },
]

/** Fields that decide where a request ends: those are ours. */
const FRAMING = /^\s*(connection|content-length|transfer-encoding|expect|upgrade|host)\b/i

/** How long an answer may take, in milliseconds. */
const ANSWER_MS = 10_000

// Whether a request gets what it asks for. Whatever it is, its answer is a documented one.
async function exchange(line: string, headers: readonly string[], body: Buffer): Promise<boolean> {
  const { listening, incidents } = await (serving ??= serve())
  const fields = headers.filter((header) => !FRAMING.test(header) && header !== '')
  const head = [`${line} HTTP/1.1`, 'Host: fuzz.test', 'Connection: close', `Content-Length: ${body.length}`, ...fields, '', ''].join('\r\n')
  const received = await send(listening, Buffer.concat([Buffer.from(head, 'latin1'), body]))
  must(incidents.length === 0, `no request is an incident: ${String(incidents.pop())}`)
  if (received.length === 0) {
    must(/^(CONNECT|PRI)( |$)/.test(line), 'every request is answered, but for tunnels')
    return false
  }
  return checkAnswer(line.split(' ')[0] ?? '', received)
}

function checkAnswer(method: string, received: Buffer): boolean {
  const end = received.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1])
  const headers = new Map(lines.map((line): [string, string] => [
    line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim(),
  ]))
  const sent = received.subarray(end + 4)
  const body = headers.get('transfer-encoding') === 'chunked' ? unchunk(sent) : sent
  must(status >= 200 && status < 500, `no answer is a ${status}`)
  must(headers.get('access-control-allow-origin') === '*', 'browsers may read every answer')
  // What is no HTTP has no method either: the answer has a body whatever the line began with.
  const unreadable = ['{"message":"Bad Request"}', '{"message":"Request Header Fields Too Large"}'].includes(body.toString())
  if (!unreadable && (method === 'HEAD' || status === 204 || status === 304)) {
    must(body.length === 0, 'there is no body where none belongs')
    return status < 400
  }
  const type = headers.get('content-type') ?? ''
  const content = headers.get('content-encoding') === 'gzip' ? gunzipSync(body) : body
  if (status >= 400) {
    must(type === 'application/json; charset=utf-8' && headers.get('cache-control') === 'no-store', 'an error is JSON and is not kept')
    const error: unknown = JSON.parse(content.toString())
    must(
      typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string' && Object.keys(error).length === 1,
      'and has a message',
    )
    return false
  }
  checkContent(type, content)
  return true
}

function checkContent(type: string, content: Buffer): void {
  const text = content.toString()
  switch (type) {
    case 'application/did+ld+json; charset=utf-8':
    case 'application/json; charset=utf-8':
      JSON.parse(text)
      return
    case 'application/jsonlines':
      for (const [i, line] of text === '' ? [] : text.split('\n').entries()) {
        const record: unknown = JSON.parse(line)
        if (i === 0) parseRecord(record)
      }
      return
    case 'text/plain; charset=utf-8':
      if (text === 'OK') return
      must(
        accepted(() => parseNote(text)) !== null || accepted(() => text.trimEnd().split('\n').map(parseVerifierKey)) !== null,
        'a text is OK, a checkpoint or keys',
      )
      return
    case 'text/html; charset=utf-8':
      must(text.startsWith('<!doctype html>'), 'a page is a page')
      return
    case 'text/x.tlog-proof; charset=utf-8':
      parseTlogProof(text)
      return
    default: {
      must(type === 'application/octet-stream', 'a content type is a documented one')
      const isBundle = Array.from({ length: 256 }, (_, i) => i + 1).some((count) => accepted(() => decodeBundle(content, count)) !== null)
      must(isBundle || (content.length % 32 === 0 && content.length <= 8_192), 'bytes are a tile or a bundle')
    }
  }
}

function unchunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at)
    const length = parseInt(bytes.toString('latin1', at, end), 16)
    must(end > 0 && length >= 0, 'chunks are whole')
    if (length === 0) return Buffer.concat(chunks)
    chunks.push(bytes.subarray(end + 2, end + 2 + length))
    at = end + 4 + length
  }
}

async function send(listening: Listening, request: Buffer): Promise<Buffer> {
  const [client, server] = duplexPair()
  listening.server.emit('connection', server)
  const chunks: Buffer[] = []
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const late = setTimeout(() => reject(new Error(`there is no answer within ${ANSWER_MS} ms`)), ANSWER_MS)
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  client.on('error', () => undefined)
  client.once('end', () => resolve(Buffer.concat(chunks)))
  client.once('close', () => resolve(Buffer.concat(chunks)))
  client.write(request)
  try {
    return await promise
  } finally {
    clearTimeout(late)
    client.destroy()
    server.destroy()
  }
}

interface Serving {
  readonly listening: Listening
  /** What the counter reported as an error of its own. */
  readonly incidents: unknown[]
}

let serving: Promise<Serving> | null = null

/** Ends what the requests were sent to. */
export async function endServing(): Promise<void> {
  const ending = serving
  serving = null
  await (await ending)?.listening.close()
}

async function serve(): Promise<Serving> {
  const counter = await openCounter()
  const { store, tip, clock } = counter
  await counter.submit(alice.did, alice.genesis)
  clock.ms += 90_000
  await counter.submit(alice.did, update)
  await counter.fill(18)
  await counter.publish()
  const incidents: unknown[] = []
  const app = createApp(
    {
      store,
      tip,
      origin: COUNTER_ORIGIN,
      version: '1.2.3',
      now: () => clock.ms,
      faults: () => [],
      log: (level, { error }, words) => {
        if (level === 'error') incidents.push(error ?? words)
      },
      // Covered at once, so that nobody waits for a checkpoint.
      submit: async (did, operation) => {
        const submitted = await counter.submit(did, operation)
        if (tip.durable > tip.published) await counter.publish()
        return submitted
      },
    },
    { readRate: 0, writeRate: 0 },
  )
  await counter[Symbol.asyncDispose]()
  const listening = await listen(app, { host: '127.0.0.1', port: 0, limits: { connectionsPerAddress: Infinity, keepAliveSeconds: 1 } })
  return { listening, incidents }
}
