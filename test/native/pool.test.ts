import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import type { SignatureAnswer, SignatureQuestion } from '../../src/core/plc/signature.ts'
import { POOL_LIMITS, startPool, type Batch, type PoolOptions, type WorkerPool } from '../../src/native/pool.ts'

// Workers of the tests answer with a question's first byte, so that an answer in the wrong place shows.
const ANSWERING = 'questions.map(({ message }) => message[0])'

/** A worker whose answers are an expression of `questions`; `prologue` runs before. */
function script(answers: string, prologue = ''): () => Worker {
  const text = `const { parentPort } = require('node:worker_threads')
    ${prologue}
    parentPort.on('message', ({ id, questions }) => parentPort.postMessage({ id, answers: ${answers} }))
    parentPort.postMessage({ ready: 'test' })`
  return () => new Worker(text, { eval: true })
}

function ask(count: number, first = 0, sig = ''): SignatureQuestion[] {
  return Array.from({ length: count }, (_, i) => ({ message: Uint8Array.of((first + i) % 256), sig, keys: [] }))
}

function expected(questions: readonly SignatureQuestion[]): SignatureAnswer[] {
  return questions.map(({ message }) => message[0] ?? null)
}

interface Watched extends AsyncDisposable {
  readonly pool: WorkerPool
  readonly workers: Worker[]
  readonly incidents: string[]
  /** Questions that were answered without a worker. */
  readonly here: number[]
  /** Batches that workers were given. */
  readonly posted: Batch[]
}

async function open(spawn: () => Worker, workers = 2, atFirst = workers): Promise<Watched | null> {
  const [seats, incidents, here, posted]: [Worker[], string[], number[], Batch[]] = [[], [], [], []]
  const options: PoolOptions = {
    workers,
    atFirst,
    backEnds: 'test',
    async answerHere(questions) {
      here.push(questions.length)
      return expected(questions)
    },
    onIncident: ({ message }) => incidents.push(message),
    spawn() {
      const worker = spawn()
      seats.push(worker)
      const post = worker.postMessage.bind(worker)
      worker.postMessage = (batch: Batch) => {
        posted.push(batch)
        post(batch, [])
      }
      return worker
    },
  }
  const pool = await startPool(options)
  if (pool === null) {
    expect(incidents).not.toEqual([])
    return null
  }
  return { pool, workers: seats, incidents, here, posted, [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose]() }
}

async function openPool(spawn: () => Worker, workers = 2, atFirst = workers): Promise<Watched> {
  const watched = await open(spawn, workers, atFirst)
  if (watched === null) throw new Error('no worker started')
  return watched
}

describe('a pool', () => {
  it('gives every caller the answers to its own questions, in their order', async () => {
    await using opened = await openPool(script(ANSWERING), 3)
    const calls = Array.from({ length: 60 }, (_, i) => ask((i * 13) % 150, i))
    expect(await Promise.all(calls.map((call) => opened.pool.ask(call)))).toEqual(calls.map(expected))
    expect([opened.here, opened.incidents]).toEqual([[], []])
  })

  it.each([
    [0, [0]],
    [1, [1]],
    [15, [15]],
    [16, [8, 8]],
    [31, [15, 16]],
    [100, [50, 50]],
    [256, [64, 64, 64, 64]],
    [257, [51, 51, 51, 52, 52]],
  ])('sends %d questions to two workers in messages that are neither small nor large', async (count, sizes) => {
    await using opened = await openPool(script(ANSWERING))
    await opened.pool.ask(ask(count))
    expect(opened.posted.map(({ questions }) => questions.length).sort((a, b) => a - b)).toEqual(sizes)
  })

  it('begins with few workers, and starts one more whenever those there are were asked much', async () => {
    await using opened = await openPool(script(ANSWERING), 3, 1)
    const { pool, workers } = opened
    const calls = [POOL_LIMITS.questionsEach - 1, 1, POOL_LIMITS.questionsEach, 10 * POOL_LIMITS.questionsEach]
    const sizes: number[] = []
    for (const count of calls) {
      const questions = ask(count)
      expect(await pool.ask(questions)).toEqual(expected(questions))
      sizes.push(workers.length)
      expect(pool.most).toBe(3)
      await expect.poll(() => pool.size).toBe(workers.length)
    }
    expect(sizes).toEqual([1, 2, 3, 3])
    expect([opened.here, opened.incidents]).toEqual([[], []])
  })

  it('gives a worker two messages at a time, however much waits', async () => {
    await using opened = await openPool(script(ANSWERING))
    const asked = Promise.all(Array.from({ length: 20 }, () => opened.pool.ask(ask(1_000))))
    expect(opened.posted).toHaveLength(2 * POOL_LIMITS.messages)
    await asked
    expect(opened.posted.length).toBeGreaterThan(300)
  })

  it('sends of a view what is seen, not what it is a view of', async () => {
    await using opened = await openPool(script('questions.map(({ message }) => message.buffer.byteLength)'))
    const large = new Uint8Array(100_000)
    const views = [large.subarray(5, 9), large.subarray(0, 100), Buffer.from('abc'), new Uint8Array(7)]
    expect(await opened.pool.ask(views.map((message) => ({ message, sig: '', keys: [] })))).toEqual([4, 100, 3, 7])
  })
})

