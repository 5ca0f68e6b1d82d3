// The page about following: its examples run as they stand there, its tables say what the code does.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_DEAD_LETTERS } from '../src/cli/dead-letters.ts'
import { FOLLOW_LIMITS } from '../src/client/follow-limits.ts'
import { WEBHOOK_LIMITS } from '../src/client/webhook.ts'
import { formatVerifierKey } from '../src/core/tlog/note.ts'
import { until } from './support/mirror.ts'
import { person } from './support/people.ts'
import { newHome, type Home } from './support/program.ts'
import { identityLeaves, LOG_KEY } from './support/stored-log.ts'
import { serveLog, type ServedLog } from './support/upstream.ts'

const ROOT = join(import.meta.dirname, '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'following.md'), 'utf8')
const ENTRIES = 5

describe('docs/following.md', () => {
  let home: Home
  let log: ServedLog
  beforeAll(async () => {
    home = newHome()
    log = await serveLog(identityLeaves(ENTRIES))
    writeFileSync(join(home.folder, 'log.vkey'), formatVerifierKey(LOG_KEY))
    writeFileSync(join(home.folder, 'hook.secret'), 'a secret of the tests alone\n')
    writeFileSync(join(home.folder, 'witnesses.policy'), `log ${formatVerifierKey(LOG_KEY)}\nquorum none\n`)
  })
  afterAll(async () => {
    home[Symbol.dispose]()
    await log[Symbol.asyncDispose]()
  })

  it('lists the limits as they are', () => {
    const { requestMs, ...webhook } = WEBHOOK_LIMITS
    expect(requestMs).toBe(FOLLOW_LIMITS.requestMs)
    const named = Object.entries(webhook).map(([name, value]) => [`webhook${name.charAt(0).toUpperCase()}${name.slice(1)}`, value])
    const rows = [...(PAGE.split('\n## Limits\n')[1] ?? '').matchAll(/^\| `(\w+)` \| (\d+) \|/gm)].map(([, name, value]) => [name, Number(value)])
    expect(rows).toEqual([...Object.entries(FOLLOW_LIMITS), ...named, ['deadLetters', MAX_DEAD_LETTERS]])
  })

  it('has commands that run: they follow, watch and audit', async () => {
    const lines = blocks('sh').flatMap((block) => block.split('\n').filter((line) => line.startsWith('stele ')))
    expect(lines.map((line) => line.split(' ')[1])).toEqual(['follow', 'follow', 'follow', 'follow', 'follow', 'monitor', 'monitor', 'monitor', 'audit'])
    await Promise.all(
      lines.filter((line) => !line.includes('--webhook')).map(async (line) => {
        const [, cursor = `${lines.indexOf(line)}.cursor`] = /--cursor (\S+)/.exec(line) ?? []
        const running = start(line.includes('--cursor') || line.includes('audit') ? line : `${line} --cursor ${cursor}`)
        if (line.startsWith('stele audit')) return expect(await running.ended, running.output()).toBe(0)
        const expected = /all\.cursor/.test(line) ? `"seq":${ENTRIES},` : /--did/.test(line) && line.startsWith('stele follow') ? '"seq":2,' : line.includes('monitor --did') ? 'watching did:plc:' : ''
        await until(() => running.output().includes(expected) && existsSync(join(home.folder, cursor)), () => `${line}: ${running.output()}`)
        running.stop()
        expect(await running.ended, `${line}: ${running.output()}`).toBe(0)
      }),
    )
  })

  it('has an application that takes three operations, and goes on after them', async () => {
    const [code = ''] = blocks('js')
    // It was not done with the last one.
    for (const first of [0, 2]) {
      const running = run(process.execPath, ['--input-type=module', '-e', local(code)])
      expect(await running.ended, running.output()).toBe(0)
      const lines = running.output().trim().split('\n')
      expect(lines.map((line) => line.split(' ').slice(0, 2))).toEqual([0, 1, 2].map((i) => [String(first + i), person(`resident ${first + i}`, 1).did]))
      expect(lines[0]).toContain(`[ 'at://resident ${first}.test' ] under ${ENTRIES}`)
    }
  })

  it('has a receiver that takes what the command sends, once, and refuses what is not signed', async () => {
    const [, code = ''] = blocks('js')
    const receiver = run(process.execPath, ['--input-type=module', '-e', code.replace('8080', '0')])
    await until(() => receiver.output().includes('listening on'), () => receiver.output())
    const url = `http://127.0.0.1:${/listening on (\d+)/.exec(receiver.output())?.[1] ?? ''}/hook`
    expect((await fetch(url, { method: 'POST', body: '{"entries":[{"seq":1000,"type":"sequenced_op"}]}' })).status).toBe(401)
    const line = blocks('sh').join('').split('\n').find((line) => line.includes('follow') && line.includes('--webhook')) ?? ''
    for (let times = 0; times < 2; times++) {
      // Without its cursor it sends everything again.
      const following = start(line.replace('hook.cursor', `hook-${times}.cursor`).replace('https://app.example.com/hook', url))
      await until(() => times === 1 || receiver.output().split('\n').length === ENTRIES + 2, () => receiver.output() + following.output())
      if (times === 1) await until(() => cursorOf('hook-1.cursor') === ENTRIES, () => following.output())
      following.stop()
      expect(await following.ended, following.output()).toBe(0)
    }
    expect(receiver.output().trim().split('\n').slice(1).map((line) => line.split(' ').slice(0, 2))).toEqual(Array.from({ length: ENTRIES }, (_, i) => [String(i + 1), person(`resident ${i}`, 1).did]))
    receiver.stop()
    await receiver.ended
  })

  function cursorOf(file: string): number {
    try {
      return (JSON.parse(readFileSync(join(home.folder, file), 'utf8')) as { next: number }).next
    } catch {
      return 0
    }
  }

  interface Running {
    readonly ended: Promise<number | null>
    output(): string
    stop(): void
  }

  function run(program: string, args: readonly string[]): Running {
    const child = spawn(program, args, { cwd: home.folder, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] ?? '', HOME: home.folder, XDG_STATE_HOME: join(home.folder, 'state') } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    return { ended: new Promise((resolve) => child.on('close', resolve)), output: () => output, stop: () => void child.kill() }
  }

  function start(line: string): Running {
    const words = [...local(line).replace(/ +#.*$/, '').matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    return run(process.execPath, [join(ROOT, 'bin', 'stele.js'), ...words.slice(1)])
  }

  // The page names servers, identities, a key and a package that are elsewhere.
  function local(text: string): string {
    const rooms: Record<string, string> = { '': 'client/index.ts', '/core': 'core/index.ts', '/node': 'client/node.ts' }
    return text
      .replaceAll('https://plc.example.com', log.url)
      .replaceAll('https://mirror.example.org', `${log.url}/`)
      .replaceAll('did:plc:ewvi7nxzyoun6zhxrhs64oiz', person('resident 1', 1).did)
      .replaceAll(/plc\.example\.com\/log\+[0-9a-f]{8}\+[\w+/]+=*/g, formatVerifierKey(LOG_KEY))
      .replaceAll(/'stele-client(\/\w+)?'/g, (_, room = '') => `'${join(ROOT, 'src', rooms[String(room)] ?? '')}'`)
  }
})

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code = '']) => code)
}
