// A directory and three witnesses, each a process of its own, as their operators start them: who dies, what waits, what
// goes on, and that all of it comes back by itself.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { openUnderPolicy, parsePolicy, type Policy } from '../../src/core/tlog/policy.ts'
import { parseTlogProof } from '../../src/core/tlog/tlog-proof.ts'
import { person } from '../support/people.ts'
import { newHome, type Home, type Started } from '../support/program.ts'

const ORIGIN = 'witnessed.test/log'
const NAMES = ['alice', 'bob', 'carol'] as const
/** How long anything may take to come about. */
const PATIENCE_MS = 60_000

interface Witness {
  readonly name: string
  readonly url: string
  running: Started
  kill(): Promise<void>
  start(): Promise<void>
}

describe('a directory whose checkpoints two of three witnesses must have seen', { timeout: 240_000 }, () => {
  let home: Home
  let witnesses: Witness[]
  let policy: Policy
  let url: string
  let directory: Started

  async function startWitness(name: string): Promise<Witness> {
    const args = ['witness', '--name', `${name}.test/w`, '--data', name, '--log', 'data/log.vkey', '--log-level', 'warn', '--port']
    const running = home.start([...args, '0'])
    const url = (await running.line).slice('stele witness listening on '.length)
    const self: Witness = {
      name, url, running,
      async kill() {
        self.running.child.kill('SIGKILL')
        await self.running.ended
      },
      async start() {
        self.running = home.start([...args, new URL(url).port])
        await self.running.line
      },
    }
    return self
  }

  beforeAll(async () => {
    home = newHome()
    const { code, stderr } = await home.run(['init', '--origin', ORIGIN, '--data', 'data'])
    expect(code, stderr).toBe(0)
    witnesses = await Promise.all(NAMES.map(startWitness))
    const lines = witnesses.flatMap(({ name, url }) => {
      const [ed25519, mlDsa] = readFileSync(join(home.folder, name, 'witness.vkeys'), 'utf8').split('\n')
      return [`witness ${name}-ed25519 ${ed25519} ${url}`, `witness ${name}-ml-dsa ${mlDsa} ${url}`, `group ${name} any ${name}-ed25519 ${name}-ml-dsa`]
    })
    const text = [`log ${readFileSync(join(home.folder, 'data', 'log.vkey'), 'utf8').trim()}`, ...lines, `group all 2 ${NAMES.join(' ')}`, 'quorum all', ''].join('\n')
    policy = parsePolicy(text)
    writeFileSync(join(home.folder, 'policy'), text)
    await serve()
  }, 120_000)
  afterAll(async () => {
    directory.child.kill('SIGTERM')
    await directory.ended
    home[Symbol.dispose]()
  })

  async function serve(): Promise<void> {
    directory = home.start(['serve', '--port', '0', '--data', 'data', '--policy', 'policy', '--checkpoint-interval', '50ms', '--log-level', 'warn'])
    url = (await directory.line).slice('stele listening on '.length)
  }

  const post = (name: string, headers: Record<string, string> = {}): Promise<Response> => {
    const { did, genesis } = person(name)
    return fetch(`${url}/${did}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: renderJson(genesis.value) })
  }

  interface Health {
    readonly size: number
    readonly published: number
    readonly faults?: readonly string[]
    readonly witnesses: readonly { readonly name: string; readonly cosignedAge: number | null; readonly latencyMs: number | null; readonly refusal: string | null }[]
  }
  const health = async (): Promise<Health> => (await (await fetch(`${url}/_health`)).json()) as Health

  async function until(words: string, holds: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS
    while (!(await holds())) {
      if (performance.now() > end) throw new Error(`in ${PATIENCE_MS / 1000} s it did not come about that ${words}: ${JSON.stringify(await health())}`)
      await sleep(50)
    }
  }

  /** Who has cosigned the published checkpoint, which must meet the policy. */
  async function published(): Promise<{ size: number; by: string[] }> {
    const { checkpoint, verified } = openUnderPolicy(await (await fetch(`${url}/checkpoint`)).text(), policy)
    const by = policy.witnesses.filter(({ key }) => verified.some((one) => one.key.id === key.id)).map(({ name }) => name)
    return { size: checkpoint.size, by }
  }

  it('gives receipts that meet the policy, with both signatures of every witness', async () => {
    const answer = await post('first', { prefer: 'wait=30', accept: 'text/x.tlog-proof' })
    expect(answer.status).toBe(200)
    expect(openUnderPolicy(parseTlogProof(await answer.text()).checkpoint, policy).checkpoint.size).toBe(1)
    await until('all have cosigned', async () => (await published()).by.length === 6)
    const seen = await health()
    expect(seen.faults).toBeUndefined()
    expect(seen.witnesses.map(({ name, refusal }) => [name, refusal])).toEqual(policy.witnesses.map(({ name }) => [name, null]))
    for (const { cosignedAge, latencyMs } of seen.witnesses) expect([cosignedAge, latencyMs]).toEqual([expect.any(Number), expect.any(Number)])
  })

  it('goes on publishing without one witness, waits without two, and comes back by itself', async () => {
    const [alice, bob] = witnesses
    if (alice === undefined || bob === undefined) throw new Error('too few witnesses')
    await alice.kill()
    expect((await post('second', { prefer: 'wait=30' })).status).toBe(200)
    expect(await published()).toMatchObject({ size: 2, by: ['bob-ed25519', 'bob-ml-dsa', 'carol-ed25519', 'carol-ml-dsa'] })
    expect((await health()).faults).toBeUndefined()
    expect((await health()).witnesses[0]).toMatchObject({ name: 'alice-ed25519', refusal: 'it cannot be asked: ECONNREFUSED' })

    await bob.kill()
    const third = await post('third', { prefer: 'wait=1' })
    expect(third.status, 'taken, and not published').toBe(202)
    expect((await fetch(`${url}/${person('third').did}`)).status, 'resolved all the same').toBe(200)
    await until('health says that the quorum is missed', async () => (await health()).faults?.some((words) => words.startsWith('the quorum all of witnesses is not met')) === true)
    expect(await published()).toMatchObject({ size: 2 })

    await alice.start()
    await bob.start()
    await until('all is published', async () => (await published()).size === 3)
    await until('health is good', async () => (await health()).faults === undefined)
    expect((await post('next', { prefer: 'wait=30' })).status).toBe(200)
    await until('all have cosigned', async () => (await published()).by.length === 6)
  })

  it('starts with no witness at hand, takes operations, and publishes once there are enough', async () => {
    directory.child.kill('SIGTERM')
    expect((await directory.ended).code).toBe(0)
    await Promise.all(witnesses.map((witness) => witness.kill()))
    await serve()
    expect((await post('last')).status).toBe(200)
    expect(await published()).toMatchObject({ size: 4 })
    await Promise.all(witnesses.slice(1).map((witness) => witness.start()))
    await until('all is published', async () => (await published()).size === 5)
  })
})
