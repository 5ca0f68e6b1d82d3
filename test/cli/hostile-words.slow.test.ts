// Whatever a server, an identity or a peer writes into what is printed or logged: on a terminal it is text and nothing else.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { MAX_ERROR_WORDS } from '../../src/client/request.ts'
import { base58btc, concatBytes } from '../../src/core/encoding/text.ts'
import { didOf } from '../../src/core/plc/did.ts'
import { operationValue, type Operation } from '../../src/core/plc/operation.ts'
import { signerFromSecret, signOperation } from '../../src/core/plc/signature.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { EMPTY_ROOT } from '../../src/core/tlog/hash.ts'
import { formatSigningKey, formatVerifierKey, KEY_TYPES, makeSigningKey } from '../../src/core/tlog/note.ts'
import { openLogLines } from '../../src/system.ts'
import { COUNTER_KEY, openCounter, type TestCounter } from '../support/counter.ts'
import { openMirror, until } from '../support/mirror.ts'
import { fields } from '../support/people.ts'
import { newFolder } from '../support/witness.ts'

// Clears the screen, moves the cursor, rings, changes the title, forges a line, deletes, turns the reading order around.
const HOSTILE = '\u001b[2J\u001b[H\u0007\u001b]0;title\u0007\nverified   all of it\r\u007f\u009b31m\u202etxt.\u2066\u2028'
/** As much of it as a name of a log, which has no spaces or controls of ASCII's, can hold. */
const HOSTILE_NAME = 'evil\u009b31m\u202etxt.\u2066/log'
const MEGABYTE = HOSTILE + 'x'.repeat(1_000_000)
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/
const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const SECRET = new Uint8Array(32).fill(7)
const SECRET_TEXT = `z${base58btc.encode(concatBytes(Uint8Array.of(0x81, 0x26), SECRET))}`

