import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { askWitness } from '../../src/log/witness-request.ts'

const NEVER = new AbortController().signal

async function serving<T>(listener: RequestListener, work: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('a request to a witness', () => {
  it('posts what it is given, and gives back status, type and body as they came', async () => {
    const listener: RequestListener = (request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end(`${request.method} ${request.url} ${body}`))
    }
    await serving(listener, async (url) => {
      expect(await askWitness(`${url}/add-checkpoint`, 'old 0\n\u2014', NEVER)).toEqual({ status: 409, type: 'text/x.tlog.size', body: 'POST /add-checkpoint old 0\n\u2014' })
      expect(await askWitness(`${url}/x/checkpoint`, null, NEVER)).toMatchObject({ body: 'GET /x/checkpoint ' })
    })
  })

  it('follows no redirect', async () => {
    const seen: string[] = []
    const listener: RequestListener = (request, response) => {
      seen.push(request.url ?? '')
      response.writeHead(307, { location: '/elsewhere' }).end()
    }
    expect(await serving(listener, (url) => askWitness(`${url}/add-checkpoint`, 'x', NEVER))).toEqual({ status: 307, type: '', body: '' })
    expect(seen).toEqual(['/add-checkpoint'])
  })

  it('reads no body beyond its bound, even one without an end', async () => {
    const endless: RequestListener = (_request, response) => {
      const write = (): void => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
        response.once('drain', write)
      }
      write()
    }
    await expect(serving(endless, (url) => askWitness(url, 'x', NEVER))).rejects.toThrow(`more than ${WRITER_LIMITS.witnessAnswerBytes} bytes`)
  })

  it('ends with its signal, before the answer and in the midst of it', async () => {
    for (const begun of [false, true]) {
      const late = new AbortController()
      const listener: RequestListener = (_request, response) => {
        if (begun) response.write('x')
        setTimeout(() => late.abort(new Error('no answer in 5 s')), 20)
      }
      await expect(serving(listener, (url) => askWitness(url, 'x', late.signal))).rejects.toThrow('no answer in 5 s')
    }
  })

  it('says in a word why there is no answer', async () => {
    const closed = await serving(() => undefined, (url) => Promise.resolve(url))
    await expect(askWitness(closed, 'x', NEVER)).rejects.toThrow(/^ECONNREFUSED$/)
  })
})
