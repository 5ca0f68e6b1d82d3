// A directory as anybody would run it, and a proxy before it that lies.

import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { renderSequenced, type LedgerRecord } from '../../src/core/plc/records.ts'
import { newHome, type Home } from '../support/program.ts'
import type { Read } from './independent-verifier.ts'

/** A process of `stele serve`, and the folder in which it runs. */
export interface Directory extends AsyncDisposable {
  readonly url: string
  readonly home: Home
}

/** Starts a directory; where there is a history, on a log that begins with it. */
export async function openDirectory(history: Iterable<LedgerRecord> = []): Promise<Directory> {
  const home = newHome()
  const lines = Array.from(history, (record) => `${renderSequenced(record)}\n`)
  if (lines.length > 0) {
    writeFileSync(join(home.folder, 'history.jsonl'), lines.join(''))
    await succeeds(home, 'init', '--origin', 'interop.test/log')
    await succeeds(home, 'import', 'history.jsonl', '--source', 'history.test')
  }
  const { child, line, ended } = home.start(['serve', '--port', '0', '--checkpoint-interval', '100ms', '--read-rate', '0'])
  const url = (await line).replace('stele listening on ', '')
  return {
    url,
    home,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
      home[Symbol.dispose]()
    },
  }
}

/** Submits an operation. Throws where it is refused. */
export async function post(url: string, did: string, operation: Operation): Promise<void> {
  const response = await fetch(`${url}/${did}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: renderJson(operation.value) })
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
}

/** Waits until the published checkpoint covers `size` entries. */
export async function untilPublished(url: string, size: number): Promise<void> {
  while ((await publishedSize(url)) < size) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** What the published checkpoint says. */
export async function publishedSize(url: string): Promise<number> {
  const [, size] = (await (await fetch(`${url}/checkpoint`)).text()).split('\n')
  return Number(size)
}

/** The log's verifier key. */
export async function readKey(url: string): Promise<string> {
  return (await (await fetch(`${url}/log/vkey`)).text()).trimEnd()
}

/** The files of a log. */
export function readFrom(url: string): Read {
  return async (path) => {
    const response = await fetch(`${url}/${path}`)
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : null
  }
}

/** A proxy before a directory. */
export interface Liar extends AsyncDisposable {
  readonly url: string
  /** Whether it has changed an answer. */
  lied(): boolean
}

/** Passes on what a directory answers, but for the answers of 200 that `change` gives other bytes for. */
export async function openLiar(to: string, change: (path: string, body: Buffer<ArrayBuffer>) => Buffer | null): Promise<Liar> {
  let lied = false
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(to + request.url)
      const body = Buffer.from(await answer.arrayBuffer())
      const other = answer.ok ? change(request.url ?? '', body) : null
      if (other !== null) lied = true
      response.writeHead(answer.status).end(other ?? body)
    })()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lied: () => lied,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Flips a bit of the file at `path`: within the first entry of a bundle, not in the length of one. */
export function flipBitOf(path: string): (asked: string, body: Buffer<ArrayBuffer>) => Buffer | null {
  return (asked, body) => {
    if (asked !== path) return null
    const at = Math.min(100, Math.floor(body.length / 2))
    body[at] = (body[at] ?? 0) ^ 1
    return body
  }
}

async function succeeds(home: Home, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await home.run(args)
  if (code !== 0) throw new Error(`stele ${args.join(' ')} ended with ${code}: ${stderr}`)
}
