import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { get } from '../support/observe.ts'
import { expectSpoken } from '../support/manual.ts'
import { openSite, SITE_ORIGIN, type Site, type Where } from '../support/site.ts'

describe('what an operator brings back, moves or loses', () => {
  let site: Site
  /** Two entries. */
  let yesterday: Where
  /** Five entries. */
  let today: Where
  let copies = 0
  const copy = (from: Where): Promise<Where> => site.copy(from, `copy${copies++}`)

  beforeAll(async () => {
    site = await openSite()
    const first = { database: 'first', state: 'first' }
    await site.createDatabase('first')
    const { code, stderr } = await site.run(first, 'init', '--origin', SITE_ORIGIN, '--data', 'data')
    expect(code, stderr).toBe(0)
    await grow(first, 'ada', 'bob')
    yesterday = await site.copy(first, 'yesterday')
    await grow(first, 'cy', 'dan', 'eve')
    today = first
  })
  afterAll(() => site[Symbol.asyncDispose]())

  const grow = async (where: Where, ...names: readonly string[]): Promise<void> => {
    const serving = await site.serve(where)
    await serving.write(...names)
    expect((await serving.stop()).code).toBe(0)
  }

  /** Fails unless the command ends with these words, which the manual knows, and has changed nothing. */
  const refuses = async (where: Where, words: readonly RegExp[], args: readonly string[] = ['serve', '--port', '0']): Promise<void> => {
    const before = await site.fingerprint(where)
    const { code, stdout, stderr } = await site.run(where, ...args)
    expect({ code, stdout }, stderr).toEqual({ code: code === 2 ? 2 : 1, stdout: '' })
    const error = lastLine(stderr)
    expect(error).toMatch(/^error: /)
    for (const word of words) expect(error).toMatch(word)
    expect(await site.fingerprint(where)).toBe(before)
    expectInManual(error)
  }

  const expectInManual = (error: string): void => expectSpoken(site.generic(error))

  it("refuses yesterday's database under today's guard", async () => {
    const where = { ...(await copy(yesterday)), state: (await copy(today)).state }
    await refuses(where, [/holds 2 entries, but 5 were signed/, /restored from a backup/, /Bring back the newest database/])
  })

  it("refuses today's database under yesterday's guard", async () => {
    const where = { ...(await copy(today)), state: (await copy(yesterday)).state }
    await refuses(where, [/remembers a signature at size 2, but a checkpoint of size 5 is published/, /guard was restored from a backup/, /Bring back the newest guard/])
  })

  it('refuses a database that has grown again, to the same size and beyond', async () => {
    const regrown = await copy(yesterday)
    await grow(regrown, 'fay', 'gil', 'hal')
    const { state } = await copy(today)
    await refuses({ ...regrown, state }, [/5 entries does not extend the tree of 5 entries that was signed/, /Bring back the database that the guard belongs to/])
    await grow(regrown, 'ida')
    await refuses({ ...regrown, state }, [/6 entries does not extend the tree of 5 entries/])
  })

  it("stops a process that remembers more, where yesterday's database and guard come back under it", async () => {
    const live = await copy(today)
    const accepter = await site.serve(live, ['--accept-only'])
    const old = await copy(yesterday)
    const before = await site.fingerprint(old)
    await site.replaceDatabase(live.database, old.database)
    const { code, stderr } = await accepter.started.ended
    expect(code).toBe(1)
    const error = lastLine(stderr)
    expect(error).toMatch(/holds 2 entries, but 5 were durable before.*Bring back the newest database/)
    expectInManual(error)
    expect(await site.fingerprint({ database: live.database, state: old.state })).toBe(before)
  })

  it('refuses a key without its guard, and names the way back', async () => {
    const where = await copy(today)
    rmSync(site.stateFile(where.state, 'guard.sqlite'))
    await refuses(where, [/there is no guard at/, /Bring the file back/, /stele signer adopt/])
  })

  it('refuses a guard without its key', async () => {
    const where = await copy(today)
    rmSync(site.stateFile(where.state, 'log.key'))
    await refuses(where, [/key cannot be read/, /Bring the file back/])
  })

  it('refuses an empty database for a key that has a log', async () => {
    const where = await copy(today)
    await site.createDatabase('empty')
    const empty = { ...where, database: 'empty' }
    await refuses(empty, [/holds no log/, /bring it back/])
    await refuses(empty, [/has signed 5 entries/, /another origin/], ['init', '--origin', SITE_ORIGIN])
  })

  it('refuses a second signer: with the same guard, and with the same key and a guard of its own', async () => {
    const where = await copy(today)
    const signer = await site.serve(where)
    const before = await get(`${signer.url}/checkpoint`)
    const { code, stderr } = await site.run(where, 'serve', '--port', '0')
    expect({ code, words: lastLine(stderr) }).toMatchObject({ code: 1, words: expect.stringMatching(/guard\.sqlite is in use: another process signs for this log.*--accept-only/) as string })
    expectInManual(lastLine(stderr))

    await site.createDatabase('second')
    const second = { database: 'second', state: 'second' }
    cpSync(site.stateFile(where.state, 'log.key'), site.stateFile('second', 'log.key'), { recursive: true })
    expect((await site.run(second, 'init', '--origin', SITE_ORIGIN)).code).toBe(0)
    await refuses({ database: where.database, state: 'second' }, [/names another guard/, /Two signers with one key would contradict each other/, /stele signer/])
    expect(await get(`${signer.url}/checkpoint`)).toEqual(before)
    await signer.write('jon')
    expect((await signer.stop()).code).toBe(0)
  })

  it('hands the log over to another state folder and leaves no way back to the old one', async () => {
    const where = await copy(today)
    const { database } = where
    const earlier = (await copy(today)).state
    const next = { database, state: `${where.state}-next` }
    const record = join(site.home.folder, 'log.hand-over')
    const signer = await site.serve(where)
    expect(await site.run(where, 'signer', 'hand-over', '--out', record)).toMatchObject({ code: 1, stderr: expect.stringContaining('in use') as string })
    await signer.stop()
    expect(await site.run(where, 'signer', 'hand-over', '--out', record)).toMatchObject({ code: 0, stderr: expect.stringContaining('signs no more') as string })
    await refuses(where, [/was retired/, /handed over/])

    cpSync(site.stateFile(where.state, 'log.key'), site.stateFile(next.state, 'log.key'), { recursive: true })
    await refuses(next, [/there is no guard/])
    const old = await copy(yesterday)
    await refuses({ database: old.database, state: next.state }, [/holds 2 entries, but 5 were signed/], ['signer', 'take-over', record])
    expect(await site.run(next, 'signer', 'take-over', record)).toMatchObject({ code: 0 })
    expect(await site.run(next, 'signer', 'take-over', record)).toMatchObject({ code: 0 })
    await refuses({ database, state: earlier }, [/names another guard/])
    await grow(next, 'kim')
    expect(await site.run(next, 'signer', 'take-over', record)).toMatchObject({ code: 0 })
    const third = { database, state: `${where.state}-third` }
    cpSync(site.stateFile(where.state, 'log.key'), site.stateFile(third.state, 'log.key'), { recursive: true })
    await refuses(third, [/this hand-over was taken already/], ['signer', 'take-over', record])
    await grow(next, 'leo')
  })

  it('makes a new guard where the old one is lost, which remembers what is published or shown to it, and shuts the old one out', async () => {
    const where = await copy(today)
    const guard = site.stateFile(where.state, 'guard.sqlite')
    const found = (await copy(today)).state
    rmSync(guard)
    await site.run(where, 'signer', 'show').then(({ stdout }) => expect(stdout).toMatch(/this host {2}there is no guard/))
    expect(await site.run(where, 'signer', 'adopt')).toMatchObject({ code: 2, stderr: expect.stringContaining('--guard-is-lost') as string })

    const newest = join(site.home.folder, 'newest-checkpoint')
    const serving = await site.serve({ database: today.database, state: found }, ['--read-only'])
    writeFileSync(newest, await get(`${serving.url}/checkpoint`))
    await serving.stop()
    const old = await copy(yesterday)
    rmSync(site.stateFile(old.state, 'guard.sqlite'))
    await refuses(old, [/holds 2 entries/, /5 were signed/], ['signer', 'adopt', '--guard-is-lost', '--checkpoint', newest])

    const adopted = await site.run(where, 'signer', 'adopt', '--guard-is-lost', '--checkpoint', newest)
    expect(adopted, adopted.stderr).toMatchObject({ code: 0, stderr: expect.stringContaining('remembers the checkpoint of size 5') as string })
    await refuses({ database: where.database, state: found }, [/names another guard/])
    await grow(where, 'mia')
  })

  it('refuses operations while the clock of the machine is wrong, says why, and takes them again when it is right', async () => {
    const shift = join(site.home.folder, 'shift.mjs')
    const words = join(site.home.folder, 'shift')
    writeFileSync(shift, `import { readFileSync } from 'node:fs'\nconst now = Date.now\nDate.now = () => now() + Number(readFileSync(${JSON.stringify(words)}, 'utf8'))\n`)
    const where = await copy(today)
    writeFileSync(words, '0')
    const serving = await site.serve(where, [], { NODE_OPTIONS: `--import ${shift}` })
    await serving.write('before')
    const faults: string[] = []
    for (const [days, expected] of [[-1, /clock is 864\d\d\.\d s ahead of this machine's: set both/], [1, /clock is 8\d{4}\.\d s behind this machine's: set both/]] as const) {
      writeFileSync(words, String(days * 86_400_000))
      await expect(serving.write(`wrong${days}`)).rejects.toThrow(/503: .*clock/)
      const health = await fetch(`${serving.url}/_health`)
      expect(health.status).toBe(503)
      const [fault = ''] = ((await health.json()) as { faults: string[] }).faults
      expect(fault).toMatch(expected)
      expectInManual(fault)
      faults.push(fault)
      writeFileSync(words, '0')
      await serving.write(`right${days}`)
    }
    const { code, stderr } = await serving.stop()
    expect(code).toBe(0)
    for (const fault of faults) expect(stderr).toContain(fault)
  })
})

function lastLine(stderr: string): string {
  return stderr.trimEnd().split('\n').at(-1) ?? ''
}
