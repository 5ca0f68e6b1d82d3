// What a witness writes down of a log that contradicts itself, read as a stranger reads it: with the log's key and nothing else.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAlarm } from '../../src/core/alarm.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { parseNote } from '../../src/core/tlog/note.ts'
import { formatAddCheckpoint, parseAddCheckpoint } from '../../src/core/tlog/witness-request.ts'
import { EVIDENCE_FOLDER } from '../../src/witness/evidence-files.ts'
import { WITNESS_LIMITS } from '../../src/witness/limits.ts'
import { logId } from '../../src/witness/state.ts'
import { startWitness, type RunningWitness, type WitnessOptions } from '../../src/witness/start-witness.ts'
import { leafLog, newFolder } from '../support/witness.ts'

const log = leafLog('log.example')
const fork = leafLog('log.example', { forkAt: 3 })
let folder: ReturnType<typeof newFolder>
let said: { level: string; words: string }[]
beforeEach(() => {
  folder = newFolder()
  said = []
})
afterEach(() => folder[Symbol.dispose]())

const data = (...names: string[]): string => join(folder.path, 'data', ...names)
const place = (name = ''): string => data(EVIDENCE_FOLDER, logId(log.origin), name)
const files = (): string[] => (existsSync(place()) ? readdirSync(place()).sort() : [])
const start = (change: Partial<WitnessOptions> = {}): Promise<RunningWitness> =>
  startWitness({
    host: '127.0.0.1', port: 0, dataDir: data(), name: 'w.example', logKeys: [log.key], addressRate: 0, logRate: 0,
    log: (level, _, words) => said.push({ level, words }), ...change,
  })
const submit = async ({ url }: RunningWitness, body: string): Promise<number> => (await fetch(`${url}/add-checkpoint`, { method: 'POST', body })).status
const submitEmpty = (witness: RunningWitness): Promise<number> =>
  submit(witness, formatAddCheckpoint({ oldSize: 0, proof: [], note: parseNote(signCheckpoint({ origin: log.origin, size: 0, root: new Uint8Array(32) }, [log.key])) }))

describe('a log that contradicts itself', () => {
  it.each([
    ['with two trees of one size', 5, [5, 5], 'two-roots', [5, 5]],
    ['with a larger tree that does not continue the smaller', 5, [5, 9], 'fork', [5, 9]],
  ] as const)('%s is proved by a file, whose path is said aloud', async (_, size, [from, to], kind, sizes) => {
    await using witness = await start()
    await submit(witness, log.body(0, size))
    expect(await submit(witness, fork.body(from, to))).toBe(422)
    const [name = ''] = files()
    expect(name).toMatch(new RegExp(`^${to}-[0-9a-f]{16}\\.evidence$`))
    expect(said.filter(({ level }) => level === 'error')).toEqual([{ level: 'error', words: `THE LOG CONTRADICTS ITSELF: it signed two trees that cannot both be true; both checkpoints are in ${place(name)}` }])
    const proved = verifyEvidence(readFileSync(place(name)), [log.key])
    expect([proved.evidence.kind, proved.origin, proved.checkpoints.map(({ checkpoint }) => checkpoint.size)]).toEqual([kind, log.origin, sizes])
  })

  it('is proved by no file in which any byte is another, but for the cosignatures of the witness', async () => {
    await using witness = await start()
    await submit(witness, log.body(0, 5))
    await submit(witness, fork.body(5, 9))
    const [name = ''] = files()
    const whole = readFileSync(place(name))
    for (let i = 0, start = 0; i < whole.length; i++) {
      if (whole[i - 1] === 10) start = i
      const line = whole.subarray(start, whole.indexOf(10, start)).toString()
      if (line.startsWith('\u2014 w.example')) continue
      const other = Buffer.from(whole)
      other[i] = (other[i] ?? 0) ^ 1
      expect(verdictOf(() => verifyEvidence(other, [log.key])).verdict?.code, `byte ${i} of ${line}`).toMatch(/./)
    }
  })

  it('with an empty tree that is not empty is proved beside any other, and else a matter of an alarm', async () => {
    await using witness = await start()
    expect(await submitEmpty(witness)).toBe(422)
    const [alarm = ''] = files()
    expect(alarm).toMatch(/^0-0{16}\.alarm$/)
    expect(parseAlarm(readFileSync(place(alarm), 'utf8')).words).toContain('not all that proves it')
    rmSync(data(), { recursive: true })
    await using another = await start()
    await submit(another, log.body(0, 5))
    expect(await submitEmpty(another)).toBe(409)
    const [proof = ''] = files()
    expect(verifyEvidence(readFileSync(place(proof)), [log.key]).evidence.kind).toBe('fork')
  })

  it('fills at most so many files, of which none is ever written again', async () => {
    await using witness = await start()
    await submit(witness, log.body(0, 5))
    await submit(witness, fork.body(5, 9))
    const [first = ''] = files()
    writeFileSync(place(first), 'a note of the operator')
    for (let i = 0; i < WITNESS_LIMITS.contradictions + 3; i++) await submit(witness, fork.body(5, 10 + i))
    expect(files()).toHaveLength(WITNESS_LIMITS.contradictions)
    expect(readFileSync(place(first), 'utf8')).toBe('a note of the operator')
  })

  it('is proved after the next start, where the file could not be written', async () => {
    {
      await using witness = await start()
      await submit(witness, log.body(0, 5))
      writeFileSync(data(EVIDENCE_FOLDER), 'in the way')
      expect(await submit(witness, fork.body(5, 9))).toBe(422)
      expect(said.filter(({ level }) => level === 'error').map(({ words }) => words)).toEqual([expect.stringMatching(/^THE LOG CONTRADICTS ITSELF.*cannot be written until the next start/)])
    }
    rmSync(data(EVIDENCE_FOLDER))
    await using _ = await start()
    expect(files().map((name) => verifyEvidence(readFileSync(place(name)), [log.key]).evidence.kind)).toEqual(['fork'])
  })
})

