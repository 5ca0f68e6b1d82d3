// How many signatures a machine checks: each back end on one core, then worker threads. Run by `npm run bench:verify`.

import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8Encode } from '../src/core/encoding/text.ts'
import { parseDidKey, type Curve } from '../src/core/plc/did-key.ts'
import { findSigner, signerFromSecret, type SignatureQuestion } from '../src/core/plc/signature.ts'
import { findBackEnds, noble, type BackEnd } from '../src/native/back-ends.ts'
import { signerFinder, type FindSigner } from '../src/native/find-signer.ts'
import { POOL_LIMITS, startPool } from '../src/native/pool.ts'
import { chooseBackEnds, nameOf } from '../src/native/self-test.ts'
import { createVerifier } from '../src/native/verifier.ts'
import { formatCount, formatTable, machineLines, median } from './report.ts'

const SAMPLES = 5
const SAMPLE_MS = 300
/** Length of an ordinary operation without its signature, bytes. */
const MESSAGE_BYTES = 500
/** As many hosting servers as the questions are spread over. */
const KEYS = 20

const byCurve = { k256: makeQuestions('k256', 256), p256: makeQuestions('p256', 256) }
const mixed = byCurve.k256.flatMap((question, i) => [question, byCurve.p256[i] ?? question])

for (const line of machineLines()) console.log(line)

console.log(`\nOne core, keys met before: checks a second of processor time, median of ${SAMPLES}; noble is the index of the machine's speed\n`)
const rows = findBackEnds().map((backEnd) => [backEnd.name, ...(['k256', 'p256'] as const).map((curve) => oneCore(backEnd, curve))])
console.log(formatTable(['back end', 'secp256k1', 'P-256'], [...rows, ["the core's `findSigner`", ...(['k256', 'p256'] as const).map((curve) => formatCount(perCpuSecond(byCurve[curve], findSigner)))]]))

console.log(`\nTo open a key that was not met before: microseconds of processor time, median of ${SAMPLES}\n`)
console.log(formatTable(['back end', 'secp256k1', 'P-256'], findBackEnds().map((backEnd) => [backEnd.name, ...(['k256', 'p256'] as const).map((curve) => opening(backEnd, curve))])))

const sizes = [1, 8, 64, 512]
console.log(`\nOne caller who waits for each batch, half of the keys of each curve: checks a second, median of ${SAMPLES}; on a busy machine trust the last two columns\n`)
const pooled: string[][] = []
for (const workers of [0, ...workerCounts()]) {
  await using verifier = await createVerifier({ workers })
  const figures: Throughput[] = []
  for (const size of sizes) figures.push(await throughput(size, (questions) => verifier.answer(questions)))
  const last = figures.at(-1) ?? fail()
  pooled.push([verifier.name, ...figures.map(({ perSecond }) => formatCount(perSecond)), formatCount(last.perCpuSecond), last.eventLoopUs.toFixed(1)])
}
console.log(formatTable(['verifier', ...sizes.map((size) => `batches of ${size}`), 'a second of processor time', 'us of the event loop a check'], pooled))

const few = [1, 2, 3, 4, 8]
console.log(`\nA few questions at a time, on the event loop or handed to idle workers: microseconds until the answers are there, median\n`)
const backEnds = chooseBackEnds()
const finder = signerFinder(backEnds)
const pool = await startPool({ workers: availableParallelism(), backEnds: nameOf(backEnds), answerHere: async (questions) => questions.map(findSigner), onIncident: console.error })
if (pool !== null) {
  const here: string[] = []
  const there: string[] = []
  for (const count of few) {
    here.push(await waiting(count, async (questions) => questions.map(finder)))
    there.push(await waiting(count, (questions) => pool.ask(questions)))
  }
  console.log(formatTable(['', ...few.map((count) => `${count}`)], [['on the event loop', ...here], [`handed over, messages of ${POOL_LIMITS.smallest} and more where there are as many`, ...there]]))
  await pool[Symbol.asyncDispose]()
}

function oneCore(backEnd: BackEnd, curve: Curve): string {
  if (!backEnd.curves.includes(curve)) return ''
  return formatCount(perCpuSecond(byCurve[curve], signerFinder({ k256: noble, p256: noble, [curve]: backEnd })))
}

