import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { formatAuditState, inspectLog, parseAuditState, type AuditState, type InspectOptions, type Inspection } from '../../src/client/inspect.ts'
import { historyOf } from '../../src/client/judge.ts'
import { httpTileReader } from '../../src/client/tile-reader.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { formatEvidence, verifyEvidence } from '../../src/core/evidence.ts'
import { openCheckpoint, signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { cosign } from '../../src/core/tlog/cosignature.ts'
import { formatNote, formatVerifierKey, KEY_TYPES, makeSigningKey, parseNote } from '../../src/core/tlog/note.ts'
import { parsePolicy, type Policy } from '../../src/core/tlog/policy.ts'
import { person, type Person } from '../support/people.ts'
import { FIRST_MS, identityLeaves, LOG_KEY, rememberingVerifier } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

const WITNESS_KEY = makeSigningKey('witness.test', KEY_TYPES.cosignature, new Uint8Array(32).fill(3))
const NOW_S = 1_800_000_000

const verifyAnswers = rememberingVerifier()

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

async function serve(leaves: readonly Uint8Array[]): Promise<{ log: ServedLog; front: Front; paths: string[] }> {
  const log = await serveLog(leaves)
  open.push(log)
  const front = await openFront(log)
  open.push(front)
  const paths: string[] = []
  front.answer = (path, body) => {
    paths.push(path)
    return body
  }
  return { log, front, paths }
}

function audit({ url }: { readonly url: string }, given: Partial<InspectOptions> = {}): Promise<Inspection> {
  return inspectLog(httpTileReader(url), { keys: [LOG_KEY], policy: null, notBefore: 0, since: null, verifyAnswers, history: historyOf(url, {}), ...given })
}

/** What it would find on disk. */
function kept({ next }: Inspection): AuditState {
  if (next === null) throw new Error('nothing is kept')
  return parseAuditState(formatAuditState(next))
}

function cosigned(note: string, timestamp = NOW_S): string {
  const { note: parsed, checkpoint } = openCheckpoint(note, [LOG_KEY])
  return formatNote({ text: parsed.text, signatures: [...parsed.signatures, cosign(checkpoint, WITNESS_KEY, timestamp)] })
}

/** A witness that shows a note, or says that it has none. */
async function witness(shown: () => string | null): Promise<Policy> {
  const path = `/${createHash('sha256').update(LOG_KEY.name).digest('hex')}/checkpoint`
  const server = createServer((request, response) => {
    const note = request.url === path ? shown() : null
    response.writeHead(note === null ? 404 : 200).end(note ?? '')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push({ [Symbol.asyncDispose]: () => new Promise<void>((resolve) => (server.closeAllConnections(), server.close(() => resolve()))) })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return parsePolicy(`log ${formatVerifierKey(LOG_KEY)}\nwitness one ${formatVerifierKey(WITNESS_KEY)} ${url}\nquorum one`)
}

describe('an audit', () => {
  it('finds a log clean, and the next one reads what is new alone', async () => {
    const alice = person('audited')
    const leaf = ({ did }: Person, operation: typeof alice.genesis, second: number): Uint8Array => encodeEntry({ did, createdAt: FIRST_MS + second * 1_000, operation, source: null })
    const [first, second] = [alice.update(alice.genesis), alice.update(alice.update(alice.genesis), { handle: 'second' })]
    const { log, front, paths } = await serve([...identityLeaves(598), leaf(alice, alice.genesis, 5_000), leaf(alice, first, 5_001)])
    const whole = await audit(front)
    expect(whole).toMatchObject({ from: 0, problems: [], contradictions: [], report: { entries: 600, dids: 599, rejected: [] } })

    await log.append([leaf(alice, second, 5_002), ...identityLeaves(598).slice(0, 1)])
    await log.publish()
    paths.length = 0
    const more = await audit(front, { since: kept(whole) })
    expect(more).toMatchObject({ from: 600, problems: [], contradictions: [], report: { entries: 602, rejected: [{ index: 601 }] } })
    expect(paths.filter((path) => path.startsWith('/tile/entries/'))).toEqual(['/tile/entries/002.p/90'])
    expect(paths.some((path) => path === `/${encodeURIComponent(alice.did)}/log/audit`)).toBe(true)
    // Nothing new: one read of its last bundle at most, and nothing is wrong.
    expect(await audit(front, { since: kept(more) })).toMatchObject({ from: 602, problems: [], contradictions: [] })
  })

  it('tells a bad signature, a missing tile, an altered bundle, and a tree that went back, and keeps no state of them', async () => {
    const { log, front } = await serve(identityLeaves(300))
    const since = kept(await audit(front))
    const old = await log.store.publication()
    await log.append(identityLeaves(310).slice(300))
    await log.publish()
    const found = async (answer: Front['answer'], given: Partial<InspectOptions> = {}): Promise<string[]> => {
      front.answer = answer
      const { problems, next, contradictions } = await audit(front, given)
      expect([next, contradictions]).toEqual([null, []])
      return problems.map(({ where, words }) => `${where}: ${words}`)
    }
    for (const given of [{}, { since }]) {
      const forged = (body: Buffer): Buffer => Buffer.from(body.toString().replace(/[A-Za-z]=?=?\n$/, (end) => (end.startsWith('A') ? `B${end.slice(1)}` : `A${end.slice(1)}`)))
      expect(await found((path, body) => (path === '/checkpoint' ? Buffer.from(signCheckpoint({ origin: LOG_KEY.name, size: 310, root: new Uint8Array(32) }, [makeSigningKey(LOG_KEY.name, KEY_TYPES.ed25519, new Uint8Array(32).fill(8))])) : body), given)).toContain('checkpoint: No signature by a known key')
      expect((await found((path, body) => (path === '/checkpoint' ? forged(body) : body), given)).join()).toMatch(/^checkpoint: /)
      expect(await found((path, body) => (path.startsWith('/tile/0/001') ? null : body), given)).toContain('tile/0/001.p/54: it is missing')
      expect((await found((path, body) => (path.startsWith('/tile/entries/001') ? Buffer.from(body.map((byte, i) => (i === body.length - 1 ? byte ^ 1 : byte))) : body), given)).join()).toContain('the entries lead to another root at size 310')
    }
    expect(await found((path, body) => (path.startsWith('/tile/0/000') ? null : body))).toContain('tile/0/000: it is missing')
    front.answer = (_path, body) => body
    const later = kept(await audit(front))
    expect((await found((path, body) => (path === '/checkpoint' ? Buffer.from(old?.note ?? '') : body), { since: later })).join()).toContain('it is of 300 entries, and one of 310 was audited before')
  })

  it('tells a log that contradicts what was audited before, with evidence', async () => {
    const { front } = await serve(identityLeaves(10))
    const since = kept(await audit(front))
    for (const leaves of [[...identityLeaves(9), ...identityLeaves(13).slice(12)], [...identityLeaves(9), ...identityLeaves(20).slice(12)]]) {
      const forked = await serveLog(leaves)
      open.push(forked)
      front.target = forked
      const { contradictions, problems, next } = await audit(front, { since })
      expect([problems.length > 0, next]).toEqual([true, null])
      const [evidence] = contradictions
      if (evidence === undefined) throw new Error('no evidence')
      expect(verifyEvidence(Buffer.from(formatEvidence(evidence)), [LOG_KEY]).evidence.kind).toBe(leaves.length === 10 ? 'two-roots' : 'fork')
    }
  })
})

describe("an audit of a log's witnesses", () => {
  it('finds the quorum met and the witness in agreement, with its older checkpoint as well', async () => {
    const { log, front } = await serve(identityLeaves(20))
    const older = (await log.store.publication())?.note ?? ''
    await log.append(identityLeaves(25).slice(20))
    const newer = cosigned(await log.publish())
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(newer) : body)
    for (const [shown, size] of [[newer, 25], [cosigned(older), 20]] as const) {
      const found = await audit(front, { policy: await witness(() => shown) })
      expect(found).toMatchObject({ quorum: true, problems: [], contradictions: [], witnesses: [{ name: 'one', standing: 'agrees', size, cosignedAt: NOW_S }] })
      expect(found.next).not.toBeNull()
    }
    expect(await audit(front, { policy: await witness(() => newer), notBefore: NOW_S + 1 })).toMatchObject({ quorum: false, next: null })
  })

  it('tells one that was shown another log, with evidence', async () => {
    const { log, front } = await serve(identityLeaves(25))
    const own = cosigned((await log.store.publication())?.note ?? '')
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(own) : body)
    for (const leaves of [identityLeaves(30).slice(5, 25), identityLeaves(30).slice(5)]) {
      const forked = await serveLog(leaves)
      open.push(forked)
      const shown = cosigned((await forked.store.publication())?.note ?? '')
      const found = await audit(front, { policy: await witness(() => shown) })
      expect(found).toMatchObject({ next: null, witnesses: [{ standing: 'contradicts', size: leaves.length }] })
      const [evidence] = found.contradictions
      if (evidence === undefined) throw new Error('no evidence')
      expect(verifyEvidence(Buffer.from(formatEvidence(evidence)), [LOG_KEY, WITNESS_KEY]).evidence.kind).toBe(leaves.length === 25 ? 'two-roots' : 'fork')
    }
  })

  it('tells one that is ahead, has signed nothing, does not answer, or answers with something else', async () => {
    const { log, front } = await serve(identityLeaves(20))
    const shown = cosigned((await log.store.publication())?.note ?? '')
    front.answer = (path, body) => (path === '/checkpoint' ? Buffer.from(shown) : body)
    const ahead = await serveLog(identityLeaves(22))
    open.push(ahead)
    const larger = cosigned((await ahead.store.publication())?.note ?? '')
    const standing = async (policy: Policy): Promise<unknown> => (await audit(front, { policy })).witnesses.map(({ standing }) => standing)
    expect(await standing(await witness(() => larger))).toEqual(['ahead'])
    expect(await standing(await witness(() => null))).toEqual(['never'])
    expect(await standing(await witness(() => (parseNote(shown), shown.split('\n').slice(0, 5).join('\n') + '\n')))).toEqual(['invalid'])
    const policy = await witness(() => null)
    expect(await standing({ ...policy, witnesses: policy.witnesses.map((one) => ({ ...one, url: null })) })).toEqual(['silent'])
  })
})
