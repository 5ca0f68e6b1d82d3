// Answers signature questions on the event loop without holding up everything else on it.

import { performance } from 'node:perf_hooks'
import { setImmediate } from 'node:timers/promises'
import type { SignatureAnswer, SignatureQuestion } from '../core/plc/signature.ts'
import type { FindSigner } from './find-signer.ts'

/** Longest time at a stretch, milliseconds; one question may take longer. */
const SLICE_MS = 10

/** Answers questions position by position; lets others run between slices of work. */
export async function answerInSlices(questions: readonly SignatureQuestion[], findSigner: FindSigner): Promise<SignatureAnswer[]> {
  const answers: SignatureAnswer[] = []
  let since = performance.now()
  for (const question of questions) {
    answers.push(findSigner(question))
    if (performance.now() - since < SLICE_MS) continue
    await setImmediate()
    since = performance.now()
  }
  return answers
}
