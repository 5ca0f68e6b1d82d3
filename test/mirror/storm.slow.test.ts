// A directory under load, two mirrors that cosign for it, a mirror of a mirror: each killed where it stands, again and again, and the
// network between them cut and stalled. At the end all four serve the same bytes.
//
// STELE_STORM_KILLS: how often each is killed. STELE_STORM_RATE: operations a second, at most. STELE_STORM_WRITERS: writers at work, each of which waits
// for its answer. STELE_STORM_SEED: who is struck, when.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { useNative } from '../../src/crypto/use-native.ts'
import { TILE_WIDTH } from '../../src/core/tlog/tile.ts'
import { layCable, type Cable } from '../support/cable.ts'
import { exportOf, keepProcess, textOf, type Process } from '../support/kept-process.ts'
import { startLoad, type Load } from '../support/load.ts'
import { until } from '../support/mirror.ts'
import { newHome } from '../support/program.ts'

const KILLS = Number(process.env['STELE_STORM_KILLS'] ?? '10')
const RATE = Number(process.env['STELE_STORM_RATE'] ?? '1000')
const WRITERS = Number(process.env['STELE_STORM_WRITERS'] ?? '128')
const SEED = Number(process.env['STELE_STORM_SEED'] ?? '1')

/** Operations that are signed before the storm begins: about what it takes until its end. */
const PREPARED = KILLS * 28 * Math.min(RATE, 1_000)

/** Before the first of them is struck. */
const CALM_MS = 5_000

/** Numbers from 0 up to 1, the same for a seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

interface Shown {
  readonly size: number
  readonly published: number
}

const LAG_MS = 1_000
/** How long a lag is watched: where the load takes the whole machine it may last. */
const MOST_MS = 30_000

const healthOf = async ({ url }: Process): Promise<Shown> => (await (await fetch(`${url}/_health`)).json()) as Shown

const NAMES = ['directory', 'one', 'two', 'three'] as const
type Name = (typeof NAMES)[number]

/**
 * Resolves when no lag is above a second any more, or after MOST_MS, with the time until each was below, milliseconds: until the directory had published
 * the entries that it held a second before, and a mirror the checkpoint that the directory had published then; at least what it had at the beginning.
 */
async function untilNoLag(all: Readonly<Record<Name, Process>>): Promise<Record<Name, number>> {
  const since = performance.now()
  const seen: { readonly at: number; readonly shown: Shown }[] = []
  const times = { directory: MOST_MS, one: MOST_MS, two: MOST_MS, three: MOST_MS }
  for (let lagging: readonly Name[] = NAMES; lagging.length > 0 && performance.now() - since < MOST_MS; await pause(100)) {
    const [shown, ...mirrors] = await Promise.all([healthOf(all.directory), healthOf(all.one), healthOf(all.two), healthOf(all.three)])
    const at = performance.now()
    seen.push({ at, shown })
    const due = (seen.findLast((sample) => sample.at <= at - LAG_MS) ?? seen[0])?.shown ?? shown
    const level = [shown.published >= due.size, ...mirrors.map(({ published }) => published >= due.published)]
    lagging = NAMES.filter((_, i) => level[i] !== true)
    for (const name of NAMES) times[name] = lagging.includes(name) ? MOST_MS : Math.min(times[name], Math.round(at - since))
  }
  return times
}

/** Counts what a load has acknowledged while it runs. */
function stopwatch(load: Load): { run(): void; stop(): void; readonly perSecond: number } {
  let [operations, ms, from, since] = [0, 0, 0, performance.now()]
  let running = false
  const stop = (): void => {
    if (running) [operations, ms] = [operations + load.acknowledged.size - from, ms + performance.now() - since]
    running = false
  }
  return {
    run() {
      stop()
      ;[running, from, since] = [true, load.acknowledged.size, performance.now()]
    },
    stop,
    get perSecond() {
      return Math.round((operations * 1000) / ms)
    },
  }
}

const spread = (ms: readonly number[]): { median: number; worst: number } => ({ median: ms.toSorted((a, b) => a - b)[Math.floor(ms.length / 2)] ?? 0, worst: Math.max(...ms) })

/** Every tile and bundle of a tree. */
function pathsOf(size: number): string[] {
  const paths: string[] = []
  const number = (index: number): string => String(index).padStart(Math.ceil(String(index).length / 3) * 3, '0').replace(/\d{3}(?=\d)/g, 'x$&/')
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) {
    for (let index = 0; index * TILE_WIDTH < hashes; index++) {
      const width = Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH)
      const end = `${number(index)}${width < TILE_WIDTH ? `.p/${width}` : ''}`
      paths.push(`/tile/${level}/${end}`)
      if (level === 0) paths.push(`/tile/entries/${end}`)
    }
  }
  return paths
}

