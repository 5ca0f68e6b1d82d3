// Signature checks for programs that have many: native libraries where the machine has them, off the event loop. The
// same answers as the core's own `findSigner`. spec/did-plc.md#signatures

import { availableParallelism } from 'node:os'
import { findSigner, type SignatureAnswer, type SignatureQuestion } from '../core/plc/signature.ts'
import { noble, type BackEnds } from './back-ends.ts'
import { signerFinder } from './find-signer.ts'
import { startPool, type PoolOptions } from './pool.ts'
import { chooseBackEnds, nameOf } from './self-test.ts'
import { answerInSlices } from './slices.ts'

/** Something that answers signature questions. Disposing it waits for the answers that are due. */
export interface Verifier extends AsyncDisposable {
  /** What is in use, for logs and metrics, such as `libsecp256k1 + openssl, 2 workers`. */
  readonly name: string
  /** Answers questions position by position, as `findSigner` would; undefined where the question is null. Rejects once disposal has begun. */
  answer(questions: readonly (SignatureQuestion | null)[]): Promise<(SignatureAnswer | undefined)[]>
}

/** How signatures are checked. */
export interface VerifierOptions extends Partial<Pick<PoolOptions, 'atFirst' | 'onIncident' | 'spawn'>> {
  /** Threads, POOL_LIMITS.workers at most; with 0 the work is done on the event loop, in slices. Default: one for each core. */
  readonly workers?: number
  /** Those that passed their self-test. Default: `chooseBackEnds()`. */
  readonly backEnds?: BackEnds
}

/**
 * Opens the fastest verifier that passes its self-test here. Where threads cannot be started it works without them,
 * and `onIncident` is told why.
 */
export async function createVerifier({ workers = availableParallelism(), backEnds = chooseBackEnds(), atFirst = workers, onIncident = () => undefined, spawn }: VerifierOptions = {}): Promise<Verifier> {
  const names = nameOf(backEnds)
  const findHere = signerFinder(backEnds)
  const answerHere: PoolOptions['answerHere'] = (questions) => answerInSlices(questions, findSigner)
  const pool = workers === 0 ? null : await startPool({ workers, atFirst, backEnds: names, answerHere, onIncident, ...(spawn === undefined ? {} : { spawn }) })
  const fewChecks = backEnds.k256 === noble || backEnds.p256 === noble ? 0 : FEW_CHECKS
  const due = new Set<Promise<unknown>>()
  let closed = false

  const answerAll = (questions: readonly SignatureQuestion[]): Promise<SignatureAnswer[]> => {
    if (pool === null || questions.reduce((checks, { keys }) => checks + keys.length, 0) <= fewChecks) return answerInSlices(questions, findHere)
    return pool.ask(questions)
  }

  return {
    name: `${names}, ${pool === null ? 'no workers' : pool.most === 1 ? '1 worker' : `${pool.most} workers`}`,
    async answer(questions) {
      if (closed) throw new Error('the verifier is closed')
      const asked = answerAll(questions.filter((question) => question !== null))
      const settled = asked.then(() => undefined, () => undefined).finally(() => due.delete(settled))
      due.add(settled)
      const answers = (await asked).values()
      return questions.map((question) => (question === null ? undefined : (answers.next().value ?? null)))
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await Promise.all(due)
      await pool?.[Symbol.asyncDispose]()
    },
  }
}

/** So many checks at most are made where they are asked for: to hand them over and back takes as long. */
const FEW_CHECKS = 2
