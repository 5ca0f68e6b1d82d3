// What spec/openapi.yaml says is what the counter answers: every endpoint of the file is asked, every answer held against it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { renderJson } from '../../src/core/encoding/json.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { readDescription } from '../../src/http/openapi.ts'
import type { Submitted } from '../../src/http/ports.ts'
import { ROUTES } from '../../src/http/router.ts'
import type { Store } from '../../src/storage/store.ts'
import { openCounter, type AskOptions, type Reply, type TestCounter } from '../support/counter.ts'
import { appendMapLeaf } from '../support/map-leaves.ts'
import { mapSite, type MapSite } from '../support/map-writer.ts'
import { person } from '../support/people.ts'

const FILE = join(import.meta.dirname, '../../spec/openapi.yaml')

interface Declared {
  readonly $ref?: string
  readonly headers?: Record<string, { readonly required?: boolean }>
  readonly content?: Record<string, unknown>
}

interface Operation {
  readonly summary: string
  readonly parameters?: readonly { readonly $ref?: string; readonly name?: string; readonly in?: string; readonly required?: boolean }[]
  readonly requestBody?: { readonly content: Record<string, unknown> }
  readonly responses: Record<string, Declared>
}

interface Description {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: Record<string, Record<string, unknown>>
}

const API = parse(readFileSync(FILE, 'utf8')) as Description

const OPERATIONS = Object.entries(API.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, method: method.toUpperCase(), path, operation })))

/** `/a/:b/*c` of the table is `/a/{b}/{c}` of the file. */
const braced = (path: string): string => path.replaceAll(/[:*]([a-z]+)/g, '{$1}')

const ajv = new Ajv2020({ strict: true, allErrors: true })
for (const word of ['openapi', 'info', 'servers', 'tags', 'paths', 'components']) ajv.addKeyword(word)
ajv.addSchema(API, 'api')

function schemaAt(...pointer: string[]): ValidateFunction {
  return ajv.compile({ $ref: `api#/${pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}` })
}

/** Follows a reference; gives where the value stands, too. */
function resolved(pointer: readonly string[]): { readonly pointer: readonly string[]; readonly value: unknown } {
  const value = pointer.reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], API)
  const ref = (value as Declared).$ref
  return ref === undefined ? { pointer, value } : resolved(ref.slice('#/'.length).split('/'))
}

/** Holds an answer against the file: status, content type, headers that must be there, and JSON bodies. */
function check(path: string, method: string, reply: Reply): void {
  const at = `${method} ${path} -> ${reply.status} ${reply.text.slice(0, 200)}`
  const declared = API.paths[path]?.[method.toLowerCase()]?.responses
  expect(Object.keys(declared ?? {}), at).toContain(String(reply.status))
  const { pointer, value } = resolved(['paths', path, method.toLowerCase(), 'responses', String(reply.status)])
  const { content = {}, headers = {} } = value as Declared
  for (const [name, { required = false }] of Object.entries(headers)) if (required) expect(reply.headers, at).toHaveProperty(name.toLowerCase())
  if (reply.headers['retry-after'] !== undefined) expect(Object.keys(headers), at).toContain('Retry-After')
  if (Object.keys(content).length === 0) {
    expect(reply.text, at).toBe('')
    return
  }
  const [type = ''] = (reply.headers['content-type'] ?? '').split(';')
  expect(Object.keys(content), at).toContain(type)
  const validate = schemaAt(...pointer, 'content', type, 'schema')
  for (const part of bodiesOf(type, reply)) expect(validate(part) ? [] : validate.errors, at).toEqual([])
}

function bodiesOf(type: string, { text, body }: Reply): unknown[] {
  if (type.endsWith('json')) return [JSON.parse(text)]
  if (type === 'application/jsonlines') return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as unknown)
  return [type === 'application/octet-stream' ? body : text]
}

