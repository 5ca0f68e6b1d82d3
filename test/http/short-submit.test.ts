import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { createApp } from '../../src/http/app.ts'
import { listen } from '../../src/http/listen.ts'
import type { CounterOptions, RequestFacts, Submitted } from '../../src/http/ports.ts'
import { COUNTER_ORIGIN, openCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('alice')
const body = renderJson(genesis.value)

interface Side extends AsyncDisposable {
  readonly url: string
  /** What it told of its requests. */
  readonly told: unknown[]
  /** Operations that were submitted. */
  readonly submitted: unknown[]
}

/** A counter whose submissions all come to this. */
async function openSide(outcome: () => Promise<Submitted>, options: CounterOptions = {}): Promise<Side> {
  await using world = await openCounter()
  const told: unknown[] = []
  const submitted: unknown[] = []
  const submit = (...taken: readonly unknown[]): Promise<Submitted> => {
    submitted.push(taken)
    return outcome()
  }
  const onRequest = (facts: RequestFacts): unknown => told.push(facts)
  const { store, tip, clock } = world
  const app = createApp(
    { store, tip, submit, origin: COUNTER_ORIGIN, version: '1', now: () => clock.ms, faults: () => [], log: (level, fields, words) => told.push([level, { ...fields, path: '', incident: '' }, words]) },
    { readRate: 0, writeRate: 0, elapsed: () => 0, ...options, onRequest },
  )
  const listening = await listen(app, { host: '127.0.0.1', port: 0 })
  return { url: listening.url, told, submitted, [Symbol.asyncDispose]: () => listening.close() }
}

/** Status line, fields in their order, and body; the time of day and the name of an incident are left out. */
function exchange(url: string, path: string, sent: string | Buffer, headers: Readonly<Record<string, string>>): Promise<unknown> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, path, method: 'POST', headers: { 'Content-Type': 'application/json', ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { statusCode, statusMessage, rawHeaders } = response
        const fields = rawHeaders.map((text, i) => (['Date', 'Stele-Incident'].includes(rawHeaders[i - 1] ?? '') ? '' : text))
        resolve({ statusCode, statusMessage, fields, body: Buffer.concat(chunks).toString('latin1') })
      })
    })
    request.on('error', reject)
    request.end(sent)
  })
}

const OUTCOMES: Readonly<Record<string, () => Promise<Submitted>>> = {
  taken: () => Promise.resolve({ outcome: 'accepted', index: 5 }),
  'taken, and covered': () => Promise.resolve({ outcome: 'accepted', index: -1 }),
  refused: () => Promise.reject(new DirectoryError('STALE_PREV')),
  late: () => Promise.resolve({ outcome: 'unavailable', retryAfterS: 1, reason: 'too many operations are waiting' }),
  'read only': () => Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'this is a read-only copy' }),
  failed: () => Promise.reject(new Error('the disk is full')),
}

const BODIES: readonly (readonly [string | Buffer, Readonly<Record<string, string>>])[] = [
  [body, {}],
  [body, { Accept: '*/*', 'Content-Type': 'application/json' }],
  [body, { Accept: 'text/x.tlog-proof' }],
  [body, { Prefer: 'wait=0' }],
  [body, { 'Content-Type': 'application/json; charset=utf-8' }],
  [body, { 'Content-Type': 'text/plain' }],
  [gzipSync(body), { 'Content-Encoding': 'gzip' }],
  [body, { 'Content-Encoding': 'gzip' }],
  [body, { 'Content-Encoding': 'br' }],
  [body, { 'Transfer-Encoding': 'chunked' }],
  [body, { Connection: 'keep-alive' }],
  ['', {}],
  ['{', {}],
  ['[]', {}],
  [Buffer.from([0xff]), {}],
  [JSON.stringify({ type: 'plc_operation' }), {}],
  ['x'.repeat(200_000), {}],
  [`{"a":"${'x'.repeat(5_000)}"}`, {}],
]

describe('a submission that goes the short way', () => {
  it.each(Object.entries(OUTCOMES))('is answered as the application would, to the last byte, whatever is sent and however: %s', async (_, outcome) => {
    await using short = await openSide(outcome)
    await using long = await openSide(outcome)
    for (const [sent, headers] of BODIES) {
      const answer = await exchange(short.url, `/${did}`, sent, headers)
      // What is encoded in a path has to be decoded by the application.
      expect([headers, answer]).toEqual([headers, await exchange(long.url, `/${encodeURIComponent(did)}`, sent, headers)])
    }
    expect(short.told).toEqual(long.told)
    expect(short.submitted).toEqual(long.submitted)
  })

  it('is counted once, and refused where its address has none left, whatever came of it', async () => {
    for (const outcome of ['taken', 'refused']) {
      const options = { writeRate: 1, rateLimitStatus: 429 } as const
      await using short = await openSide(OUTCOMES[outcome] ?? fail, options)
      await using long = await openSide(OUTCOMES[outcome] ?? fail, options)
      for (let i = 0; i < 12; i++) {
        const answer = await exchange(short.url, `/${did}`, body, {})
        expect(answer).toEqual(await exchange(long.url, `/${encodeURIComponent(did)}`, body, {}))
      }
      expect(short.told).toEqual(long.told)
      expect(short.submitted).toHaveLength(10)
    }
  })
})

function fail(): never {
  throw new Error('no such outcome')
}
