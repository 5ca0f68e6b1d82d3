// A witness that is not ours: litewitness of torchwood, unmodified, one of the three of a policy beside two of ours.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { EMPTY_ROOT } from '../../src/core/tlog/hash.ts'
import { openUnderPolicy, parsePolicy, type Policy } from '../../src/core/tlog/policy.ts'
import { parseTlogProof } from '../../src/core/tlog/tlog-proof.ts'
import { person } from '../support/people.ts'
import { newHome, type Home, type Started } from '../support/program.ts'
import { GO_FOLDER, hasGo } from './go.ts'

const LITEWITNESS = 'filippo.io/torchwood/cmd/litewitness'
const ORIGIN = 'litewitnessed.test/log'
const NAME = 'lite.test/w'
const OURS = ['alice', 'bob'] as const
const hasAgent = (): boolean => ['ssh-agent', 'ssh-add', 'ssh-keygen'].every((name) => spawnSync('which', [name]).status === 0)

describe.skipIf(!hasGo('litewitness as a witness', '-deps', '-f', '{{.ImportPath}}', LITEWITNESS) || !found(hasAgent()))('litewitness', () => {
  let home: Home
  /** For the socket, whose path must be short. */
  let short: string
  let policy: Policy
  let url: string
  let directory: Started
  let ours: Started[]
  let lite: ChildProcess
  let said = ''
  const children: ChildProcess[] = []
  const path = (...names: string[]): string => join(home.folder, ...names)

  beforeAll(async () => {
    home = newHome()
    short = mkdtempSync(join(tmpdir(), 'agent-'))
    must('go', ['build', '-o', path('litewitness'), LITEWITNESS], GO_FOLDER)
    expect((await home.run(['init', '--origin', ORIGIN, '--data', 'data'])).code).toBe(0)
    const vkey = readFileSync(path('data', 'log.vkey'), 'utf8').trim()
    ours = OURS.map((name) => home.start(['witness', '--port', '0', '--name', `${name}.test/w`, '--data', name, '--log', vkey, '--log-level', 'warn']))
    const urls = await Promise.all(ours.map(async ({ line }) => (await line).slice('stele witness listening on '.length)))
    const liteUrl = await startLite(vkey)
    const liteKey = / vkey=(\S+)/.exec(said)?.[1] ?? 'none'
    const lines = [...OURS.map((name, i) => `witness ${name} ${readFileSync(path(name, 'witness.vkeys'), 'utf8').split('\n')[0]} ${urls[i]}`), `witness lite ${liteKey} ${liteUrl}`]
    const text = [`log ${vkey}`, ...lines, `group all 2 ${OURS.join(' ')} lite`, 'quorum all', ''].join('\n')
    policy = parsePolicy(text)
    writeFileSync(path('policy'), text)
    directory = home.start(['serve', '--port', '0', '--data', 'data', '--policy', 'policy', '--checkpoint-interval', '50ms', '--log-level', 'warn'])
    url = (await directory.line).slice('stele listening on '.length)
  })

  afterAll(() => {
    for (const child of children) child.kill('SIGKILL')
    home[Symbol.dispose]()
    rmSync(short, { recursive: true, force: true })
  })

  /** Starts it as its manual says, with a key in an agent of its own; resolves with its address once it answers. */
  async function startLite(vkey: string): Promise<string> {
    const agent = join(short, 's')
    children.push(spawn('ssh-agent', ['-D', '-a', agent], { stdio: 'ignore' }))
    await until('the agent listens', () => existsSync(agent))
    must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path('lite.pem')])
    must('ssh-add', ['-q', path('lite.pem')], undefined, { SSH_AUTH_SOCK: agent })
    const fingerprint = must('ssh-keygen', ['-lf', path('lite.pem.pub')]).split(' ')[1] ?? 'none'
    const port = await freePort()
    lite = spawn(path('litewitness'), ['-name', NAME, '-db', path('lite.db'), '-ssh-agent', agent, '-key', fingerprint, '-listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] })
    children.push(lite)
    lite.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const url = `http://127.0.0.1:${port}`
    await until('it answers', () => fetch(url).then(({ ok }) => ok, () => false))
    // What `witnessctl add-log` and `witnessctl add-key` write while it runs.
    const database = new DatabaseSync(path('lite.db'))
    database.prepare('INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)').run(ORIGIN, Buffer.from(EMPTY_ROOT).toString('base64'))
    database.prepare('INSERT INTO key (origin, key) VALUES (?, ?)').run(ORIGIN, vkey)
    database.close()
    return url
  }

  const post = (name: string, wait = 30): Promise<Response> =>
    fetch(`${url}/${person(name).did}`, {
      method: 'POST', body: renderJson(person(name).genesis.value),
      headers: { 'Content-Type': 'application/json', Prefer: `wait=${wait}`, Accept: 'text/x.tlog-proof' },
    })

  /** The size of a checkpoint that meets the policy, and who has cosigned it. */
  const opened = (note: string): [number, string[]] => {
    const { checkpoint, verified } = openUnderPolicy(note, policy)
    return [checkpoint.size, policy.witnesses.filter(({ key }) => verified.some((one) => one.key.id === key.id)).map(({ name }) => name)]
  }
  const published = async (): Promise<[number, string[]]> => opened(await (await fetch(`${url}/checkpoint`)).text())

  it('cosigns what the others do', async () => {
    expect((await post('first')).status).toBe(200)
    await until('all three have cosigned', async () => (await published())[1].length === 3)
    expect((await published())[0]).toBe(1)
  })

  it('makes the quorum with one of ours while the other is dead, receipt after receipt', async () => {
    const [alice] = ours
    alice?.child.kill('SIGKILL')
    await alice?.ended
    for (let i = 2; i < 12; i++) {
      const answer = await post(`person ${i}`)
      expect(answer.status).toBe(200)
      expect(opened(parseTlogProof(await answer.text()).checkpoint)).toEqual([i, ['bob', 'lite']])
    }
    expect((await fetch(`${url}/_health`)).status).toBe(200)
  })

  it('is missed when it is dead too, and named', async () => {
    lite.kill('SIGKILL')
    await new Promise((resolve) => lite.once('close', resolve))
    expect((await post('late', 1)).status).toBe(202)
    expect((await published())[0]).toBe(11)
    await until('health says so', async () => {
      const { faults = [] } = (await (await fetch(`${url}/_health`)).json()) as { faults?: string[] }
      return faults.some((words) => words.startsWith('the quorum all of witnesses is not met') && words.includes('lite: it cannot be asked'))
    })
  })
})

function found(agent: boolean): boolean {
  if (!agent) process.stderr.write('\nSKIPPED: litewitness as a witness, because there is no ssh-agent\n')
  return agent
}

function must(command: string, args: readonly string[], cwd?: string, env: Record<string, string> = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env }, ...(cwd === undefined ? {} : { cwd }) })
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`)
  return stdout
}

// litewitness does not say which port it took, so it is given one that was free just now.
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function until(words: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`in a minute it did not come about that ${words}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