describe('the description of the API', () => {
  it('has every endpoint of the table, and no other', () => {
    expect(API.openapi).toMatch(/^3\.1\./)
    const table = ROUTES.map(({ method, path, summary }) => `${method} ${braced(path)}: ${summary}`)
    const file = OPERATIONS.map(({ name, operation }) => `${name}: ${operation.summary}`)
    expect(file).toHaveLength(table.length)
    expect(new Set(file)).toEqual(new Set(table))
  })

  it('declares the parameters of every path', () => {
    for (const { name, path, method, operation } of OPERATIONS) {
      const parameters = (operation.parameters ?? []).map((_, i) => resolved(['paths', path, method.toLowerCase(), 'parameters', String(i)]).value)
      const named = (parameters as { name: string; in: string; required?: boolean }[]).filter((parameter) => parameter.in === 'path')
      expect(named.map((parameter) => [`{${parameter.name}}`, parameter.required]), name).toEqual([...path.matchAll(/\{[a-z]+\}/g)].map(([part]) => [part, true]))
      expect(operation.requestBody !== undefined, name).toBe(method === 'POST')
    }
  })

  it('gives each operation an id of its own, and refers only to what is there', () => {
    const ids = Object.values(API.paths).flatMap((methods) => Object.values(methods).map((operation) => (operation as unknown as { operationId: string }).operationId))
    expect(new Set(ids).size).toBe(OPERATIONS.length)
    const refs = [...readFileSync(FILE, 'utf8').matchAll(/\$ref: '#\/components\/([a-zA-Z]+)\/([A-Za-z-]+)'/g)]
    expect(refs.filter(([, kind = '', name = '']) => API.components[kind]?.[name] === undefined)).toEqual([])
    const used = new Set(refs.map(([, kind, name]) => `${kind}/${name}`))
    const all = Object.entries(API.components).flatMap(([kind, parts]) => Object.keys(parts).map((name) => `${kind}/${name}`))
    expect(all.filter((name) => !used.has(name))).toEqual([])
  })

  it('has schemas that are schemas', () => {
    for (const name of Object.keys(API.components['schemas'] ?? {})) expect(typeof schemaAt('components', 'schemas', name), name).toBe('function')
    expect(schemaAt('components', 'schemas', 'Error')({ message: 'x', more: 1 })).toBe(false)
    expect(schemaAt('components', 'schemas', 'Did')('did:plc:x')).toBe(false)
  })

  it('names the limits as they are', () => {
    const lookup = resolved(['paths', '/dids', 'post', 'requestBody', 'content', 'application/json', 'schema', 'maxItems']).value
    expect(lookup).toBe(LIMITS.lookupDids)
    expect(resolved(['paths', '/export', 'get', 'parameters', '0', 'schema', 'default']).value).toBe(LIMITS.exportCount)
    expect(resolved(['components', 'responses', 'BodyTooLarge', 'description']).value).toContain(LIMITS.bodyBytes.toLocaleString('en'))
  })
})

const [alice, bob, legacy] = [person('alice'), person('bob'), person('carol')]
const UNKNOWN = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const json = (value: unknown, headers: Record<string, string> = {}): AskOptions =>
  ({ method: 'POST', body: typeof value === 'string' ? value : JSON.stringify(value), headers: { 'Content-Type': 'application/json', ...headers } })

