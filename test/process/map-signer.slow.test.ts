// The right to sign for a map, and its keys, in the hands of an operator: directories on two machines, a witness, a mirror and the commands, each a
// process of its own.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { formatVerifierKey, parseNote, parseVerifierKey, verifyNote } from '../../src/core/tlog/note.ts'
import { newHome, type Home, type Started } from '../support/program.ts'

const ORIGIN = 'moved.test/log'
const WAIT = { timeout: 60_000, interval: 50 }
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

describe('the signer of a map', { timeout: 240_000 }, () => {
  let home: Home
  let directory: Started
  let witness: Started
  let mirror: Started
  let [url, witnessUrl, mirrorUrl] = ['', '', '']
  /** The state folder of the machine that signs. */
  let machine = 'state'
  beforeAll(() => {
    home = newHome()
  })
  afterAll(() => home[Symbol.dispose]())

  const inHome = (name: string): string => join(home.folder, name)
  const env = (): Record<string, string> => ({ XDG_STATE_HOME: inHome(machine), STELE_URL: url })

  async function done(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await home.run(args, { env: env() })
    expect(code, `${args.join(' ')}: ${stderr}`).toBe(0)
    return stdout.trim()
  }

  async function refused(words: string, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await home.run(args, { env: env() })
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining(words)])
  }

  async function start(): Promise<void> {
    directory = home.start(['serve', '--port', url === '' ? '0' : new URL(url).port, '--data', 'data', '--policy', 'policy', '--checkpoint-interval', '50ms', '--map-interval', '50ms', '--log-level', 'error'], env())
    url = (await directory.line).slice('stele listening on '.length)
  }

  async function end(started: Started): Promise<void> {
    started.child.kill('SIGTERM')
    expect((await started.ended).code).toBe(0)
  }

  async function startWitness(keys: readonly string[]): Promise<void> {
    witness = home.start(['witness', '--name', 'w.test/w', '--data', 'w', '--port', witnessUrl === '' ? '0' : new URL(witnessUrl).port, '--log-level', 'error', ...keys.flatMap((vkey) => ['--log', vkey])])
    witnessUrl = (await witness.line).slice('stele witness listening on '.length)
  }

  async function text(path: string, at = url): Promise<string> {
    return (await fetch(at + path)).text()
  }

  /** Something happens to the log, and the map has it. */
  async function grows(handle: string): Promise<string> {
    const did = await done('did', 'create', '--handle', handle)
    entries++
    await vi.waitFor(async () => expect(JSON.parse(await text('/_health'))).toMatchObject({ map: { size: entries, fault: null } }), WAIT)
    return did
  }

  async function signedBy(at = url): Promise<string[]> {
    const keys = (await text('/map/vkey', at)).trim().split('\n').map(parseVerifierKey)
    return verifyNote(parseNote(await text('/map/checkpoint', at)), keys).map(({ key }) => formatVerifierKey(key))
  }

  let entries = 0
  let logKey = ''
  let [old, next] = ['', '']

  it('is shown, is there beside a witness and a mirror, and a monitor under the policy sees what is in the map', async () => {
    logKey = await done('init', '--origin', ORIGIN, '--data', 'data')
    // The map's key is made at the first start.
    writeFileSync(inHome('policy'), 'quorum none\n')
    await start()
    await vi.waitFor(async () => expect((old = (await text('/map/vkey')).trim())).toMatch(/^moved\.test\/log\/map\+/), WAIT)
    await end(directory)
    await startWitness([logKey, old])
    writePolicy([logKey, old])
    await start()
    const did = await grows('ann.example')
    expect(await done('signer', 'show', '--map', '--data', 'data').catch(() => 'in use')).toContain(`signs      ${old}`)
    mirror = home.start(['mirror', '--upstream', url, '--upstream-vkey', logKey, '--map-vkey', old, '--data', 'mirror', '--port', '0', '--log-level', 'error', '--cosign', 'm.test'])
    mirrorUrl = /http:\S+/.exec(await mirror.line)?.[0] ?? ''
    await follows()
    const monitor = home.start(['monitor', '--active', did, '--absent', NOBODY, '--from', url, '--policy', 'policy', '--max-age', '5m'])
    let said = ''
    monitor.child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await vi.waitFor(() => {
      for (const words of [`watching: ${NOBODY} is not in the log; expected is that it is absent`, `watching: ${did} is active`]) expect(said).toContain(words)
    }, WAIT)
    await end(monitor)
    expect((await monitor.ended).stderr).not.toContain('error')
  })

  function writePolicy(logs: readonly string[]): void {
    const [ed25519 = ''] = readFileSync(inHome('w/witness.vkeys'), 'utf8').split('\n')
    writeFileSync(inHome('policy'), [...logs.map((vkey) => `log ${vkey}`), `witness w ${ed25519} ${witnessUrl}`, 'quorum w', ''].join('\n'))
  }

  /** The mirror shows the newest map, under its own name. */
  async function follows(): Promise<void> {
    await vi.waitFor(async () => {
      const size = (note: string): string => note.split('\n')[1] ?? ''
      expect(size(await text('/map/checkpoint', mirrorUrl))).toBe(size(await text('/map/checkpoint')))
      expect(await text('/map/checkpoint', mirrorUrl)).toContain('m.test/rules-v1')
    }, WAIT)
  }

  it('is handed over to another machine, which alone goes on', async () => {
    await refused('in use', 'signer', 'hand-over', '--map', '--data', 'data', '--out', 'map.hand-over')
    expect(existsSync(inHome('map.hand-over'))).toBe(false)
    await end(directory)
    await done('signer', 'hand-over', '--map', '--data', 'data', '--out', 'map.hand-over')
    await done('signer', 'hand-over', '--data', 'data', '--out', 'log.hand-over')
    machine = 'other'
    await refused('key cannot be read', 'signer', 'take-over', 'map.hand-over', '--map', '--data', 'data')
    for (const key of filesOf('state', 'log.key')) {
      mkdirSync(inHome(dirname(key.replace('state', 'other'))), { recursive: true })
      writeFileSync(inHome(key.replace('state', 'other')), readFileSync(inHome(key)))
    }
    await done('signer', 'take-over', 'map.hand-over', '--map', '--data', 'data')
    await done('signer', 'take-over', 'log.hand-over', '--data', 'data')
    await start()
    await grows('bob.example')
    await follows()
    await end(directory)
    machine = 'state'
    await refused('handed over', 'serve', '--port', '0', '--data', 'data', '--policy', 'policy')
    machine = 'other'
  })

  // Of a machine's state folder, by their name.
  function filesOf(folder: string, name: string): string[] {
    return readdirSync(inHome(folder), { recursive: true, encoding: 'utf8' }).filter((path) => basename(path) === name).map((path) => join(folder, path))
  }

  it('gets a second key, which is announced, and loses the first; mirrors, audits and monitors go over to it', async () => {
    next = await done('keygen', 'log', `${ORIGIN}/map`, '--out', 'new.key')
    expect(await done('signer', 'add-key', 'new.key', '--map', '--data', 'data')).toBe(next)
    await start()
    await grows('carol.example')
    expect(await signedBy()).toEqual([old, next])
    expect((await done('keys', '--map', '--vkey', old)).split('\n')).toEqual([old, next])
    await follows()
    await end(directory)
    const { id } = parseVerifierKey(old)
    await refused("it does not accept the log's signature (403)", 'signer', 'retire-key', id, '--map', '--data', 'data', '--policy', 'policy')
    await end(witness)
    await startWitness([logKey, old, next])
    await done('signer', 'retire-key', id, '--map', '--data', 'data', '--policy', 'policy')
    await start()
    const did = await grows('dora.example')
    expect(await signedBy()).toEqual([next])
    await follows()
    expect(await signedBy(mirrorUrl)).toContain(next)
    for (const from of [url, mirrorUrl]) expect((await done('keys', from, '--map', '--vkey', old, '--retired')).split('\n')).toEqual([next, old])
    expect(await done('audit', url, '--vkey', logKey, '--vkey', old, '--evidence', 'found')).toContain(`new key    ${next}`)
    expect(await done('fsck', url, '--vkey', logKey, '--vkey', next)).toMatch(/\nwhole$/)
    const monitor = home.start(['monitor', '--active', did, '--from', url, '--policy', 'policy'])
    expect(await monitor.line, 'the policy names the old key alone').toContain(`watching: ${did} is active`)
    await end(monitor)
  })

  it('is adopted under the policy where its guard is lost: every witness is asked first', async () => {
    await end(directory)
    writePolicy([logKey, next])
    for (const guard of filesOf('other', 'guard.sqlite').filter((path) => path.includes('map'))) rmSync(inHome(guard))
    await end(witness)
    await refused('not every witness says what it holds', 'signer', 'adopt', '--guard-is-lost', '--map', '--data', 'data', '--policy', 'policy')
    await startWitness([logKey, next])
    const { code, stderr } = await home.run(['signer', 'adopt', '--guard-is-lost', '--map', '--data', 'data', '--policy', 'policy', '--checkpoint', mirrorUrl], { env: env() })
    expect([code, stderr]).toEqual([0, expect.stringMatching(/this machine signs for moved\.test\/log\/map: the new guard .* remembers the checkpoint of size \d+/)])
    await start()
    await grows('erin.example')
    await follows()
    await Promise.all([directory, witness, mirror].map(end))
  })
})
