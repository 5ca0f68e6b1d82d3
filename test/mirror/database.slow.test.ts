// A mirror, a process of its own, whose database goes away under it: the embedded one killed, a server's connection cut in a
// commit, cut again and again, and silent. It comes back by itself, with the same bytes.

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { startEmbedded } from '../../src/storage/embedded.ts'
import { readPostmaster } from '../../src/storage/embedded/postmaster.ts'
import { silent } from '../storage/server.ts'
import { layCable } from '../support/cable.ts'
import { exportOf, keepProcess, type Process } from '../support/kept-process.ts'
import { until } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { newHome, type Home } from '../support/program.ts'

const SERVE = ['serve', '--data', 'data', '--checkpoint-interval', '50ms', '--log-level', 'error']

interface Pair {
  readonly directory: Process
  readonly mirror: Process
  /** Writes this many operations more; whether the mirror has them is another matter. */
  readonly write: (count: number) => Promise<void>
  /** Resolves when the mirror shows all that was written, and is well. */
  readonly levels: () => Promise<void>
}

async function openPair(home: Home, flags: readonly string[]): Promise<Pair> {
  expect((await home.run(['init', '--origin', 'database.test/log', '--data', 'data'])).code).toBe(0)
  const directory = await keepProcess(home, SERVE)
  let written = 0
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const { did, genesis } = person(`resident ${written++}`)
      const response = await fetch(`${directory.url}/${did}`, { method: 'POST', headers: { 'content-type': 'application/json', prefer: 'wait=30' }, body: renderJson(genesis.value) })
      expect(response.status).toBe(200)
    }
  }
  await write(3)
  const mirror = await keepProcess(home, ['mirror', '--upstream', directory.url, '--upstream-vkey', join(home.folder, 'data', 'log.vkey'), '--data', 'mirror', '--log-level', 'error', ...flags])
  const levels = async (): Promise<void> => {
    await until(async () => {
      const response = await fetch(`${mirror.url}/_health`)
      const health = (await response.json()) as { published: number }
      return response.status === 200 && health.published === written
    }, () => `the mirror has ${written} entries`)
    expect(await exportOf(mirror.url)).toBe(await exportOf(directory.url))
  }
  return { directory, mirror, write, levels }
}

describe('a mirror whose database goes away', () => {
  it('goes on after the embedded one was killed', async () => {
    using home = newHome()
    const { directory, mirror, write, levels } = await openPair(home, [])
    await levels()
    for (const signal of ['SIGKILL', 'SIGQUIT'] as const) {
      const postmaster = await readPostmaster(join(home.folder, 'mirror', 'postgres', 'data'))
      if (postmaster === null) throw new Error('there is no server')
      process.kill(postmaster.pid, signal)
      await write(3)
      await levels()
    }
    for (const each of [mirror, directory]) await each.stop()
  })

  it('goes on after the connection to its server was cut, in a commit and at any time, and was silent', async () => {
    using home = newHome()
    await using server = await startEmbedded({ dataDir: join(home.folder, 'server'), log: silent })
    const { host, port, user, database } = server.connection
    await using cable = await layCable({ host, port })
    const { directory, mirror, write, levels } = await openPair(home, ['--database-url', `postgres://${user}@127.0.0.1:${cable.port}/${database}`])
    await levels()
    for (const fault of ['lose request', 'lose reply'] as const) {
      const struck = cable.strike(fault)
      await write(2)
      await struck
      await levels()
    }
    for (let i = 0; i < 5; i++) {
      cable.cut()
      await write(1)
    }
    await levels()
    const stalled = cable.stall(4_000)
    await write(2)
    await until(async () => (await fetch(`${mirror.url}/_health`)).status === 503, () => 'health says that the database does not answer')
    await stalled
    await levels()
    for (const each of [mirror, directory]) await each.stop()
  })
})
