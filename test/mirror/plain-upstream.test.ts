// Asking a plain directory politely.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { MIRROR_LIMITS } from '../../mirror/limits.ts'
import { readAuditLog, readLine } from '../../mirror/plain-line.ts'
import { PlainUpstream } from '../../mirror/plain-upstream.ts'
import { person } from '../support/people.ts'
import { openPlain } from '../support/plain-upstream.ts'

/** A clock that moves when somebody sleeps, and says for how long. */
function jumpingClock(): { now(): number; timeOfDay(): number; sleep(ms: number): Promise<void>; slept: number[] } {
  let time = 1_000
  const slept: number[] = []
  return {
    slept,
    now: () => time,
    timeOfDay: () => time,
    sleep(ms) {
      slept.push(ms)
      time += ms
      return Promise.resolve()
    },
  }
}

describe('a plain upstream', () => {
  it('is asked so many times in a minute and no more, whoever asks', async () => {
    await using directory = await openPlain()
    const clock = jumpingClock()
    const upstream = new PlainUpstream(directory.url, 30, clock, new AbortController().signal)
    await upstream.page({ numbered: true, position: 0 })
    await upstream.auditLog(person('alice').did)
    await upstream.page({ numbered: false, position: 0 })
    expect(clock.slept).toEqual([0, 2_000, 2_000])
    expect(directory.asked).toEqual(['/export?after=0&count=1000', `/${person('alice').did}/log/audit`, '/export?after=1970-01-01T00%3A00%3A00.000Z&count=1000'])
  })

  it('is left alone for as long as it asks to be', async () => {
    await using directory = await openPlain()
    const clock = jumpingClock()
    const upstream = new PlainUpstream(directory.url, 0, clock, new AbortController().signal)
    directory.busy = { times: 1, retryAfter: 17 }
    await expect(upstream.page({ numbered: true, position: 0 })).rejects.toThrow('slow down')
    await upstream.auditLog(person('alice').did)
    expect(clock.slept).toEqual([0, 17_000])
  })

  it('gives the lines that can be read, and those that are no UTF-8 as bytes', async () => {
    await using directory = await openPlain()
    const { did, genesis } = person('alice')
    directory.show(did, genesis, { raw: Buffer.from([0x7b, 0xff]) })
    directory.show(did, genesis)
    const { lines, length } = await new PlainUpstream(directory.url, 0, jumpingClock(), new AbortController().signal).page({ numbered: true, position: 0 })
    expect([length, lines.map(({ verdict, number }) => [verdict?.code, number])]).toEqual([2, [['MALFORMED_TEXT', null], [undefined, 2]]])
  })

  it('sends nobody elsewhere: what is set aside of its lines is shown to all, and only this machine may reach the other address', async () => {
    await using inside = await openPlain()
    const server = createServer((request, response) => response.writeHead(302, { location: `${inside.url}${request.url ?? ''}` }).end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const upstream = new PlainUpstream(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 0, jumpingClock(), new AbortController().signal)
    await expect(upstream.page({ numbered: true, position: 0 })).rejects.toMatchObject({ name: 'UnreachableError' })
    await expect(upstream.auditLog(person('alice').did)).rejects.toMatchObject({ name: 'UnreachableError' })
    expect(inside.asked).toEqual([])
    server.closeAllConnections()
    server.close()
  })

  it('is not believed to have pages of many more lines than were asked for', async () => {
    await using directory = await openPlain()
    const upstream = new PlainUpstream(directory.url, 0, jumpingClock(), new AbortController().signal)
    const pageOf = (count: number): Promise<unknown> => {
      directory.page = () => Array.from({ length: count }, () => '1')
      return upstream.page({ numbered: true, position: 0 })
    }
    await expect(pageOf(MIRROR_LIMITS.pageLinesRead)).resolves.toMatchObject({ length: MIRROR_LIMITS.pageLinesRead })
    await expect(pageOf(MIRROR_LIMITS.pageLinesRead + 1)).rejects.toThrow('more than 2000 lines, and 1000 were asked for')
  })

  it('fills no memory with its stream while nobody takes what came', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    const closed = new Promise<void>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('close', () => resolve())
        for (let i = 0; i < 64; i++) socket.send('x'.repeat(MIRROR_LIMITS.streamAheadLength / 16))
      })
    })
    await once(server, 'listening')
    const { signal } = new AbortController()
    const upstream = new PlainUpstream(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 0, jumpingClock(), signal)
    const stream = upstream.stream(0, signal)
    let taken = ((await stream.next()).value ?? []).length
    await closed
    const rest = async (): Promise<void> => {
      for (;;) taken += ((await stream.next()).value ?? []).length
    }
    await expect(rest()).rejects.toMatchObject({ reason: 'ConsumerTooSlow' })
    expect(taken).toBeLessThan(40)
    server.close()
  }, 60_000)
})

describe('a line of a plain upstream', () => {
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`

  it('is set aside however deep it is nested, and a whole audit log like that cannot be read', () => {
    const { verdict, did, key } = readLine(`{"did":"${person('alice').did}","operation":${deep}}`) ?? {}
    expect([verdict?.code, did]).toEqual(['MALFORMED_RECORD', person('alice').did])
    expect(key).toMatch(/^line [0-9a-f]{64}$/)
    expect(() => readAuditLog(`[{"operation":${deep}}]`)).toThrow('nested too deeply')
  })

  it('is one of so many in an audit log and no more', () => {
    expect(readAuditLog(`[${Array.from({ length: MIRROR_LIMITS.auditLines }, () => '0').join()}]`)).toHaveLength(MIRROR_LIMITS.auditLines)
    expect(() => readAuditLog(`[${Array.from({ length: MIRROR_LIMITS.auditLines + 1 }, () => '0').join()}]`)).toThrow('10001 operations')
  })
})
