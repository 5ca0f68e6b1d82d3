// Worker threads that share batches of signature questions. A thread that dies costs time, never an answer.

import { once } from 'node:events'
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { assert } from '../core/errors.ts'
import type { SignatureAnswer, SignatureQuestion } from '../core/plc/signature.ts'

/** What a worker is asked. */
export interface Batch {
  readonly id: number
  readonly questions: readonly SignatureQuestion[]
}

/** What a worker says: once which back ends it has, then the answers to one batch after the other. */
export type FromWorker = { readonly ready: string } | { readonly id: number; readonly answers: readonly SignatureAnswer[] }

/**
 * What is bounded. At one time at most workers x `messages` x `largest` questions are copied for workers; all others
 * wait, in the order in which they came, in the arrays of callers who wait for their answers.
 */
export const POOL_LIMITS = {
  /** Threads, however many cores there are. */
  workers: 16,
  /** Questions in a message: at least as many where there are as many, and at most. A message costs about 15 us. */
  smallest: 8,
  largest: 64,
  /** Messages that a worker has at one time: the next one is there when it has answered. */
  messages: 2,
  /** What a worker may use for new objects, MiB. */
  youngMb: 8,
  /** Questions for each worker there is, before the next one is started: until then one is enough, and what starts has better to do. */
  questionsEach: 4_000,
  /** Until a new worker has passed its self-test, milliseconds. */
  startMs: 10_000,
  /** How often a batch is given to a worker. */
  attempts: 2,
  /** Workers that may die one after the other without an answer, before no more are started. */
  barren: 3,
}

/** What a pool is made of. */
export interface PoolOptions {
  readonly workers: number
  /** Workers that are started at once; the others come as they are needed. Default: all. */
  readonly atFirst?: number
  /** Names of the back ends that a worker has to have. */
  readonly backEnds: string
  /** Answers a batch on which workers died, and every batch when no worker is left. */
  readonly answerHere: (questions: readonly SignatureQuestion[]) => Promise<readonly SignatureAnswer[]>
  /** Told of a worker that died and was not meant to. Must not throw. */
  readonly onIncident: (error: Error) => void
  /** Starts a worker. Default: worker.ts beside this file, or what was built from it. */
  readonly spawn?: () => Worker
}

interface Job {
  readonly questions: readonly SignatureQuestion[]
  readonly resolve: (answers: readonly SignatureAnswer[]) => void
  readonly reject: (error: unknown) => void
  attempts: number
}

interface Seat {
  readonly worker: Worker
  /** What the worker has been asked, by id. */
  readonly jobs: Map<number, Job>
  fertile: boolean
}

/** Starts workers; null where not a single one starts. */
export async function startPool(options: PoolOptions): Promise<WorkerPool | null> {
  const workers = Math.min(options.workers, POOL_LIMITS.workers)
  const pool = new WorkerPool({ ...options, workers })
  await Promise.all(Array.from({ length: Math.min(options.atFirst ?? workers, workers) }, () => pool.grow()))
  return pool.size === 0 ? null : pool
}

/** Workers at work. */
export class WorkerPool implements AsyncDisposable {
  readonly #options: PoolOptions
  readonly #seats = new Set<Seat>()
  readonly #waiting: Job[] = []
  #here: Promise<unknown> = Promise.resolve()
  #starting = 0
  #barren = 0
  #started = 0
  #asked = 0
  #nextId = 0
  #ended = false

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** How many workers there are now. */
  get size(): number {
    return this.#seats.size
  }

  /** How many there will be where there is much to check. */
  get most(): number {
    return this.size + this.#starting + this.#options.workers - this.#started
  }

  /** Starts one worker more; who is told of incidents is told where that fails. */
  async grow(): Promise<void> {
    this.#started++
    await this.#replace()
  }

