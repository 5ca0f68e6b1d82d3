import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { until } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { newHome, type Home, type Started } from '../support/program.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

describe('stele follow', () => {
  let home: Home
  let log: ServedLog
  let front: Front
  beforeAll(async () => {
    home = newHome()
    log = await serveLog(identityLeaves(20))
    front = await openFront(log)
    writeFileSync(join(home.folder, 'log.vkey'), formatVerifierKey(LOG_KEY))
  })
  afterAll(async () => {
    home[Symbol.dispose]()
    await front[Symbol.asyncDispose]()
    await log[Symbol.asyncDispose]()
  })

  interface Output {
    readonly started: Started
    seqs(): number[]
    errors(): string
  }

  function follow(...args: readonly string[]): Output {
    const started = home.start(['follow', front.url, ...args])
    started.line.catch(() => undefined)
    let [stdout, stderr] = ['', '']
    started.child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    started.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    return {
      started,
      seqs: () => stdout.split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { seq: number }).seq),
      errors: () => stderr,
    }
  }

  const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

  it('prints a line for every operation, says whose key it believes, and goes on from its cursor', async () => {
    const first = follow('--cursor', 'lines.cursor')
    await until(() => first.seqs().length === 20, () => first.errors())
    expect(first.errors()).toContain(`no --vkey was given: the log is held to the key that ${front.url} shows, ${formatVerifierKey(LOG_KEY)}`)
    first.started.child.kill('SIGTERM')
    expect((await first.started.ended).code).toBe(0)
    await log.append(identityLeaves(25).slice(20))
    await log.publish()
    const second = follow('--cursor', 'lines.cursor')
    await until(() => second.seqs().length === 5, () => second.errors())
    second.started.child.kill('SIGINT')
    expect([(await second.started.ended).code, first.seqs(), second.seqs(), second.errors()]).toEqual([0, range(1, 20), range(21, 25), ''])
  })

  it('follows one identity, from an index on', async () => {
    const { did } = person('resident 3', 1)
    const output = follow('--did', did, '--vkey', 'log.vkey')
    await until(() => output.seqs().length === 1, () => output.errors())
    const later = follow('--from', '24', '--vkey', 'log.vkey')
    await until(() => later.seqs().length === 1, () => later.errors())
    for (const { started } of [output, later]) started.child.kill()
    expect([output.seqs(), later.seqs()]).toEqual([[4], [25]])
  })

  it('refuses what does not go together', async () => {
    writeFileSync(join(home.folder, 'short'), 'short')
    for (const [args, words] of [
      [['--complete'], '--complete goes with --did or --service'],
      [['--from', 'then'], '--from: then is neither the index of an entry nor `now`'],
      [['--webhook', 'https://hook.test'], '--webhook needs --secret-file'],
      [['--secret-file', 'short'], '--secret-file goes with --webhook'],
      [['--webhook', 'https://hook.test', '--secret-file', 'short'], 'short holds fewer than 16 characters, which is no secret'],
      [['--did', 'did:web:a.test'], 'only did:plc identifiers are in a directory'],
    ] as const) {
      expect(await home.run(['follow', front.url, ...args])).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(words) as string })
    }
    expect(await home.run(['follow', front.url, '--vkey', 'log.vkey', '--cursor', 'lines.cursor', '--did', person('resident 3', 1).did])).toMatchObject({ code: 1, stderr: expect.stringContaining('needs a cursor of its own') as string })
  })

  it('ends with 4 and evidence where the log contradicts itself', async () => {
    const output = follow('--cursor', 'fork.cursor', '--vkey', 'log.vkey', '--evidence', 'found')
    await until(() => output.seqs().length === 25, () => output.errors())
    const forked = await serveLog([...identityLeaves(10), ...identityLeaves(40).slice(12)])
    try {
      front.target = forked
      front.cut()
      const { code, stderr } = await output.started.ended
      expect({ code, stderr }).toMatchObject({ code: 4, stderr: expect.stringMatching(/^error: the log has signed two trees .* The evidence is in found\/evidence\/fork-\d+\.evidence/m) as string })
      const [file = ''] = readdirSync(join(home.folder, 'found', 'evidence'))
      expect(await home.run(['verify-evidence', join('found', 'evidence', file), '--vkey', 'log.vkey'])).toMatchObject({ code: 0 })
    } finally {
      front.target = log
      await forked[Symbol.asyncDispose]()
    }
  })
})