// What the load signs beyond that it signs beside what is measured.
useNative()

describe('a storm', () => {
  it(`kills each of four ${KILLS} times and cuts the network: nothing that was acknowledged is lost, and all serve the same bytes`, async () => {
    using home = newHome()
    await using stack = new AsyncDisposableStack()
    const random = randomFrom(SEED)
    await home.run(['init', '--origin', 'storm.test/log', '--data', 'directory'])
    const vkey = join(home.folder, 'directory', 'log.vkey')
    const serve = ['serve', '--data', 'directory', '--checkpoint-interval', '250ms', '--write-rate', '0', '--read-rate', '0', '--log-level', 'error']
    const directory = await keepProcess(home, serve)
    const cables: Cable[] = []
    const mirrorOf = async (upstream: Process, data: string, flags: readonly string[] = []): Promise<Process> => {
      const cable = stack.use(await layCable({ host: '127.0.0.1', port: Number(new URL(upstream.url).port) }))
      cables.push(cable)
      return await keepProcess(home, ['mirror', '--upstream', `http://127.0.0.1:${cable.port}`, '--upstream-vkey', vkey, '--data', data, '--read-rate', '0', '--log-level', 'error', ...flags])
    }
    const one = await mirrorOf(directory, 'one', ['--cosign', 'one.test/m'])
    const two = await mirrorOf(directory, 'two', ['--cosign', 'two.test/m'])
    const three = await mirrorOf(one, 'three')
    const witnesses = await Promise.all([one, two].map(async ({ url }, i) => `witness m${i} ${(await (await fetch(`${url}/vkeys`)).text()).split('\n')[0]} ${url}`))
    writeFileSync(join(home.folder, 'policy'), [`log ${readFileSync(vkey, 'utf8').trim()}`, ...witnesses, 'group either any m0 m1', 'quorum either', ''].join('\n'))
    await directory.stop()
    await directory.start([...serve, '--policy', 'policy'])

    const all = { directory, one, two, three }
    const strikes = NAMES.flatMap((name) => Array.from({ length: KILLS }, () => ({ name, at: random() }))).sort((a, b) => a.at - b.at)
    const load = startLoad({ urls: [directory.url], writers: WRITERS, pauseMs: 0, perSecond: RATE, prepared: PREPARED })
    const whole = stopwatch(load)
    const allServe = stopwatch(load)
    const own: Record<string, number[]> = {}
    const last: number[] = []
    whole.run()
    allServe.run()
    await pause(CALM_MS)
    for (const { name } of strikes) {
      await pause(random() * 1_500)
      const cable = cables[Math.floor(random() * cables.length)]
      if (random() < 0.5) cable?.cut()
      else await cable?.stall(random() * 2_000)
      allServe.stop()
      await all[name].kill()
      await pause(random() * 1_000)
      await all[name].start()
      allServe.run()
      const times = await untilNoLag(all)
      ;(own[name] ??= []).push(times[name])
      last.push(Math.max(...Object.values(times)))
    }
    await load.progress(WRITERS, 60_000)
    allServe.stop()
    whole.stop()
    await load.finish()
    const msUntilNoLag = { ...Object.fromEntries(Object.entries(own).map(([name, ms]) => [name, spread(ms)])), ofAll: spread(last) }
    console.log(JSON.stringify({ acknowledged: load.acknowledged.size, operationsPerSecond: whole.perSecond, whileAllServe: allServe.perSecond, msUntilNoLag }))

    const { size } = await healthOf(directory)
    for (const [name, each] of Object.entries(all)) await until(async () => (await healthOf(each)).published === size, () => `${name} shows all ${size} entries`)
    const exported = await exportOf(directory.url)
    const lines = exported.split('\n').map((line) => JSON.parse(line) as { cid: string })
    expect(lines).toHaveLength(size)
    const known = new Set(lines.map(({ cid }) => cid))
    expect([...load.acknowledged.keys()].filter((cid) => !known.has(cid)), 'acknowledged and lost').toEqual([])
    const signed = async ({ url }: Process): Promise<string[]> => (await (await fetch(`${url}/checkpoint`)).text()).split('\n').slice(0, 3)
    for (const each of [one, two, three]) {
      expect(await signed(each)).toEqual(await signed(directory))
      expect((await exportOf(each.url)) === exported).toBe(true)
      for (const path of pathsOf(size)) expect((await textOf(each.url, path)) === (await textOf(directory.url, path)), path).toBe(true)
      expect(await (await fetch(`${each.url}/_health`)).json()).toMatchObject({ alarm: null, rejected: 0 })
    }
    for (const each of [three, two, one, directory]) await each.stop()
  })
})
