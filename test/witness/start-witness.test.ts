import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseSigningKey, parseVerifierKey, KEY_TYPES, parseNote, formatSigningKey, makeSigningKey } from '../../src/core/tlog/note.ts'
import { formatAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { listenWith } from '../../src/net/listen.ts'
import { createWitnessApp } from '../../src/witness/app.ts'
import { KEY_FILES } from '../../src/witness/keys.ts'
import { WITNESS_LIMITS } from '../../src/witness/limits.ts'
import { logId, openState, StateFailure } from '../../src/witness/state.ts'
import { STATE_FILE, VKEYS_FILE } from '../../src/witness/open-folder.ts'
import { startWitness, type RunningWitness, type WitnessOptions } from '../../src/witness/start-witness.ts'
import { leafLog, newFolder, openAnswer } from '../support/witness.ts'

const log = leafLog('log.example')
let folder: ReturnType<typeof newFolder>
beforeEach(() => (folder = newFolder()))
afterEach(() => folder[Symbol.dispose]())

const start = (change: Partial<WitnessOptions> = {}): Promise<RunningWitness> =>
  startWitness({ host: '127.0.0.1', port: 0, dataDir: join(folder.path, 'data'), name: 'w.example', logKeys: [log.key], addressRate: 0, logRate: 0, log: () => undefined, ...change })
const file = (name: string): string => join(folder.path, 'data', name)

async function ask(witness: RunningWitness, path: string, body?: string | Uint8Array<ArrayBuffer>, init: RequestInit = {}): Promise<{ status: number; type: string | null; text: string; headers: Headers }> {
  const response = await fetch(`${witness.url}${path}`, { ...(body === undefined ? {} : { method: 'POST', body }), ...init })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text(), headers: response.headers }
}

describe('a data folder', () => {
  it('is made at the first start, with two keys of one name that only their owner can read', async () => {
    let vkeys: readonly string[]
    {
      await using witness = await start()
      vkeys = witness.vkeys
      expect(vkeys.map(parseVerifierKey).map(({ name, type }) => [name, type])).toEqual([['w.example', KEY_TYPES.cosignature], ['w.example', KEY_TYPES.mlDsa44]])
      expect(readFileSync(file(VKEYS_FILE), 'utf8')).toBe(`${vkeys.join('\n')}\n`)
      expect((await ask(witness, '/vkeys')).text).toBe(`${vkeys.join('\n')}\n`)
    }
    for (const { file: name, type } of KEY_FILES) {
      expect(statSync(file(name)).mode % 0o1000).toBe(0o600)
      expect(parseSigningKey(readFileSync(file(name), 'utf8').trim()).type).toBe(type)
    }
    expect(statSync(join(folder.path, 'data')).mode % 0o1000).toBe(0o700)
    await using again = await start({ name: null })
    expect(again.vkeys).toEqual(vkeys)
  })

  it('is refused with its keys and without its state, and the other way round, and with but one of both keys', async () => {
    await (await start())[Symbol.asyncDispose]()
    const state = readFileSync(file(STATE_FILE))
    rmSync(file(STATE_FILE))
    await expect(start()).rejects.toThrow('but not its state')
    writeFileSync(file(STATE_FILE), '')
    await expect(start()).rejects.toThrow('is empty')
    writeFileSync(file(STATE_FILE), state)
    const [first, second] = KEY_FILES
    const key = readFileSync(file(second.file))
    rmSync(file(second.file))
    await expect(start()).rejects.toThrow('Bring the file back')
    rmSync(file(first.file))
    await expect(start()).rejects.toThrow('but not its keys')
    writeFileSync(file(first.file), key)
    writeFileSync(file(second.file), key)
    await expect(start()).rejects.toThrow('does not hold the key that belongs there')
  })

  it('is refused with the keys of another witness, under another name, without a name at first, and twice at once', async () => {
    await expect(start({ name: null })).rejects.toThrow('--name')
    await expect(start({ name: 'a b' })).rejects.toThrow('cannot be the name')
    rmSync(join(folder.path, 'data'), { recursive: true, force: true })
    {
      await using _ = await start()
      await expect(start()).rejects.toThrow('in use')
    }
    await expect(start({ name: 'other.example' })).rejects.toThrow('of the witness w.example, not of other.example')
    for (const { file: name, type } of KEY_FILES) writeFileSync(file(name), formatSigningKey(makeSigningKey('w.example', type, new Uint8Array(32))))
    await expect(start()).rejects.toThrow('not those of its state')
  })

  it('that was begun and cut short is finished: nothing can have been signed', async () => {
    await (await start())[Symbol.asyncDispose]()
    rmSync(file(STATE_FILE))
    const [first] = KEY_FILES
    const kept = readFileSync(file(first.file), 'utf8')
    rmSync(file('ml-dsa-44.key'))
    openState(file(STATE_FILE), true)[Symbol.dispose]()
    await expect(start({ name: null })).rejects.toThrow('--name NAME finishes it')
    await expect(start({ name: 'other.example' })).rejects.toThrow('is a key of w.example')
    await using witness = await start()
    expect(readFileSync(file(first.file), 'utf8')).toBe(kept)
    expect(witness.vkeys).toHaveLength(2)
  })
})

