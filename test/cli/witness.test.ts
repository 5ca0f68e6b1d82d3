import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseVerifierKey, type VerifierKey } from '../../src/core/tlog/note.ts'
import { openState } from '../../src/witness/state.ts'
import { newHome, type Home, type Started } from '../support/program.ts'
import { leafLog, MAX_LEAVES, openAnswer } from '../support/witness.ts'

const log = leafLog('log.example')
const fork = leafLog('log.example', { forkAt: 2 })
let home: Home
beforeEach(() => (home = newHome()))
afterEach(() => home[Symbol.dispose]())

const ARGS = ['witness', '--port', '0', '--name', 'w.example', '--log-rate', '0', '--address-rate', '0']
const urlOf = async ({ line }: Started): Promise<string> => /^stele witness listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(await line)?.[1] ?? `none in ${await line}`
const post = (url: string, body: string): Promise<Response> => fetch(`${url}/add-checkpoint`, { method: 'POST', body })
const readVkeys = (): VerifierKey[] => readFileSync(join(home.folder, 'witness-data', 'witness.vkeys'), 'utf8').trim().split('\n').map(parseVerifierKey)

describe('stele witness', () => {
  it('serves the logs of keys, files and policies, and ends with 0 at SIGTERM', async () => {
    const policy = makeSigningKey('policy.example', KEY_TYPES.ed25519, new Uint8Array(32).fill(4))
    const inFile = leafLog('file.example', { seed: 5 })
    writeFileSync(join(home.folder, 'log.vkey'), `${inFile.vkey}\n`)
    writeFileSync(join(home.folder, 'policy'), `log ${formatVerifierKey(policy)}\nquorum none\n`)
    const started = home.start([...ARGS, '--log', log.vkey, '--log', 'log.vkey', '--policy', 'policy'])
    const url = await urlOf(started)
    const answer = await post(url, log.body(0, 5))
    expect(openAnswer(await answer.text(), log.note(5), readVkeys())).toHaveLength(2)
    expect((await post(url, inFile.body(0, 5))).status).toBe(200)
    expect((await post(url, leafLog('policy.example', { seed: 4 }).body(0, 5))).status).toBe(200)
    expect((await post(url, leafLog('other.example').body(0, 5))).status).toBe(404)
    started.child.kill('SIGTERM')
    const { code, stdout, stderr } = await started.ended
    expect([code, stdout.split('\n').length]).toEqual([0, 2])
    expect(stderr.trim().split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['witness listening'])
  })

  it('says in words what is wrong with its options, its data, or its port', async () => {
    const run = async (...args: string[]): Promise<string> => {
      const { code, stderr } = await home.run(args)
      return `${code} ${stderr.trim()}`
    }
    expect(await run(...ARGS)).toMatch(/^2 .*--log or --policy/)
    expect(await run(...ARGS, '--log', 'nothing')).toMatch(/^2 .*--log: nothing is neither/)
    expect(await run(...ARGS, '--log', formatVerifierKey(makeSigningKey('x', KEY_TYPES.cosignature, new Uint8Array(32))))).toMatch(/^2 .*type 4/)
    expect(await run('witness', '--port', '0', '--log', log.vkey)).toMatch(/^1 .*--name NAME begins one/)
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    expect(await run('witness', '--port', String(port), '--name', 'w.example', '--log', log.vkey)).toMatch(/^1 .*is in use: .*--port chooses another/)
    taken.close()
  })

  it('never signs less than, or other than, what it signed, however often it is killed', async () => {
    const answered: { size: number; timestamp: number }[] = []
    for (let life = 0; life < 4; life++) {
      const started = home.start([...ARGS, '--log', log.vkey])
      const url = await urlOf(started)
      const keys = readVkeys()
      // What is on disk is at least what was answered, and no other branch is taken from there.
      const last = answered.at(-1)?.size ?? 0
      const known = Number(await (await post(url, log.body(MAX_LEAVES, MAX_LEAVES))).text())
      expect(known).toBeGreaterThanOrEqual(last)
      if (known > 2) {
        expect((await post(url, fork.body(known, known))).status).toBe(422)
        expect((await post(url, fork.body(known, known + 1))).status).toBe(422)
      }
      // Two submitters that run after each other, and a kill in the middle of an answer.
      const submit = async (): Promise<void> => {
        for (let size = known; size < known + 60; ) {
          const response = await post(url, log.body(size, size + 1))
          const text = await response.text()
          if (response.status === 200) {
            const [cosignature] = openAnswer(text, log.note(size + 1), keys)
            answered.push({ size: size + 1, timestamp: cosignature?.timestamp ?? 0 })
            if (answered.length % 8 === 7) setImmediate(() => started.child.kill('SIGKILL'))
          } else expect(response.status).toBe(409)
          size = response.status === 200 ? size + 1 : Number(text)
        }
      }
      const ends = await Promise.allSettled([submit(), submit()])
      expect(ends.map(({ status }) => status)).toContain('rejected')
      expect((await started.ended).code).toBeNull()
    }
    const sorted = answered.toSorted((a, b) => a.size - b.size)
    expect(new Set(sorted.map(({ size }) => size)).size).toBe(answered.length)
    for (const [i, { timestamp }] of sorted.entries()) expect(timestamp).toBeGreaterThanOrEqual(sorted[i - 1]?.timestamp ?? 0)
    using state = openState(join(home.folder, 'witness-data', 'witness.sqlite'), false)
    expect(state.latest(log.origin)?.size).toBeGreaterThanOrEqual(sorted.at(-1)?.size ?? Infinity)
    expect(state.latest(log.origin)?.root).toEqual(log.checkpoint(state.latest(log.origin)?.size ?? 0).root)
  })
})
