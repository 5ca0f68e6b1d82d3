import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { forwardTo } from '../../src/http/forward.ts'
import { LIMITS } from '../../src/http/limits.ts'
import type { ForwardPort, Submitted } from '../../src/http/ports.ts'
import { openCounter, postJson, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const { did, genesis } = person('alice')
const body = renderJson(genesis.value)
const message = (text: string): string => JSON.stringify({ message: text })
const never = (): Promise<never> => Promise.reject(new Error('a copy decides nothing'))
const copyOf = (forward: ForwardPort): Promise<TestCounter> => openCounter({ ports: { submit: never, forward } })

/** A server that answers what it likes, for as long as a test needs it. */
async function serving(answer: RequestListener): Promise<AsyncDisposable & { readonly url: string; readonly server: Server }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`
  return {
    url, server,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

describe('a copy that forwards writes', () => {
  it('answers as the directory that takes them', async () => {
    await using directory = await openCounter()
    await using copy = await copyOf(forwardTo(directory.url))
    expect(await postJson(copy, did, body)).toMatchObject({ status: 200, text: 'OK', headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' } })
    expect((await directory.store.head())?.size).toBe(1)
    const packed = { method: 'POST', body: gzipSync(body), headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } }
    expect(await copy.ask(`/${encodeURIComponent(did)}`, packed)).toMatchObject({ status: 200, text: 'OK' })
    const later = await postJson(copy, did, body, { Prefer: 'wait=0' })
    expect(later).toMatchObject({ status: 202, text: 'OK' })
    expect(later.headers).toMatchObject({ location: `/${did}/log/${genesis.cid}/proof`, 'preference-applied': 'wait=0' })
    await directory.publish()
    const receipt = await postJson(copy, did, body, { Prefer: 'wait=5', Accept: 'text/x.tlog-proof' })
    expect(receipt).toMatchObject({ status: 200, headers: { 'content-type': 'text/x.tlog-proof; charset=utf-8' } })
    expect(receipt.text).toBe((await directory.ask(`/${did}/log/${genesis.cid}/proof`)).text)
    for (const [rubbish, headers] of [['{}', {}], ['{', {}], ['x', { 'Content-Type': 'text/plain' }], [body, { 'Content-Encoding': 'br' }]] as [string, Record<string, string>][]) {
      const [there, here] = [await postJson(directory, did, rubbish, headers), await postJson(copy, did, rubbish, headers)]
      expect(here).toMatchObject({ status: there.status, text: there.text })
      expect(there.status).toBeGreaterThanOrEqual(400)
    }
  })

  it('relays when to come again', async () => {
    const submit = (): Promise<Submitted> => Promise.resolve({ outcome: 'unavailable', retryAfterS: 7, reason: 'not now' })
    await using directory = await openCounter({ ports: { submit } })
    await using copy = await copyOf(forwardTo(directory.url))
    expect(await postJson(copy, did, body)).toMatchObject({ status: 503, text: message('not now'), headers: { 'retry-after': '7' } })
  })

  it('passes on the body and four headers, and nothing else of the client', async () => {
    let seen: { url: string | undefined; headers: NodeJS.Dict<string | string[]>; body: string } | null = null
    await using directory = await serving((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => (text += chunk.toString()))
      request.on('end', () => {
        seen = { url: request.url, headers: request.headers, body: text }
        response.setHeader('Set-Cookie', 'a=b').setHeader('Server', 'x').end('OK')
      })
    })
    await using copy = await copyOf(forwardTo(`${directory.url}/below`, { id: '0123abcd' }))
    const reply = await postJson(copy, did, body, { Cookie: 'secret=1', Authorization: 'Bearer x', 'X-Forwarded-For': '192.0.2.1', Connection: 'keep-alive, x-hop', 'X-Hop': '1', Prefer: 'wait=1', Accept: 'text/plain', Via: '1.1 proxy, 1.1 stele-00000000' })
    expect(seen).toEqual({
      url: `/below/${did}`,
      body,
      headers: {
        host: new URL(directory.url).host, connection: 'keep-alive', accept: 'text/plain', 'accept-encoding': 'identity', 'content-type': 'application/json',
        'content-length': String(body.length), prefer: 'wait=1', via: '1.1 stele-00000000, 1.1 stele-0123abcd',
      },
    })
    expect(reply.headers).not.toHaveProperty('set-cookie')
    expect(reply.headers).not.toHaveProperty('server')
  })

  it('refuses what is no DID, or too large, by itself', async () => {
    const forward = (): Promise<never> => Promise.reject(new Error('must not be asked'))
    await using copy = await copyOf(forward)
    for (const path of ['foo', '..', '%2e%2e', '%zz', 'did:plc:x%2F..']) {
      expect(await postJson(copy, path, body), path).toMatchObject({ status: 400, text: message(`Hash of genesis operation does not match DID identifier: ${did}`) })
    }
    expect((await postJson(copy, did, 'x'.repeat(LIMITS.bodyBytes + 1))).status).toBe(413)
  })

  it('notices when it forwards to itself, or through too many', async () => {
    const late: { forward: ForwardPort | null } = { forward: null }
    await using copy = await copyOf((submission, signal) => late.forward?.(submission, signal) ?? never())
    late.forward = forwardTo(copy.url)
    expect(await postJson(copy, did, body)).toMatchObject({ status: 508, text: message('The directories to which this submission was forwarded lead back to themselves') })

    let hops = 0
    late.forward = (submission, signal) => {
      hops++
      return forwardTo(copy.url)(submission, signal)
    }
    expect((await postJson(copy, did, body)).status).toBe(508)
    expect(hops).toBe(LIMITS.forwardHops + 1)
  })

  it('says in words that the other one cannot be reached, and when to come again', async () => {
    const words = 'The directory that takes the writes cannot be reached; sending the same again is safe'
    const gone = await serving(() => undefined)
    await gone[Symbol.asyncDispose]()
    await using cutting = await serving((request) => request.socket.destroy())
    for (const url of [gone.url, cutting.url, 'http://nowhere.invalid']) {
      await using copy = await copyOf(forwardTo(url))
      expect(await postJson(copy, did, body), url).toMatchObject({ status: 503, text: message(words), headers: { 'retry-after': '5' } })
      expect(copy.lines.filter(([level]) => level === 'error')).toEqual([])
    }
  })

  it('gives up after a time, also in the middle of an answer', async () => {
    await using silent = await serving(() => undefined)
    await using slow = await serving((_, response) => void response.write('O'))
    for (const { url } of [silent, slow]) {
      await using copy = await copyOf(forwardTo(url, { seconds: 0.2 }))
      expect(await postJson(copy, did, body)).toMatchObject({
        status: 503, text: message('The directory that takes the writes has not answered in time; sending the same again is safe'), headers: { 'retry-after': '5' },
      })
    }
  })

  it('takes no answer that is too long, packed, or leads elsewhere', async () => {
    const answers: RequestListener[] = [
      (_, response) => response.end(Buffer.alloc(LIMITS.forwardAnswerBytes + 1)),
      (_, response) => {
        const flood = setInterval(() => response.write(Buffer.alloc(65_536)), 1)
        response.on('close', () => clearInterval(flood))
      },
      (_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(gzipSync('OK')),
      (_, response) => response.writeHead(307, { Location: 'http://elsewhere.invalid/' }).end(),
    ]
    for (const answer of answers) {
      await using other = await serving(answer)
      await using copy = await copyOf(forwardTo(other.url))
      expect(await postJson(copy, did, body)).toMatchObject({ status: 502, text: message('The directory that takes the writes gave no usable answer; sending the same again is safe') })
    }
    await using other = await serving((_, response) => response.end(Buffer.alloc(LIMITS.forwardAnswerBytes)))
    await using copy = await copyOf(forwardTo(other.url))
    expect((await postJson(copy, did, body)).body.length).toBe(LIMITS.forwardAnswerBytes)
  })

  it('tries again where the connection that it kept was closed meanwhile', async () => {
    let count = 0
    await using other = await serving((request, response) => {
      count++
      if (count === 2) request.socket.resetAndDestroy()
      else request.resume().on('end', () => response.end('OK'))
    })
    await using copy = await copyOf(forwardTo(other.url))
    expect((await postJson(copy, did, body)).status).toBe(200)
    expect((await postJson(copy, did, body)).status).toBe(200)
    expect(count).toBe(3)
  })

  it('forwards only so many at once, and stops where the client leaves', async () => {
    const arrived = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    await using other = await serving((request, response) => {
      response.on('close', () => left.resolve())
      request.resume().on('end', () => arrived.resolve())
    })
    await using copy = await copyOf(forwardTo(other.url, { atOnce: 1 }))
    const socket = connect(Number(new URL(copy.url).port), '127.0.0.1')
    socket.write(`POST /${did} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`)
    await arrived.promise
    expect(await postJson(copy, did, body)).toMatchObject({ status: 503, text: message('Too many submissions are being forwarded'), headers: { 'retry-after': '5' } })
    socket.destroy()
    await left.promise
    expect(copy.lines.filter(([level]) => level === 'error')).toEqual([])
  })
})

describe('a copy that refuses writes', () => {
  it('says so, without a time to come again', async () => {
    const submit = (): Promise<Submitted> => Promise.resolve({ outcome: 'unavailable', retryAfterS: null, reason: 'this copy is read-only' })
    await using copy = await openCounter({ ports: { submit } })
    const reply = await postJson(copy, did, body)
    expect(reply).toMatchObject({ status: 503, text: message('this copy is read-only') })
    expect(reply.headers).not.toHaveProperty('retry-after')
    expect((await postJson(copy, did, '{}')).status).toBe(400)
  })
})
