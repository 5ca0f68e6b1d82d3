// Every question about a signature that the published and our own vectors of did:plc make a verifier ask.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verdictOf } from '../../src/core/errors.ts'
import { applyOperation, emptyChain, signatureQuestion } from '../../src/core/plc/chain.ts'
import { parseRecord } from '../../src/core/plc/records.ts'
import { findSigner, type SignatureQuestion } from '../../src/core/plc/signature.ts'
import { readVectors } from './vectors.ts'

const OWN = join(import.meta.dirname, '..', '..', 'spec', 'vectors', 'plc')

/** Those of spec/vectors/plc. */
export function ownQuestions(): SignatureQuestion[] {
  return readdirSync(OWN, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => questionsOf((JSON.parse(readFileSync(join(OWN, name), 'utf8')) as { log: unknown }).log))
}

/** Those of the published logs; none where STELE_VECTORS is unset. */
export function publishedQuestions(): SignatureQuestion[] {
  return [...readVectors('plc/valid'), ...readVectors('plc/invalid')].flatMap(({ json }) => questionsOf(json))
}

// Of a log's operations as far as they can be asked: what is refused leaves the chain as it was.
function questionsOf(json: unknown): SignatureQuestion[] {
  if (!Array.isArray(json)) throw new Error('a log is an array')
  const questions: SignatureQuestion[] = []
  let chain = emptyChain('')
  for (const element of json) {
    const record = verdictOf(() => parseRecord(element)).value
    if (record === null) continue
    if (chain.did === '') chain = emptyChain(record.did)
    const question = verdictOf(() => signatureQuestion(record.operation, chain)).value
    if (question === null) continue
    questions.push(question)
    chain = verdictOf(() => applyOperation(chain, record.operation, record.createdAt, findSigner(question))).value?.chain ?? chain
  }
  return questions
}
