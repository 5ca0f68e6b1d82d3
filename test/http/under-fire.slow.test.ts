// A counter in a process of its own, attacked by another, asked by ordinary clients from here.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { AttackSays } from '../support/attack.ts'
import { person } from '../support/people.ts'
import type { CounterAsked, CounterSays } from '../support/serve-counter.ts'

const { did, genesis } = person('alice')
const body = renderJson(genesis.value)

function start(program: string, ...args: string[]): ChildProcess & Disposable {
  const child = fork(join(import.meta.dirname, '../support', program), args, { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill('SIGKILL') })
}

async function said<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T]
  return message
}

/** Asks as ordinary clients do until `over` settles; milliseconds of each answer. Throws where one is not as it should be. */
async function askUntil(url: string, over: Promise<unknown>): Promise<number[]> {
  const ended = new AbortController()
  const end = (): void => ended.abort()
  void over.then(end, end)
  const agent = new Agent({ keepAlive: true })
  const times: number[] = []
  const client = async (method: 'GET' | 'POST', path: string): Promise<void> => {
    while (!ended.signal.aborted) {
      const started = performance.now()
      const status = await new Promise<number>((resolve, reject) => {
        const asked = request(`${url}${path}`, { method, agent, headers: method === 'POST' ? { 'Content-Type': 'application/json' } : {} }, (response) => {
          response.resume().once('end', () => resolve(response.statusCode ?? 0)).once('error', reject)
        })
        asked.on('error', reject)
        asked.end(method === 'POST' ? body : undefined)
      })
      expect(status, `${method} ${path}`).toBe(200)
      times.push(performance.now() - started)
      await pause(20)
    }
  }
  await Promise.all([client('GET', `/${did}`), client('GET', `/${did}/log/audit`), client('GET', '/tile/0/000'), client('GET', '/checkpoint'), client('POST', `/${did}`)])
  agent.destroy()
  return times
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN
}

it('serves ordinary clients, and holds no more, while 500 connections dribble, large bodies come, and a million unknown DIDs are asked for', async () => {
  using server = start('serve-counter.ts')
  const first = await said<CounterSays>(server)
  if (!('url' in first)) throw new Error('it does not say where it is')
  const { url } = first
  const weigh = async (asked: CounterAsked): Promise<{ rss: number; heap: number }> => {
    server.send(asked)
    const answer = await said<CounterSays>(server)
    return 'rssBytes' in answer ? { rss: answer.rssBytes, heap: answer.heapBytes } : { rss: NaN, heap: NaN }
  }

  await askUntil(url, pause(3_000))
  const before = { ms: median(await askUntil(url, pause(10_000))), ...(await weigh('collect and weigh')) }

  using attacker = start('attack.ts', url)
  const attacked = said<AttackSays>(attacker)
  let peak = 0
  const watch = setInterval(() => void weigh('weigh').then(({ rss }) => (peak = Math.max(peak, rss))), 500)
  const during = median(await askUntil(url, attacked))
  clearInterval(watch)
  const { unknownDids, statuses, reopened, bodies, bodyBytes } = await attacked
  attacker.kill('SIGKILL')
  await pause(2_000)
  const after = { ms: median(await askUntil(url, pause(5_000))), ...(await weigh('collect and weigh')) }

  const mb = (bytes: number): number => Math.round(bytes / 1e6)
  console.log(
    `median latency ${before.ms.toFixed(2)} ms, under attack ${during.toFixed(2)} ms (ratio ${(during / before.ms).toFixed(2)}), afterwards ${after.ms.toFixed(2)} ms; ` +
    `RSS ${mb(before.rss)} MB, at most ${mb(peak)} MB, afterwards ${mb(after.rss)} MB; heap ${mb(before.heap)} MB, afterwards ${mb(after.heap)} MB; ${unknownDids} DIDs ${JSON.stringify(statuses)}; ` +
    `${reopened} slow connections cut; ${bodies} bodies of 50 MB, ${mb(bodyBytes / Math.max(1, bodies))} MB of each taken`,
  )
  expect(statuses).toEqual({ 404: unknownDids })
  expect(reopened).toBeGreaterThanOrEqual(500)
  expect(bodies).toBeGreaterThan(4)
  expect(bodyBytes / bodies).toBeLessThan(20e6)
  expect(peak - before.rss).toBeLessThan(200e6)
  expect(after.heap - before.heap).toBeLessThan(10e6)
})
