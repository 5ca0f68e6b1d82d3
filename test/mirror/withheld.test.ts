// An upstream whose operator withholds entries: no liar. What it does not show comes from another one, or is waited for.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fsck } from '../../src/client/fsck.ts'
import { httpTileReader, orElse } from '../../src/client/tile-reader.ts'
import type { Withheld } from '../../src/storage/withheld.ts'
import { openMirror, until, type Health, type TestMirror } from '../support/mirror.ts'
import { identityLeaves, LOG_KEY, rememberingVerifier } from '../support/stored-log.ts'
import { serveLog } from '../support/upstream.ts'

const verifyAnswers = rememberingVerifier()
const LEAVES = identityLeaves(600)
/** In the second of three bundles. */
const WITHHELD: Withheld = new Map([[300, 'order 1 of a court']])
const WORDS = /^the mirror waits for an entry that is withheld, until another upstream shows it: .*\/tile\/entries\/001: Withheld by the operator: index 300, order 1 of a court$/

async function healthOf(mirror: TestMirror, wanted: (health: Health) => boolean): Promise<Health> {
  let health = await mirror.health()
  await until(async () => wanted((health = await mirror.health())), () => JSON.stringify(health))
  return health
}

describe('a mirror of a log whose operator withholds an entry', () => {
  it('takes it from another upstream, and calls nobody a liar', async () => {
    await using withholds = await serveLog(LEAVES, { withheld: WITHHELD })
    await using other = await serveLog(LEAVES)
    for (const upstreams of [[withholds, other], [other, withholds]]) {
      await using mirror = await openMirror(upstreams)
      await mirror.reaches(LEAVES.length)
      const health = await healthOf(mirror, ({ upstreams }) => upstreams.every(({ standing }) => standing === 'good'))
      expect(health).toMatchObject({ status: 200, alarm: null, verifiedSize: LEAVES.length })
      expect(mirror.kept('alarms')).toEqual([])
      expect((await mirror.get('/tile/entries/001')).status).toBe(200)
    }
  })

  it('holds what comes before and waits, with words and no alarm, until somebody shows it', async () => {
    await using before = await serveLog(LEAVES.slice(0, 200), { withheld: WITHHELD })
    const mirror = await openMirror([before])
    await mirror.reaches(200)
    await before.append(LEAVES.slice(200))
    await before.publish()
    const health = await healthOf(mirror, ({ faults = [] }) => faults.some((fault) => WORDS.test(fault)))
    expect(health).toMatchObject({ status: 503, alarm: null, upstreams: [{ standing: 'withholding' }] })
    expect(mirror.kept('alarms')).toEqual([])
    expect(mirror.lines.filter(([level]) => level === 'error')).toEqual([])
    await until(async () => (await mirror.store.head())?.size === 256, () => 'the bundles before it are held')
    await mirror.stop()

    await using other = await serveLog(LEAVES)
    await using again = await openMirror([before, other], {}, mirror)
    await again.reaches(LEAVES.length)
    await healthOf(again, ({ status }) => status === 200)
  })

  it('can withhold it itself, and says so', async () => {
    await using upstream = await serveLog(LEAVES)
    const file = join(mkdtempSync(join(tmpdir(), 'stele-withheld-')), 'withheld')
    writeFileSync(file, '300 order 1 of a court\n')
    await using mirror = await openMirror([upstream], { withheldFile: file })
    await mirror.reaches(LEAVES.length)
    expect(await mirror.get('/tile/entries/001')).toEqual({ status: 451, text: JSON.stringify({ message: 'Withheld by the operator: index 300, order 1 of a court' }) })
    expect(JSON.parse((await mirror.get('/log/withheld')).text)).toMatchObject({ index: 300, reason: 'order 1 of a court' })
    expect((await mirror.get('/tile/0/001')).status).toBe(200)
    expect((await mirror.health()).status).toBe(200)
  })
})

describe('fsck of a log whose operator withholds an entry', () => {
  it('says that it could not be checked, and that nothing is broken', async () => {
    await using log = await serveLog(LEAVES, { withheld: WITHHELD })
    const report = await fsck(httpTileReader(log.url), [LOG_KEY], { verifyAnswers })
    expect(report.entries).toBe(256)
    expect(report.problems).toEqual([
      { kind: 'withheld', where: 'tile/entries/001', words: `${log.url}/tile/entries/001: Withheld by the operator: index 300, order 1 of a court; entries from 256 on could not be checked` },
      { kind: 'withheld', where: 'checkpoint', words: 'it is over 600 entries, and only 256 could be read' },
    ])
    expect(report.evidence).toEqual([])
  })

  it('is whole with what a mirror has', async () => {
    await using log = await serveLog(LEAVES, { withheld: WITHHELD })
    await using other = await serveLog(LEAVES)
    const report = await fsck(orElse(httpTileReader(log.url), [httpTileReader('http://127.0.0.1:1', { attempts: 1 }), httpTileReader(other.url)]), [LOG_KEY], { verifyAnswers })
    expect(report).toMatchObject({ entries: 600, problems: [], rejected: [] })
  })
})
