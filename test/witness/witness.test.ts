import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KEY_TYPES, makeSigningKey, parseNote, verifyNote, type SigningKey } from '../../src/core/tlog/note.ts'
import { openCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { subtreeMessage } from '../../src/core/tlog/cosigned-message.ts'
import { EMPTY_ROOT } from '../../src/core/tlog/hash.ts'
import { formatAddCheckpoint, formatSignSubtree, type SignSubtree } from '../../src/core/tlog/witness-request.ts'
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'
import { createCosigner } from '../../src/witness/cosigner.ts'
import { WITNESS_LIMITS } from '../../src/witness/limits.ts'
import { WitnessRefusal, type WitnessRefusalCode } from '../../src/witness/refusal.ts'
import { logId, openState, type StateFile } from '../../src/witness/state.ts'
import { createWitness, type LogLine, type Witness } from '../../src/witness/witness.ts'
import { naiveRoot, naiveSubtreeProof } from '../support/naive-tree.ts'
import { leafLog, newFolder, openAnswer } from '../support/witness.ts'

const NAME = 'witness.example/w1'
const KEYS = [makeSigningKey(NAME, KEY_TYPES.cosignature, new Uint8Array(32).fill(8)), makeSigningKey(NAME, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(9))]
const [, LATTICE] = KEYS as [SigningKey, SigningKey]
const COSIGNERS = KEYS.map(createCosigner)
const log = leafLog('log.example')
const fork = leafLog('log.example', { forkAt: 4 })
const other = leafLog('other.example', { seed: 2 })
const NOON = 1_800_000_000

let folder: ReturnType<typeof newFolder>
let state: StateFile
let now: number
let elapsed: number
let said: { level: string; words: string }[]

beforeEach(() => {
  folder = newFolder()
  state = openState(`${folder.path}/witness.sqlite`, true)
  now = NOON * 1000
  elapsed = 0
  said = []
})

afterEach(() => {
  state[Symbol.dispose]()
  folder[Symbol.dispose]()
})

const say: LogLine = (level, _, words) => said.push({ level, words })
const open = (logKeys = [log.key, other.key], logRate = 0): Witness =>
  createWitness({ state, cosigners: COSIGNERS, logKeys, logRate, now: () => now, elapsed: () => elapsed, log: say })

function refusal(work: () => unknown): WitnessRefusal {
  try {
    work()
  } catch (error) {
    if (error instanceof WitnessRefusal) return error
    throw error
  }
  throw new Error('it was not refused')
}

const expectRefused = (work: () => unknown, status: number, code: WitnessRefusalCode): void => {
  const { status: actual, code: found } = refusal(work)
  expect({ status: actual, code: found }).toEqual({ status, code })
}

describe('a checkpoint is cosigned', () => {
  it('with both keys, at the time, and what was said is remembered', () => {
    const answer = open().addCheckpoint(log.body(0, 5))
    const verified = openAnswer(answer, log.note(5), KEYS)
    expect(verified.map(({ key, timestamp }) => [key.type, timestamp])).toEqual([[KEY_TYPES.cosignature, NOON], [KEY_TYPES.mlDsa44, NOON]])
    const shown = open().checkpoint(logId(log.origin))
    expect(shown).toBe(`${log.note(5)}${answer}`)
    expect(openCheckpoint(shown, [log.key]).checkpoint).toEqual(log.checkpoint(5))
  })

  it('at every step from every size to every later one', () => {
    const witness = open()
    for (let size = 0, step = 0; size + step <= 60; size += step, step++) {
      now += 1000
      const [{ timestamp } = { timestamp: null }] = openAnswer(witness.addCheckpoint(log.body(Math.max(0, size), size + step)), log.note(size + step), KEYS)
      expect(timestamp).toBe(now / 1000)
    }
  })

  it('again, with a fresh time, where it is the one cosigned last', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    now += 60_000
    expect(openAnswer(witness.addCheckpoint(log.body(5, 5)), log.note(5), KEYS).map(({ timestamp }) => timestamp)).toEqual([NOON + 60, NOON + 60])
  })

  it('of size 0, and of size 2**53 - 1', () => {
    const witness = open()
    expect(openAnswer(witness.addCheckpoint(log.body(0, 0)), log.note(0), KEYS)).toHaveLength(2)
    const note = signCheckpoint({ origin: log.origin, size: Number.MAX_SAFE_INTEGER, root: new Uint8Array(32) }, [log.key])
    witness.addCheckpoint(formatAddCheckpoint({ oldSize: 0, proof: [], note: parseNote(note) }))
    expect(state.latest(log.origin)?.size).toBe(Number.MAX_SAFE_INTEGER)
    expect(refusal(() => witness.addCheckpoint(log.body(0, 5))).parts.body).toBe('9007199254740991\n')
  })

  it('without the signatures of others under it, but with one by each of its log\'s keys', () => {
    const lattice = makeSigningKey(log.origin, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(5))
    const stranger = cosign(log.checkpoint(5), makeSigningKey('stranger.example', KEY_TYPES.cosignature, new Uint8Array(32).fill(6)), 1)
    const signed = parseNote(log.note(5, [log.key, lattice]))
    const witness = open([log.key, lattice])
    const answer = witness.addCheckpoint(formatAddCheckpoint({ oldSize: 0, proof: [], note: { ...signed, signatures: [stranger, ...signed.signatures, ...signed.signatures] } }))
    expect(witness.checkpoint(logId(log.origin))).toBe(`${log.note(5, [log.key, lattice])}${answer}`)
  })

  it('of each log apart from the others', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    witness.addCheckpoint(other.body(0, 3))
    witness.addCheckpoint(log.body(5, 6))
    expect([state.latest(log.origin)?.size, state.latest(other.origin)?.size]).toEqual([6, 3])
  })
})

