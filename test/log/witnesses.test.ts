import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatNote, KEY_TYPES, makeSigningKey, signText } from '../../src/core/tlog/note.ts'
import type { Policy } from '../../src/core/tlog/policy.ts'
import { WRITER_LIMITS } from '../../src/log/limits.ts'
import { PolicyError } from '../../src/log/witness-policy.ts'
import { Witnesses, type WitnessSettings } from '../../src/log/witnesses.ts'
import type { KeptCheckpoint } from '../../src/storage/store.ts'
import { fakeWitness, handClock, policyOf, type FakeWitness } from '../support/fake-witness.ts'
import { emptyLog, FIRST_MS, LOG_KEY, publishAll } from '../support/stored-log.ts'

const STRANGER = makeSigningKey('other.test/log', KEY_TYPES.ed25519, new Uint8Array(32).fill(2))

async function open(policy: Policy, given: Partial<WitnessSettings> = {}): Promise<Witnesses> {
  const ask = (): Promise<never> => Promise.reject(new Error('nobody is there'))
  return new Witnesses({
    policy, keys: [LOG_KEY], rates: new Map(), failOpen: false, store: await emptyLog(), ask, clock: handClock(FIRST_MS), lastSigned: () => 0, keepAlarm: () => '', log: () => undefined, ...given,
  })
}

const fakes = (count: number): FakeWitness[] => Array.from({ length: count }, (_, i) => fakeWitness(`w${i}`, [LOG_KEY], () => FIRST_MS))

describe('the witnesses of a policy', () => {
  it('are those of this log, or of any', async () => {
    const [witness] = fakes(1)
    if (witness === undefined) throw new Error('no witness')
    await expect(open(policyOf([STRANGER], [witness], 'quorum w0'))).rejects.toThrow(new PolicyError(`the policy is of other.test/log and names no key of this log, ${LOG_KEY.name}+${LOG_KEY.id}`))
    await open(policyOf([STRANGER, LOG_KEY], [witness], 'quorum w0'))
    await open(policyOf([], [witness], 'quorum w0'))
  })

  it('have addresses where they are needed, and http is how they are asked', async () => {
    const [one, two] = fakes(2)
    if (one === undefined || two === undefined) throw new Error('no witness')
    const [mute, odd] = [{ ...two, url: '' }, { ...two, url: 'ftp://w1.test' }]
    await expect(open(policyOf([LOG_KEY], [one, mute], 'group all 2 w0 w1\nquorum all'))).rejects.toThrow(/quorum all can never be met/)
    const witnesses = await open(policyOf([LOG_KEY], [one, mute], 'quorum w0'))
    expect(witnesses.report().witnesses.map(({ refusal }) => refusal)).toEqual([null, 'it has no address in the policy'])
    await expect(open(policyOf([LOG_KEY], [one, odd], 'quorum w0'))).rejects.toThrow(/w1 of the policy has no http:\/\/ or https:\/\/ address: ftp:/)
  })

  it('have rates of their own only where the quorum does not need them, and where they exist', async () => {
    const policy = policyOf([LOG_KEY], fakes(3), 'group all 2 w0 w1 w2\nquorum all')
    await open(policy, { rates: new Map([['w2', 100]]) })
    await expect(open(policy, { rates: new Map([['w2', 100], ['w1', 5]]) })).rejects.toThrow(/can never be met for every checkpoint/)
    await expect(open(policy, { rates: new Map([['w7', 100]]) })).rejects.toThrow(/a rate is set for w7, which is no witness/)
  })

  it('are no more than a checkpoint has room for, where all are needed', async () => {
    const names = Array.from({ length: 16 }, (_, i) => `w${i}`)
    await expect(open(policyOf([LOG_KEY], fakes(16), `group all all ${names.join(' ')}\nquorum all`))).rejects.toThrow(/needs more than 15 witnesses/)
    await open(policyOf([LOG_KEY], fakes(16), `group all 15 ${names.join(' ')}\nquorum all`))
  })

  it('count once where two keys of one operator are one group', async () => {
    const both = [fakeWitness('one', [LOG_KEY], () => FIRST_MS, [KEY_TYPES.cosignature, KEY_TYPES.mlDsa44]), fakeWitness('two', [LOG_KEY], () => FIRST_MS)]
    const policy = policyOf([LOG_KEY], both, 'group first any one one2\ngroup all all first two\nquorum all')
    const asked: string[] = []
    const witnesses = await open(policy, { ask: async (url, body, signal) => {
      asked.push(url)
      const found = both.find((witness) => url.startsWith(`${witness.url}/`))
      if (found === undefined || found.name === 'two') throw new Error('gone')
      return found.answer(url, body, signal)
    } })
    const { note, size, root } = await firstCheckpoint()
    expect(await witnesses.cosign({ origin: LOG_KEY.name, note, size, root, signedAt: FIRST_MS })).toBe(false)
    expect(asked.filter((url) => url.startsWith('http://one.test')), 'one address is asked once').toHaveLength(1)
    expect(witnesses.report().witnesses.map(({ name, refusal }) => [name, refusal])).toEqual([['one', null], ['one2', null], ['two', 'it cannot be asked: gone']])
    await witnesses.stop()
  })
})

