// A directory whose database is lost, or comes back older than what was signed: refused, filled again from a mirror, and going on
// as if nothing had happened.

import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { exportOf, keepProcess, type Process } from '../support/kept-process.ts'
import { expectSpoken } from '../support/manual.ts'
import { until } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { newHome, type Ended, type Home } from '../support/program.ts'

const SERVE = ['serve', '--data', 'data', '--checkpoint-interval', '20ms', '--map-interval', '2s', '--log-level', 'error']

describe('a directory that has lost its database, and not its guard', { timeout: 240_000 }, () => {
  let home: Home
  let directory: Process
  let mirror: Process
  let entries = 0

  const inHome = (...names: string[]): string => join(home.folder, ...names)
  const generic = (text: string): string => text.replaceAll(inHome('state'), '/var/lib').replaceAll(home.folder, '/srv/stele').replaceAll(mirror.url, 'https://mirror.example')
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const { did, genesis } = person(`resident ${entries++}`)
      const response = await fetch(`${directory.url}/${did}`, { method: 'POST', headers: { 'content-type': 'application/json', prefer: 'wait=30' }, body: renderJson(genesis.value) })
      expect(response.status).toBe(200)
    }
    await until(async () => (await sizeAt(mirror)) === entries, () => `the mirror follows to ${entries}`)
    for (const process of [directory, mirror]) await until(async () => (await mapAt(process)).size === entries, () => `the map comes to ${entries}`)
  }
  const mapAt = async ({ url }: Process): Promise<{ size: number | null; leaves: number; fault: string | null }> => ((await (await fetch(`${url}/_health`)).json()) as { map: { size: number | null; leaves: number; fault: string | null } }).map
  const sizeAt = async ({ url }: Process): Promise<number> => Number((await (await fetch(`${url}/checkpoint`)).text()).split('\n')[1])

  /** Runs a command that fails, with words that the manual knows. */
  async function refuses(args: readonly string[], words: RegExp): Promise<void> {
    const { code, stderr } = await home.run(args)
    expect(code, stderr).not.toBe(0)
    const error = stderr.trimEnd().split('\n').at(-1) ?? ''
    expect(error).toMatch(words)
    expectSpoken(generic(error))
  }

  async function recovers(flags: readonly string[] = []): Promise<void> {
    const { code, stderr } = await home.run(['recover-log', '--from', mirror.url, '--data', 'data', '--log-level', 'error', ...flags])
    expect(code, stderr).toBe(0)
    expectSpoken(generic(stderr.trimEnd()))
    const fsck: Ended = await home.run(['fsck', '--database', '--data', 'data', '--vkey', inHome('log.vkey')])
    expect(fsck.code, fsck.stdout + fsck.stderr).toBe(0)
    expectSpoken(fsck.stdout.trimEnd())
    await directory.start()
    await write(2)
    // The map goes on, from the versions that were signed before.
    expect(await mapAt(directory)).toMatchObject({ size: entries, fault: null })
    expect(await (await fetch(`${directory.url}/map/checkpoint`)).text()).toBe(await (await fetch(`${mirror.url}/map/checkpoint`)).text())
    expect((await home.run(['fsck', directory.url, '--vkey', inHome('log.vkey')])).stdout).toMatch(/^map {8}\d+ versions, each derived from the log again$/m)
    expect(await exportOf(directory.url)).toBe(await exportOf(mirror.url))
    expect(await (await fetch(`${mirror.url}/_health`)).json()).toMatchObject({ alarm: null, rejected: 0, verifiedSize: entries })
  }

  beforeAll(async () => {
    home = newHome()
    expect((await home.run(['init', '--origin', 'directory.example/log', '--data', 'data'])).code).toBe(0)
    cpSync(inHome('data', 'log.vkey'), inHome('log.vkey'))
    directory = await keepProcess(home, SERVE)
    mirror = await keepProcess(home, ['mirror', '--upstream', directory.url, '--upstream-vkey', inHome('log.vkey'), '--data', 'mirror', '--log-level', 'error'])
    await write(4)
    await directory.stop()
    execFileSync('cp', ['-a', inHome('data'), inHome('yesterday')])
    await directory.start()
    await write(4)
  }, 120_000)
  afterAll(async () => {
    for (const process of [directory, mirror]) await process.stop()
    home[Symbol.dispose]()
  })

  it('is refused with an empty folder, and goes on after its log was taken from a mirror', async () => {
    await directory.kill()
    rmSync(inHome('data'), { recursive: true, maxRetries: 10, retryDelay: 200 })
    await refuses(SERVE, /is empty, but the log directory\.example\/log was there.*stele recover-log --from URL/)
    await refuses(['init', '--origin', 'directory.example/log', '--data', 'data'], /is a guard already, and has signed 8 entries/)
    await recovers()
  })

  it('is refused with an older copy, and goes on after the missing entries were taken from a mirror', async () => {
    await directory.stop()
    rmSync(inHome('data'), { recursive: true })
    execFileSync('cp', ['-a', inHome('yesterday'), inHome('data')])
    await refuses(SERVE, /holds 4 entries, but 10 were signed.*stele recover-log --from URL/)
    await recovers()
  })

  it('is refused where the older copy has taken operations before anybody looked; an empty folder is filled all the same', async () => {
    await directory.stop()
    rmSync(inHome('data'), { recursive: true })
    execFileSync('cp', ['-a', inHome('yesterday'), inHome('data')])
    const accepter = await keepProcess(home, [...SERVE, '--accept-only'])
    const { did, genesis } = person('stranger')
    expect((await fetch(`${accepter.url}/${did}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: renderJson(genesis.value) })).status).toBe(200)
    await accepter.stop()
    await refuses(['recover-log', '--from', mirror.url, '--data', 'data', '--log-level', 'error'], /the database's 5 entries do not go with the 12 that were signed/)
    rmSync(inHome('data'), { recursive: true })
    await recovers(['--origin', 'directory.example/log'])
  })

  it('says that nothing was missing where nothing was, and refuses while the directory runs', async () => {
    const { code, stderr } = await home.run(['recover-log', '--from', mirror.url, '--data', 'data', '--log-level', 'error'])
    expect([code, stderr.includes('guard.sqlite is in use')], stderr).toEqual([1, true])
    await directory.stop()
    expect((await home.run(['recover-log', '--from', mirror.url, '--data', 'data', '--log-level', 'error'])).stderr).toContain(`the database holds all that was signed: ${entries} entries. Nothing was missing`)
    await directory.start()
    await write(1)
  })
})