describe('the endpoints', () => {
  let witness: RunningWitness
  beforeEach(async () => (witness = await start()))
  afterEach(() => witness[Symbol.asyncDispose]())

  it('cosign, say which size was cosigned last, and show it to monitors', async () => {
    expect(await ask(witness, `/${logId(log.origin)}/checkpoint`)).toMatchObject({ status: 404 })
    const answer = await ask(witness, '/add-checkpoint', log.body(0, 5))
    expect(answer).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8' })
    expect(openAnswer(answer.text, log.note(5), witness.vkeys.map(parseVerifierKey))).toHaveLength(2)
    expect(await ask(witness, '/add-checkpoint', log.body(0, 9))).toMatchObject({ status: 409, type: 'text/x.tlog.size', text: '5\n' })
    const shown = await ask(witness, `/${logId(log.origin)}/checkpoint`)
    expect(shown).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8', text: `${log.note(5)}${answer.text}` })
    expect(shown.headers.get('access-control-allow-origin')).toBe('*')
    expect((await ask(witness, `/${logId(log.origin)}/checkpoint`, undefined, { method: 'HEAD' })).headers.get('content-length')).toBe(String(Buffer.byteLength(shown.text)))
  })

  it('give the same answers after a start from the same files', async () => {
    await ask(witness, '/add-checkpoint', log.body(0, 5))
    const before = await ask(witness, `/${logId(log.origin)}/checkpoint`)
    await witness[Symbol.asyncDispose]()
    witness = await start()
    expect((await ask(witness, `/${logId(log.origin)}/checkpoint`)).text).toBe(before.text)
    expect(await ask(witness, '/add-checkpoint', leafLog('log.example', { forkAt: 2 }).body(5, 5))).toMatchObject({ status: 422 })
    expect(await ask(witness, '/add-checkpoint', log.body(5, 9))).toMatchObject({ status: 200 })
  })

  it('take one of many that come at once for one log, and tell the others', async () => {
    await ask(witness, '/add-checkpoint', log.body(0, 5))
    const forks = Array.from({ length: 10 }, (_, i) => leafLog('log.example', { forkAt: 5 + i }))
    const answers = await Promise.all(forks.map((fork, i) => ask(witness, '/add-checkpoint', fork.body(5, 20 + i))))
    const taken = answers.map(({ status }, i) => (status === 200 ? i : -1)).filter((i) => i >= 0)
    expect(taken).toHaveLength(1)
    expect(answers.filter(({ status, text }) => status === 409 && text === `${20 + (taken[0] ?? 0)}\n`)).toHaveLength(9)
  })

  it('refuse what they do not know, another method, a packed body, and one that is no UTF-8', async () => {
    for (const path of ['/', '/vkey', '/add-checkpoint/', `/${'A'.repeat(64)}/checkpoint`, `/${'a'.repeat(63)}/checkpoint`, '//add-checkpoint']) {
      expect(await ask(witness, path), path).toMatchObject({ status: 404 })
    }
    const wrong = await ask(witness, '/add-checkpoint')
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await ask(witness, '/vkeys', 'x')).status).toBe(405)
    expect((await ask(witness, '/add-checkpoint', log.body(0, 5), { headers: { 'Content-Encoding': 'gzip' } })).status).toBe(415)
    expect(await ask(witness, '/add-checkpoint', Uint8Array.of(0xff, 0x0a, 0x0a))).toMatchObject({ status: 400, text: expect.stringContaining('Malformed') as string })
  })

  it('refuse a body that is too long, and go on', async () => {
    const note = parseNote(log.note(5))
    const line = (i: number) => ({ name: 'x.example', id: i.toString(16).padStart(8, '0'), signature: new Uint8Array(3000) })
    const body = formatAddCheckpoint({ oldSize: 0, proof: [], note: { ...note, signatures: [...note.signatures, ...Array.from({ length: 15 }, (_, i) => line(i))] } })
    expect(body.length).toBeLessThan(WITNESS_LIMITS.bodyBytes)
    expect((await ask(witness, '/add-checkpoint', body)).status).toBe(200)
    expect((await ask(witness, '/add-checkpoint', 'x'.repeat(WITNESS_LIMITS.bodyBytes + 1))).status).toBe(413)
    expect((await ask(witness, '/add-checkpoint', 'x'.repeat(4 * WITNESS_LIMITS.lingerBytes))).status).toBe(413)
    expect((await ask(witness, '/add-checkpoint', log.body(5, 6))).status).toBe(200)
  })

  it('survive a client that leaves in the middle of its body', async () => {
    const sent = request(`${witness.url}/add-checkpoint`, { method: 'POST', headers: { 'Content-Length': '1000' } })
    sent.on('error', () => undefined)
    await new Promise((resolve) => sent.write('old 0\n', resolve))
    sent.destroy()
    expect((await ask(witness, '/add-checkpoint', log.body(0, 6))).status).toBe(200)
  })
})

