// Running the operator's own command for an event: the facts are in its environment and on its standard input, never in its text. docs/following.md#exec

import { spawn } from 'node:child_process'
import { environmentWith } from '../config.ts'

/** How long a command may take, in milliseconds. */
export const HOOK_MS = 60_000

/** Waits before the second attempt and those after it, in milliseconds. */
const RETRY_MS = [1_000, 5_000, 25_000]

/** Runs a command of the shell until it ends with 0, a few times at most. Resolves with what went wrong the last time; null for nothing. `pause` waits. */
export async function runHook(command: string, facts: Readonly<Record<string, string>>, input: string, pause: (ms: number) => Promise<void>): Promise<string | null> {
  for (let attempt = 0; ; attempt++) {
    const failure = await runOnce(command, facts, input)
    const wait = RETRY_MS[attempt]
    if (failure === null || wait === undefined) return failure
    await pause(wait)
  }
}

function runOnce(command: string, facts: Readonly<Record<string, string>>, input: string): Promise<string | null> {
  return new Promise((resolve) => {
    // What it says goes where our words go.
    const child = spawn(command, { shell: true, stdio: ['pipe', process.stderr, process.stderr], env: environmentWith(facts), timeout: HOOK_MS, killSignal: 'SIGKILL' })
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? null : signal === null ? `it ended with ${code}` : `it was ended by ${signal}`))
    child.stdin?.on('error', () => undefined) // it need not read
    child.stdin?.end(`${input}\n`)
  })
}