describe('a checkpoint whose proof shows nothing', () => {
  const spoiled = (size: number): string => formatAddCheckpoint({ oldSize: 5, proof: [], note: parseNote(log.note(size)) })

  it('is a matter of an alarm, which holds what was asked and what was cosigned', async () => {
    await using witness = await start()
    await submit(witness, log.body(0, 5))
    expect(await submit(witness, spoiled(9))).toBe(422)
    const [name = ''] = files()
    const alarm = parseAlarm(readFileSync(place(name), 'utf8'))
    expect([alarm.origin, alarm.words]).toEqual([log.origin, 'a tree of 9 entries that the log signed came without a proof that it continues the tree of 5 entries that was cosigned last'])
    const [request, known] = alarm.parts.map(({ bytes }) => Buffer.from(bytes).toString())
    expect(parseAddCheckpoint(request ?? '')).toEqual(parseAddCheckpoint(spoiled(9)))
    expect(known).toBe(await (await fetch(`${witness.url}/${logId(log.origin)}/checkpoint`)).text())
    expect(said.filter(({ level }) => level === 'warn').map(({ words }) => words)).toEqual([expect.stringContaining(place(name))])
  })

  it('leaves no more alarms than the newest of those that are kept, and no evidence goes with the old ones', async () => {
    await using witness = await start()
    await submit(witness, log.body(0, 5))
    await submit(witness, fork.body(5, 7))
    for (let i = 0; i < WITNESS_LIMITS.unproven + 3; i++) await submit(witness, spoiled(20 + i))
    expect(files().filter((name) => name.endsWith('.evidence'))).toHaveLength(1)
    const sizes = files().filter((name) => name.endsWith('.alarm')).map((name) => Number(name.split('-')[0]))
    expect(sizes).toEqual(Array.from({ length: WITNESS_LIMITS.unproven }, (_, i) => 23 + i))
  })

  it('and that is then shown to contradict, is proved beside the alarm', async () => {
    await using witness = await start()
    await submit(witness, log.body(0, 5))
    await submit(witness, formatAddCheckpoint({ oldSize: 5, proof: [], note: parseNote(fork.note(9)) }))
    await submit(witness, fork.body(5, 9))
    expect(files().map((name) => name.split('.')[1])).toEqual(['alarm', 'evidence'])
  })
})
