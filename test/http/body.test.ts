import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { LIMITS } from '../../src/http/limits.ts'
import { openCounter, postJson, type Reply } from '../support/counter.ts'
import { person } from '../support/people.ts'

const json = (operation: Operation): string => renderJson(operation.value)
const message = (text: string): string => JSON.stringify({ message: text })

describe('the body of a POST', () => {
  const { did, genesis } = person('alice')

  it('may be as large as the limit, and no larger', async () => {
    await using counter = await openCounter()
    const padded = (length: number): string => json(genesis).padEnd(length)
    expect(await postJson(counter, did, padded(LIMITS.bodyBytes))).toMatchObject({ status: 200 })
    const tooLarge = { status: 413, text: message('Request body too large (102400 bytes maximum)') }
    expect(await postJson(counter, did, padded(LIMITS.bodyBytes + 1))).toMatchObject(tooLarge)
    expect(await postJson(counter, did, padded(LIMITS.bodyBytes + 1), { 'Transfer-Encoding': 'chunked' })).toMatchObject(tooLarge)
  })

  it('is refused before it is sent where its length says that it is too large', async () => {
    await using counter = await openCounter()
    const socket = connect(Number(new URL(counter.url).port), '127.0.0.1')
    socket.write(`POST /${did} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${LIMITS.bodyBytes + 1}\r\n\r\n`)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    expect(chunk.toString()).toMatch(/^HTTP\/1\.1 413 /)
    socket.destroy()
  })

  it('may be gzip, whose contents have the same limit', async () => {
    await using counter = await openCounter()
    const post = (body: Uint8Array, encoding = 'gzip'): Promise<Reply> =>
      counter.ask(`/${did}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json', 'Content-Encoding': encoding } })
    expect(await post(gzipSync(json(genesis)))).toMatchObject({ status: 200, text: 'OK' })
    expect(await post(Buffer.from(json(genesis)), 'identity')).toMatchObject({ status: 200, text: 'OK' })
    expect(await post(gzipSync(Buffer.alloc(50_000_000)))).toMatchObject({ status: 413 })
    expect(await post(Buffer.from('{}'))).toMatchObject({ status: 400, text: message('Request body is not gzip') })
    expect(await post(gzipSync('{}').subarray(0, 10))).toMatchObject({ status: 400, text: message('Request body is not gzip') })
    const unknown = await post(Buffer.from('{}'), 'br')
    expect(unknown).toMatchObject({ status: 415, text: message('Unsupported content encoding: br') })
    expect(unknown.headers['accept-encoding']).toBe('gzip, identity')
  })

  it('is JSON in UTF-8, else 400', async () => {
    await using counter = await openCounter()
    const bodies = ['{', 'null', 'true', '1', '"x"', '{"a":}', '{"a":1}}', '\u0000', '['.repeat(50_000), '{"a":'.repeat(15_000), '[['.repeat(9) + ']]'.repeat(9)]
    const bytes = [Buffer.from([0x22, 0xff, 0x22]), Buffer.from('{"sig":"\\ud800"}'), Buffer.from('{"\\u0000":"\\u0000"}')]
    for (const body of [...bodies.map((text) => Buffer.from(text)), ...bytes]) {
      const reply = await counter.ask(`/${did}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
      expect(reply.status, body.subarray(0, 40).toString()).toBe(400)
      expect(Object.keys(JSON.parse(reply.text) as object)).toEqual(['message'])
    }
  })

  it('may name its charset, which is UTF-8', async () => {
    await using counter = await openCounter()
    const post = (type: string): Promise<Reply> => counter.ask(`/${did}`, { method: 'POST', body: json(genesis), headers: { 'Content-Type': type } })
    for (const type of ['application/json;charset=utf-8', 'Application/JSON; Charset="UTF-8"', 'application/json; a=b', 'application/json;']) {
      expect(await post(type), type).toMatchObject({ status: 200 })
    }
    expect(await post('application/json; charset=latin1')).toMatchObject({ status: 415, text: message('Unsupported charset: latin1') })
    expect(await post('application/jsonx')).toMatchObject({ status: 400, text: message('Not a valid operation: {}') })
  })

  it('holds nothing where the client leaves in the middle of it', async () => {
    await using counter = await openCounter()
    const { port } = new URL(counter.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`POST /${did} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`)
    await pause(50)
    socket.destroy()
    await pause(50)
    expect(counter.lines.filter(([level]) => level === 'error')).toEqual([])
    expect(counter.lines.filter(([, words]) => words === 'the client has gone')).toHaveLength(1)
  })
})
