import { spawnSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, describe, expect, it } from 'vitest'
import { buildProgram } from '../../src/cli/program.ts'
import { wordsFor } from '../../src/cli/words.ts'
import { receiptFor } from '../support/receipts.ts'
import { newHome } from '../support/program.ts'

const home = newHome()
afterAll(() => home[Symbol.dispose]())

describe('the program', () => {
  it('has help with an example for every command', async () => {
    const commands = (command: Command): Command[] => [command, ...command.commands.flatMap(commands)]
    const all = commands(await buildProgram())
    expect(all.map((command) => command.name())).toEqual(
      ['stele', 'serve', 'mirror', 'init', 'migrate', 'signer', 'show', 'hand-over', 'take-over', 'adopt', 'add-key', 'retire-key', 'recover-log', 'map', 'rebuild', 'keygen', 'log', 'operation',
        'did', 'create', 'update', 'rotate', 'move', 'recover', 'deactivate', 'resolve', 'import', 'export', 'proof', 'state-proof', 'verify', 'verify-evidence', 'fsck', 'compare', 'follow', 'monitor', 'audit', 'keys', 'witness'],
    )
    for (const command of all) {
      let help = ''
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
      expect(help, command.name()).toMatch(/\nExamples?:\n {2}\$ stele /)
      expect(command.description(), command.name()).not.toBe('')
    }
  })

  it('loads the one command that is asked for, by the name that it has', async () => {
    for (const name of (await buildProgram()).commands.map((command) => command.name())) {
      expect((await buildProgram(name)).commands.map((command) => command.name())).toEqual([name])
    }
    for (const none of ['', 'nothing', '--help', 'constructor']) expect((await buildProgram(none)).commands.length).toBeGreaterThan(20)
  })

  it('has every command and option that the page for owners names', async () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/identities.md'), 'utf8')
    const did = (await buildProgram()).commands.find((command) => command.name() === 'did')
    const named = [...page.matchAll(/\bstele did ([a-z]+)([^\n#]*)/g)]
    expect(named.length).toBeGreaterThan(10)
    for (const [line, name, args = ''] of named) {
      const command = did?.commands.find((command) => command.name() === name)
      const flags = command?.options.map(({ long }) => long) ?? []
      expect(flags, line).toEqual(expect.arrayContaining([...args.matchAll(/--[a-z-]+/g)].map(([flag]) => flag)))
      expect(command, line).toBeDefined()
    }
  })

  it('prints help and its version', async () => {
    expect(await home.run(['--help'])).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('stele serve') as string })
    expect(await home.run(['fsck', '--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('$STELE_URL') as string })
    expect((await home.run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('says in one line what is wrong with a command line, and exits with 2', async () => {
    for (const args of [
      ['nothing'],
      ['resolve'],
      ['resolve', 'did:web:example.com'],
      ['resolve', 'alice'],
      ['did', 'rotate', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'],
      ['resolve', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', '--url', 'ftp://x'],
      ['keygen', 'operation'],
      ['serve', '--port', 'many'],
    ]) {
      const { code, stdout, stderr } = await home.run(args)
      expect([code, stdout], args.join(' ')).toEqual([2, ''])
      expect(stderr).toMatch(/^error: [^\n]+\n(\(--help [^\n]+\n)?$/)
      expect(stderr).not.toContain(' at ')
    }
  })

  it('says in one line that nobody answers, and what to do', async () => {
    const { code, stderr } = await home.run(['resolve', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', '--url', 'http://127.0.0.1:9'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: http:\/\/127.0.0.1:9\/[^\n]* cannot be reached: [^\n]*`stele serve` starts one[^\n]*\n$/)
  })

  it('shows a stack where it is asked for the whole story, by flag or environment', async () => {
    expect((await home.run(['verify', 'missing', '--operation', 'x', '--vkey', 'y'])).stderr).not.toContain('    at ')
    expect((await home.run(['verify', 'missing', '--operation', 'x', '--vkey', 'y', '--log-level', 'debug'])).stderr).toContain('    at ')
    expect((await home.run(['verify', 'missing', '--operation', 'x', '--vkey', 'y'], { env: { STELE_LOG_LEVEL: 'debug' } })).stderr).toContain('    at ')
  })

  it('makes keys that only their owner can read, and never overwrites one', async () => {
    const log = await home.run(['keygen', 'log', 'directory.example/log', '--out', 'log.key'])
    expect(log).toMatchObject({ code: 0, stdout: expect.stringMatching(/^directory\.example\/log\+[0-9a-f]{8}\+A/) as string })
    const secret = readFileSync(join(home.folder, 'log.key'), 'utf8')
    expect(secret).toMatch(/^PRIVATE\+KEY\+directory\.example\/log\+[0-9a-f]{8}\+A\S+\n$/)
    expect(statSync(join(home.folder, 'log.key')).mode & 0o777).toBe(0o600)
    const again = await home.run(['keygen', 'log', 'directory.example/log', '--out', 'log.key'])
    expect(again).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('never overwritten') as string })
    expect(readFileSync(join(home.folder, 'log.key'), 'utf8')).toBe(secret)
    expect((await home.run(['keygen', 'operation', '--curve', 'p256', '--out', 'a.key'])).stdout).toMatch(/^did:key:zDn\w+\n$/)
    expect((await home.run(['keygen', 'log', 'two words', '--out', 'b.key'])).code).toBe(2)
  })

  it('verifies a receipt offline, with the key itself or a file of keys, and refuses any other', async () => {
    const { receipt, operation, record, vkey, otherVkey, did } = receiptFor('alice')
    const files = { 'r.tlog-proof': receipt, 'op.json': operation, 'record.json': record, 'log.vkey': `${vkey}\n`, 'forged.tlog-proof': receipt.replace('index 1', 'index 0') }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(home.folder, name), text)
    for (const args of [
      ['r.tlog-proof', '--operation', 'op.json', '--vkey', vkey],
      ['r.tlog-proof', '--operation', 'record.json', '--vkey', 'log.vkey'],
      ['r.tlog-proof', '--operation', 'op.json', '--vkey', otherVkey, '--vkey', 'log.vkey'],
    ]) {
      expect(await home.run(['verify', ...args])).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining(did) as string })
    }
    expect((await home.run(['verify', '-', '--operation', 'op.json', '--vkey', vkey], { input: receipt })).code).toBe(0)
    expect(await home.run(['verify', 'forged.tlog-proof', '--operation', 'op.json', '--vkey', vkey])).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Proof does not verify') as string })
    expect(await home.run(['verify', 'r.tlog-proof', '--operation', 'op.json', '--vkey', otherVkey])).toMatchObject({ code: 1, stdout: '' })
    expect(await home.run(['verify', 'r.tlog-proof', '--operation', 'log.vkey', '--vkey', vkey])).toMatchObject({ code: 1, stdout: '', stderr: 'error: Malformed JSON\n' })
  })
})

describe('the shim', () => {
  it('hands over to the Node of the checkout where it was started by an older one', async () => {
    // A Node that says it is old: what it runs must be another one.
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRETEND_OLD)}` }
    expect(await home.run(['--version'], { env })).toMatchObject({ code: 0, stderr: 'handed over\n', stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string })
    expect((await home.run(['nothing'], { env })).code).toBe(2)
  })

  it('is syntax that an old Node can read', () => {
    const source = readFileSync(join(import.meta.dirname, '../../bin/stele.js'), 'utf8')
    expect(source).not.toMatch(/\b(const|let|await|async)\b|=>|\?\?|\?\.|`\$|from 'node:/)
    expect(spawnSync(process.execPath, ['--check', join(import.meta.dirname, '../../bin/stele.js')]).status).toBe(0)
  })
})

describe('words for an error', () => {
  it('say what the system said and where', () => {
    const error = (fields: Record<string, unknown>): Error => Object.assign(new Error('raw'), fields)
    expect(wordsFor(error({ code: 'EADDRINUSE', address: '127.0.0.1', port: 2582 }))).toContain('127.0.0.1:2582 is in use')
    expect(wordsFor(error({ code: 'ENOENT', path: '/no/file' }))).toBe('there is no file /no/file')
    expect(wordsFor(new AggregateError([error({ code: 'ECONNREFUSED', address: '::1', port: 5432 })]))).toContain('nothing answers at ::1:5432')
    expect(wordsFor(new Error('something else'))).toBe('something else (--log-level debug shows more)')
    expect(wordsFor('thrown text')).toBe('thrown text')
  })
})

// Only in the first process: the one that is handed over to has its parent's mark.
const PRETEND_OLD = `
if (process.env.PRETENDED !== undefined) {
  process.stderr.write('handed over\\n')
} else {
  process.env.PRETENDED = 'yes'
  process.execPath = '/bin/sh'
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })
}`