describe('a checkpoint is refused', () => {
  it('with 400 where the request is malformed, has extension lines, or an old size above its own', () => {
    const witness = open()
    expectRefused(() => witness.addCheckpoint('old 0\n'), 400, 'MALFORMED')
    expectRefused(() => witness.addCheckpoint(log.body(0, 5).replace('=\n\n\u2014', '=\nextension\n\n\u2014')), 400, 'MALFORMED')
    expectRefused(() => witness.addCheckpoint(log.body(6, 5)), 400, 'OLD_ABOVE_SIZE')
  })

  it('with 400 where it carries more than 16 signatures', () => {
    const witness = open()
    const note = parseNote(log.note(5))
    const line = (i: number) => ({ name: 'x.example', id: i.toString(16).padStart(8, '0'), signature: new Uint8Array(64) })
    const body = (count: number) => formatAddCheckpoint({ oldSize: 0, proof: [], note: { ...note, signatures: [...note.signatures, ...Array.from({ length: count - 1 }, (_, i) => line(i))] } })
    expectRefused(() => witness.addCheckpoint(body(WITNESS_LIMITS.signatures + 1)), 400, 'TOO_MANY_SIGNATURES')
    witness.addCheckpoint(body(WITNESS_LIMITS.signatures))
  })

  it('with 403 without a signature by a trusted key, and with one by a trusted key that fails beside one that holds', () => {
    const lattice = makeSigningKey(log.origin, KEY_TYPES.mlDsa44, new Uint8Array(32).fill(5))
    const stranger = leafLog('log.example', { seed: 7 })
    const witness = open([log.key, lattice])
    expectRefused(() => witness.addCheckpoint(stranger.body(0, 5)), 403, 'UNTRUSTED')
    const [good, bad] = parseNote(log.note(5, [log.key, lattice])).signatures
    if (good === undefined || bad === undefined) throw new Error('two signatures')
    const broken = { ...bad, signature: bad.signature.with(100, (bad.signature[100] ?? 0) ^ 1) }
    const note = { text: parseNote(log.note(5)).text, signatures: [good, broken] }
    expectRefused(() => witness.addCheckpoint(formatAddCheckpoint({ oldSize: 0, proof: [], note })), 403, 'UNTRUSTED')
    // One log's key vouches for no other log.
    expectRefused(() => open().addCheckpoint(formatAddCheckpoint({ oldSize: 0, proof: [], note: { text: note.text, signatures: parseNote(other.note(5)).signatures } })), 403, 'UNTRUSTED')
    expect(state.latest(log.origin)).toBeNull()
  })

  it('with 404 where its log is not known', () => expectRefused(() => open([other.key]).addCheckpoint(log.body(0, 5)), 404, 'UNKNOWN_LOG'))

  it('with 409 and the size cosigned last where the old size is another', () => {
    const witness = open()
    expect(refusal(() => witness.addCheckpoint(log.body(3, 5))).parts).toEqual({ body: '0\n', type: 'text/x.tlog.size' })
    witness.addCheckpoint(log.body(0, 5))
    for (const oldSize of [0, 4, 6]) {
      expectRefused(() => witness.addCheckpoint(log.body(oldSize, 9)), 409, 'STALE')
      expect(refusal(() => witness.addCheckpoint(log.body(oldSize, 9))).parts).toEqual({ body: '5\n', type: 'text/x.tlog.size' })
    }
    expectRefused(() => witness.addCheckpoint(log.body(4, 4)), 409, 'STALE')
    expect(state.suspects(log.origin)).toEqual([])
  })

  it('with 422 where its proof fails, is none, or is there where none is needed', () => {
    const witness = open()
    const body = (oldSize: number, size: number, proof: readonly Uint8Array[]) => formatAddCheckpoint({ oldSize, proof, note: parseNote(log.note(size)) })
    expectRefused(() => witness.addCheckpoint(body(0, 5, log.proof(3, 5))), 422, 'INCONSISTENT')
    witness.addCheckpoint(log.body(0, 5))
    expectRefused(() => witness.addCheckpoint(body(5, 9, [])), 422, 'INCONSISTENT')
    expectRefused(() => witness.addCheckpoint(body(5, 9, log.proof(4, 9))), 422, 'INCONSISTENT')
    expectRefused(() => witness.addCheckpoint(body(5, 9, log.proof(5, 9).toReversed())), 422, 'INCONSISTENT')
    expectRefused(() => witness.addCheckpoint(body(5, 5, log.proof(5, 9))), 422, 'INCONSISTENT')
    expect(state.latest(log.origin)?.size).toBe(5)
  })

  it('with 429 where its log asks too often, and without harm to another log', () => {
    const witness = open([log.key, other.key], 1)
    witness.addCheckpoint(log.body(0, 1))
    for (let i = 1; i < WITNESS_LIMITS.logBurstSeconds; i++) witness.addCheckpoint(log.body(1, 1))
    expectRefused(() => witness.addCheckpoint(log.body(1, 1)), 429, 'TOO_MANY_REQUESTS')
    expect(refusal(() => witness.addCheckpoint(log.body(1, 1))).parts.retryAfterS).toBe(1)
    witness.addCheckpoint(other.body(0, 1))
    elapsed += 1000
    witness.addCheckpoint(log.body(1, 1))
  })

  it('before the rate of its log is spent, where it is not signed by it', () => {
    const witness = open([log.key], 1)
    const stranger = leafLog('log.example', { seed: 7 })
    for (let i = 0; i < 20; i++) expectRefused(() => witness.addCheckpoint(stranger.body(0, 5)), 403, 'UNTRUSTED')
    witness.addCheckpoint(log.body(0, 5))
  })
})

