// The fsck of Tessera, unmodified, over what a directory's process serves: it reads a log with code of its own, and
// refuses it with one bit of one file flipped on the way.

import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { makeIdentity, makeTombstone, makeUpdate } from '../support/identities.ts'
import { newHome, type Home } from '../support/program.ts'
import { verifyLog, type Read } from './independent-verifier.ts'

const FSCK = 'github.com/transparency-dev/tessera/cmd/fsck@v1.0.4'
const TITLE = "Tessera's fsck"
const COUNT = 300
const LAST = COUNT - 256
const ACCEPTED = `Successfully fsck'd log with size ${COUNT}`

describe.skipIf(!hasGo())(TITLE, () => {
  let home: Home
  let url: string
  let keyFile: string

  beforeAll(async () => {
    home = newHome()
    const line = await home.start(['serve', '--port', '0', '--data', 'data', '--checkpoint-interval', '100ms']).line
    url = /^stele listening on (http:\/\/\S+)$/.exec(line)?.[1] ?? `none in ${line}`
    keyFile = join(home.folder, 'data', 'log.vkey')
    for (const round of rounds()) await Promise.all(round.map(({ did, operation }) => post(`${url}/${did}`, operation)))
    while ((await publishedSize(url)) < COUNT) await new Promise((resolve) => setTimeout(resolve, 50))
  })

  afterAll(() => home[Symbol.dispose]())

  it('accepts the log that a directory serves', async () => {
    expect(await publishedSize(url)).toBe(COUNT)
    expect(await fsck(url, keyFile)).toBe(ACCEPTED)
  })

  it('reads a log that the verifier without Go accepts too', async () => {
    const { size } = await verifyLog(readFrom(url), await readKey(url))
    expect(size).toBe(COUNT)
  })

  it.each([
    'checkpoint',
    'tile/0/000',
    `tile/0/001.p/${LAST}`,
    'tile/1/000.p/1',
    'tile/entries/000',
    `tile/entries/001.p/${LAST}`,
  ])('refuses it with a bit of %s flipped, as the verifier without Go does', async (path) => {
    await using proxy = await flippingProxy(url, `/${path}`)
    await expect(verifyLog(readFrom(proxy.url), await readKey(url))).rejects.toThrow(Error)
    expect(proxy.flipped()).toBe(true)
    expect(await fsck(proxy.url, keyFile)).toMatch(/^fsck failed: /)
  })

  it('accepts it through the same proxy where nothing is flipped', async () => {
    await using proxy = await flippingProxy(url, '/nothing')
    expect(await fsck(proxy.url, keyFile)).toBe(ACCEPTED)
    expect(proxy.flipped()).toBe(false)
  })
})

/** Go, and new enough for Tessera. Says loudly where it is not. */
function hasGo(): boolean {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(stdout ?? '') ?? []
  const found = Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 24)
  if (!found) process.stderr.write(`\nSKIPPED, because there is no Go 1.24 or newer: ${TITLE}\n`)
  return found
}

/**
 * The line in which it gives its verdict. Its exit code is none: it ends with 0 whatever it found. And a worker that
 * finds a bad tile stops taking from a queue as long as there are workers, so there are as many as tiles and more,
 * or the program would wait for ever.
 */
function fsck(url: string, keyFile: string): Promise<string> {
  const args = ['run', FSCK, `--storage_url=${url}/`, `--public_key=${keyFile}`, '--ui=false', '-N=16']
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 300_000 })
    let output = ''
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', reject)
    child.on('close', () => resolve(/Successfully fsck'd log with size \d+|fsck failed: .*/.exec(output)?.[0] ?? output))
  })
}

interface Submission {
  readonly did: string
  readonly operation: Operation
}

/** As many operations as the log shall have, in rounds: what a round says depends on the rounds before it only. */
function rounds(): Submission[][] {
  const people = Array.from({ length: 200 }, (_, i) => makeIdentity([i % 4, 4 + (i % 4)], i % 4, `resident-${i}.test`))
  const updates = people.slice(0, 80).map(({ did, genesis }, i) => ({ did, operation: makeUpdate(genesis.cid, 4 + (i % 4), [i % 4], `moved-${i}.test`) }))
  const recoveries = people.slice(0, 10).map(({ did, genesis }, i) => ({ did, operation: makeUpdate(genesis.cid, i % 4, [i % 4], `back-${i}.test`) }))
  const ends = people.slice(100, 110).map(({ did, genesis }, i) => ({ did, operation: makeTombstone(genesis.cid, i % 4) }))
  return [people.map(({ did, genesis }) => ({ did, operation: genesis })), updates, [...recoveries, ...ends]]
}

async function post(url: string, operation: Operation): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: renderJson(operation.value) })
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
}

async function publishedSize(url: string): Promise<number> {
  const [, size] = (await (await fetch(`${url}/checkpoint`)).text()).split('\n')
  return Number(size)
}

async function readKey(url: string): Promise<string> {
  return (await (await fetch(`${url}/log/vkey`)).text()).trimEnd()
}

function readFrom(url: string): Read {
  return async (path) => {
    const response = await fetch(`${url}/${path}`)
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : null
  }
}

interface Proxy extends AsyncDisposable {
  readonly url: string
  /** Whether the file was asked for. */
  flipped(): boolean
}

/** The directory, with a bit of one file flipped. */
async function flippingProxy(to: string, path: string): Promise<Proxy> {
  let flipped = false
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(to + request.url)
      const body = Buffer.from(await answer.arrayBuffer())
      // Within the first entry of a bundle: not in the length of one, which would be another kind of failure.
      const at = Math.min(100, Math.floor(body.length / 2))
      if (answer.ok && request.url === path) {
        body[at] = (body[at] ?? 0) ^ 1
        flipped = true
      }
      response.writeHead(answer.status).end(body)
    })()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    flipped: () => flipped,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
