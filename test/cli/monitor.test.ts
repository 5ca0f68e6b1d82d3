import { execFile } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signDelivery } from '../../src/client/webhook.ts'
import { makeIdentity, makeUpdate, testKey } from '../support/identities.ts'
import { until } from '../support/mirror.ts'
import { openOwnerScene, type OwnerScene } from '../support/owner.ts'
import type { Started } from '../support/program.ts'

const SECRET = 'a secret of the tests alone'

describe('a monitor', () => {
  let scene: OwnerScene
  beforeAll(async () => {
    scene = await openOwnerScene()
    // What a person who pastes a command has in the path.
    writeFileSync(join(scene.home.folder, 'stele'), `#!/bin/sh\nexec "${process.execPath}" "${join(import.meta.dirname, '..', '..', 'bin', 'stele.js')}" "$@"\n`)
    chmodSync(join(scene.home.folder, 'stele'), 0o755)
    writeFileSync(join(scene.home.folder, 'hook.secret'), `${SECRET}\n`)
  })
  afterAll(() => scene[Symbol.dispose]())

  /** Pastes a line into a shell in the home. */
  function paste(line: string): Promise<{ stdout: string; stderr: string }> {
    const { folder } = scene.home
    return promisify(execFile)('/bin/sh', ['-c', line], { cwd: folder, env: { PATH: `${folder}:${process.env['PATH'] ?? ''}`, HOME: folder, XDG_STATE_HOME: join(folder, 'state') } })
  }

  interface Watching {
    readonly lines: () => string[]
    readonly says: (text: string) => Promise<void>
    stop(): Promise<number | null>
  }

  async function watch(...args: readonly string[]): Promise<Watching> {
    const started: Started = scene.home.start(['monitor', ...args], { STELE_URL: scene.url })
    let [stdout, stderr] = ['', '']
    started.child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    started.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    let code: number | null | undefined
    void started.ended.then((ended) => (code = ended.code))
    return {
      lines: () => stdout.split('\n').slice(0, -1),
      says: (text) =>
        until(() => {
          if (code !== undefined) throw new Error(`it ended with ${code}: ${stderr}`)
          return stdout.includes(text)
        }, () => `it says ${text}: ${stdout}${stderr}`),
      async stop() {
        started.child.kill('SIGTERM')
        return (await started.ended).code
      },
    }
  }

  // Its first cursor is what shows that it has begun to look.
  const looks = (cursor: string): Promise<void> => until(() => existsSync(join(scene.home.folder, cursor)), () => `${cursor} is there`)

  it('sees a theft by a weaker key, tells what it did and who can undo it, and its command, pasted, undoes it', async () => {
    const { did, genesis } = makeIdentity([1, 2, 3], 1, 'owner.example')
    await scene.submit(did, genesis)
    const watching = await watch('--did', did, '--cursor', 'theft.cursor', '--recovery-key', '1.key')
    await watching.says(`watching ${did}: handle owner.example, 3 rotation keys, 1 operations`)
    await looks('theft.cursor')

    const theft = makeUpdate(genesis.cid, 3, [4], 'mallory.example')
    await scene.submit(did, theft)
    await watching.says('stele did recover')
    const lines = watching.lines()
    expect(lines.join('\n')).toMatch(new RegExp(`^${did} has changed: entry 1 of stele\\.local/[a-z]+, accepted 20`, 'm'))
    expect(lines).toContain('  it changed the handle to mallory.example from owner.example')
    expect(lines).toContain(`  it removed the rotation key ${testKey(1).did}, which was 1 of 3`)
    expect(lines).toContain(`  signed by rotation key 3 of 3, ${testKey(3).did}`)
    expect(lines.filter((line) => line.startsWith('    1  ') || line.startsWith('    2  '))).toEqual([`    1  ${testKey(1).did}`, `    2  ${testKey(2).did}`])
    expect(lines.join('\n')).toMatch(/until 20\S+ \(71 h 59 min left\), any of these keys can undo it:/)

    await paste((lines.find((line) => line.includes('stele did recover')) ?? '').trim())
    expect(JSON.parse(await scene.directory.data(did))).toMatchObject({ alsoKnownAs: ['at://owner.example'], rotationKeys: [1, 2, 3].map((n) => testKey(n).did) })
    await watching.says('nothing can undo it: that is the strongest key')
    expect(watching.lines().join('\n')).toContain(`it undid what had followed the operation ${genesis.cid}`)
    expect(await watching.stop()).toBe(0)
  })

  it('does not repeat itself over restarts, and leaves out nothing that happened meanwhile', async () => {
    const { did, genesis } = makeIdentity([2, 4], 2, 'restart.example')
    await scene.submit(did, genesis)
    const args = ['--did', did, '--cursor', 'restart.cursor', '--json']
    const first = await watch(...args)
    await looks('restart.cursor')
    const one = makeUpdate(genesis.cid, 2, [2, 4], 'one.example')
    await scene.submit(did, one)
    await first.says(one.cid)
    // It is done with it once that is kept.
    const { seq } = JSON.parse(first.lines().at(-1) ?? '') as { seq: number }
    await until(() => (JSON.parse(readFileSync(join(scene.home.folder, 'restart.cursor'), 'utf8')) as { next: number }).next === seq, () => 'the cursor has moved')
    expect(await first.stop()).toBe(0)
    const two = makeUpdate(one.cid, 4, [2, 4], 'two.example')
    await scene.submit(did, two)
    const second = await watch(...args)
    await second.says(two.cid)
    expect(await second.stop()).toBe(0)
    const told = second.lines().map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(told).toMatchObject([{ type: 'change', did, cid: two.cid, signer: { priority: 2, of: 2 }, undo: [{ from: one.cid, keys: [testKey(2).did] }] }])
  })

  it('watches a key and a name for whoever has them, runs a command with the facts, and sends them to a webhook', async () => {
    const received: { body: string; headers: Record<string, unknown> }[] = []
    const receiver = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => {
        received.push({ body, headers: request.headers })
        response.end()
      })
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    try {
      const hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
      writeFileSync(join(scene.home.folder, 'hook.sh'), 'cat >> seen.jsonl; printf "%s|%s|%s\\n" "$STELE_EVENT" "$STELE_DID" "$STELE_WORDS" >> seen.txt\n')
      const watching = await watch('--key', testKey(5).did, '--handle', 'host.example', '--cursor', 'host.cursor', '--exec', '/bin/sh hook.sh', '--webhook', hook, '--secret-file', 'hook.secret')
      await looks('host.cursor')
      const stranger = makeIdentity([0], 0, 'elsewhere.example')
      const guest = makeIdentity([0, 2], 0, "$(touch hacked)';\u202e.host.example")
      const keyed = makeIdentity([5, 0], 5, 'keyed.example')
      await scene.submit(stranger.did, stranger.genesis)
      await scene.submit(guest.did, guest.genesis)
      await scene.submit(keyed.did, keyed.genesis)
      await scene.submit(keyed.did, makeUpdate(keyed.genesis.cid, 5, [0], 'keyed.example'))
      await until(() => received.length === 3, () => `three deliveries: ${JSON.stringify(received)}`)
      expect(await watching.stop()).toBe(0)

      const dids = [guest.did, keyed.did, keyed.did]
      expect(readFileSync(join(scene.home.folder, 'seen.jsonl'), 'utf8').trim().split('\n').map((line) => (JSON.parse(line) as { did: string }).did)).toEqual(dids)
      const seen = readFileSync(join(scene.home.folder, 'seen.txt'), 'utf8').trim().split('\n')
      expect(seen.map((line) => line.split('|').slice(0, 2))).toEqual(dids.map((did) => ['change', did]))
      expect(existsSync(join(scene.home.folder, 'hacked'))).toBe(false)
      expect(seen.join('') + watching.lines().join('')).not.toContain('\u202e')
      expect(received.map(({ body }) => (JSON.parse(body) as { entries: { did: string }[] }).entries.map(({ did }) => did))).toEqual(dids.map((did) => [did]))
      for (const { body, headers } of received) expect(headers['stele-signature']).toBe(await signDelivery(Buffer.from(SECRET), String(headers['stele-timestamp']), body))
    } finally {
      receiver.closeAllConnections()
      receiver.close()
    }
  })
})