describe('the checkpoints that are kept', () => {
  const { newest, most } = WRITER_LIMITS.keptCheckpoints
  const checkpoint = (size: number, by: readonly FakeWitness[]): KeptCheckpoint => {
    const text = `${LOG_KEY.name}\n${size}\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n`
    const signatures = [signText(text, LOG_KEY), ...by.flatMap(({ keys: [key] }) => (key === undefined ? [] : [signText(text, key, 1)]))]
    return { size, note: formatNote({ text, signatures }) }
  }

  it('are the newest ones, and of each witness the newest', async () => {
    const [alice, bob, carol] = fakes(3)
    if (alice === undefined || bob === undefined || carol === undefined) throw new Error('no witness')
    const witnesses = await open(policyOf([LOG_KEY], [alice, bob, carol], 'quorum w0'))
    const early = [checkpoint(0, [carol, bob]), checkpoint(1, [alice, bob]), checkpoint(2, [carol]), checkpoint(3, [])]
    const late = Array.from({ length: newest }, (_, i) => checkpoint(10 + i, [alice]))
    expect(witnesses.outdated([])).toEqual([])
    expect(witnesses.outdated(late)).toEqual([])
    expect(witnesses.outdated([...early, ...late])).toEqual([3, 0])
  })

  it('are no more than there is room for, however many witnesses there are', async () => {
    const all = fakes(most)
    const witnesses = await open(policyOf([LOG_KEY], all, 'quorum none'))
    const kept = [...all.map((witness, i) => checkpoint(i, [witness])), ...Array.from({ length: newest }, (_, i) => checkpoint(most + i, []))]
    expect(witnesses.outdated(kept)).toEqual(Array.from({ length: newest }, (_, i) => newest - 1 - i))
  })
})

describe('the specification of witnesses', () => {
  it('states the bounds as they are', () => {
    const page = readFileSync(join(import.meta.dirname, '../../spec/log.md'), 'utf8')
    const section = page.slice(page.indexOf('\n## Witnesses'), page.indexOf('\n## Signer'))
    const { witnessRequestBytes, witnessAnswerBytes, witnessDeadlineMs, witnessClockMs, witnessTimeMs, signatureLines, keptCheckpoints } = WRITER_LIMITS
    const stated = [
      `at most ${witnessRequestBytes.toLocaleString('en')} bytes`,
      `up to ${witnessAnswerBytes.toLocaleString('en')} bytes`,
      `${witnessDeadlineMs.toLocaleString('en')} ms`,
      `${witnessClockMs / 1000} s from this machine's`,
      `in the last ${witnessTimeMs / 1000} s`,
      `At most ${signatureLines} signature lines`,
      `the newest ${keptCheckpoints.newest},`,
      `${keptCheckpoints.most} at most`,
    ]
    expect(stated.filter((words) => !section.includes(words))).toEqual([])
  })
})

async function firstCheckpoint(): Promise<{ note: string; size: number; root: Uint8Array }> {
  const store = await emptyLog()
  await publishAll(store)
  const publication = await store.publication()
  if (publication === null) throw new Error('nothing is published')
  return publication
}