describe('a log that contradicts itself', () => {
  it('is refused with 422, and both checkpoints are kept and said', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    const known = witness.checkpoint(logId(log.origin))
    expectRefused(() => witness.addCheckpoint(fork.body(5, 5)), 422, 'CONTRADICTION')
    expect(state.suspects(log.origin)).toEqual([{ kind: 'contradiction', at: now, known, submitted: fork.note(5), oldSize: 5, proof: [], ...fork.checkpoint(5) }])
    expect(said.filter(({ level }) => level === 'error')).toHaveLength(1)
    expect(witness.checkpoint(logId(log.origin))).toBe(known)
  })

  it('is convicted by a proof that leads from another root to what it signed', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    expectRefused(() => witness.addCheckpoint(fork.body(5, 9)), 422, 'INCONSISTENT')
    expect(state.suspects(log.origin)).toMatchObject([{ kind: 'contradiction', size: 9, oldSize: 5, proof: fork.proof(5, 9) }])
  })

  it('is only suspected where the proof shows nothing', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    expectRefused(() => witness.addCheckpoint(formatAddCheckpoint({ oldSize: 5, proof: [EMPTY_ROOT], note: parseNote(fork.note(9)) })), 422, 'INCONSISTENT')
    expect(state.suspects(log.origin)).toMatchObject([{ kind: 'unproven', size: 9, oldSize: 5, proof: [EMPTY_ROOT] }])
    expect(said.filter(({ level }) => level === 'error')).toEqual([])
    witness.addCheckpoint(log.body(5, 9))
  })

  it('is found out where the old size is wrong too, which the answer still is about', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    expectRefused(() => witness.addCheckpoint(fork.body(0, 5)), 409, 'STALE')
    expect(state.suspects(log.origin)).toMatchObject([{ kind: 'contradiction', size: 5 }])
  })

  it('is one that signs a tree without entries with a root of its own', () => {
    const note = signCheckpoint({ origin: log.origin, size: 0, root: new Uint8Array(32) }, [log.key])
    expectRefused(() => open().addCheckpoint(formatAddCheckpoint({ oldSize: 0, proof: [], note: parseNote(note) })), 422, 'NOT_EMPTY')
    expect(state.suspects(log.origin)).toMatchObject([{ kind: 'contradiction', known: null, submitted: note }])
    expect(state.latest(log.origin)).toBeNull()
  })

  it('is said once for each checkpoint, however often that comes', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    for (let i = 0; i < 5; i++) expectRefused(() => witness.addCheckpoint(fork.body(5, 5)), 422, 'CONTRADICTION')
    expect(state.suspects(log.origin)).toHaveLength(1)
    expect(said.filter(({ level }) => level === 'error')).toHaveLength(1)
  })
})

