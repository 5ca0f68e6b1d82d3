// Whole processes: a directory that is taken for a plain one, a notary that is killed where it stands, and a mirror that follows the notary.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ledger } from '../../bench/ledger.ts'
import { renderSequenced } from '../../src/core/plc/records.ts'
import { startLoad } from '../support/load.ts'
import { until } from '../support/mirror.ts'
import { newHome } from '../support/program.ts'

const HISTORY = 9_000

interface Health {
  readonly size: number
  readonly published: number
  readonly refused: number
  readonly divergent: number
  readonly rejected: number
}

async function healthOf(url: string): Promise<Health | null> {
  const response = await fetch(`${url}/_health`).catch(() => null)
  return response === null ? null : ((await response.json()) as Health)
}

/** The export, without numbers. */
async function exportOf(url: string): Promise<string[]> {
  const lines: string[] = []
  for (let after = 0; ; ) {
    const page = await (await fetch(`${url}/export?after=${after}`)).text()
    if (page === '') return lines
    const found = page.split('\n')
    after = (JSON.parse(found.at(-1) ?? '') as { seq: number }).seq
    lines.push(...found.map((line) => line.replace(/"seq":\d+,/, '')))
  }
}

describe('a notary that is killed', () => {
  it('has every operation of its upstream once, in order, and a mirror of its log has the same', async () => {
    using home = newHome()
    writeFileSync(join(home.folder, 'ledger.jsonl'), [...ledger(HISTORY, 1)].map((record, i) => renderSequenced({ ...record, seq: i + 1 })).join('\n'))
    await home.run(['init', '--origin', 'plain.test/log', '--data', 'directory'])
    expect((await home.run(['import', 'ledger.jsonl', '--source', 'elsewhere.test', '--data', 'directory'])).code).toBe(0)
    const directory = (await home.start(['serve', '--data', 'directory', '--checkpoint-interval', '50ms', '--write-rate', '0', '--read-rate', '0', '--port', '0']).line).split(' ').at(-1) ?? ''

    const args = ['mirror', '--plain', '--upstream', directory, '--source', 'plain.test', '--origin', 'notary.test/log', '--upstream-rate', '0', '--checkpoint-interval', '50ms', '--data', 'notary', '--read-rate', '0']
    let notary = home.start([...args, '--port', '0'])
    const url = (await notary.line).split(' ').at(-1) ?? ''
    const kill = async (): Promise<void> => {
      notary.child.kill('SIGKILL')
      await notary.ended
      notary = home.start([...args, '--port', new URL(url).port])
      await notary.line
    }
    // In the middle of its first way.
    for (let size = 0; size < HISTORY / 2; ) {
      await until(async () => ((await healthOf(url))?.size ?? 0) > size, () => `more than ${size} entries`)
      size = (await healthOf(url))?.size ?? 0
      await kill()
    }
    const mirror = (await home.start(['mirror', '--upstream', url, '--upstream-vkey', join(home.folder, 'notary', 'log.vkey'), '--data', 'mirror', '--port', '0', '--read-rate', '0']).line).split(' ').at(-1) ?? ''

    // And while it follows the stream.
    const load = startLoad({ urls: [directory], writers: 4, pauseMs: 30 })
    for (let kills = 0; kills < 2; kills++) {
      await load.progress(20, 60_000)
      await pause(300)
      await kill()
    }
    await load.finish()

    const size = (await healthOf(directory))?.size ?? 0
    expect(size).toBeGreaterThanOrEqual(HISTORY + load.acknowledged.size)
    for (const server of [url, mirror]) await until(async () => (await healthOf(server))?.published === size, () => `${server} has published ${size} entries`)
    const expected = await exportOf(directory)
    expect(new Set(expected).size).toBe(size)
    // What the stream brought before a page may stand elsewhere: nothing is missing, nothing is there twice.
    expect((await exportOf(url)).sort()).toEqual([...expected].sort())
    expect(await exportOf(mirror)).toEqual(await exportOf(url))
    expect(await healthOf(url)).toMatchObject({ size, refused: 0, divergent: 0 })
    expect(await healthOf(mirror)).toMatchObject({ size, rejected: 0 })
    const verified = await home.run(['fsck', url, '--vkey', join(home.folder, 'notary', 'log.vkey')])
    expect(verified.code, verified.stderr).toBe(0)

    notary.child.kill('SIGTERM')
    await notary.ended
    const refused = await home.run(['serve', '--data', 'notary', '--port', '0'])
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('is that of a notary of plain.test')])
  })
})
