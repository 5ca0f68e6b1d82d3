// Whole processes: a directory under load, a mirror, a mirror of the mirror, each killed where it stands, again and again.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ledger } from '../../bench/ledger.ts'
import { renderSequenced } from '../../src/core/plc/records.ts'
import { startLoad } from '../support/load.ts'
import { until } from '../support/mirror.ts'
import { exportOf, keepProcess as keep, textOf } from '../support/kept-process.ts'
import { newHome } from '../support/program.ts'

const HISTORY = 9_000
const KILLS = 2

describe('mirrors that are killed', () => {
  it('end with the same bytes as the directory, wherever they and it were killed', async () => {
    using home = newHome()
    writeFileSync(join(home.folder, 'ledger.jsonl'), [...ledger(HISTORY, 1)].map((record, i) => renderSequenced({ ...record, seq: i + 1 })).join('\n'))
    await home.run(['init', '--origin', 'kill.test/log', '--data', 'directory'])
    expect((await home.run(['import', 'ledger.jsonl', '--source', 'elsewhere.test', '--data', 'directory'])).code).toBe(0)
    const directory = await keep(home, ['serve', '--data', 'directory', '--checkpoint-interval', '50ms', '--write-rate', '0'])
    const vkey = join(home.folder, 'directory', 'log.vkey')

    // In the middle of its first way: it does not serve yet.
    for (let kill = 0; kill < KILLS; kill++) {
      const begun = home.start(['mirror', '--upstream', directory.url, '--upstream-vkey', vkey, '--data', 'one', '--port', '0'])
      begun.line.catch(() => undefined)
      await pause(1_500 + 700 * kill)
      begun.child.kill('SIGKILL')
      await begun.ended
    }
    const first = await keep(home, ['mirror', '--upstream', directory.url, '--upstream-vkey', vkey, '--data', 'one', '--read-rate', '0'])
    const second = await keep(home, ['mirror', '--upstream', first.url, '--data', 'two', '--read-rate', '0'])

    const load = startLoad({ urls: [directory.url], writers: 8, pauseMs: 30 })
    for (let kill = 0; kill < KILLS; kill++) {
      for (const victim of [first, directory, second]) {
        await pause(200 + 150 * kill)
        await victim.kill()
        await victim.start()
      }
      await load.progress(10, 60_000)
    }
    await load.finish()

    const size = HISTORY + load.acknowledged.size
    const sizeOf = async (): Promise<number> => (await (await fetch(`${directory.url}/_health`)).json() as { published: number }).published
    await until(async () => (await sizeOf()) >= size, () => `${size} entries are published`)
    const known = await textOf(directory.url, '/checkpoint')
    for (const { url } of [first, second]) {
      await until(async () => (await textOf(url, '/checkpoint')) === known, () => `${url} shows the same checkpoint`)
      expect(await exportOf(url)).toBe(await exportOf(directory.url))
      for (const path of ['/tile/0/000', '/tile/1/000.p/35', '/tile/entries/030']) expect(await textOf(url, path), path).toBe(await textOf(directory.url, path))
      expect(JSON.parse(await (await fetch(`${url}/_health`)).text())).toMatchObject({ rejected: 0, alarm: null, lagEntries: 0 })
    }
  })
})
