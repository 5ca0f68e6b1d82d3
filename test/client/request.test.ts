import { createServer, type RequestListener } from 'node:http'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { MAX_RETRY_AFTER_MS, request, ServerError, UnreachableError } from '../../src/client/request.ts'

describe('a request', () => {
  it('is sent again after 5xx, 429 and a broken connection, until it is answered', async () => {
    const answers: RequestListener[] = [
      (_, response) => void response.writeHead(503).end(),
      (_, response) => void response.writeHead(429).end(),
      (_, response) => void response.destroy(),
      (_, response) => void response.end('here'),
    ]
    await using server = await serve((asked, response) => answers.shift()?.(asked, response))
    const { body } = await request({ url: server.url, maxBytes: 10 }, { backoffMs: 1 })
    expect(new TextDecoder().decode(body)).toBe('here')
    expect(answers).toEqual([])
  })

  it('is not sent again where the server says that it is wrong, and carries its words', async () => {
    let count = 0
    await using server = await serve((_, response) => {
      count++
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"message":"not like this"}')
    })
    const error: unknown = await request({ url: server.url, maxBytes: 10 }, { backoffMs: 1 }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ServerError)
    expect(error).toMatchObject({ status: 400, message: 'not like this', url: server.url, retryAfterMs: null })
    expect(count).toBe(1)
  })

  it('does not follow a redirect, and says so', async () => {
    const asked: (string | undefined)[] = []
    await using server = await serve(({ url }, response) => {
      asked.push(url)
      response.writeHead(302, { location: '/elsewhere' }).end()
    })
    const refused = request({ url: server.url, maxBytes: 10 }, { backoffMs: 1 })
    await expect(refused).rejects.toBeInstanceOf(UnreachableError)
    await expect(refused).rejects.toThrow('it redirects, which is not followed')
    expect(asked).toEqual(['/'])
  })

  it('gives up after its attempts, with the last answer', async () => {
    let count = 0
    await using server = await serve((_, response) => {
      count++
      response.writeHead(500).end('<html>')
    })
    await expect(request({ url: server.url, maxBytes: 10 }, { attempts: 3, backoffMs: 1 })).rejects.toThrow(`${server.url} answered 500`)
    expect(count).toBe(3)
  })

  it('waits as long as Retry-After says, in seconds or until a date, and never longer than its bound', async () => {
    const header = { value: '1' }
    let asked = 0
    await using server = await serve((_, response) => {
      asked++
      response.writeHead(503, { 'retry-after': header.value }).end()
    })
    const began = performance.now()
    await request({ url: server.url, maxBytes: 10 }, { attempts: 2, backoffMs: 1 }).catch(() => undefined)
    expect(performance.now() - began).toBeGreaterThan(950)
    expect(asked).toBe(2)
    const waitOf = async (value: string): Promise<unknown> => {
      header.value = value
      return request({ url: server.url, maxBytes: 10 }, { attempts: 1 }).catch((error: unknown) => (error instanceof ServerError ? error.retryAfterMs : error))
    }
    expect(await waitOf('86400')).toBe(MAX_RETRY_AFTER_MS)
    expect(await waitOf(new Date(Date.now() - 5_000).toUTCString())).toBe(0)
    expect(await waitOf(new Date(Date.now() + 20_000).toUTCString())).toBeGreaterThan(15_000)
    expect(await waitOf('soon')).toBeNull()
  })

  it('never reads more than its bound, and does not ask again for the same', async () => {
    let count = 0
    await using server = await serve((_, response) => {
      count++
      // Small on the way, large once unpacked.
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(1_000_000)))
    })
    await expect(request({ url: server.url, maxBytes: 999_999 }, { backoffMs: 1 })).rejects.toThrow(UnreachableError)
    expect(count).toBe(1)
    expect((await request({ url: server.url, maxBytes: 1_000_000 })).body.length).toBe(1_000_000)
  })

  it('ends after its time where a server says nothing, or stops in the middle of its answer', async () => {
    for (const start of ['', 'half ']) {
      await using server = await serve((_, response) => void (start === '' ? null : response.write(start)))
      await expect(request({ url: server.url, maxBytes: 10 }, { attempts: 2, backoffMs: 1, timeoutMs: 100 })).rejects.toThrow(UnreachableError)
    }
  })

  it('ends at once when it is aborted, also between two attempts', async () => {
    const controller = new AbortController()
    await using server = await serve((_, response) => {
      response.writeHead(503, { 'retry-after': '60' }).end()
      setTimeout(() => controller.abort(new Error('enough')), 20)
    })
    const began = performance.now()
    await expect(request({ url: server.url, maxBytes: 10 }, { signal: controller.signal })).rejects.toThrow('enough')
    expect(performance.now() - began).toBeLessThan(5_000)
    await expect(request({ url: server.url, maxBytes: 10 }, { signal: controller.signal })).rejects.toThrow('enough')
  })

  it('says what happened where nobody listens', async () => {
    const server = await serve(() => undefined)
    await server[Symbol.asyncDispose]()
    await expect(request({ url: server.url, maxBytes: 10 }, { attempts: 1 })).rejects.toThrow('ECONNREFUSED')
  })
})

async function serve(listener: RequestListener): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