/** For each endpoint, requests and the status that each has. */
const REQUESTS: Record<string, readonly (readonly [status: number, path: string, options?: AskOptions])[]> = {
  'GET /': [[200, '/'], [200, '/', { headers: { Accept: 'text/html' } }]],
  'GET /_health': [[200, '/_health']],
  'GET /openapi.json': [[200, '/openapi.json']],
  'GET /export': [[200, '/export'], [200, '/export?after=0&count=5'], [200, '/export?after=99999'], [400, '/export?count=0'], [400, '/export?after=x']],
  'GET /export/stream': [[426, '/export/stream']],
  'GET /log/stream': [[426, '/log/stream?from=0']],
  'GET /checkpoint': [[200, '/checkpoint']],
  'GET /tile/entries/{path}': [[200, '/tile/entries/000'], [200, '/tile/entries/001.p/3'], [404, '/tile/entries/999']],
  'GET /tile/{path}': [[200, '/tile/0/000'], [200, '/tile/1/000.p/1'], [404, '/tile/0/999'], [404, '/tile/x']],
  'GET /log/vkey': [[200, '/log/vkey']],
  'GET /log/keys': [[200, '/log/keys']],
  'GET /log/checkpoints': [[200, '/log/checkpoints']],
  'GET /log/upstream': [[200, '/log/upstream'], [200, '/log/upstream?after=1&count=1'], [400, '/log/upstream?after=x']],
  'GET /log/upstream/cursor': [[200, '/log/upstream/cursor?seq=1'], [200, '/log/upstream/cursor?upstream=1'], [400, '/log/upstream/cursor'], [400, '/log/upstream/cursor?seq=-1']],
  'GET /log/refused': [[200, '/log/refused'], [400, '/log/refused?count=0']],
  'GET /log/divergent': [[200, '/log/divergent'], [400, '/log/divergent?after=x']],
  'GET /log/divergent/{did}': [[200, `/log/divergent/${alice.did}`], [404, `/log/divergent/${UNKNOWN}`]],
  'GET /log/rejected': [[200, '/log/rejected'], [400, '/log/rejected?after=x']],
  'GET /log/withheld': [[200, '/log/withheld'], [400, '/log/withheld?after=x']],
  'GET /map/checkpoint': [[200, '/map/checkpoint']],
  'GET /map/tile/entries/{path}': [[200, '/map/tile/entries/000.p/1'], [404, '/map/tile/entries/999']],
  'GET /map/tile/{path}': [[200, '/map/tile/0/000.p/1'], [404, '/map/tile/0/001'], [404, '/map/tile/x']],
  'GET /map/vkey': [[200, '/map/vkey']],
  'GET /map/keys': [[200, '/map/keys']],
  'GET /map/next': [[200, '/map/next']],
  'GET /log/proof/inclusion': [[200, '/log/proof/inclusion?index=3'], [400, '/log/proof/inclusion'], [400, '/log/proof/inclusion?index=9&size=2'], [404, '/log/proof/inclusion?index=0&size=99999']],
  'GET /log/proof/consistency': [[200, '/log/proof/consistency?from=1'], [200, '/log/proof/consistency?from=0&to=0'], [400, '/log/proof/consistency?from=x'], [404, '/log/proof/consistency?from=1&to=99999']],
  'POST /dids': [
    [200, '/dids', json([alice.did, bob.did, UNKNOWN, 'foo'])], [200, '/dids', json([])], [400, '/dids', json({})], [400, '/dids', json('[')],
    [413, '/dids', json(['x'.repeat(LIMITS.bodyBytes)])], [415, '/dids', json([], { 'Content-Encoding': 'br' })],
  ],
  'GET /{did}': [[200, `/${alice.did}`], [404, `/${bob.did}`], [404, `/${UNKNOWN}`], [404, '/foo']],
  'POST /{did}': [
    [200, `/${alice.did}`, json(renderJson(alice.genesis.value))], [202, `/${legacy.did}`, json(renderJson(legacy.genesis.value), { Prefer: 'wait=0' })],
    [200, `/${alice.did}`, json(renderJson(alice.genesis.value), { Prefer: 'wait=1', Accept: 'text/x.tlog-proof' })],
    [400, `/${alice.did}`, json({})], [400, `/${UNKNOWN}`, json(renderJson(alice.genesis.value))], [413, `/${alice.did}`, json('x'.repeat(LIMITS.bodyBytes + 1))],
    [415, `/${alice.did}`, json({}, { 'Content-Type': 'application/json; charset=latin1' })],
  ],
  'GET /{did}/data': [[200, `/${alice.did}/data`], [404, `/${bob.did}/data`], [404, `/${UNKNOWN}/data`]],
  'GET /{did}/log': [[200, `/${alice.did}/log`], [200, `/${bob.did}/log`], [404, `/${UNKNOWN}/log`]],
  'GET /{did}/log/audit': [[200, `/${alice.did}/log/audit`], [200, `/${bob.did}/log/audit`], [404, `/${UNKNOWN}/log/audit`]],
  'GET /{did}/log/last': [[200, `/${alice.did}/log/last`], [200, `/${bob.did}/log/last`], [404, `/${UNKNOWN}/log/last`]],
  'GET /{did}/state-proof': [[200, `/${alice.did}/state-proof`], [200, `/${UNKNOWN}/state-proof`], [404, '/foo/state-proof']],
  'GET /{did}/log/{cid}/proof': [[200, `/${alice.did}/log/${alice.genesis.cid}/proof`], [404, `/${alice.did}/log/foo/proof`], [404, `/${UNKNOWN}/log/foo/proof`]],
}

