// What one witness process cosigns: checkpoints of logs that grow by an entry each time, with both kinds of signature,
// each durable before its answer. Logs that submit side by side take turns.
//
// node bench/witness.ts [--runs 5] [--seconds 3]

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { signCheckpoint } from '../src/core/tlog/checkpoint.ts'
import { foldNodes, consistencyPlan, rangeNodes, type Range } from '../src/core/tlog/proof.ts'
import { leafHash, nodeHash } from '../src/core/tlog/hash.ts'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote, type SigningKey } from '../src/core/tlog/note.ts'
import { formatAddCheckpoint } from '../src/core/tlog/witness-request.ts'
import { medianOf, printTable, quantile, readOptions, type Figures } from './harness.ts'

const LOGS = 4

const options = readOptions(LOGS)
const logs = Array.from({ length: LOGS }, (_, i) => makeSigningKey(`log${i}.example`, KEY_TYPES.ed25519, new Uint8Array(32).fill(i + 1)))
const folder = mkdtempSync(join(tmpdir(), 'stele-bench-witness-'))
const program = join(import.meta.dirname, '..', 'bin', 'stele.js')
const flags = ['--port', '0', '--name', 'witness.example/bench', '--data', folder, '--log-rate', '0', '--address-rate', '0', '--log-level', 'warn']
const witness = spawn(process.execPath, [program, 'witness', ...flags, ...logs.flatMap((key) => ['--log', formatVerifierKey(key)])], { stdio: ['ignore', 'pipe', 'inherit'] })
try {
  const [line] = (await once(createInterface(witness.stdout), 'line')) as [string]
  const url = `${line.slice(line.indexOf('http'))}/add-checkpoint`
  // All leaves are equal, so that the tree costs nothing: a range's hash is that of its length.
  const hashes = [leafHash(new Uint8Array(0))]
  const perfect = (level: number): Uint8Array => (hashes[level] ??= nodeHash(perfect(level - 1), perfect(level - 1)))
  const hashOf = (range: Range): Uint8Array => foldNodes(rangeNodes(range).map(({ level }) => perfect(level)))
  const bodyOf = (key: SigningKey, oldSize: number, size: number): string => {
    const note = parseNote(signCheckpoint({ origin: key.name, size, root: hashOf({ start: 0, end: size }) }, [key]))
    return formatAddCheckpoint({ oldSize, proof: consistencyPlan(oldSize, size).map(hashOf), note })
  }
  const sizes = new Map(logs.map((key) => [key, 0]))
  const prepare = (key: SigningKey, count: number): string[] => {
    const from = sizes.get(key) ?? 0
    sizes.set(key, from + count)
    return Array.from({ length: count }, (_, i) => bodyOf(key, from + i, from + i + 1))
  }
  const submit = async (body: string): Promise<number> => {
    const begun = performance.now()
    const response = await fetch(url, { method: 'POST', body })
    await response.text()
    if (response.status !== 200) throw new Error(`answered ${response.status}`)
    return performance.now() - begun
  }
  const measure = async (keys: readonly SigningKey[], count: number): Promise<Figures> => {
    const bodies = keys.map((key) => prepare(key, count))
    const begun = performance.now()
    const times = (await Promise.all(bodies.map(async (list) => {
      const own: number[] = []
      for (const body of list) own.push(await submit(body))
      return own
    }))).flat().sort((a, b) => a - b)
    return { 'checkpoints/s': times.length / ((performance.now() - begun) / 1000), 'p50 ms': quantile(times, 0.5), 'p99 ms': quantile(times, 0.99) }
  }
  await measure(logs, 100)
  const first = logs.slice(0, 1)
  const count = Math.ceil((await measure(first, 100))['checkpoints/s'] ?? 1) * options.seconds
  const one = await medianOf(options.runs, () => measure(first, count))
  const all = await medianOf(options.runs, () => measure(logs, Math.ceil(count / logs.length)))
  printTable('Cosigning, Ed25519 and ML-DSA-44', options, [{ name: 'one log', figures: one }, { name: `${logs.length} logs at once`, figures: all }])
} finally {
  witness.kill('SIGTERM')
  await once(witness, 'exit')
  rmSync(folder, { recursive: true, force: true })
}
