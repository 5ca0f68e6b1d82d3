import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import { decodeBundle } from '../../src/core/tlog/bundle.ts'
import { appendLeaf, edgeRoot, EMPTY_EDGE } from '../../src/core/tlog/edge.ts'
import { bundlePath, TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import { startLoad } from '../support/load.ts'
import { naiveLeafHash } from '../support/naive-tree.ts'
import { get } from '../support/observe.ts'
import { newHome, type Started } from '../support/program.ts'

const TIMES = Number(process.env['STELE_KILLS'] ?? '50')
const SERVE = ['serve', '--data', 'data', '--checkpoint-interval', '20ms', '--map-interval', '20ms', '--write-rate', '0', '--read-rate', '0', '--log-level', 'error']

it(`a directory that is killed ${TIMES} times under load never signs two maps, and none that is not its log's`, async () => {
  using home = newHome()
  const first = home.start([...SERVE, '--port', '0'])
  const url = /http:\S+/.exec(await first.line)?.[0] ?? ''
  let directory: Started = first
  const seen = new Map<number, string>()
  const ended = new AbortController()
  const watching = (async () => {
    while (!ended.signal.aborted) {
      const [, size, root] = (await get(`${url}/map/checkpoint`).then(String, () => '')).split('\n')
      if (size !== undefined && root !== undefined) {
        expect(seen.get(Number(size)) ?? root, `two maps of ${size} leaves`).toBe(root)
        seen.set(Number(size), root)
      }
      await sleep(5)
    }
  })()
  const load = startLoad({ urls: [url], writers: 8, pauseMs: 40 })
  for (let i = 0; i < TIMES; i++) {
    await load.progress(3, 60_000)
    await sleep(Math.random() * 400)
    directory.child.kill('SIGKILL')
    await directory.ended
    directory = home.start([...SERVE, '--port', new URL(url).port])
    await directory.line
  }
  await load.finish()
  const size = load.acknowledged.size
  await vi.waitFor(async () => expect(JSON.parse(String(await get(`${url}/_health`)))).toMatchObject({ map: { size, fault: null } }), { timeout: 60_000, interval: 50 })
  ended.abort()
  await watching

  const checkpoint = String(await get(`${url}/map/checkpoint`)).split('\n')
  const leaves: Uint8Array[] = []
  for (let start = 0; start < Number(checkpoint[1]); start += TILE_WIDTH) {
    const width = Math.min(TILE_WIDTH, Number(checkpoint[1]) - start)
    leaves.push(...decodeBundle(await get(`${url}/map/${bundlePath(start / TILE_WIDTH, width)}`), width))
  }
  let edge = EMPTY_EDGE
  for (const leaf of leaves) {
    edge = appendLeaf(edge, naiveLeafHash(leaf)).edge
    const root = seen.get(edge.size)
    if (root !== undefined) expect(Buffer.from(edgeRoot(edge)).toString('base64'), `the map log of ${edge.size} leaves`).toBe(root)
  }
  directory.child.kill('SIGTERM')
  expect((await directory.ended).code).toBe(0)
  const fsck = await home.run(['fsck', '--database', '--data', 'data', '--vkey', join('data', 'log.vkey')])
  expect(fsck, fsck.stdout).toMatchObject({ code: 0 })
  console.log(`${size} operations, ${leaves.length} versions of the map, ${seen.size} of them seen under a checkpoint`)
})
