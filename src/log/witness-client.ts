// The log's side of the witness protocol, for one witness: what it is sent, what its answers mean. spec/log.md#witnesses

import { createHash } from 'node:crypto'
import { parseDecimal } from '../core/encoding/text.ts'
import { assert, verdictOf } from '../core/errors.ts'
import { parseNote, parseSignatureLine, verifyNote, type VerifiedSignature, type VerifierKey } from '../core/tlog/note.ts'
import { formatAddCheckpoint } from '../core/tlog/witness-request.ts'
import type { Store } from '../storage/store.ts'
import { readConsistency } from './consistency.ts'
import { WRITER_LIMITS } from './limits.ts'
import type { Clock } from './ports.ts'
import type { AskWitness, WitnessReply } from './witness-request.ts'

/** A checkpoint as its log signed it, without signatures of others. */
export interface SignedCheckpoint {
  readonly origin: string
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  readonly note: string
  /** When it was signed, milliseconds since 1970. */
  readonly signedAt: number
}

/** A witness that contradicts the log, or seems to: the whole exchange, as it was. */
export interface WitnessAlarm {
  /** What it means, in words for the operator. */
  readonly reason: string
  /** The body that was posted. */
  readonly request: string
  readonly reply: WitnessReply
}

/** What became of a checkpoint at a witness. */
export type WitnessOutcome =
  | { readonly outcome: 'cosigned'; readonly cosignatures: readonly VerifiedSignature[]; readonly ms: number }
  /** `knownSize` is the size of the newest tree that the witness says it has seen, where it says one. */
  | { readonly outcome: 'refused'; readonly reason: string; readonly knownSize: number | null }
  | { readonly outcome: 'alarm'; readonly alarm: WitnessAlarm }

/** A time that a cosignature stated: the witness's clock, in milliseconds since 1970, when the clocks here showed the others. */
export interface WitnessTime {
  readonly witness: number
  readonly machine: number
  readonly monotonic: number
}

/** What a witness is asked with. */
export interface WitnessPorts {
  readonly store: Pick<Store, 'tiles'>
  readonly ask: AskWitness
  readonly clock: Clock
  /** Size of the last tree that was signed: what the guard remembers. */
  readonly lastSigned: () => number
}

/** One witness, at one address, under one or more keys. Asked by one caller at a time. */
export class WitnessClient {
  readonly #ports: WitnessPorts
  readonly #url: string
  readonly #keys: readonly VerifierKey[]
  /** The newest tree that the witness has seen; null where that is not known, at the start or after a lost reply. */
  #size: number | null = null
  /** The newest time of each key, by its id. */
  readonly #times = new Map<string, number>()
  /** The newest time that the witness stated, believed or not. */
  time: WitnessTime | null = null
  /** How often it was asked over the network. */
  requests = 0

  constructor(ports: WitnessPorts, url: string, keys: readonly VerifierKey[]) {
    this.#ports = ports
    this.#url = url.replace(/\/+$/, '')
    this.#keys = keys
  }

  /**
   * Has a checkpoint cosigned. A lost reply is followed by the same checkpoint without a proof, in case that it was
   * taken; a 409 that names the witness's size, by one more attempt with a proof from there. Never throws for
   * what a witness or the network does; an incident of the store propagates.
   */
  async submit(checkpoint: SignedCheckpoint, signal: AbortSignal): Promise<WitnessOutcome> {
    const { clock, lastSigned } = this.#ports
    let [lost, corrected] = [false, false]
    for (;;) {
      const old: number = this.#size ?? checkpoint.size
      if (old > checkpoint.size) return refused(`it has seen ${old} entries, and ${checkpoint.size} are to be cosigned`, old)
      const request = await this.#request(old, checkpoint)
      const sent = { monotonic: clock.now(), machine: clock.timeOfDay() }
      let reply: WitnessReply
      try {
        this.requests++
        reply = await this.#ports.ask(`${this.#url}/add-checkpoint`, request, signal)
      } catch (error) {
        this.#size = null
        if (lost || signal.aborted) return refused(`it cannot be asked: ${wordsOf(signal.aborted ? signal.reason : error)}`)
        lost = true
        continue
      }
      if (reply.status === 200) return this.#cosigned(checkpoint, reply.body, sent)
      const size = reply.status === 409 ? statedSize(reply) : null
      if (reply.status === 422 || (reply.status === 409 && size === null)) {
        return alarm(`it refuses the checkpoint of size ${checkpoint.size} as one that contradicts what it has seen (${reply.status})`, request, reply)
      }
      if (size === null) return refused(wordsForStatus(reply.status))
      if (size > lastSigned()) {
        return alarm(`it has seen ${size} entries signed by this log's key, but only ${lastSigned()} were ever signed here`, request, reply)
      }
      this.#size = size
      if (corrected || size > checkpoint.size) return refused(`it has seen ${size} entries, and ${checkpoint.size} are to be cosigned`, size)
      corrected = true
    }
  }

