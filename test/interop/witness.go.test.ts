// Our witness and a log that is not ours: Tessera's own program, unmodified, publishes nothing without its cosignature,
// and torchwood's verifier finds that in what it published.

import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatSigningKey, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { openUnderPolicy, parsePolicy } from '../../src/core/tlog/policy.ts'
import { logId, openState } from '../../src/witness/state.ts'
import { newHome, type Home, type Started } from '../support/program.ts'
import { hasGoFor, runGo } from './go.ts'

const TESSERA = 'github.com/transparency-dev/tessera/cmd/examples/posix-oneshot@v1.0.4'
const key = makeSigningKey('tessera.example/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(7))

describe.skipIf(!hasGoFor('witness', 'a witness for other logs'))('our witness', () => {
  let home: Home
  let witness: Started
  let url: string
  const path = (...names: string[]): string => join(home.folder, ...names)

  beforeAll(async () => {
    home = newHome()
    const { status, stderr } = spawnSync('go', ['install', TESSERA], { env: { ...process.env, GOBIN: path('bin') }, encoding: 'utf8', timeout: 300_000 })
    if (status !== 0) throw new Error(stderr)
    witness = home.start(['witness', '--port', '0', '--name', 'witness.example/w1', '--log', formatVerifierKey(key)])
    url = /^stele witness listening on (http:\/\/\S+)$/.exec(await witness.line)?.[1] ?? 'none'
    const [vkey = ''] = readFileSync(path('witness-data', 'witness.vkeys'), 'utf8').split('\n')
    writeFileSync(path('policy'), `log ${formatVerifierKey(key)}\nwitness w1 ${vkey} ${url}\nquorum w1\n`)
    writeFileSync(path('log.key'), formatSigningKey(key))
  }, 600_000)

  afterAll(() => home[Symbol.dispose]())

  /** Appends entries with Tessera to the log in a folder, until the checkpoint that covers them is published or it is given up. */
  async function append(log: string, entries: readonly string[], givenUp: () => boolean = () => false): Promise<number | null> {
    rmSync(path('entries'), { recursive: true, force: true })
    mkdirSync(path('entries'))
    for (const [i, entry] of entries.entries()) writeFileSync(path('entries', String(i)), entry)
    const flags = ['--storage_dir', path(log), '--entries', path('entries', '*'), '--private_key', path('log.key'), '--witness_policy_file', path('policy')]
    const child = spawn(path('bin', 'posix-oneshot'), flags, { stdio: 'ignore' })
    const watch = setInterval(() => givenUp() && child.kill('SIGKILL'), 100)
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
    clearInterval(watch)
    return code
  }

  it('cosigns every checkpoint of a log of Tessera, which publishes them, and torchwood and we find its cosignature there', async () => {
    let size = 0
    for (const count of [1, 3, 300, 2]) {
      expect(await append('log', Array.from({ length: count }, (_, i) => `entry ${size + i}`))).toBe(0)
      size += count
      const { checkpoint, verified } = openUnderPolicy(readFileSync(path('log', 'checkpoint'), 'utf8'), parsePolicy(readFileSync(path('policy'), 'utf8')))
      expect([checkpoint.size, verified.length]).toEqual([size, 2])
      expect(await runGo('./witness', path('policy'), path('log', 'checkpoint'))).toMatchObject({ code: 0, stdout: `${size} ${Buffer.from(checkpoint.root).toString('hex')}\n` })
      const shown = await (await fetch(`${url}/${logId(key.name)}/checkpoint`)).text()
      expect(parseNote(shown).text).toBe(parseNote(readFileSync(path('log', 'checkpoint'), 'utf8')).text)
      expect(shown).toContain(readFileSync(path('log', 'checkpoint'), 'utf8').trimEnd().split('\n').find((line) => line.startsWith('\u2014 witness.example')) ?? 'none')
    }
  }, 300_000)

  it('does not for a fork of it, which Tessera then never publishes, and keeps what convicts it', async () => {
    cpSync(path('log'), path('fork'), { recursive: true })
    expect(await append('log', ['this', 'that'])).toBe(0)
    const before = readFileSync(path('fork', 'checkpoint'), 'utf8')
    const refused = (): boolean => existsSync(path('fork', 'checkpoint')) && stderr.includes('THE LOG CONTRADICTS ITSELF')
    let stderr = ''
    witness.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    expect(await append('fork', ['another', 'story'], refused)).toBeNull()
    expect(readFileSync(path('fork', 'checkpoint'), 'utf8')).toBe(before)
    witness.child.kill('SIGTERM')
    expect((await witness.ended).code).toBe(0)
    using state = openState(path('witness-data', 'witness.sqlite'), false)
    expect(state.suspects(key.name)).toMatchObject([{ kind: 'contradiction' }])
  }, 300_000)
})
