import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { newHome, type Ended, type Home } from '../support/program.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

describe('stele audit', () => {
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

  const audit = (...args: readonly string[]): Promise<Ended> => home.run(['audit', front.url, '--vkey', 'log.vkey', '--evidence', 'found', ...args])

  it('ends with 0 for a clean log, and goes on from its state', async () => {
    const first = await audit('--state', 'clean.state')
    expect(first, first.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^checked {4}20 entries, of 20 identities$[^]*^whole$/m) as string })
    await log.append(identityLeaves(22).slice(20))
    await log.publish()
    const next = await audit('--state', 'clean.state', '--json')
    expect(next.code).toBe(0)
    expect(JSON.parse(next.stdout)).toMatchObject({ log: LOG_KEY.name, size: 22, from: 20, checked: 2, problems: [], rejected: [], files: [], exitCode: 0 })
    expect(existsSync(join(home.folder, 'found'))).toBe(false)
  })

  it('ends with 1 where something is broken, with an alarm, and keeps its state', async () => {
    front.answer = (path, body) => (path.startsWith('/tile/0/') ? null : body)
    const missing = await audit()
    expect(missing).toMatchObject({ code: 1, stdout: expect.stringMatching(/^broken {5}tile\/0\/000\.p\/22: it is missing$[^]*^kept {7}found\/alarms\/.*\.alarm$[^]*^broken$/m) as string })
    front.answer = (_path, body) => body
    front.gone = true
    expect(await home.run(['audit', front.url, '--vkey', 'log.vkey'])).toMatchObject({ code: 1, stdout: '' })
    front.gone = false
    expect(await audit('--state', 'clean.state')).toMatchObject({ code: 0 })
  })

  it('ends with 3 where an entry breaks a rule, and shows a stranger which', async () => {
    const rejecting = await serveLog([...identityLeaves(3), identityLeaves(2)[1] ?? new Uint8Array()])
    try {
      const found = await home.run(['audit', rejecting.url, '--vkey', 'log.vkey', '--evidence', 'rejected'])
      expect(found).toMatchObject({ code: 3, stdout: expect.stringMatching(/^rejected {3}entry 3 of did:plc:[a-z2-7]{24}: /m) as string })
      const [file = ''] = readdirSync(join(home.folder, 'rejected', 'evidence'))
      expect(await home.run(['verify-evidence', join('rejected', 'evidence', file), '--vkey', 'log.vkey'])).toMatchObject({ code: 0 })
    } finally {
      await rejecting[Symbol.asyncDispose]()
    }
  })

  it('ends with 4 where the log contradicts what was audited before, and shows it to a stranger', async () => {
    const forked = await serveLog([...identityLeaves(10), ...identityLeaves(40).slice(12)])
    try {
      front.target = forked
      expect(await audit('--state', 'clean.state')).toMatchObject({ code: 4, stdout: expect.stringContaining('.evidence') as string })
      const [file = ''] = readdirSync(join(home.folder, 'found', 'evidence'))
      expect(await home.run(['verify-evidence', join('found', 'evidence', file), '--vkey', 'log.vkey'])).toMatchObject({ code: 0, stdout: expect.stringContaining('does not continue') as string })
    } finally {
      front.target = log
      await forked[Symbol.asyncDispose]()
    }
  })
})
