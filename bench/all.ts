// Every benchmark, one after the other; its arguments are handed to each. One that fails does not keep the others from
// running.
//
// node bench/all.ts [--runs 5]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

let interrupted = false
for (const name of ['verify', 'append', 'resolve', 'audit', 'export', 'proof', 'import', 'mirror', 'startup', 'size', 'map', 'stream', 'witness', 'witnessed', 'verified', 'client-size']) {
  if (interrupted) break
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...process.argv.slice(2)], { stdio: 'inherit' })
  const interrupt = (): void => {
    interrupted = true
    child.kill('SIGTERM')
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  const [code] = (await once(child, 'exit')) as [number | null]
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
  if (code !== 0) process.exitCode = 1
}
