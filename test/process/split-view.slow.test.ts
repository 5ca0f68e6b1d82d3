// Two histories under one key, each process as its operator starts it: who sees it, who stops, and what convinces a stranger.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { EVIDENCE_FOLDER } from '../../src/witness/evidence-files.ts'
import { logId } from '../../src/witness/state.ts'
import { expectSpoken } from '../support/manual.ts'
import { person } from '../support/people.ts'
import { newHome, type Ended, type Started } from '../support/program.ts'
import { openSite, SITE_ORIGIN, type Site, type Where } from '../support/site.ts'

const NAMES = ['alice', 'bob'] as const
const POLICY = ['--policy', 'policy']
/** How long anything may take to come about. */
const PATIENCE_MS = 60_000

describe('two histories under one key and one origin', { timeout: 240_000 }, () => {
  let site: Site
  let witnesses: { readonly name: string; readonly url: string; readonly started: Started }[]
  let vkey: string
  /** Four entries, witnessed. */
  let before: Where
  /** Goes on from there. */
  let honest: Where

  beforeAll(async () => {
    site = await openSite()
    honest = { database: 'honest', state: 'honest' }
    await site.createDatabase('honest')
    const { code, stderr } = await site.run(honest, 'init', '--origin', SITE_ORIGIN, '--data', 'data')
    expect(code, stderr).toBe(0)
    vkey = readFileSync(inHome('data', 'log.vkey'), 'utf8').trim()
    witnesses = await Promise.all(NAMES.map(async (name) => {
      const started = site.home.start(['witness', '--port', '0', '--name', `${name}.example/w1`, '--data', name, '--log', vkey, '--log-level', 'warn'])
      return { name, started, url: (await started.line).slice('stele witness listening on '.length) }
    }))
    const lines = witnesses.map(({ name, url }) => `witness ${name} ${readFileSync(inHome(name, 'witness.vkeys'), 'utf8').split('\n')[0]} ${url}`)
    writeFileSync(inHome('policy'), [`log ${vkey}`, ...lines, `group all 2 ${NAMES.join(' ')}`, 'quorum all', ''].join('\n'))
    await grow(honest, POLICY, 'ada', 'bob', 'cy', 'dan')
    before = await site.copy(honest, 'before')
  })
  afterAll(() => site[Symbol.asyncDispose]())

  const inHome = (...names: string[]): string => join(site.home.folder, ...names)
  const grow = async (where: Where, flags: readonly string[], ...names: readonly string[]): Promise<void> => {
    const serving = await site.serve(where, flags)
    await serving.write(...names)
    expect((await serving.stop()).code).toBe(0)
  }
  const post = (url: string, name: string): Promise<Response> =>
    fetch(`${url}/${person(name).did}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: renderJson(person(name).genesis.value) })
  const sizeAt = async (url: string): Promise<number> => Number((await (await fetch(`${url}/checkpoint`)).text()).split('\n')[1])

  /** The one file of evidence that a witness has written about a tree of this size. */
  const evidenceOf = (name: string, size: number): string => {
    const folder = inHome(name, EVIDENCE_FOLDER, logId(SITE_ORIGIN))
    const [file = 'none', ...more] = readdirSync(folder).filter((file) => file.startsWith(`${size}-`) && file.endsWith('.evidence'))
    expect(more).toEqual([])
    return join(folder, file)
  }

  /** What somebody says to a file who has nothing but the log's public key. */
  async function stranger(file: string, change: (text: string) => string = (text) => text): Promise<Ended> {
    using elsewhere = newHome()
    writeFileSync(join(elsewhere.folder, 'file'), change(readFileSync(file, 'utf8')))
    return await elsewhere.run(['verify-evidence', 'file', '--vkey', vkey])
  }

  /** Which of the witnesses is heard first is a matter of luck. */
  const expectInManual = (words: string): void => expectSpoken(site.generic(words).replaceAll(/\b(alice|bob)\b/g, 'alice'))

  /** Starts with the policy, expects that this is refused with these words, and gives the file that they name. */
  async function refused(where: Where, words: RegExp): Promise<string> {
    const { code, stdout, stderr } = await site.run(where, 'serve', '--port', '0', ...POLICY)
    expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: '' })
    const error = stderr.trimEnd().split('\n').at(-1) ?? ''
    expect(error).toMatch(words)
    expectInManual(error)
    return / is in (\S+\.alarm)$/.exec(error)?.[1] ?? 'none'
  }

  it('are seen at the first checkpoint: who comes second signs no more, and a file of the witnesses convinces a stranger', async () => {
    const copy = await site.copy(before, 'copy')
    const [one, other] = [await site.serve(honest, POLICY), await site.serve(copy, POLICY)]
    await one.write('eve')
    expect((await post(other.url, 'mallory')).status).toBe(200)

    const end = performance.now() + PATIENCE_MS
    let health = await fetch(`${other.url}/_health`)
    while (health.status === 200 && performance.now() < end) {
      await sleep(50)
      health = await fetch(`${other.url}/_health`)
    }
    expect(health.status).toBe(503)
    const [fault = ''] = ((await health.json()) as { faults: string[] }).faults
    expect(fault).toMatch(/^the witness (alice|bob) contradicts this log: it refuses the checkpoint of size 5 .* Nothing is signed until this is explained\. The exchange is in \S+\.alarm$/)
    expectInManual(fault)
    expect((await post(other.url, 'peggy')).status, 'taken, and not signed').toBe(200)
    await one.write('fay')
    expect([await sizeAt(one.url), await sizeAt(other.url)]).toEqual([6, 4])
    expect((await fetch(`${one.url}/_health`)).status).toBe(200)
    expect((await one.stop()).code).toBe(0)
    expect((await other.stop()).stderr).toContain('contradicts this log')

    for (const { name } of witnesses) {
      const file = evidenceOf(name, 5)
      const { code, stdout, stderr } = await stranger(file)
      expect(code, stderr).toBe(0)
      expect(stdout).toMatch(/^proved {5}the log directory\.example\/log signed two trees of 5 entries that are not the same/)
      expectInManual(stdout)
    }
    const file = evidenceOf('alice', 5)
    const [first = '', second = ''] = readFileSync(file, 'utf8').match(/^5\n.{43}=$/gm) ?? []
    expect(second).not.toBe(first)
    for (const root of [first, second]) expect((await stranger(file, (text) => text.replace(root, flip(root)))).code).toBe(1)
    const signature = /^\u2014 directory\.example\/log .*$/m.exec(readFileSync(file, 'utf8'))?.[0] ?? ''
    expect(await stranger(file, (text) => text.replace(signature, flip(signature)))).toMatchObject({ code: 1, stdout: '' })
  })

  it('are seen at the start, where the second one grew beside the witnesses', async () => {
    const copy = await site.copy(before, 'unwitnessed')
    await grow(copy, [], 'olivia', 'peggy', 'trudy')
    const alarm = await refused(copy, /^error: the witness (alice|bob) contradicts this log: it refuses the checkpoint of size 7/)
    expect((await stranger(alarm)).code).toBe(3)
    const { code, stdout, stderr } = await stranger(evidenceOf('alice', 7))
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^proved {5}the log directory\.example\/log signed a tree of 7 entries that does not continue the tree of 6 entries that it signed/)
    expectInManual(stdout)
    for (const { started } of witnesses) expect(started.child.exitCode).toBeNull()
  })

  it('begin with an old backup: the guard refuses it, without the guard the witnesses do, and what is then signed all the same is proved', async () => {
    const { database } = await site.copy(before, 'yesterday')
    const { state } = await site.copy(honest, 'today')
    const where = { database, state }
    const guarded = await site.run(where, 'serve', '--port', '0', ...POLICY)
    expect(guarded).toMatchObject({ code: 1, stderr: expect.stringMatching(/the database holds 4 entries, but 6 were signed/) as string })

    rmSync(site.stateFile(state, 'guard.sqlite'))
    const adopted = await site.run(where, 'signer', 'adopt', '--guard-is-lost')
    expect(adopted, adopted.stderr).toMatchObject({ code: 0, stderr: expect.stringContaining('remembers the checkpoint of size 4') as string })
    const alarm = await refused(where, /^error: the witness (alice|bob) contradicts this log: it has seen 6 entries signed by this log's key, but only 4 were ever signed here/)
    expect(dirname(dirname(alarm))).toBe(dirname(site.stateFile(state, 'guard.sqlite')))
    const told = await stranger(alarm)
    expect(told).toMatchObject({ code: 3, stdout: expect.stringContaining('it has seen 6 entries') as string })
    expectInManual(told.stderr)

    // Nobody listens, and the log grows again without witnesses: now there are two signed checkpoints.
    const kept = inHome('checkpoint-of-alice')
    writeFileSync(kept, await (await fetch(`${witnesses[0]?.url}/${logId(SITE_ORIGIN)}/checkpoint`)).text())
    const serving = await site.serve(where)
    for (const [names, found, words] of [[['gil', 'hal'], 'two-roots', 'signed two trees of 6 entries'], [['ida'], 'fork', 'signed a tree of 7 entries that does not continue the tree of 6 entries']] as const) {
      await serving.write(...names)
      const fsck = await site.home.run(['fsck', serving.url, '--vkey', vkey, '--kept', kept, '--evidence', found])
      expect(fsck.code, fsck.stderr).toBe(1)
      if (found === 'fork') expectInManual(fsck.stdout)
      const { code, stdout, stderr } = await stranger(inHome(found))
      expect(code, stderr).toBe(0)
      expect(stdout).toContain(words)
    }
    expect((await serving.stop()).code).toBe(0)
  })
})

/** A line or two with the last character but three another one: still base64, and another value. */
function flip(text: string): string {
  const at = text.length - 4
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
}