describe('the time in cosignatures', () => {
  const timestamps = (answer: string, size: number) => openAnswer(answer, log.note(size), KEYS).map(({ timestamp }) => timestamp)

  it('stands still where the clock is corrected a little backwards, and goes on when it catches up', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    now -= WITNESS_LIMITS.clockBackSeconds * 1000
    expect(timestamps(witness.addCheckpoint(log.body(5, 6)), 6)).toEqual([NOON, NOON])
    now += WITNESS_LIMITS.clockBackSeconds * 1000 + 1000
    expect(timestamps(witness.addCheckpoint(log.body(6, 7)), 7)).toEqual([NOON + 1, NOON + 1])
  })

  it('is refused with 503 where the clock went back further, or shows no time, and nothing is remembered', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 5))
    now -= (WITNESS_LIMITS.clockBackSeconds + 1) * 1000
    expectRefused(() => witness.addCheckpoint(log.body(5, 6)), 503, 'CLOCK_BEHIND')
    now = 0
    expectRefused(() => witness.addCheckpoint(other.body(0, 5)), 503, 'CLOCK_BEHIND')
    expect([state.latest(log.origin)?.size, state.latest(other.origin)]).toEqual([5, null])
  })

  it('is each log\'s own: a clock that was wrong for one does not hold up another', () => {
    const witness = open()
    now += 3_600_000
    witness.addCheckpoint(log.body(0, 5))
    now -= 3_600_000
    expectRefused(() => witness.addCheckpoint(log.body(5, 6)), 503, 'CLOCK_BEHIND')
    witness.addCheckpoint(other.body(0, 5))
  })
})