function opening(backEnd: BackEnd, curve: Curve): string {
  if (!backEnd.curves.includes(curve)) return ''
  const keys = byCurve[curve].flatMap(({ keys }) => keys).map((did) => parseDidKey(did).bytes)
  const figures = Array.from({ length: SAMPLES }, () => {
    const before = process.threadCpuUsage()
    for (const key of keys) backEnd.open(curve, key)
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / keys.length
  })
  return median(figures).toFixed(0)
}

// Processor time, because others may use the machine too.
function perCpuSecond(questions: readonly SignatureQuestion[], find: FindSigner): number {
  const check = (question: SignatureQuestion): void => {
    if (find(question) !== 0) throw new Error('a good signature was refused')
  }
  questions.slice(0, 2 * KEYS).forEach(check)
  const figures = Array.from({ length: SAMPLES }, () => {
    const before = process.threadCpuUsage()
    const until = performance.now() + SAMPLE_MS
    let checks = 0
    while (performance.now() < until) for (let i = 0; i < 16; i++) check(questions[checks++ % questions.length] ?? fail())
    const { user, system } = process.threadCpuUsage(before)
    return (checks / (user + system)) * 1e6
  })
  return median(figures)
}

interface Throughput {
  readonly perSecond: number
  /** Checks in a second of processor time, of all threads together. */
  readonly perCpuSecond: number
  /** Processor time of this thread for a check, microseconds. */
  readonly eventLoopUs: number
}

async function throughput(size: number, answer: (questions: readonly SignatureQuestion[]) => Promise<unknown>): Promise<Throughput> {
  const batches = Array.from({ length: Math.ceil(mixed.length / size) }, (_, i) => mixed.slice(i * size, (i + 1) * size))
  await answer(mixed)
  const figures: Throughput[] = []
  for (let sample = 0; sample < SAMPLES; sample++) {
    const [all, own, since] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()]
    let checks = 0
    for (let i = 0; performance.now() - since < SAMPLE_MS; i++) {
      const batch = batches[i % batches.length] ?? fail()
      await answer(batch)
      checks += batch.length
    }
    const ms = performance.now() - since
    const [total, loop] = [process.cpuUsage(all), process.threadCpuUsage(own)]
    figures.push({ perSecond: (checks / ms) * 1e3, perCpuSecond: (checks / (total.user + total.system)) * 1e6, eventLoopUs: (loop.user + loop.system) / checks })
  }
  const middle = (figure: (sample: Throughput) => number): number => median(figures.map(figure))
  return { perSecond: middle((sample) => sample.perSecond), perCpuSecond: middle((sample) => sample.perCpuSecond), eventLoopUs: middle((sample) => sample.eventLoopUs) }
}

async function waiting(count: number, answer: (questions: readonly SignatureQuestion[]) => Promise<unknown>): Promise<string> {
  await answer(mixed)
  const figures: number[] = []
  for (let i = 0; i < 400; i++) {
    const questions = Array.from({ length: count }, (_, n) => mixed[(i * count + n) % mixed.length] ?? fail())
    const since = performance.now()
    await answer(questions)
    figures.push((performance.now() - since) * 1e3)
  }
  return median(figures).toFixed(0)
}

// One, two, four and so on, and as many as there are cores.
function workerCounts(): number[] {
  const most = Math.min(availableParallelism(), POOL_LIMITS.workers)
  return [...new Set([...[1, 2, 4, 8, 16].filter((count) => count < most), most])]
}

function makeQuestions(curve: Curve, count: number): SignatureQuestion[] {
  const signers = Array.from({ length: KEYS }, (_, n) => signerFromSecret(curve, sha256(utf8Encode(`bench ${curve} ${n}`))))
  return Array.from({ length: count }, (_, i) => {
    const message = new Uint8Array(MESSAGE_BYTES).fill(i)
    const signer = signers[i % KEYS] ?? fail()
    return { message, sig: signer.sign(message), keys: [signer.did] }
  })
}

function fail(): never {
  throw new Error('there is always a next one')
}