describe('an address', () => {
  it('that asks too often is refused with 429, one that a proxy names apart from others', async () => {
    await using witness = await start({ addressRate: 1, clientIpHeader: 'x-forwarded-for' })
    const statuses: number[] = []
    for (let i = 0; i < 2 * WITNESS_LIMITS.addressBurstSeconds; i++) statuses.push((await ask(witness, '/vkeys', undefined, { headers: { 'X-Forwarded-For': '192.0.2.1' } })).status)
    expect(statuses).toContain(429)
    expect((await ask(witness, '/vkeys', undefined, { headers: { 'X-Forwarded-For': '192.0.2.2' } })).status).toBe(200)
  })
})

describe('an error that nobody foresaw', () => {
  it('is answered with 500, and the witness goes on', async () => {
    let clock: number | null = null
    await using witness = await start({ now: () => { if (clock === null) throw new Error('no clock'); return clock } })
    expect((await ask(witness, '/add-checkpoint', log.body(0, 5))).status).toBe(500)
    clock = 1e12
    expect((await ask(witness, '/add-checkpoint', log.body(0, 5))).status).toBe(200)
  })

  it('ends the witness where it is the state that fails', async () => {
    const { promise, resolve } = Promise.withResolvers<Error>()
    const fail = (): never => { throw new StateFailure('no disk') }
    const app = createWitnessApp({ witness: { addCheckpoint: fail, signSubtree: fail, checkpoint: fail }, vkeys: [], clientIpHeader: null, elapsed: () => 0, log: () => undefined, onFailure: resolve })
    await using server = await listenWith(app, { host: '127.0.0.1', port: 0, limits: WITNESS_LIMITS, plainError: (body) => ({ body, headers: {} }) })
    expect((await fetch(`${server.url}/add-checkpoint`, { method: 'POST', body: 'x' })).status).toBe(500)
    expect((await promise).message).toBe('no disk')
  })
})
