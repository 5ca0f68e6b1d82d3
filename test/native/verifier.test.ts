import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import type { SignatureAnswer, SignatureQuestion } from '../../src/core/plc/signature.ts'
import { POOL_LIMITS } from '../../src/native/pool.ts'
import { createVerifier } from '../../src/native/verifier.ts'
import { signatureCases } from '../support/signature-cases.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CASES = [...signatureCases('k256'), ...signatureCases('p256')]
const QUESTIONS: readonly SignatureQuestion[] = CASES.map(({ message, sig, keys }) => ({ message: utf8Encode(message), sig, keys }))
const ANSWERS: readonly SignatureAnswer[] = CASES.map(({ answer }) => answer)

const ownWorker = (): Worker => new Worker(new URL('../../src/native/worker.ts', import.meta.url))

describe('a verifier', () => {
  it.each([0, 1, 2])('gives the right answers with %d workers, in batches of every size', async (workers) => {
    await using verifier = await createVerifier({ workers })
    expect(verifier.name).toMatch([/, no workers$/, /, 1 worker$/, /, 2 workers$/][workers] ?? /never/)
    expect(await verifier.answer(QUESTIONS)).toEqual(ANSWERS)
    for (const size of [1, 2, 3, 9]) {
      for (let from = 0; from < QUESTIONS.length; from += size) {
        expect(await verifier.answer(QUESTIONS.slice(from, from + size))).toEqual(ANSWERS.slice(from, from + size))
      }
    }
    expect(await verifier.answer([])).toEqual([])
  })

  it('answers undefined where nothing is asked, and keeps positions', async () => {
    await using verifier = await createVerifier({ workers: 1 })
    const spread = QUESTIONS.flatMap((question, i) => (i % 3 === 0 ? [null, question] : [question]))
    const answers = ANSWERS.flatMap((answer, i) => (i % 3 === 0 ? [undefined, answer] : [answer]))
    expect(await verifier.answer(spread)).toEqual(answers)
    expect(await verifier.answer([null, null])).toEqual([undefined, undefined])
  })

  it('uses the native library on the machines that the project is tested on', async () => {
    await using verifier = await createVerifier({ workers: 1 })
    if (process.platform === 'linux' && process.arch === 'x64') expect(verifier.name).toBe('libsecp256k1 + openssl, 1 worker')
  })

  it('has no more workers than its limit', async () => {
    let started = 0
    const spawn = (): Worker => {
      started++
      throw new Error('not in this test')
    }
    await using verifier = await createVerifier({ workers: 1_000, spawn })
    expect([started, verifier.name.endsWith(', no workers')]).toEqual([POOL_LIMITS.workers, true])
  })

  it('gives under load every answer that is due before it ends, and then no more', async () => {
    const ended: Promise<unknown>[] = []
    const spawn = (): Worker => {
      const worker = ownWorker()
      ended.push(new Promise((resolve) => worker.once('exit', resolve)))
      return worker
    }
    const incidents: Error[] = []
    const verifier = await createVerifier({ workers: 2, spawn, onIncident: (error) => incidents.push(error) })
    const asked = Array.from({ length: 20 }, () => verifier.answer(QUESTIONS))
    let done = 0
    for (const answers of asked) void answers.then(() => done++)
    const disposed = verifier[Symbol.asyncDispose]()
    await expect(verifier.answer(QUESTIONS)).rejects.toThrow('the verifier is closed')
    await disposed
    expect(done).toBe(asked.length)
    expect(await Promise.all(asked)).toEqual(asked.map(() => ANSWERS))
    await Promise.all(ended)
    expect([ended.length, incidents]).toEqual([2, []])
  })

  it('gives right answers while its workers are killed again and again', async () => {
    const workers: Worker[] = []
    const spawn = (): Worker => {
      const worker = ownWorker()
      workers.push(worker)
      return worker
    }
    const incidents: Error[] = []
    await using verifier = await createVerifier({ workers: 2, spawn, onIncident: (error) => incidents.push(error) })
    for (let i = 0; i < 4; i++) {
      const asked = Array.from({ length: 4 }, () => verifier.answer(QUESTIONS))
      await workers.at(-1 - (i % 2))?.terminate()
      expect(await Promise.all(asked)).toEqual(asked.map(() => ANSWERS))
    }
    expect(incidents.length).toBeGreaterThan(1)
  })

  it('works where no thread can be started, and says so', async () => {
    const incidents: string[] = []
    const spawn = (): Worker => {
      throw new Error('no threads')
    }
    await using verifier = await createVerifier({ workers: 2, spawn, onIncident: ({ message }) => incidents.push(message) })
    expect(verifier.name).toMatch(/, no workers$/)
    expect(incidents).toEqual(['no threads', 'no threads'])
    expect(await verifier.answer(QUESTIONS)).toEqual(ANSWERS)
  })
})

describe('the verifier of another machine', () => {
  let folder: string

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'stele-native-'))
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function answerElsewhere(verifier: string, env: Record<string, string> = {}): { name: string; answers: unknown; entrance: string } {
    const program = join(folder, 'ask.mjs')
    writeFileSync(
      program,
      `import { createRequire } from 'node:module'
      import { createVerifier } from ${JSON.stringify(pathToFileURL(verifier).href)}
      const questions = ${JSON.stringify(CASES)}.map((asked) => ({ ...asked, message: new TextEncoder().encode(asked.message) }))
      await using verifier = await createVerifier({ workers: 1, onIncident: (error) => console.error(error) })
      const entrance = createRequire(${JSON.stringify(join(ROOT, 'package.json'))})('secp256k1')
      console.log(JSON.stringify({ name: verifier.name, answers: await verifier.answer(questions), entrance: typeof entrance.ecdsaVerify }))`,
    )
    return JSON.parse(execFileSync(process.execPath, [program], { encoding: 'utf8', env: { ...process.env, ...env } })) as ReturnType<typeof answerElsewhere>
  }

  it('does without the native library where the package has only JavaScript for it, which the package does not say', () => {
    const { name, answers, entrance } = answerElsewhere(join(ROOT, 'src', 'native', 'verifier.ts'), { SECP256K1_PREBUILD: folder })
    expect(name).toBe('openssl, 1 worker')
    expect(entrance).toBe('function')
    expect(answers).toEqual(ANSWERS)
  })

  it('starts its workers from JavaScript too, as in the published package', () => {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    for (const room of ['core', 'native']) {
      for (const file of readdirSync(join(ROOT, 'src', room), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))) {
        const built = join(folder, 'dist', room, file.replace(/\.ts$/, '.js'))
        mkdirSync(dirname(built), { recursive: true })
        writeFileSync(built, stripTypeScriptTypes(readFileSync(join(ROOT, 'src', room, file), 'utf8')).replaceAll(/(from '\.[^']*)\.ts'/g, "$1.js'"))
      }
    }
    const { name, answers } = answerElsewhere(join(folder, 'dist', 'native', 'verifier.js'))
    expect(name).toMatch(/, 1 worker$/)
    expect(answers).toEqual(ANSWERS)
  })
})
