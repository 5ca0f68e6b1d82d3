import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { newHome, type Ended, type Home, type Started } from '../support/program.ts'

const SERVE = ['serve', '--port', '0', '--data', 'data', '--checkpoint-interval', '20ms', '--map-interval', '20ms', '--log-level', 'error']
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const WAIT = { timeout: 30_000, interval: 20 }

describe('a directory with a map, and the commands of somebody who wants to know the newest', () => {
  let home: Home
  let directory: Started
  let url = ''
  let did = ''
  beforeAll(async () => {
    home = newHome()
    await start()
    did = await done('did', 'create', '--handle', 'erin.example')
    writeFileSync(join(home.folder, 'keys'), readFileSync(join(home.folder, 'data', 'log.vkey'), 'utf8') + (await text('/map/vkey')))
  })
  afterAll(() => home[Symbol.dispose]())

  it('prove the newest state, and verify the proof without a directory', async () => {
    await proved(did, 'erin.state-proof', 'state      active')
    await done('did', 'update', did, '--handle', 'erin2.example')
    await vi.waitFor(async () => {
      await done('state-proof', did, '--out', 'erin.state-proof', '--vkey', 'keys')
      expect((await verify('erin.state-proof')).stdout).toContain('history    2 operations, 0 of them nullified; there are no others')
    }, WAIT)
    const verified = await verify('erin.state-proof')
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining(did) as string })
    writeFileSync(join(home.folder, 'spoiled'), readFileSync(join(home.folder, 'erin.state-proof'), 'utf8').replace(/^entry .*\n/m, ''))
    expect((await verify('spoiled')).code).toBe(1)
    const other = await home.run(['verify', 'erin.state-proof', '--vkey', 'data/log.vkey'])
    expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining('/map') as string })
  })

  it('prove that nobody registered a DID', async () => {
    await proved(NOBODY, 'nobody.state-proof', 'not in the log')
  })

  it('prove it by a process that only reads, too', async () => {
    const reader = home.start(['serve', '--read-only', '--port', '0', '--data', 'data', '--log-level', 'error'])
    try {
      const env = { STELE_URL: /http:\S+/.exec(await reader.line)?.[0] ?? '' }
      await done('did', 'update', did, '--handle', 'erin3.example')
      await vi.waitFor(async () => {
        expect((await home.run(['state-proof', did, '--out', 'read.state-proof', '--vkey', 'keys'], { env })).code).toBe(0)
        expect((await verify('read.state-proof')).stdout).toContain('history    3 operations, 0 of them nullified; there are no others')
      }, WAIT)
    } finally {
      reader.child.kill('SIGTERM')
      await reader.ended
    }
  })

  it('find every version to be what the log leads to, and watch who is there and who is not', async () => {
    for (const command of [['fsck', url], ['audit', url, '--evidence', 'found']]) {
      expect(await home.run([...command, '--vkey', 'keys'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^map {8}\d+ versions, each derived from the log again$/m) as string })
    }
    const monitor = home.start(['monitor', '--absent', NOBODY, '--from', url, '--vkey', 'keys', '--cursor', 'states.cursor'])
    expect(await monitor.line).toMatch(`watching: ${NOBODY} is not in the log; expected is that it is absent`)
    monitor.child.kill('SIGTERM')
    expect((await monitor.ended).code).toBe(0)
  })

  it('derive the map anew, and find it as it was published', async () => {
    await stop()
    const rebuilt = await home.run(['map', 'rebuild', '--data', 'data'])
    expect(rebuilt).toMatchObject({ code: 0, stdout: expect.stringContaining('as published') as string })
    await start()
    await proved(did, 'erin.state-proof', 'state      active')
  })

  it('serve without a map where none is wanted, and take it up again', async () => {
    await stop()
    await start('--no-map')
    expect((await fetch(`${url}/${did}/state-proof`)).status).toBe(503)
    expect(JSON.parse(await text('/_health'))).not.toHaveProperty('map')
    const late = await done('did', 'create', '--handle', 'late.example')
    await stop()
    await start()
    await vi.waitFor(() => proved(late, 'late.state-proof', 'state      active'), WAIT)
  })

  it('go on without the map where its guard is lost, and say why', async () => {
    await stop()
    const [folder = ''] = readdirSync(join(home.folder, 'state', 'stele')).filter((name) => name.endsWith('%2Fmap'))
    rmSync(join(home.folder, 'state', 'stele', folder, 'guard.sqlite'))
    await start()
    await vi.waitFor(async () => expect(JSON.parse(await text('/_health'))).toMatchObject({ map: { size: null, fault: expect.stringContaining('there is no guard') as string } }), WAIT)
    const after = await done('did', 'create', '--handle', 'after.example')
    expect((await fetch(`${url}/${after}`)).status).toBe(200)
    await done('proof', after, '--vkey', 'data/log.vkey')
  })

  it('go on with a guard that was adopted', async () => {
    const published = await text('/map/checkpoint')
    await stop()
    const adopted = await home.run(['signer', 'adopt', '--guard-is-lost', '--map', '--data', 'data'])
    expect(adopted, adopted.stderr).toMatchObject({ code: 0, stderr: expect.stringContaining(`remembers the checkpoint of size ${published.split('\n')[1]}`) as string })
    await start()
    const again = await done('did', 'create', '--handle', 'again.example')
    await vi.waitFor(() => proved(again, 'again.state-proof', 'state      active'), WAIT)
  })

  async function start(...flags: string[]): Promise<void> {
    directory = home.start([...SERVE, ...flags])
    url = /http:\S+/.exec(await directory.line)?.[0] ?? ''
    if (!flags.includes('--no-map')) await vi.waitFor(async () => expect((JSON.parse(await text('/_health')) as { map: unknown }).map).not.toEqual({ size: null, leaves: 0, fault: null }), WAIT)
  }

  async function stop(): Promise<void> {
    directory.child.kill('SIGTERM')
    expect((await directory.ended).code).toBe(0)
  }

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await home.run(args, { env: { STELE_URL: url } })
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`)
    return stdout.trimEnd()
  }

  async function text(path: string): Promise<string> {
    return (await fetch(url + path)).text()
  }

  function verify(file: string): Promise<Ended> {
    return home.run(['verify', file, '--vkey', 'keys'], { env: { STELE_URL: 'http://127.0.0.1:9' } })
  }

  async function proved(of: string, file: string, words: string): Promise<void> {
    await vi.waitFor(async () => {
      await done('state-proof', of, '--out', file, '--vkey', 'keys')
      expect(await verify(file)).toMatchObject({ code: 0, stdout: expect.stringContaining(words) as string })
    }, WAIT)
  }
})
