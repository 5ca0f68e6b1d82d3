import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SETTINGS } from '../src/config.ts'

const ROOT = join(import.meta.dirname, '..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')

describe('the README', () => {
  let folder: string
  let server: ChildProcess
  let environment: NodeJS.ProcessEnv
  let port: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stele-readme-'))
    for (const name of ['package.json', 'node_modules', 'bin', 'src', 'migrations', 'tsconfig.json']) symlinkSync(join(ROOT, name), join(folder, name))
    environment = { ...process.env, XDG_STATE_HOME: join(folder, 'state'), PORT: '0' }
    server = spawn('npm', ['start', '--silent'], { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'ignore'] })
    if (server.stdout === null) throw new Error('no stdout')
    const [line] = (await once(createInterface(server.stdout), 'line')) as [string]
    port = /^stele listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1] ?? `none in ${line}`
  })

  afterAll(() => {
    server.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  it('shows the settings as they are', () => {
    const rows = [...README.matchAll(/^\| `--([a-z-]+)` \| (.*?) \| (.*?) \| (.*?) \|$/gm)].map(([, name, env, fallback, help]) => ({ name, env, fallback, help }))
    const expected = Object.entries(SETTINGS).map(([name, { env, fallback, help }]) => ({
      name,
      env: env.map((variable) => `\`${variable}\``).join(', '),
      fallback: fallback === null ? '' : `\`${fallback}\``,
      help,
    }))
    expect(rows.map(({ fallback, ...row }) => ({ ...row, fallback: fallback?.trim() ?? '' }))).toEqual(expected)
  })

  it('gives commands that work word for word against what npm start runs, and ends it with SIGTERM', async () => {
    const first = commandsAfter('From another terminal')
    const did = run(first[0] ?? '').trim()
    expect(did).toMatch(/^did:plc:[a-z2-7]{24}$/)
    const rest = [...commandsAfter('With `DID` set'), ...commandsAfter('The last command fetched'), ...commandsAfter('And the whole log')]
    const outputs = rest.map((command) => run(command.replaceAll('$DID', did)))
    expect(outputs).toHaveLength(6)
    expect(outputs[0]).toContain('at://alice.example.com')
    expect(outputs[4]).toContain(did)
    expect(outputs[5]).toContain('whole')

    const ended = once(server, 'exit')
    server.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  })

  function commandsAfter(words: string): string[] {
    const start = README.indexOf(words)
    const block = README.slice(README.indexOf('```sh\n', start) + 6)
    return block.slice(0, block.indexOf('```')).trim().split('\n')
  }

  function run(command: string): string {
    const env = { ...environment, STELE_URL: `http://127.0.0.1:${port}` }
    return execFileSync('sh', ['-c', command.replaceAll('2582', port)], { cwd: folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }
})
