// From sending an operation to its receipt under a checkpoint that two of three witnesses have seen, one operation after the
// other, at random moments of the interval; the witnesses are processes of their own on this machine.
//
// node bench/witnessed.ts [--runs 3] [--operations 100]

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { renderJson } from '../src/core/encoding/json.ts'
import { openUnderPolicy, parsePolicy, type Policy } from '../src/core/tlog/policy.ts'
import { parseTlogProof } from '../src/core/tlog/tlog-proof.ts'
import { person } from '../test/support/people.ts'
import { medianOf, note, printTable, quantile, readOptions, type Figures, type Row } from './harness.ts'
import { createLog, newPlace, serve, type Place, type Served } from './server.ts'

const WITNESSES = ['alice', 'bob', 'carol']
/** The default interval, and a short one. */
const INTERVALS = ['1s', '50ms']

const options = readOptions(100)
const rows: Row[] = []
for (const interval of INTERVALS) {
  await using place = newPlace()
  await createLog(place)
  const policy = await startWitnesses(place)
  await using served = await serve(place, options.profile, ['--policy', 'policy', '--no-map', '--checkpoint-interval', interval])
  const figures = await medianOf(options.runs, (run) => measure(served, policy, `${interval} ${run}`))
  rows.push({ name: `--checkpoint-interval ${interval}`, figures })
}
printTable(`POST to witnessed receipt, milliseconds, ${options.operations} operations, 2 of 3 witnesses with two keys each`, options, rows)

async function measure({ url }: Served, policy: Policy, name: string): Promise<Figures> {
  const times: number[] = []
  for (let i = 0; i < options.operations; i++) {
    const { did, genesis } = person(`witnessed ${name} ${i}`, 1)
    const body = renderJson(genesis.value)
    // Steps of no whole part of an interval: every moment of it is met.
    await sleep((i * 37) % 101)
    const since = performance.now()
    const headers = { 'content-type': 'application/json', prefer: 'wait=30', accept: 'text/x.tlog-proof' }
    const answer = await fetch(`${url}/${did}`, { method: 'POST', headers, body })
    const receipt = await answer.text()
    times.push(performance.now() - since)
    if (answer.status !== 200) throw new Error(`${answer.status}: ${receipt}`)
    openUnderPolicy(parseTlogProof(receipt).checkpoint, policy)
  }
  times.sort((a, b) => a - b)
  note(`${name}: p50 ${quantile(times, 0.5).toFixed(0)} ms`)
  return { p50: quantile(times, 0.5), p90: quantile(times, 0.9), p99: quantile(times, 0.99) }
}

async function startWitnesses({ home, data }: Place): Promise<Policy> {
  const lines: string[] = []
  for (const name of WITNESSES) {
    const started = home.start(['witness', '--name', `${name}.bench/w`, '--data', name, '--log', join(data, 'log.vkey'), '--port', '0', '--log-level', 'warn'])
    const url = (await started.line).slice('stele witness listening on '.length)
    const [ed25519, mlDsa] = readFileSync(join(home.folder, name, 'witness.vkeys'), 'utf8').split('\n')
    lines.push(`witness ${name}-ed25519 ${ed25519} ${url}`, `witness ${name}-ml-dsa ${mlDsa} ${url}`, `group ${name} any ${name}-ed25519 ${name}-ml-dsa`)
  }
  const log = readFileSync(join(data, 'log.vkey'), 'utf8').trim()
  const text = [`log ${log}`, ...lines, `group all 2 ${WITNESSES.join(' ')}`, 'quorum all', ''].join('\n')
  writeFileSync(join(home.folder, 'policy'), text)
  return parsePolicy(text)
}
