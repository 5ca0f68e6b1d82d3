// A thread that checks signatures: says which back ends it has, then answers batch after batch.

import { parentPort } from 'node:worker_threads'
import { assert } from '../core/errors.ts'
import { signerFinder } from './find-signer.ts'
import type { Batch, FromWorker } from './pool.ts'
import { chooseBackEnds, nameOf } from './self-test.ts'

assert(parentPort !== null, 'this runs in a worker thread')
const port = parentPort
const backEnds = chooseBackEnds()
const findSigner = signerFinder(backEnds)

port.on('message', ({ id, questions }: Batch) => tell({ id, answers: questions.map(findSigner) }))
tell({ ready: nameOf(backEnds) })

function tell(message: FromWorker): void {
  port.postMessage(message)
}
