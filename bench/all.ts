// Every benchmark, one after the other; what each is told beside its own defaults stands here, and the arguments are handed to
// each as well. One that fails does not keep the others from running. How long each took is said at the end. With `--write` the
// tables take the place of those between the marks in bench/README.md.
//
// node bench/all.ts [--write] [--runs 5]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { note } from './harness.ts'

/** One log of a million identities for all who ask for that: it is written to last. */
const folder = mkdtempSync(join(tmpdir(), 'stele-bench-'))
const MILLION = ['--data', folder, '--runs', '3', '--operations', '1000000']

/** Fewer runs where one takes long. */
const PARTS: readonly (readonly [name: string, ...args: string[]])[] = [
  ['verify'],
  ['append', '--runs', '3'],
  ['resolve'],
  ['audit'],
  ['export'],
  ['proof'],
  ['import', '--runs', '3'],
  ['mirror', '--runs', '1', '--operations', '500000'],
  ['startup', '--runs', '3'],
  ['size'],
  ['map', '--operations', '125000'],
  ['stream', '--runs', '3'],
  ['witness'],
  ['witnessed', '--runs', '1', '--operations', '40'],
  ['verified', '--runs', '2'],
  ['client-size'],
  ['resolve', ...MILLION],
  ['export', ...MILLION],
  ['append', '--data', folder, '--runs', '3', '--before', '1000000', '--writers', '64,256'],
]

const PAGE = join(import.meta.dirname, 'README.md')
const MARKED = /(?<=<!-- figures -->\n)[^]*(?=<!-- end of figures -->)/

const [, , ...given] = process.argv
const handedOn = given.filter((argument) => argument !== '--write')
let tables = ''
let interrupted = false
const took: string[] = []
for (const [name, ...args] of PARTS) {
  if (interrupted) break
  const since = performance.now()
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...args, ...handedOn], { stdio: ['inherit', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    tables += text
    process.stdout.write(text)
  })
  const interrupt = (): void => {
    interrupted = true
    child.kill('SIGTERM')
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  const [code] = (await once(child, 'close')) as [number | null]
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt)
  took.push(`${[name, ...args].join(' ').replace(folder, 'FOLDER')}: ${((performance.now() - since) / 1000).toFixed(0)} s${code === 0 ? '' : `, ended with ${code}`}`)
  note(took.at(-1) ?? '')
  if (code !== 0) process.exitCode = 1
}
rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
note(['', ...took].join('\n'))
if (given.includes('--write') && !interrupted) writeFileSync(PAGE, readFileSync(PAGE, 'utf8').replace(MARKED, () => `\n${tables.replaceAll(folder, 'FOLDER').trim()}\n\n`))
