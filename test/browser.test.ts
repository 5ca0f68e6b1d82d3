// The verifying client in a real browser: the same cases as in Node.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatVerifierKey } from '../src/core/tlog/note.ts'
import { layCable } from './support/cable.ts'
import { missingChromium, openModulePage, type ModulePage } from './support/chromium.ts'
import type { Taken } from './support/page-follower.ts'
import { identityLeaves, LOG_KEY } from './support/stored-log.ts'
import { serveLog } from './support/upstream.ts'
import { VERIFIED_CASES } from './support/verified-cases.ts'
import { openScene, type SceneServers } from './support/verified-scene.ts'

const missing = missingChromium()
if (missing !== null) process.stderr.write(`SKIPPED: test/browser.test.ts (${missing})\n`)

describe.skipIf(missing !== null)('the verifying client in Chromium', () => {
  let opened: SceneServers
  let page: ModulePage
  let scene: string

  beforeAll(async () => {
    opened = await openScene()
    scene = JSON.stringify(opened.scene)
    page = await openModulePage(join(import.meta.dirname, 'support', 'verified-cases.ts'))
  })

  afterAll(async () => {
    await page?.[Symbol.asyncDispose]()
    await opened?.[Symbol.asyncDispose]()
  })

  it('sees what it sees in Node, in every case', async () => {
    const seen = (await page.call('runCases', scene)) as Record<string, unknown>
    for (const { name, expected } of VERIFIED_CASES) expect(seen[name], name).toEqual(expected(opened.scene))
  })

  it('remembers in localStorage what it has verified', async () => {
    expect(await page.call('remembered', scene, 'localStorage')).toEqual({ code: 'STALE', skipped: { stale: 'STALE' } })
  })

  it('gives the right document or an error where a byte of an answer is altered', async () => {
    expect(await page.call('wrongAnswers', scene, '40')).toEqual([])
  })
})

describe.skipIf(missing !== null)('a follower in Chromium', () => {
  let page: ModulePage

  beforeAll(async () => {
    page = await openModulePage(join(import.meta.dirname, 'support', 'page-follower.ts'))
  })

  afterAll(() => page?.[Symbol.asyncDispose]())

  const takenOnce = async (count: number): Promise<{ readonly taken: readonly Taken[]; readonly troubles: number }> => (await page.call('takenOnce', String(count))) as { taken: Taken[]; troubles: number }

  it('takes every operation once and in order through bundles, the stream, a connection that is cut, and a new page that goes on with localStorage', async () => {
    await using log = await serveLog(identityLeaves(300))
    await using cable = await layCable({ host: '127.0.0.1', port: Number(new URL(log.url).port) })
    const options = JSON.stringify({ url: `http://127.0.0.1:${cable.port}`, vkey: formatVerifierKey(LOG_KEY) })
    const grow = async (from: number, to: number): Promise<void> => {
      await log.append(identityLeaves(to).slice(from))
      await log.publish()
    }
    const expected = async (start: number, end: number): Promise<Taken[]> => (await log.store.entries(start, end)).map(({ index, cid }) => ({ index, cid, proved: false }))

    await page.call('begin', options, 'localStorage')
    expect(await takenOnce(300)).toEqual({ taken: await expected(0, 300), troubles: 0 })
    await grow(300, 310)
    expect((await takenOnce(310)).taken).toEqual(await expected(0, 310))
    cable.cut()
    await grow(310, 330)
    const after = await takenOnce(330)
    expect(after.taken).toEqual(await expected(0, 330))
    expect(after.troubles).toBeGreaterThan(0)
    expect(await page.call('end')).toBe('AbortError')

    await grow(330, 335)
    await page.call('begin', options, 'localStorage')
    expect((await takenOnce(5)).taken).toEqual(await expected(330, 335))
    expect(await page.call('end')).toBe('AbortError')
  })

  it('takes the operations of some identities with their proofs, and keeps nothing where it is to keep nothing', async () => {
    await using log = await serveLog(identityLeaves(300))
    const [row] = await log.store.entries(7, 8)
    await page.call('begin', JSON.stringify({ url: log.url, vkey: formatVerifierKey(LOG_KEY), dids: [row?.did] }), 'null')
    expect((await takenOnce(1)).taken).toEqual([{ index: 7, cid: row?.cid, proved: true }])
    expect(await page.call('end')).toBe('AbortError')
  })
})