describe('what commands say of what others wrote', () => {
  const folder = newFolder()
  const keyFile = join(folder.path, 'owner.key')
  const vkeyFile = join(folder.path, 'log.vkey')
  const savedTty = Object.getOwnPropertyDescriptor(process.stdout, 'isTTY')
  const open: Server[] = []
  let counter: TestCounter
  let genesis: Operation
  let did: string

  beforeAll(async () => {
    vi.stubEnv('XDG_STATE_HOME', join(folder.path, 'state'))
    Object.defineProperty(process.stdout, 'isTTY', { value: true, configurable: true })
    writeFileSync(keyFile, `${SECRET_TEXT}\n`)
    writeFileSync(vkeyFile, formatVerifierKey(COUNTER_KEY))
    counter = await openCounter()
    const signer = signerFromSecret('k256', SECRET)
    const hostile = { alsoKnownAs: [`at://${HOSTILE}`], services: new Map([[HOSTILE.slice(0, 30), { type: HOSTILE, endpoint: HOSTILE }]]), verificationMethods: new Map([[HOSTILE.slice(0, 30), signer.did]]) }
    genesis = signOperation(operationValue(fields({ rotationKeys: [signer.did], ...hostile })), signer)
    did = didOf(genesis.bytes)
    await counter.submit(did, genesis)
    await counter.publish()
  })

  afterEach(() => {
    process.exitCode = undefined
  })

  afterAll(async () => {
    vi.unstubAllEnvs()
    if (savedTty === undefined) Reflect.deleteProperty(process.stdout, 'isTTY')
    else Object.defineProperty(process.stdout, 'isTTY', savedTty)
    for (const server of open) server.closeAllConnections()
    for (const server of open) server.close()
    await counter[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  /** Serves the same to every request. */
  async function serve(answer: (path: string) => { readonly status: number; readonly type: string; readonly body: string }): Promise<string> {
    const server = createServer((request, response) => {
      const { status, type, body } = answer(request.url ?? '')
      request.resume()
      response.writeHead(status, { 'content-type': type }).end(body)
    })
    open.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** What a command writes, as a person at a terminal gets it. */
  async function run(args: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string }> {
    let [stdout, stderr] = ['', '']
    const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((stdout += String(text))))
    const err = vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((stderr += String(text))))
    try {
      await main(args)
    } finally {
      out.mockRestore()
      err.mockRestore()
    }
    return { stdout, stderr }
  }

  /** Every command that prints what a server says, and ends. */
  function commands(url: string, about: string): (readonly string[])[] {
    const found = join(folder.path, 'found')
    const own = ['--url', url, '--key', keyFile, '--dry-run']
    return [
      ['resolve', about, '--url', url], ['resolve', about, '--data', '--url', url], ['resolve', about, '--log', '--url', url], ['resolve', about, '--audit', '--url', url],
      ['resolve', about, '--verify', '--from', url], ['resolve', about, '--verify', '--level', 'included', '--vkey', vkeyFile, '--from', url],
      ['proof', about, '--url', url], ['proof', about, '--url', url, '--vkey', vkeyFile], ['state-proof', about, '--url', url], ['state-proof', about, '--url', url, '--vkey', vkeyFile],
      ['export', '--url', url], ['keys', url], ['keys', url, '--retired'],
      ['fsck', url], ['fsck', url, '--vkey', vkeyFile], ['fsck', url, '--also', url],
      ['audit', url, '--evidence', found], ['audit', url, '--vkey', vkeyFile, '--evidence', found], ['audit', url, '--json', '--evidence', found],
      ['compare', url, `${url}/again`, '--evidence', found], ['compare', url, counter.url, '--vkey', vkeyFile, '--evidence', found],
      ['did', 'deactivate', about, ...own], ['did', 'rotate', about, '--add', 'did:key:zQ3shXcFmMfXx4RfnWiG9vTmMedqM65zvA3v7peFMq5Nopsxz', ...own], ['did', 'recover', about, ...own],
      ['did', 'move', about, '--pds', url, ...own], ['did', 'update', about, '--handle', 'a.example', '--url', url, '--key', keyFile],
      ['did', 'create', '--handle', 'a.example', '--pds', url, '--url', url, '--key', keyFile],
    ]
  }

  async function expectHarmless(url: string, about: string): Promise<string> {
    let all = ''
    for (const args of commands(url, about)) {
      const name = args.join(' ')
      const { stdout, stderr } = await run(args)
      expect(`${stdout}${stderr}`.length, `${name} says something`).toBeGreaterThan(0)
      expect(stdout, name).not.toMatch(UNSAFE)
      expect(stderr, name).not.toMatch(UNSAFE)
      expect(`${stdout}${stderr}`, `${name} has no forged line`).not.toMatch(/^verified {3}all of it/m)
      for (const line of stderr.split('\n')) expect(line.length, `${name} is brief`).toBeLessThan(6 * 2_100)
      expect(`${stdout}${stderr}`, `${name} keeps the secret`).not.toContain(SECRET_TEXT)
      all += stdout + stderr
    }
    return all
  }

  it.each([
    ['refuses everything, in such words', 400, HOSTILE],
    ['refuses everything, in a megabyte of them', 400, MEGABYTE],
    ['refuses everything for good, in 60 kB of them', 451, MEGABYTE.slice(0, 60_000)],
  ])('of a server that %s', async (_name, status, message) => {
    const said = await expectHarmless(await serve(() => ({ status, type: 'application/json', body: JSON.stringify({ message }) })), DID)
    if (message.length < 65_000) expect(said).toContain('\\u001b[2J')
  })

  it.each([
    ['text', HOSTILE], ['a megabyte of text', MEGABYTE], ['JSON', JSON.stringify([HOSTILE])], ['an object', JSON.stringify({ id: HOSTILE, did: HOSTILE, message: HOSTILE })],
    ['a checkpoint', `${HOSTILE_NAME}\n5\n${HOSTILE}\n\n— ${HOSTILE_NAME} ${HOSTILE}\n`],
  ])('of a server that answers everything with %s', async (_name, body) => {
    await expectHarmless(await serve(() => ({ status: 200, type: 'application/json', body })), DID)
  })

  it('of a log that has such a name, and a key of it', async () => {
    const key = makeSigningKey(HOSTILE_NAME, KEY_TYPES.ed25519, new Uint8Array(32).fill(5))
    const note = signCheckpoint({ origin: HOSTILE_NAME, size: 0, root: EMPTY_ROOT }, [key])
    const url = await serve((path) =>
      path.endsWith('/log/vkey') ? { status: 200, type: 'text/plain', body: `${formatVerifierKey(key)}\n` }
        : path.endsWith('/checkpoint') ? { status: 200, type: 'text/plain', body: note }
          : { status: 404, type: 'application/json', body: JSON.stringify({ message: HOSTILE }) })
    expect(await expectHarmless(url, DID)).toContain('evil\\u009b31m\\u202etxt.')
  })

  it('of an identity that has such names, services and keys', async () => {
    expect(await expectHarmless(counter.url, did)).toContain('\\u001b[2J')
  })

  it('of arguments, which others may have given', async () => {
    for (const args of [['resolve', HOSTILE], [HOSTILE], ['resolve', `--${HOSTILE}`], ['verify', HOSTILE, '--operation', HOSTILE, '--vkey', HOSTILE], ['serve', '--port', HOSTILE], ['verify-evidence', HOSTILE, '--vkey', HOSTILE]]) {
      const { stdout, stderr } = await run(args)
      expect(`${stdout}${stderr}`).not.toMatch(UNSAFE)
      expect(stderr).not.toBe('')
    }
  })

  it('never with a secret, wherever that was given by mistake', async () => {
    const [secret, signing] = [SECRET_TEXT, formatSigningKey(makeSigningKey('a.test/log', KEY_TYPES.ed25519, SECRET))]
    writeFileSync(join(folder.path, 'half.key'), `${signing.slice(0, -3)}\n`)
    const mistakes = [
      ['did', 'deactivate', did, '--key', secret, '--url', counter.url], ['did', 'rotate', did, '--add', secret, '--url', counter.url, '--key', keyFile], ['did', 'create', '--rotation-key', secret, '--url', counter.url],
      ['fsck', counter.url, '--vkey', join(folder.path, 'half.key')], ['fsck', counter.url, '--vkey', keyFile], ['signer', 'add-key', join(folder.path, 'half.key'), '--data', folder.path],
      ['resolve', did, '--url', 'http://user:hunter2@127.0.0.1:1'], ['fsck', 'https://user:hunter2@127.0.0.1:1/log'],
    ]
    for (const args of mistakes) {
      const { stdout, stderr } = await run(args)
      for (const text of [secret, secret.slice(0, 30), signing.slice(-30), 'hunter2']) expect(`${stdout}${stderr}`, args.join(' ')).not.toContain(text)
      expect(stderr, args.join(' ')).toContain('error: ')
    }
  })
})

describe('log lines and health', () => {
  it('are JSON that holds the same, and nothing that a terminal acts upon', () => {
    let text = ''
    const log = openLogLines('info', { write: (line) => (text += line) })
    log('warn', { url: HOSTILE, error: new Error(HOSTILE) }, HOSTILE)
    expect(text).toMatch(/^[^\n]+\n$/)
    expect(text.slice(0, -1)).not.toMatch(UNSAFE)
    expect(JSON.parse(text)).toMatchObject({ msg: HOSTILE, url: HOSTILE, error: { message: HOSTILE } })
  })

  it('of a mirror quote what an upstream says, and no more of it than is worth reading', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(503, { 'content-type': 'application/json' }).end(JSON.stringify({ message: MEGABYTE.slice(0, 60_000) }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const log = await openCounter()
    try {
      await log.publish()
      await using mirror = await openMirror([log, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }], { vkeys: [COUNTER_KEY] })
      await until(async () => (await mirror.health()).upstreams.some(({ words }) => words !== null), () => 'the upstream is named')
      const { text } = await mirror.get('/_health')
      expect(text.length).toBeLessThan(10_000)
      expect((JSON.parse(text) as { upstreams: { words: string | null }[] }).upstreams.map(({ words }) => words?.length ?? 0).toSorted((a, b) => a - b)).toEqual([0, MAX_ERROR_WORDS])
    } finally {
      server.closeAllConnections()
      server.close()
      await log[Symbol.asyncDispose]()
    }
  })
})
