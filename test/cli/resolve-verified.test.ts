import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { resolveCommand } from '../../src/cli/resolve.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { openScene, type SceneServers } from '../support/verified-scene.ts'
import type { VerifiedScene } from '../support/verified-cases.ts'
import { newFolder } from '../support/witness.ts'

describe('stele resolve --verify', () => {
  let opened: SceneServers
  let folder: ReturnType<typeof newFolder>
  let policy: string

  beforeAll(async () => {
    opened = await openScene()
    folder = newFolder()
    policy = join(folder.path, 'witnesses.policy')
    writeFileSync(policy, opened.scene.policy)
    vi.useFakeTimers({ toFake: ['Date'], now: opened.scene.nowMs })
  })

  afterAll(async () => {
    vi.useRealTimers()
    folder[Symbol.dispose]()
    await opened[Symbol.asyncDispose]()
  })

  afterEach(() => {
    process.exitCode = undefined
    forget()
  })

  /** What was verified before. */
  function forget(): void {
    rmSync(join(folder.path, 'stele'), { recursive: true, force: true })
  }

  it('prints the document, and a line for each thing that was proved', async () => {
    const { stdout, stderr, words } = await verify(['honest', 'mirror'], '--policy', policy, '--level', 'latest')
    expect([stdout, words]).toEqual([`${opened.scene.documents.newest}\n`, null])
    const { operations, servers } = opened.scene
    expect(stderr.split('\n')).toEqual([
      `signed     all 4 operations, as the rules ask; in effect is ${operations[3]?.cid}`,
      'included   entries 0, 302, 303, 306 of the 307 of counter.test/log',
      `witnessed  by w at ${new Date(opened.scene.nowMs - 20_000).toISOString().replace(/\d{3}Z/, '000Z')}`,
      `latest     nothing newer among 307 entries: ${new URL(servers.honest).host}, ${new URL(servers.mirror).host} agree`,
      '',
    ])
  })

  it('proves by the map of the log, by one server, what is newest and who is not there, and says who derived it', async () => {
    const map = join(folder.path, 'map.policy')
    writeFileSync(map, opened.scene.mapPolicy)
    const at = `at ${new Date(opened.scene.nowMs - 20_000).toISOString().replace(/\d{3}Z/, '000Z')}`
    const lines = [
      `map        version 2, witnessed by w ${at}, by m ${at}`,
      `derived    by m ${at}: so this map is the one that the log leads to`,
    ]
    const { stdout, stderr, words } = await verify(['honest'], '--policy', map, '--level', 'latest', '--max-age', '60s')
    expect([stdout, words]).toEqual([`${opened.scene.documents.newest}\n`, null])
    expect(stderr.split('\n').slice(3)).toEqual([...lines, 'latest     nothing newer among 307 entries: the map of 307 entries, which m derived, has nothing newer', ''])
    const absent = await run([opened.scene.nobody, '--verify', '--from', opened.scene.servers.honest, '--policy', map, '--level', 'latest'])
    expect([absent.stdout, absent.words]).toEqual(['', `${opened.scene.nobody} is nowhere in the log: nobody has registered it`])
    expect(absent.stderr.split('\n')).toEqual([...lines, 'latest     nothing newer among 307 entries: the map of 307 entries, which m derived, has no such identity', ''])
    forget()
    const stale = await verify(['hidingWell'], '--policy', map, '--level', 'latest')
    expect([stale.stdout, /\((\w+)\)\n$/.exec(stale.stderr)?.[1]]).toEqual(['', 'NOT_RECENT'])
  })

  it('says in plain words where no mirror derived the map, and takes the key of the map apart from the policy', async () => {
    const either = join(folder.path, 'either.policy')
    const text = opened.scene.mapPolicy.replace('both all', 'both any').replace(`log ${opened.scene.mapVkey}\n`, '')
    writeFileSync(either, text)
    const args = ['--policy', either, '--level', 'latest', '--map-vkey', opened.scene.mapVkey]
    expect((await verify(['honest'], ...args)).stdout).toBe(`${opened.scene.documents.newest}\n`)
    const { stdout, stderr, words } = await verify(['underived'], ...args)
    expect(stdout).toBe('')
    expect(stderr).toContain('No mirror of the quorum says that the map is the one that the log leads to: it is cosigned by w alone (NOT_DERIVED)')
    expect(words).toContain('latest is not proved. ')
    expect((await verify(['honest'], '--policy', policy, '--level', 'latest', '--map-vkey', opened.scene.mapVkey)).words).toContain('no mirror is in the quorum of the policy')
    expect((await verify(['honest'], '--policy', policy, '--level', 'latest', '--map-vkey', opened.scene.vkey)).words).toBe('--map-vkey: the map of this log is counter.test/log/map')
    expect((await verify(['honest'], '--policy', policy, '--map-vkey', opened.scene.mapVkey)).words).toBe('--map-vkey is for --level latest')
  })

  it('writes evidence of a map of two faces', async () => {
    const map = join(folder.path, 'map.policy')
    writeFileSync(map, opened.scene.mapPolicy)
    await verify(['otherMap'], '--policy', map, '--level', 'latest')
    const { stderr, words } = await verify(['honest'], '--policy', map, '--level', 'latest')
    expect(words).toContain('(CONTRADICTED)')
    const [, file = ''] = /^evidence {3}(\S+): stele verify-evidence \S+ --vkey counter\.test\/log\/map\+/m.exec(stderr) ?? []
    expect(verifyEvidence(readFileSync(file), [parseVerifierKey(opened.scene.mapVkey)]).evidence.kind).toBe('fork')
  })

  it('proves as much as what it is given allows, unless a level is named', async () => {
    const levels = (stderr: string): (string | undefined)[] => stderr.split('\n').slice(0, -1).map((line) => line.split(' ')[0])
    expect(levels((await verify(['honest'])).stderr)).toEqual(['signed'])
    expect(levels((await verify(['honest'], '--vkey', opened.scene.vkey)).stderr)).toEqual(['signed', 'included'])
    expect(levels((await verify(['honest'], '--policy', policy)).stderr)).toEqual(['signed', 'included', 'witnessed'])
    expect(levels((await verify(['honest'], '--policy', policy, '--level', 'signed')).stderr)).toEqual(['signed'])
  })

  it('names who is skipped, and prints nothing where the level is not reached', async () => {
    const skipping = await verify(['forging', 'honest'], '--vkey', opened.scene.vkey)
    expect(skipping.stdout).toBe(`${opened.scene.documents.newest}\n`)
    expect(skipping.stderr).toMatch(/^skipped {4}http:\S+: The operations that it gives break the rules: .*\(INVALID_HISTORY\)\nsigned/)
    const failing = await verify(['omitting', 'honest'], '--policy', policy, '--level', 'latest')
    expect(failing.stdout).toBe('')
    expect(failing.stderr).toContain(`skipped    ${opened.scene.servers.omitting}: `)
    expect(failing.words).toBe('latest is not proved. Nothing shows that nothing newer was left out: 1 of the servers agree, 2 have to (NOT_LATEST)')
    forget()
    expect((await verify(['stale'], '--policy', policy)).words).toContain('(NOT_RECENT)')
    forget()
    expect((await verify(['stale'], '--policy', policy, '--max-age', '2h')).stdout).toBe(`${opened.scene.documents.early}\n`)
  })

  it('remembers what it has verified, and writes evidence of a second face', async () => {
    await verify(['honest'], '--vkey', opened.scene.vkey)
    const { stdout, stderr, words } = await verify(['face'], '--vkey', opened.scene.vkey)
    expect(stdout).toBe('')
    expect(words).toContain('(CONTRADICTED)')
    const [, file = ''] = /^evidence {3}(\S+): stele verify-evidence /m.exec(stderr) ?? []
    expect(verifyEvidence(readFileSync(file), [parseVerifierKey(opened.scene.vkey)]).evidence.kind).toBe('two-roots')
    expect((await verify(['honest'], '--vkey', opened.scene.vkey)).words).toContain('(CONTRADICTED)')
  })

  it('resolves a handle, and compares it with the names that were proved', async () => {
    const { stderr, stdout } = await run(['newest.alice.test', '--verify', '--vkey', opened.scene.vkey, '--from', opened.scene.servers.honest])
    expect(stdout).toBe(`${opened.scene.documents.newest}\n`)
    expect(stderr).toContain('both agree')
    const other = await run(['other.test', '--verify', '--vkey', opened.scene.vkey, '--from', opened.scene.servers.honest])
    expect([other.exitCode, other.stderr.includes('do not take one for the other')]).toEqual([3, true])
    expect((await run([opened.scene.ended, '--verify', '--from', opened.scene.servers.honest])).words).toContain('was ended with a tombstone')
  })

  it('refuses what cannot be meant', async () => {
    expect((await verify(['honest'], '--level', 'included')).words).toContain("name the log's key")
    expect((await verify(['honest'], '--level', 'witnessed', '--vkey', opened.scene.vkey)).words).toContain('needs a --policy')
    expect((await verify(['honest'], '--level', 'latest', '--policy', policy)).words).toContain('name 2 servers or more')
    expect((await verify(['honest', 'mirror'], '--level', 'latest', '--policy', policy, '--agree', '1')).words).toContain('--agree: 1')
    expect((await verify(['honest'], '--max-age', '1h')).words).toContain('--max-age is about')
    expect((await verify(['honest'], '--data')).words).toContain('exclude each other')
    expect((await run([opened.scene.alice, '--from', opened.scene.servers.honest])).words).toBe('--from goes with --verify')
  })

  async function verify(names: readonly (keyof VerifiedScene['servers'])[], ...args: readonly string[]): Promise<Ran> {
    return await run([opened.scene.alice, '--verify', '--from', ...names.map((name) => opened.scene.servers[name]), ...args])
  }

  interface Ran {
    readonly stdout: string
    readonly stderr: string
    /** Of the error; null for none. */
    readonly words: string | null
    readonly exitCode: unknown
  }

  async function run(args: readonly string[]): Promise<Ran> {
    const lookup = { txt: () => Promise.resolve([`did=${opened.scene.alice}`]), get: () => Promise.resolve(null) }
    const [out, err] = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockReturnValue(true))
    vi.stubEnv('XDG_STATE_HOME', folder.path)
    let words: string | null = null
    try {
      await resolveCommand(lookup).exitOverride().parseAsync(args, { from: 'user' })
    } catch (error) {
      words = error instanceof Error ? error.message : String(error)
    } finally {
      vi.unstubAllEnvs()
    }
    const [stdout = '', stderr = ''] = [out, err].map((spy) => (spy?.mock.calls ?? []).map(([text]) => String(text)).join(''))
    out?.mockRestore()
    err?.mockRestore()
    return { stdout, stderr, words, exitCode: process.exitCode }
  }
})