/** Notes what a notary would, of everything one. */
async function makeNotary(store: Store): Promise<void> {
  const line = { key: 'a', did: '', cid: '', code: 'MALFORMED_JSON', words: 'words', upstream: 7, index: null, seenAt: 1, length: 1, line: new Uint8Array([123]) }
  const position = { source: 'plc.test', numbered: true, cursor: 9, highest: 9 }
  await store.underHead((locked) => {
    const { size, root, edge, clock } = locked.head
    const upstream = { position, runs: [{ index: 0, number: 3, count: 2, late: false }], aside: [line, { ...line, key: 'b', did: alice.did, upstream: null, index: 0 }], mostAside: 10, settled: [] }
    return locked.append({ from: { size, root }, entries: [], nullified: [], tiles: [], to: { size, root, edge, clock }, upstream })
  })
  await store.notary.keepDivergence({ did: alice.did, since: 1, checkedAt: 2, endedAt: null, kinds: ['vanished', 'time'], theirs: '[]' }, 10)
}

describe('the answers', () => {
  let counter: TestCounter
  let map: MapSite
  beforeAll(async () => {
    counter = await openCounter({ ports: { map: { prove: (did) => map.held.prove(did), standing: () => ({ size: 1, leaves: 1, fault: null }) } } })
    for (const { did, genesis } of [alice, bob]) await counter.submit(did, genesis)
    await counter.submit(alice.did, alice.update(alice.genesis, { key: 2 }))
    await counter.submit(alice.did, alice.update(alice.genesis, { key: 0 }))
    await counter.submit(bob.did, bob.tombstone(bob.genesis))
    await counter.fill(300)
    await counter.publish()
    await makeNotary(counter.store)
    map = await mapSite(counter.store)
    map.start()
    await map.shows(counter.tip.durable)
    await map.stop()
    await appendMapLeaf(counter.store, { mapRoot: new Uint8Array(32), size: counter.tip.durable + 1, root: new Uint8Array(32) })
  })
  afterAll(async () => {
    await map[Symbol.asyncDispose]()
    await counter[Symbol.asyncDispose]()
  })

  it.each(OPERATIONS)('of $name are as declared', async ({ name, method, path, operation }) => {
    const requests = REQUESTS[name] ?? []
    expect(requests.some(([status]) => status < 300 || status === 426), 'a request that succeeds, or is told how to').toBe(true)
    for (const [status, target, options = {}] of requests) {
      const reply = await counter.ask(target, { method, ...options })
      expect(reply.status, `${method} ${target} ${reply.text.slice(0, 200)}`).toBe(status)
      check(path, method, reply)
      if (status < 300 && operation.requestBody !== undefined) {
        const validate = schemaAt('paths', path, method.toLowerCase(), 'requestBody', 'content', 'application/json', 'schema')
        expect(validate(JSON.parse(String(options.body))) ? [] : validate.errors, target).toEqual([])
      }
      const etag = reply.headers.etag
      if (etag !== undefined) {
        const unchanged = await counter.ask(target, { method, ...options, headers: { ...options.headers, 'If-None-Match': etag } })
        expect(unchanged.status).toBe(304)
        check(path, method, unchanged)
      }
    }
  })

  it.each(OPERATIONS)('of $name are as declared where the request is too much', async ({ name, method, path }) => {
    const [, target = '', options = {}] = REQUESTS[name]?.[0] ?? [0]
    await using strict = await openCounter({ options: { readRate: 1, writeRate: 1, elapsed: () => 0 } })
    for (let i = 0; i < 20; i++) await strict.ask(target, { method, ...options })
    const reply = await strict.ask(target, { method, ...options })
    expect(reply.status === 429).toBe(path !== '/_health')
    if (reply.status === 429) check(path, method, reply)
    const fields = Object.fromEntries(Array.from({ length: LIMITS.headers + 1 }, (_, i) => [`x-${i}`, 'x']))
    const refused = await counter.ask(target, { method, ...options, headers: { ...options.headers, ...fields } })
    expect(refused.status).toBe(431)
    check(path, method, refused)
  })

  it.each(OPERATIONS)('of $name are as declared where the database fails', async ({ name, method, path }) => {
    const [, target = '', options = {}] = REQUESTS[name]?.[0] ?? [0]
    const broken = (): Promise<never> => Promise.reject(new Error('broken'))
    const { store } = counter
    for (const ping of [() => store.ping(), broken]) {
      const failing = { ...store, head: broken, keyStatement: broken, newest: broken, newestOf: broken, history: broken, entries: broken, tiles: broken, publication: broken, leaves: broken, exportAfter: broken, exportFrom: broken, ping, map: { ...store.map, head: broken, publication: broken, tiles: broken, leaves: broken } }
      await using ill = await openCounter({ ports: { store: failing, tip: counter.tip, submit: broken, map: { prove: broken, standing: () => ({ size: null, leaves: 0, fault: 'broken' }) } } })
      check(path, method, await ill.ask(target, { method, ...options }))
    }
  })

  it('are as declared where there is nothing yet, or not now', async () => {
    await using empty = await openCounter()
    await empty.submit(alice.did, alice.genesis)
    check('/checkpoint', 'GET', await empty.ask('/checkpoint'))
    check('/{did}/log/{cid}/proof', 'GET', await empty.ask(`/${alice.did}/log/${alice.genesis.cid}/proof`))
    check('/map/checkpoint', 'GET', await empty.ask('/map/checkpoint'))
    check('/map/vkey', 'GET', await empty.ask('/map/vkey'))
    check('/map/keys', 'GET', await empty.ask('/map/keys'))
    check('/map/next', 'GET', await empty.ask('/map/next'))
    check('/{did}/state-proof', 'GET', await empty.ask(`/${alice.did}/state-proof`))
    check('/_health', 'GET', await empty.ask('/_health'))
    empty.clock.ms += 60_000
    const ill = await empty.ask('/_health')
    expect(ill.status).toBe(503)
    check('/_health', 'GET', ill)
    const submit = (): Promise<Submitted> => Promise.resolve({ outcome: 'unavailable', retryAfterS: 3, reason: 'not now' })
    await using copy = await openCounter({ ports: { submit } })
    check('/{did}', 'POST', await copy.ask(`/${alice.did}`, json(renderJson(alice.genesis.value))))
  })
})

describe('GET /openapi.json', () => {
  it('is the file, as JSON', async () => {
    await using counter = await openCounter()
    const reply = await counter.ask('/openapi.json')
    expect(reply.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-cache' })
    expect(JSON.parse(reply.text)).toEqual(API)
  })

  it('is nothing where the file is not installed', async () => {
    expect(await readDescription(pathToFileURL('/nowhere/openapi.yaml'))).toBeNull()
    expect(await readDescription(pathToFileURL(FILE))).toBe(JSON.stringify(API))
  })
})
