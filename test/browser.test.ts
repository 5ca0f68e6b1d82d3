// The verifying client in a real browser: the same cases as in Node.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { missingChromium, openModulePage, type ModulePage } from './support/chromium.ts'
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