  /** The checkpoint of this log that the witness shows to monitors, whatever it is; null where it shows none. */
  async monitor(origin: string, signal: AbortSignal): Promise<string | null> {
    const path = createHash('sha256').update(origin).digest('hex')
    const reply = await this.#ports.ask(`${this.#url}/${path}/checkpoint`, null, signal).catch(() => null)
    return reply?.status === 200 ? reply.body : null
  }

  async #request(old: number, { size, note }: SignedCheckpoint): Promise<string> {
    const proof = await readConsistency(this.#ports.store, old, size)
    const request = formatAddCheckpoint({ oldSize: old, proof, note: parseNote(note) })
    assert(Buffer.byteLength(request) <= WRITER_LIMITS.witnessRequestBytes, 'a request fits what witnesses take')
    return request
  }

  #cosigned(checkpoint: SignedCheckpoint, body: string, sent: Omit<WitnessTime, 'witness'>): WitnessOutcome {
    const { clock } = this.#ports
    const { value: verified, verdict } = verdictOf(() => readCosignatures(checkpoint, body, this.#keys))
    if (verdict !== null) return refused(`its cosignature does not verify (${verdict.code})`)
    if (verified.length === 0) return refused('it answered without a cosignature by its key')
    this.#size = checkpoint.size
    const now = { monotonic: clock.now(), machine: clock.timeOfDay() }
    const reasons: string[] = []
    const cosignatures = verified.filter(({ key, timestamp }) => {
      const seconds = timestamp ?? 0
      const last = this.#times.get(key.id) ?? 0
      // The witness signed some time between request and reply, in some part of its second.
      const offset = distance([seconds * 1000, seconds * 1000 + 999], [Math.min(sent.machine, now.machine), now.machine])
      if (seconds === 0) reasons.push('its cosignature states no time')
      else if (seconds < last) reasons.push(`its clock went back by ${last - seconds} s`)
      else this.time = { ...now, witness: now.machine + offset }
      if (seconds < last || seconds === 0) return false
      if (Math.abs(offset) <= WRITER_LIMITS.witnessClockMs) {
        this.#times.set(key.id, seconds)
        return true
      }
      reasons.push(`its cosignature is dated ${(Math.abs(offset) / 1000).toFixed(0)} s ${offset < 0 ? 'before' : 'after'} this machine's clock`)
      return false
    })
    const [reason = ''] = reasons
    return cosignatures.length === 0 ? refused(reason, checkpoint.size) : { outcome: 'cosigned', cosignatures, ms: now.monotonic - sent.monotonic }
  }
}

/** Media type of the body that states a witness's size. */
const SIZE_TYPE = 'text/x.tlog.size'

// A 409 of any other type is how some witnesses say "the same size with another root".
function statedSize({ type, body }: WitnessReply): number | null {
  if (type.split(';')[0]?.trim().toLowerCase() !== SIZE_TYPE || !body.endsWith('\n')) return null
  return verdictOf(() => parseDecimal(body.slice(0, -1))).value
}

// The first line of each known key; lines of others, and what is no line, mean nothing. Throws INVALID_NOTE_SIGNATURE.
function readCosignatures({ note }: SignedCheckpoint, body: string, keys: readonly VerifierKey[]): readonly VerifiedSignature[] {
  const lines = body.split('\n').flatMap((line) => verdictOf(() => parseSignatureLine(line)).value ?? [])
  const signatures = keys.flatMap((key) => lines.find(({ name, id }) => name === key.name && id === key.id) ?? [])
  return signatures.length === 0 ? [] : verifyNote({ text: parseNote(note).text, signatures }, keys)
}

/** How far the first range of times is after the second (negative: before); 0 where they overlap. */
export function distance([start, end]: readonly [number, number], [from, to]: readonly [number, number]): number {
  return start > to ? start - to : end < from ? end - from : 0
}

function refused(reason: string, knownSize: number | null = null): WitnessOutcome {
  return { outcome: 'refused', reason, knownSize }
}

function alarm(reason: string, request: string, reply: WitnessReply): WitnessOutcome {
  return { outcome: 'alarm', alarm: { reason, request, reply } }
}

function wordsForStatus(status: number): string {
  if (status === 404) return 'it does not know this log (404): have its operator add the log'
  if (status === 403) return "it does not accept the log's signature (403): does it know this key of the log?"
  if (status === 429) return 'it was asked too often (429): give it a rate of its own'
  if (status >= 300 && status < 400) return `it redirects (${status}), which is not followed: name its true address in the policy`
  return `it answered ${status}`
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