describe('a pool whose workers die', () => {
  it('asks another one, replaces them, and loses no answer', async () => {
    await using opened = await openPool(script(ANSWERING))
    const calls = Array.from({ length: 40 }, (_, i) => ask(200, i))
    const answers = Promise.all(calls.map((call) => opened.pool.ask(call)))
    const ended = opened.workers.slice(0, 2).map((worker) => worker.terminate())
    expect(await answers).toEqual(calls.map(expected))
    await Promise.all(ended)
    expect(opened.incidents).toHaveLength(2)
    expect(opened.posted.reduce((sum, { questions }) => sum + questions.length, 0)).toBeGreaterThan(40 * 200)
    await expect.poll(() => opened.pool.size).toBe(2)
    expect(opened.workers).toHaveLength(4)
    expect(await opened.pool.ask(ask(50))).toEqual(expected(ask(50)))
  })

  it('answers here what kills every worker that is asked it, and that alone', async () => {
    await using opened = await openPool(script(`questions.map(({ message, sig }) => { if (sig === 'poison') throw new Error('choked'); return message[0] })`))
    const good = Array.from({ length: 30 }, (_, i) => ask(64, i))
    const [poisoned, ...answers] = await Promise.all([ask(9, 100, 'poison'), ...good].map((call) => opened.pool.ask(call)))
    expect(poisoned).toEqual(expected(ask(9, 100)))
    expect(answers).toEqual(good.map(expected))
    expect(opened.here.length).toBeGreaterThan(0)
    expect(Math.max(...opened.here)).toBeLessThanOrEqual(64)
    // What shared the fate of the poison twice was answered here too: two deaths, two messages each.
    expect(opened.here.length).toBeLessThanOrEqual(POOL_LIMITS.attempts * POOL_LIMITS.messages)
    expect(opened.incidents).toEqual(['choked', 'choked'])
    await expect.poll(() => opened.pool.size).toBe(2)
  })

  it('gives up on workers that die without a single answer, and answers everything here', async () => {
    await using opened = await openPool(script('process.exit(3)'))
    const calls = Array.from({ length: 10 }, (_, i) => ask(30, i))
    expect(await Promise.all(calls.map((call) => opened.pool.ask(call)))).toEqual(calls.map(expected))
    expect(opened.pool.size).toBe(0)
    expect(opened.workers.length).toBeLessThanOrEqual(2 + POOL_LIMITS.barren)
    expect(opened.incidents).toContain('a signature worker ended with 3')
    const started = opened.workers.length
    expect(await opened.pool.ask(ask(5))).toEqual(expected(ask(5)))
    expect(opened.workers).toHaveLength(started)
  })

  it('goes on where a new worker cannot be started', async () => {
    let left = 1
    await using opened = await openPool(() => {
      if (left-- > 0) return script(ANSWERING)()
      throw new Error('no more threads')
    }, 1)
    const answers = opened.pool.ask(ask(500))
    await opened.workers[0]?.terminate()
    expect(await answers).toEqual(expected(ask(500)))
    expect(opened.incidents).toContain('no more threads')
    expect(await opened.pool.ask(ask(9))).toEqual(expected(ask(9)))
  })
})

describe('a pool that cannot start', () => {
  it.each([
    ['that throw', script(ANSWERING, `throw new Error('broken')`)],
    ['that end at once', script(ANSWERING, 'process.exit(0)')],
    ['with other back ends', (): Worker => new Worker(`require('node:worker_threads').parentPort.postMessage({ ready: 'other' }); setInterval(() => {}, 1000)`, { eval: true })],
    ['that are not there', (): Worker => new Worker(new URL('./nowhere.js', import.meta.url))],
    [
      'that the system refuses',
      (): Worker => {
        throw new Error('no more threads')
      },
    ],
  ])('is none, with workers %s', async (_, spawn) => {
    expect(await open(spawn)).toBeNull()
  })

  it('is smaller where some of its workers do not start', async () => {
    let started = 0
    await using opened = await openPool(() => script(ANSWERING, started++ === 0 ? `throw new Error('broken')` : '')(), 3)
    expect([opened.pool.size, opened.incidents]).toEqual([2, ['broken']])
    expect(await opened.pool.ask(ask(100))).toEqual(expected(ask(100)))
  })
})
