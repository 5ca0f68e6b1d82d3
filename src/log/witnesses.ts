// The witnesses of a policy: asked in parallel, each at its own pace, until a quorum of them has cosigned.
// spec/log.md#witnesses

import { parseNote, type VerifiedSignature, type VerifierKey } from '../core/tlog/note.ts'
import { meetsQuorum, type Policy, type PolicyWitness } from '../core/tlog/policy.ts'
import type { KeptCheckpoint, Publication } from '../storage/store.ts'
import { CosignedTrees } from './cosigned-trees.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { LogLine } from './ports.ts'
import { alarmName, alarmText, type AskedWitnesses } from './witness-alarm.ts'
import { WitnessClient, type SignedCheckpoint, type WitnessAlarm, type WitnessPorts } from './witness-client.ts'
import { checkPolicy } from './witness-policy.ts'

/** What the witnesses are asked under, and who is told. */
export interface WitnessSettings extends WitnessPorts {
  readonly policy: Policy
  /** The log's own keys. */
  readonly keys: readonly VerifierKey[]
  /** Checkpoints a day that a witness is asked for, by its name in the policy; the others are asked for every one. */
  readonly rates: ReadonlyMap<string, number>
  /** Whether a checkpoint is published at its deadline though the quorum has not met. */
  readonly failOpen: boolean
  /** Keeps the text of an alarm durably under a name of letters and digits, in place of an earlier one of that name; returns where it is. */
  readonly keepAlarm: (name: string, text: string) => string
  readonly log: LogLine
}

/** How one witness of the policy fares. */
export interface WitnessReport {
  readonly name: string
  /** When its newest cosignature came, milliseconds since 1970 by this machine; null before the first since the start. */
  readonly cosignedAt: number | null
  /** How long it took for that, milliseconds. */
  readonly latencyMs: number | null
  /** Why it did not cosign when it was asked last, in words; null where it did. */
  readonly refusal: string | null
}

/** How all of them fare. */
export interface WitnessesReport {
  readonly witnesses: readonly WitnessReport[]
  /** Whether the newest checkpoint lacked its quorum. */
  readonly quorumMissed: boolean
  /** Whether one contradicts the log: nothing is signed any more. */
  readonly alarm: boolean
}

/** A witness contradicts the log: words for the operator. Nothing may be signed any more. */
export class SplitViewError extends Error {
  override readonly name = 'SplitViewError'
}

/** The witnesses of one log's policy. */
export class Witnesses {
  readonly #settings: WitnessSettings
  readonly #endpoints: readonly Endpoint[]
  readonly #state = new Map<string, { cosignedAt: number | null; latencyMs: number | null; refusal: string | null }>()
  readonly #trees: CosignedTrees
  /** Witnesses that have said since the start how much they have seen. */
  readonly #answered = new Set<PolicyWitness>()
  readonly #stop = new AbortController()
  #asked = false
  #turn: Promise<unknown> = Promise.resolve()
  /** A witness contradicts the log; set for good. */
  alarm: SplitViewError | null = null
  /** Why the newest checkpoint lacks a quorum, in words; null where it has one. */
  shortfall: string | null = null
  /** The checkpoint that waits for its quorum. */
  #open: SignedCheckpoint | null = null
  /** Called whenever a tree of this size has a cosignature that nobody waits for, and once more when its checkpoint is published. */
  onCosigned: (size: number) => void = () => undefined

