// The witnesses of a simulated log: far away, slow, down, cut off, forgetful, wrong about the time, and lying.

import { KEY_TYPES, type VerifierKey } from '../../src/core/tlog/note.ts'
import type { Policy } from '../../src/core/tlog/policy.ts'
import type { AskWitness, WitnessReply } from '../../src/log/witness-request.ts'
import { fakeWitness, FAULTS, policyOf, type FakeWitness, type Fault } from '../support/fake-witness.ts'
import type { Network } from './network.ts'
import type { Oracle } from './oracle.ts'
import type { World } from './world.ts'

const NAMES = ['alice', 'bob', 'carol']
/** A request that takes longer is lost; the log itself gives up before. */
const PATIENCE_MS = 30_000

/** Witnesses on a network. */
export class WitnessTown {
  readonly policy: Policy
  readonly #world: World
  readonly #network: Network
  readonly #witnesses: readonly FakeWitness[]

  /** Two of three make a quorum. `mapKeys` are of the log's map. */
  constructor(world: World, network: Network, logKeys: readonly VerifierKey[], mapKeys: readonly VerifierKey[]) {
    this.#world = world
    this.#network = network
    this.#witnesses = NAMES.map((name) => fakeWitness(name, [...logKeys, ...mapKeys], () => world.now, [KEY_TYPES.cosignature]))
    this.policy = policyOf(logKeys, this.#witnesses, `group all 2 ${NAMES.join(' ')}\nquorum all`)
    for (const witness of this.#witnesses) this.#attach(witness)
  }

  /** How a log reaches them. */
  readonly ask: AskWitness = async (url, body, signal) => {
    const name = new URL(url).hostname.replace('.test', '')
    const lost = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null)))
    const reply = await Promise.race([this.#network.request(`witness ${name}`, { url, body }, PATIENCE_MS), lost])
    if (reply === null) throw new Error('no answer')
    return reply as WitnessReply
  }

  /** The same for the map's log, which no policy needs to name. */
  get ofMap(): Pick<WitnessTown, 'policy' | 'ask'> {
    return { policy: { ...this.policy, logs: [] }, ask: this.ask }
  }

  /** Something befalls one of them, or it comes back from it. */
  trouble(oracle: Oracle, origin: string): void {
    const { random } = this.#world
    const witness = random.pick(this.#witnesses)
    const seen = witness.latest(origin)
    const kinds = ['down', 'down', 'broken', 'slow', 'garbled', 'late', 'forgetful', 'lying', 'well', 'well', 'well'] as const
    const kind = random.pick(kinds)
    oracle.saw(`witnesses ${kind}`)
    this.#heal(witness)
    if (kind === 'down') this.#network.detach(`witness ${witness.name}`)
    if (kind === 'broken') witness.always = FAULTS.answers(500)
    if (kind === 'slow') witness.always = (answer) => this.#world.sleep(random.below(9_000)).then(answer)
    if (kind === 'garbled') witness.always = garbled
    if (kind === 'late') witness.clockOffsetS = random.pick([-3_600, -20, 20, 3_600])
    if (kind === 'forgetful' && random.oneIn(2)) witness.pretend(origin, null)
    // The one lie that can be told without the log's key: that it was seen to contradict itself.
    if (kind === 'lying' && seen !== null) witness.always = random.oneIn(2) ? FAULTS.answers(422) : FAULTS.answers(409, 'text/x.tlog.size', `${seen.size + 1_000}\n`)
  }

  /** All of them are well again. */
  calm(): void {
    for (const witness of this.#witnesses) this.#heal(witness)
  }

  #heal(witness: FakeWitness): void {
    witness.always = null
    witness.clockOffsetS = 0
    this.#attach(witness)
  }

  #attach(witness: FakeWitness): void {
    this.#network.attach(`witness ${witness.name}`, async (message) => {
      const { url, body } = message as { url: string; body: string | null }
      return witness.answer(url, body, new AbortController().signal)
    })
  }
}

const garbled: Fault = (answer) => {
  const reply = answer()
  return { ...reply, body: reply.body.replace(/[0-9a-f]/g, (digit) => (digit === '0' ? '1' : digit === 'a' ? 'b' : digit)) }
}
