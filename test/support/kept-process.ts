// Servers that are killed and started again where they were, and what they all show.

import type { Home, Started } from './program.ts'

/** A server at one address, however often it is started. */
export interface Process {
  readonly url: string
  /** Ends it with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Ends it with SIGTERM; resolves with its stderr. */
  stop(): Promise<string>
  /** Starts it again, with other arguments where they are given; resolves when it serves. */
  start(args?: readonly string[]): Promise<void>
}

/** Starts a server at any port, and resolves when it serves. */
export async function keepProcess(home: Home, first: readonly string[]): Promise<Process> {
  let args = first
  let running: Started = home.start([...args, '--port', '0'])
  const url = (await running.line).split(' ').at(-1) ?? ''
  return {
    url,
    async kill() {
      running.child.kill('SIGKILL')
      await running.ended
    },
    async stop() {
      running.child.kill('SIGTERM')
      return (await running.ended).stderr
    },
    async start(given = args) {
      args = given
      running = home.start([...args, '--port', new URL(url).port])
      await running.line
    },
  }
}

/** Status and body of an answer, to be compared; empty where nobody answers. */
export async function textOf(url: string, path: string): Promise<string> {
  const response = await fetch(url + path).catch(() => null)
  return response === null ? '' : `${response.status} ${Buffer.from(await response.arrayBuffer()).toString('base64')}`
}

/** All that a server exports. */
export async function exportOf(url: string): Promise<string> {
  const pages: string[] = []
  for (let after = 0; ; ) {
    const page = await (await fetch(`${url}/export?after=${after}`)).text()
    if (page === '') return pages.join('\n')
    pages.push(page)
    after = (JSON.parse(page.slice(page.lastIndexOf('\n') + 1)) as { seq: number }).seq
  }
}
