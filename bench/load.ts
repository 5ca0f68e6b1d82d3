// A load on a directory from a process of its own, and what everybody used of the machine meanwhile.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { quantile, type Figures } from './harness.ts'
import type { Job, Outcome } from './load-process.ts'
import { median } from './report.ts'
import { readMemory, readUsage, type Served } from './server.ts'

/** A process that makes requests. */
export interface Generator extends Disposable {
  /** One load; a request is given as its bytes. Throws where an answer is not 200. */
  load(served: Served, job: Omit<Job, 'port'>): Promise<Loaded>
}

/** What came of a load. */
export interface Loaded {
  readonly figures: Figures
  /** Positions in the job's requests of those that were answered with 200. */
  readonly answered: readonly number[]
}

/** Starts the process. */
export function startGenerator(): Generator {
  const child = fork(join(import.meta.dirname, 'load-process.ts'), { serialization: 'advanced' })
  const ended = once(child, 'exit').then(() => Promise.reject<readonly unknown[]>(new Error('the load generator ended')))
  ended.catch(() => undefined)
  const answer = async (): Promise<unknown> => {
    const message: readonly unknown[] = await Promise.race([once(child, 'message'), ended])
    return message[0]
  }
  return {
    async load(served, job) {
      child.send({ ...job, port: served.port } satisfies Job)
      await answer()
      const before = readUsage(served)
      child.send('go')
      const outcome = (await answer()) as Outcome
      const after = readUsage(served)
      for (const [status, text] of outcome.refusals) throw new Error(`an answer was ${status}: ${text}`)
      const share = (cpuS: number): number => (cpuS / outcome.seconds) * 100
      const [server, database] = [after.server - before.server, after.database - before.database]
      const figures = {
        'a second': outcome.answered.length / outcome.seconds,
        'a CPU second': server === 0 ? 0 : outcome.answered.length / server,
        'p50 ms': median(outcome.latenciesMs),
        'p99 ms': quantile([...outcome.latenciesMs].sort((a, b) => a - b), 0.99),
        'server CPU %': share(server),
        'database CPU %': share(database),
        'generator CPU %': share(outcome.cpuS),
        'others CPU %': Math.max(0, share(after.machine - before.machine - server - database - outcome.cpuS)),
        'server RSS MiB': readMemory(served.child.pid).now,
        'peak RSS MiB': readMemory(served.child.pid).peak,
      }
      return { figures, answered: outcome.answered }
    },
    [Symbol.dispose]: () => child.kill(),
  }
}

/** The bytes of a GET. */
export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
}

/** The bytes of a POST of JSON. */
export function post(path: string, body: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