  async #replace(): Promise<void> {
    this.#starting++
    const worker = await start(this.#options)
    this.#starting--
    if (worker !== null && this.#ended) await worker.terminate()
    else if (worker !== null) this.#seat(worker)
    this.#dispatch()
  }

  /** Answers questions, position by position. */
  async ask(questions: readonly SignatureQuestion[]): Promise<SignatureAnswer[]> {
    const answers = Promise.all(cut(questions, this.size).map((part) => this.#queue(part)))
    this.#dispatch()
    this.#asked += questions.length
    if (this.#started < this.#options.workers && this.#asked >= POOL_LIMITS.questionsEach * this.#started) void this.grow()
    return (await answers).flat()
  }

  /** Ends the workers. Whoever still waits for an answer waits for ever: ask for nothing more, and wait, before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await Promise.all([...this.#seats].map(({ worker }) => worker.terminate()))
  }

  #queue(questions: readonly SignatureQuestion[]): Promise<readonly SignatureAnswer[]> {
    return new Promise((resolve, reject) => this.#waiting.push({ questions, resolve, reject, attempts: 0 }))
  }

  // Gives what waits to whoever has least to do.
  #dispatch(): void {
    while (this.#waiting.length > 0) {
      if (this.#seats.size === 0 && this.#starting === 0) {
        for (const job of this.#waiting.splice(0)) this.#answerHere(job)
        return
      }
      const [seat] = [...this.#seats].sort((a, b) => a.jobs.size - b.jobs.size)
      if (seat === undefined || seat.jobs.size >= POOL_LIMITS.messages) return
      const job = this.#waiting.shift()
      if (job !== undefined) this.#send(seat, job)
    }
  }

  #send({ worker, jobs }: Seat, job: Job): void {
    const id = this.#nextId++
    job.attempts++
    jobs.set(id, job)
    // Of a view, all that it is a view of would be copied.
    const questions = job.questions.map(({ message, sig, keys }) => ({ message: message.byteLength === message.buffer.byteLength ? message : new Uint8Array(message), sig, keys }))
    worker.postMessage({ id, questions } satisfies Batch, [])
  }

  #seat(worker: Worker): void {
    const seat: Seat = { worker, jobs: new Map(), fertile: false }
    this.#seats.add(seat)
    let reason: Error | null = null
    worker.on('error', (error: Error) => (reason = error))
    worker.on('exit', (code) => this.#vacate(seat, reason ?? new Error(`a signature worker ended with ${code}`)))
    worker.on('message', (message: FromWorker) => {
      if ('ready' in message) return
      const job = seat.jobs.get(message.id)
      assert(job !== undefined && job.questions.length === message.answers.length, 'a worker answers what it is asked')
      seat.jobs.delete(message.id)
      seat.fertile = true
      this.#barren = 0
      job.resolve(message.answers)
      this.#dispatch()
    })
  }

  #vacate(seat: Seat, reason: Error): void {
    this.#seats.delete(seat)
    if (this.#ended) return
    this.#options.onIncident(reason)
    if (!seat.fertile) this.#barren++
    const lost = [...seat.jobs.values()]
    this.#waiting.unshift(...lost.filter((job) => job.attempts < POOL_LIMITS.attempts))
    for (const job of lost) if (job.attempts >= POOL_LIMITS.attempts) this.#answerHere(job)
    if (this.#barren < POOL_LIMITS.barren) void this.#replace()
    this.#dispatch()
  }

  // One after the other: each takes all the time on the event loop that it may.
  #answerHere({ questions, resolve, reject }: Job): void {
    this.#here = this.#here.then(() => this.#options.answerHere(questions)).then(resolve, reject)
  }
}

// A worker that has passed its self-test; null, and told, where it has not.
async function start({ spawn = spawnWorker, backEnds, onIncident }: PoolOptions): Promise<Worker | null> {
  let worker: Worker | null = null
  try {
    worker = spawn()
    const ended = once(worker, 'exit').then(() => Promise.reject(new Error('a signature worker ended before it was ready')))
    const [message] = (await Promise.race([once(worker, 'message', { signal: AbortSignal.timeout(POOL_LIMITS.startMs) }), ended])) as [FromWorker]
    if (!('ready' in message) || message.ready !== backEnds) throw new Error(`a signature worker says ${JSON.stringify(message)}, and should use ${backEnds}`)
    return worker
  } catch (error) {
    onIncident(error instanceof Error ? error : new Error(String(error)))
    await worker?.terminate()
    return null
  }
}

// Inside a package this file is JavaScript, and so is its neighbour. Of what the process keeps compiled a thread learns by its environment alone;
// with that it starts in half the time.
function spawnWorker(): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const cache = getCompileCacheDir()
  const env = cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) }
  return new Worker(new URL(`./worker.${extension}`, import.meta.url), { name: 'stele-verifier', env, resourceLimits: { maxYoungGenerationSizeMb: POOL_LIMITS.youngMb } })
}

// As many parts as keep all workers busy, none of them too small or too large, all about as long.
function cut<T>(items: readonly T[], workers: number): (readonly T[])[] {
  const { smallest, largest } = POOL_LIMITS
  const parts = Math.max(Math.ceil(items.length / largest), Math.min(workers, Math.floor(items.length / smallest)), 1)
  return Array.from({ length: parts }, (_, i) => items.slice(Math.floor((i * items.length) / parts), Math.floor(((i + 1) * items.length) / parts)))
}