  /** Throws PolicyError where the policy is another log's, or the quorum can never be met for every checkpoint. */
  constructor(settings: WitnessSettings) {
    this.#settings = settings
    const { policy, keys, rates } = settings
    checkPolicy(policy, keys, rates)
    this.#trees = new CosignedTrees(policy, keys)
    for (const { name, url } of policy.witnesses) {
      this.#state.set(name, { cosignedAt: null, latencyMs: null, refusal: url === null ? 'it has no address in the policy' : null })
    }
    const urls = new Set(policy.witnesses.flatMap(({ url }) => url ?? []))
    this.#endpoints = [...urls].map((url) => {
      const witnesses = policy.witnesses.filter((witness) => witness.url === url)
      const perDay = Math.min(...witnesses.map(({ name }) => rates.get(name) ?? Infinity))
      return { url, witnesses, client: new WitnessClient(settings, url, witnesses.map(({ key }) => key)), everyMs: DAY_MS / perDay, nextAt: -Infinity, busy: false, waiting: null }
    })
  }

  /** Whether signing may begin: a quorum has said how much it has seen, and all that is here. */
  get ready(): boolean {
    const { policy, failOpen } = this.#settings
    return this.#asked && (failOpen || meetsQuorum(policy, [...this.#answered]))
  }

  /**
   * Asks those who have not said yet how much they have seen, with the checkpoint that is published. Resolves once
   * all have answered, or at the deadline. Throws SplitViewError where one has seen more than was ever signed here, or something else.
   */
  async ask(publication: Publication | null): Promise<void> {
    const silent = this.#endpoints.filter(({ witnesses }) => !witnesses.some((witness) => this.#answered.has(witness)))
    if (publication === null) for (const witness of this.#settings.policy.witnesses) this.#answered.add(witness)
    else {
      const checkpoint = this.#trees.remember(publication)
      await Promise.all(silent.map((endpoint) => new Promise<void>((resolve) => this.#offer(endpoint, { checkpoint, done: () => resolve() }))))
    }
    this.#asked = true
    if (this.alarm !== null) throw this.alarm
  }

  /**
   * Offers a checkpoint to all. Resolves, true or false, with whether it may be published: once new cosignatures meet
   * the quorum; or they cannot any more, or the deadline is over. Throws SplitViewError where a witness contradicts the log.
   */
  async cosign(checkpoint: SignedCheckpoint): Promise<boolean> {
    const { policy, clock, failOpen } = this.#settings
    const fresh: { readonly key: VerifierKey }[] = []
    const offered = this.#endpoints.filter((endpoint) => endpoint.nextAt <= clock.now())
    const late = new AbortController()
    this.#open = checkpoint
    const met = await new Promise<boolean>((resolve, reject) => {
      let left = offered.filter(({ everyMs }) => everyMs === 0).length
      const look = (): void => {
        if (this.alarm !== null) reject(this.alarm)
        else if (meetsQuorum(policy, fresh)) resolve(true)
        else if (left === 0) resolve(false)
      }
      for (const endpoint of offered) {
        const done = (cosigned: readonly VerifiedSignature[]): void => {
          fresh.push(...cosigned)
          if (endpoint.everyMs === 0) left--
          look()
        }
        this.#offer(endpoint, { checkpoint, done })
      }
      look()
      void clock.sleep(WRITER_LIMITS.witnessDeadlineMs, late.signal).then(() => resolve(false))
    }).finally(() => {
      this.#open = null
      late.abort()
    })
    this.#noteShortfall(met)
    return met || failOpen
  }

  /** The note of a checkpoint as it is served: with the cosignatures of its tree, those first that the policy names first. */
  noteOf(checkpoint: SignedCheckpoint): string {
    return this.#trees.noteOf(checkpoint)
  }

  /** Says that a checkpoint is published. */
  notePublished(checkpoint: SignedCheckpoint): void {
    this.#trees.at(checkpoint.size).published = checkpoint
    if (this.hasSlow(checkpoint.size)) this.onCosigned(checkpoint.size)
  }

  /** The checkpoint of this size that was published; null where none was, or it is long ago. */
  published(size: number): SignedCheckpoint | null {
    return this.#trees.find(size)?.published ?? null
  }

  /** Whether a witness with a rate of its own has cosigned the tree of this size. */
  hasSlow(size: number): boolean {
    const slow = this.#endpoints.filter(({ everyMs }) => everyMs > 0).flatMap(({ witnesses }) => witnesses)
    return slow.some(({ name }) => this.#trees.find(size)?.cosignatures.has(name))
  }

  /** Sizes of those of these checkpoints, given by size, that need not be kept: all but the newest, and the newest with a cosignature of each witness. */
  outdated(kept: readonly KeptCheckpoint[]): readonly number[] {
    const { newest, most } = WRITER_LIMITS.keptCheckpoints
    const signed = kept.toReversed().map(({ size, note }) => ({ size, by: parseNote(note).signatures }))
    const newestOf = this.#settings.policy.witnesses.map(({ key }) => signed.find(({ by }) => by.some(({ name, id }) => name === key.name && id === key.id)))
    const stay = signed.filter((checkpoint, i) => i < newest || newestOf.includes(checkpoint)).slice(0, most)
    return signed.filter((checkpoint) => !stay.includes(checkpoint)).map(({ size }) => size)
  }

  /** Does one thing after the other: publications, and what merges into them. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** How they fare, in the order of the policy. */
  report(): WitnessesReport {
    const witnesses = [...this.#state].map(([name, state]) => ({ name, ...state }))
    return { witnesses, quorumMissed: this.shortfall !== null, alarm: this.alarm !== null }
  }

  /** What the operator must know, in words. */
  faults(): readonly string[] {
    return [this.alarm?.message, this.shortfall].filter((words) => typeof words === 'string')
  }

  /** The time of day by each witness that was heard lately, milliseconds since 1970. */
  times(): readonly number[] {
    const now = this.#settings.clock.now()
    return this.#endpoints.flatMap(({ client: { time } }) => {
      const age = time === null ? Infinity : now - time.monotonic
      return time === null || age > WRITER_LIMITS.witnessTimeMs ? [] : [time.witness + age]
    })
  }

  /** Ends whatever is under way. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the directory is stopping'))
    await this.#turn
  }

  // One question at a time; of those that wait the newest counts.
  #offer(endpoint: Endpoint, job: Job): void {
    endpoint.waiting?.done([])
    endpoint.waiting = job
    if (!endpoint.busy) void this.#work(endpoint)
  }

  async #work(endpoint: Endpoint): Promise<void> {
    const { clock } = this.#settings
    endpoint.busy = true
    for (let job = endpoint.waiting; job !== null; job = endpoint.waiting) {
      endpoint.waiting = null
      const before = endpoint.client.requests
      const cosigned = this.alarm === null ? await this.#submit(endpoint, job.checkpoint) : []
      if (endpoint.everyMs > 0) endpoint.nextAt = clock.now() + endpoint.everyMs * Math.max(1, endpoint.client.requests - before)
      job.done(cosigned)
      if (cosigned.length > 0 && job.checkpoint !== this.#open) this.onCosigned(job.checkpoint.size)
    }
    endpoint.busy = false
  }

  async #submit(endpoint: Endpoint, checkpoint: SignedCheckpoint): Promise<readonly VerifiedSignature[]> {
    const { clock, log } = this.#settings
    const late = new AbortController()
    const answered = new AbortController()
    const ended = AbortSignal.any([late.signal, this.#stop.signal])
    void clock.sleep(WRITER_LIMITS.witnessDeadlineMs, answered.signal).then(() => late.abort(new Error(`no answer in ${WRITER_LIMITS.witnessDeadlineMs / 1000} s`)))
    try {
      const outcome = await endpoint.client.submit(checkpoint, ended)
      if (outcome.outcome === 'alarm') {
        await this.#raise(endpoint, checkpoint, outcome.alarm, ended)
        return []
      }
      if (outcome.outcome === 'refused') {
        if (outcome.knownSize !== null) for (const witness of endpoint.witnesses) this.#answered.add(witness)
        this.#refused(endpoint, outcome.reason)
        return []
      }
      for (const witness of endpoint.witnesses) this.#answered.add(witness)
      for (const cosignature of outcome.cosignatures) this.#cosigned(endpoint, checkpoint.size, cosignature, outcome.ms)
      return outcome.cosignatures
    } catch (error) {
      log('warn', { error }, 'a witness could not be asked')
      this.#refused(endpoint, 'its proof could not be read from the database')
      return []
    } finally {
      answered.abort()
    }
  }

  #cosigned({ witnesses }: Endpoint, size: number, cosignature: VerifiedSignature, latencyMs: number): void {
    const { clock, log } = this.#settings
    const name = witnesses.find(({ key }) => key === cosignature.key)?.name ?? ''
    if (this.#state.get(name)?.refusal !== null) log('info', { witness: name }, 'a witness cosigns again')
    this.#state.set(name, { cosignedAt: clock.timeOfDay(), latencyMs, refusal: null })
    this.#trees.at(size).cosignatures.set(name, cosignature)
  }

  #refused({ witnesses }: Endpoint, reason: string): void {
    for (const { name } of witnesses) {
      const state = this.#state.get(name) ?? { cosignedAt: null, latencyMs: null, refusal: null }
      if (state.refusal !== reason) this.#settings.log('warn', { witness: name }, `a witness does not cosign: ${reason}`)
      this.#state.set(name, { ...state, refusal: reason })
    }
  }

  // First the flag, so that nothing more is signed; then the exchange; then what the witness shows to others.
  async #raise(endpoint: Endpoint, checkpoint: SignedCheckpoint, alarm: WitnessAlarm, signal: AbortSignal): Promise<void> {
    const { keepAlarm, log } = this.#settings
    const names = endpoint.witnesses.map(({ name }) => name).join(', ')
    const words = `the witness ${names} contradicts this log: ${alarm.reason}. Nothing is signed until this is explained`
    this.alarm ??= new SplitViewError(words)
    this.#refused(endpoint, alarm.reason)
    try {
      const time = this.#settings.clock.timeOfDay()
      const keep = (theirs: string | null): string => keepAlarm(alarmName(alarm), alarmText(endpoint, checkpoint, alarm, theirs, time))
      this.alarm = new SplitViewError(`${words}. The exchange is in ${keep(null)}`)
      const theirs = await endpoint.client.monitor(checkpoint.origin, signal)
      if (theirs !== null) keep(theirs)
    } catch (error) {
      log('error', { error, alarm }, 'the exchange with a witness cannot be kept in a file')
    }
    log('error', { witness: names }, this.alarm.message)
  }

  #noteShortfall(met: boolean): void {
    const { failOpen, policy, log } = this.#settings
    const before = this.shortfall
    const missing = this.report().witnesses.flatMap(({ name, refusal }) => (refusal === null ? [] : [`${name}: ${refusal}`]))
    const effect = failOpen ? 'checkpoints are published without' : 'checkpoints wait'
    this.shortfall = met ? null : `the quorum ${policy.quorum} of witnesses is not met, ${effect}${missing.length === 0 ? '' : ` (${missing.join('; ')})`}`
    if (before === null && this.shortfall !== null) log('warn', {}, this.shortfall)
    if (before !== null && met) log('info', {}, 'the quorum of witnesses is met again')
  }
}

const DAY_MS = 86_400_000

/** Witnesses at one address, and how they are asked. */
interface Endpoint extends AskedWitnesses {
  readonly client: WitnessClient
  /** Shortest time between two questions, milliseconds; 0 where it is asked for every checkpoint. */
  readonly everyMs: number
  nextAt: number
  busy: boolean
  waiting: Job | null
}

interface Job {
  readonly checkpoint: SignedCheckpoint
  readonly done: (cosigned: readonly VerifiedSignature[]) => void
}