describe('a subtree', () => {
  const request = (start: number, end: number, size: number, change: Partial<SignSubtree> = {}): string =>
    formatSignSubtree({
      start, end, cosignatures: [], signatures: [],
      hash: naiveRoot(log.leaves.slice(start, end)),
      proof: start < end && end <= size && start % width(end - start) === 0 ? naiveSubtreeProof(start, end, log.leaves.slice(0, size)) : [],
      text: parseNote(log.note(size)).text,
      ...change,
    })
  const width = (n: number): number => 2 ** Math.ceil(Math.log2(n))

  it('is cosigned without a time by the key that can, wherever the checkpoint was cosigned last', () => {
    const witness = open()
    for (const size of [1, 2, 7, 13, 14]) {
      witness.addCheckpoint(log.body(state.latest(log.origin)?.size ?? 0, size))
      for (let start = 0; start < size; start++) {
        for (let end = start + 1; end <= size; end++) {
          if (start % width(end - start) !== 0) continue
          const [line = '', ...rest] = witness.signSubtree(request(start, end, size)).split('\n')
          expect(rest).toEqual([''])
          const [, name, encoded = ''] = line.split(' ')
          const bytes = new Uint8Array(Buffer.from(encoded, 'base64'))
          expect([name, Buffer.from(bytes.subarray(0, 12)).toString('hex')]).toEqual([NAME, `${LATTICE.id}${'00'.repeat(8)}`])
          const message = subtreeMessage({ cosigner: NAME, timestamp: 0, origin: log.origin, start, end, hash: naiveRoot(log.leaves.slice(start, end)) })
          expect(ml_dsa44.verify(bytes.subarray(12), message, LATTICE.publicKey, { context: new Uint8Array(0) })).toBe(true)
        }
      }
    }
  })

  it('of an earlier checkpoint is cosigned where that carries our cosignature, by either key', () => {
    const witness = open()
    const answer = witness.addCheckpoint(log.body(0, 13))
    witness.addCheckpoint(log.body(13, 20))
    const cosignatures = openAnswer(answer, log.note(13), KEYS).map(({ signature }) => signature)
    for (const signature of cosignatures) expect(witness.signSubtree(request(8, 13, 13, { signatures: [signature] }))).toMatch(/^\u2014 /)
  })

  it('is refused with 409 and the checkpoint cosigned last where its own is unsigned and another one', () => {
    const witness = open()
    expectRefused(() => witness.signSubtree(request(8, 13, 13)), 404, 'NEVER_COSIGNED')
    witness.addCheckpoint(log.body(0, 20))
    expectRefused(() => witness.signSubtree(request(8, 13, 13)), 409, 'UNKNOWN_CHECKPOINT')
    expect(refusal(() => witness.signSubtree(request(8, 13, 13))).parts.body).toBe(witness.checkpoint(logId(log.origin)))
  })

  it('is refused with 403 where its checkpoint is signed by others alone, or not by us though it says so', () => {
    const witness = open()
    const [ours] = openAnswer(witness.addCheckpoint(log.body(0, 5)), log.note(5), KEYS).map(({ signature }) => signature)
    witness.addCheckpoint(log.body(5, 20))
    const signed = parseNote(log.note(13)).signatures
    expectRefused(() => witness.signSubtree(request(8, 13, 13, { signatures: signed })), 403, 'UNTRUSTED')
    if (ours === undefined) throw new Error('a cosignature')
    expectRefused(() => witness.signSubtree(request(8, 13, 13, { signatures: [ours] })), 403, 'UNTRUSTED')
  })

  it('is refused with 400 where it is none of that tree, 404 for an unknown log, 422 where its proof fails', () => {
    const witness = open()
    witness.addCheckpoint(log.body(0, 13))
    for (const [start, end] of [[5, 5], [6, 5], [0, 14], [1, 3], [4, 10]] as const) expectRefused(() => witness.signSubtree(request(start, end, 13)), 400, 'NO_SUCH_SUBTREE')
    expectRefused(() => open([other.key]).signSubtree(request(8, 13, 13)), 404, 'UNKNOWN_LOG')
    expectRefused(() => witness.signSubtree(request(8, 13, 13, { hash: EMPTY_ROOT })), 422, 'INCONSISTENT')
    expectRefused(() => witness.signSubtree(request(8, 13, 13, { proof: [] })), 422, 'INCONSISTENT')
    expectRefused(() => witness.signSubtree('subtree'), 400, 'MALFORMED')
  })

  it('leaves what was cosigned last as it is, and counts towards the rate of its log', () => {
    const witness = open([log.key], 1)
    witness.addCheckpoint(log.body(0, 13))
    const before = state.latest(log.origin)
    for (let i = 1; i < WITNESS_LIMITS.logBurstSeconds; i++) witness.signSubtree(request(8, 13, 13))
    expectRefused(() => witness.signSubtree(request(8, 13, 13)), 429, 'TOO_MANY_REQUESTS')
    expect(state.latest(log.origin)).toEqual(before)
  })
})

describe('a cosigner', () => {
  it('signs by the system\'s library what the core verifies, and by the core what is the same for Ed25519', () => {
    const checkpoint = log.checkpoint(7)
    const text = parseNote(log.note(7)).text
    for (const [i, key] of KEYS.entries()) {
      const signature = COSIGNERS[i]?.cosign(checkpoint, NOON)
      if (signature === undefined) throw new Error('a cosigner')
      expect(verifyNote({ text, signatures: [signature] }, [key])).toMatchObject([{ timestamp: NOON }])
      if (key.type === KEY_TYPES.cosignature) expect(signature).toEqual(cosign(checkpoint, key, NOON))
    }
  })
})
