// Witnesses in memory, with the decisions of the real one, whose answers a test can spoil; and a clock that is moved by hand.

import { createHash } from 'node:crypto'
import { formatVerifierKey, KEY_TYPES, makeSigningKey, type SigningKey, type VerifierKey } from '../../src/core/tlog/note.ts'
import { parsePolicy, type Policy } from '../../src/core/tlog/policy.ts'
import type { Clock } from '../../src/log/ports.ts'
import type { AskWitness, WitnessReply } from '../../src/log/witness-request.ts'
import { createCosigner } from '../../src/witness/cosigner.ts'
import { WitnessRefusal } from '../../src/witness/refusal.ts'
import { logId, type Cosigned, type WitnessState } from '../../src/witness/state.ts'
import { createWitness } from '../../src/witness/witness.ts'

/** Spoils one exchange: `answer` is what the witness does with the request; to throw is to lose the reply. */
export type Fault = (answer: () => WitnessReply, signal: AbortSignal) => WitnessReply | Promise<WitnessReply>

/** A witness that a test has in its hand. */
export interface FakeWitness {
  readonly name: string
  readonly url: string
  readonly keys: readonly SigningKey[]
  /** Bodies that reached it, oldest first. */
  readonly requests: string[]
  /** Spoil the next requests, one each; null for none. */
  readonly faults: (Fault | null)[]
  /** Spoils every request beyond those. */
  always: Fault | null
  /** How far its clock is ahead, seconds. */
  clockOffsetS: number
  /** What it cosigned last of a log. */
  latest(origin: string): Cosigned | null
  /** Forgets or claims what was cosigned. */
  pretend(origin: string, cosigned: Cosigned | null): void
  /** What it answers to a request, null for the body of a GET. */
  answer(url: string, body: string | null, signal: AbortSignal): Promise<WitnessReply>
}

/** A witness of the logs of these keys, whose own follow from its name. It has one, of type 0x04, unless types are given. */
export function fakeWitness(name: string, logKeys: readonly VerifierKey[], now: () => number, types: readonly number[] = [KEY_TYPES.cosignature]): FakeWitness {
  const keys = types.map((type) => makeSigningKey(`${name}.test`, type, createHash('sha256').update(`${name} ${type}`).digest()))
  const kept = new Map<string, Cosigned>()
  const state: WitnessState = {
    latest: (origin) => kept.get(logId(origin)) ?? null,
    latestById: (id) => kept.get(id) ?? null,
    advance: (_from, to) => void kept.set(logId(to.origin), to),
    keep: () => true,
    suspects: () => [],
  }
  const clock = { offsetS: 0 }
  const timeOfDay = (): number => now() + clock.offsetS * 1000
  const witness = createWitness({ state, cosigners: keys.map(createCosigner), logKeys, logRate: 0, now: timeOfDay, elapsed: now, log: () => undefined })
  const decide = (url: string, body: string | null): WitnessReply => {
    try {
      return { status: 200, type: 'text/plain; charset=utf-8', body: body === null ? witness.checkpoint(url.split('/').at(-2) ?? '') : witness.addCheckpoint(body) }
    } catch (error) {
      if (!(error instanceof WitnessRefusal)) throw error
      return { status: error.status, type: error.parts.type ?? 'text/plain; charset=utf-8', body: error.parts.body ?? `${error.message}\n` }
    }
  }
  const fake: FakeWitness = {
    name, keys, url: `http://${name}.test`, requests: [], faults: [], always: null,
    get clockOffsetS() {
      return clock.offsetS
    },
    set clockOffsetS(seconds) {
      clock.offsetS = seconds
    },
    latest: (origin) => state.latest(origin),
    pretend: (origin, cosigned) => void (cosigned === null ? kept.delete(logId(origin)) : kept.set(logId(origin), cosigned)),
    async answer(url, body, signal) {
      if (body === null) return decide(url, body)
      fake.requests.push(body)
      const fault = fake.faults.shift() ?? fake.always
      return fault === null ? decide(url, body) : fault(() => decide(url, body), signal)
    },
  }
  return fake
}

/** The network between a log and its witnesses. */
export function askFakes(witnesses: readonly FakeWitness[]): AskWitness {
  return async (url, body, signal) => {
    const witness = witnesses.find((witness) => url.startsWith(`${witness.url}/`))
    if (witness === undefined) throw new Error('ECONNREFUSED')
    return witness.answer(url, body, signal)
  }
}

/** A policy of a log and witnesses. Each witness's first key has its name, further ones a number behind it. `rest`: groups and quorum. */
export function policyOf(logKeys: readonly VerifierKey[], witnesses: readonly FakeWitness[], rest: string): Policy {
  const lines = witnesses.flatMap(({ name, url, keys }) => keys.map((key, i) => `witness ${name}${i === 0 ? '' : i + 1} ${formatVerifierKey(key)} ${url}`))
  return parsePolicy([...logKeys.map((key) => `log ${formatVerifierKey(key)}`), ...lines, rest].join('\n'))
}

/** Faults by name. */
export const FAULTS: { readonly lostRequest: Fault; readonly lostReply: Fault; readonly hang: Fault; answers(status: number, type?: string, body?: string): Fault } = {
  lostRequest: () => {
    throw new Error('ECONNRESET')
  },
  lostReply: (answer) => {
    answer()
    throw new Error('ECONNRESET')
  },
  hang: (_answer, signal) =>
    new Promise<never>((_resolve, reject) => {
      const end = (): void => reject(new Error('aborted'))
      if (signal.aborted) end()
      signal.addEventListener('abort', end)
    }),
  answers: (status, type = 'text/plain', body = '') => () => ({ status, type, body }),
}

/** Time that passes only when a test says so. */
export interface HandClock extends Clock {
  /** Lets time pass, and what waits for it go on. */
  pass(ms: number): Promise<void>
}

/** A clock at this time of day. */
export function handClock(timeOfDay: number): HandClock {
  let now = 0
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  return {
    now: () => now,
    timeOfDay: () => timeOfDay + now,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (ms <= 0 || signal?.aborted) return resolve()
        const sleeper = { at: now + ms, wake: resolve }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          resolve()
        })
      }),
    async pass(ms) {
      const end = now + ms
      for (;;) {
        await settle()
        const next = [...sleepers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
        if (next === undefined) break
        now = Math.max(now, next.at)
        sleepers.delete(next)
        next.wake()
      }
      now = end
      await settle()
    },
  }
}

/** Lets everything that waits for nothing but promises go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}
