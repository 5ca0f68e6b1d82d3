// Delivering to a webhook: signed, in order, again and again until it is taken or given up. docs/following.md#webhooks

import { hex, utf8Encode } from '../core/encoding/text.ts'
import { sleep } from './request.ts'

/** Where deliveries go, and what becomes of those that are not taken. */
export interface WebhookOptions {
  readonly url: string
  /** Signs what is sent: 16 bytes or more. */
  readonly secret: Uint8Array
  /** Keeps a delivery that was given up; false where there is no room, so that it is tried on. */
  readonly keepDead: (delivery: DeadLetter) => Promise<boolean>
  /** How long a delivery is tried before it is given up, milliseconds. Default 15 minutes. */
  readonly giveUpMs?: number
  readonly signal?: AbortSignal
  /** Told of every attempt that failed. */
  readonly onTrouble?: (words: string) => void
  /** Seconds since 1970. Default: the machine's. */
  readonly now?: () => number
  /** From 0 up to 1. Default: Math.random. */
  readonly random?: () => number
  /** Default: the platform's. */
  readonly fetch?: typeof fetch
}

/** A delivery that was not taken. */
export interface DeadLetter {
  readonly id: string
  readonly body: string
  /** Why the last attempt failed. */
  readonly words: string
}

/** Sends one body. Resolves once it was answered with a status of 200 to 299, or kept as a dead letter. Throws the signal's reason, and what `keepDead` throws. */
export type Deliver = (id: string, body: string) => Promise<'taken' | 'dead'>

export const WEBHOOK_LIMITS = {
  /** How long one attempt may take, in milliseconds. */
  requestMs: 10_000,
  /** First wait between two attempts, in milliseconds; it doubles, and up to half of it is left out at random. */
  firstRetryMs: 500,
  /** Longest wait between two attempts, in milliseconds. */
  longestRetryMs: 60_000,
  /** How long a delivery is tried before it is given up, in milliseconds. */
  giveUpMs: 900_000,
  /** Longest body, in UTF-16 units, unless one entry alone needs more. */
  bodyLength: 262_144,
  /** Shortest secret, in bytes. */
  secretBytes: 16,
} as const

/** A webhook. Throws RangeError for a secret that is too short. */
export function webhook(options: WebhookOptions): Deliver {
  const { url, secret, keepDead, giveUpMs = WEBHOOK_LIMITS.giveUpMs, signal, onTrouble, now = () => Date.now() / 1000, random = Math.random, fetch: send = fetch } = options
  if (secret.length < WEBHOOK_LIMITS.secretBytes) throw new RangeError(`a secret has ${WEBHOOK_LIMITS.secretBytes} bytes or more`)

  async function attempt(id: string, body: string): Promise<string | null> {
    const timestamp = String(Math.floor(now()))
    const timeout = AbortSignal.timeout(WEBHOOK_LIMITS.requestMs)
    try {
      const response = await send(url, {
        method: 'POST',
        redirect: 'error',
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        headers: {
          'content-type': 'application/json',
          'stele-delivery': id,
          'stele-timestamp': timestamp,
          'stele-signature': await signDelivery(secret, timestamp, body),
        },
        body,
      })
      await response.body?.cancel().catch(() => undefined)
      return response.ok ? null : `it answered ${response.status}`
    } catch (error) {
      const cause: unknown = error instanceof Error ? error.cause : undefined
      return cause instanceof Error && cause.message !== '' ? cause.message : error instanceof Error ? error.message : String(error)
    }
  }

  return async (id, body) => {
    const began = performance.now()
    for (let waitMs: number = WEBHOOK_LIMITS.firstRetryMs; ; waitMs = Math.min(waitMs * 2, WEBHOOK_LIMITS.longestRetryMs)) {
      signal?.throwIfAborted()
      const words = await attempt(id, body)
      if (words === null) return 'taken'
      signal?.throwIfAborted()
      onTrouble?.(words)
      if (performance.now() - began >= giveUpMs && (await keepDead({ id, body, words }))) return 'dead'
      await sleep(waitMs * (1 - random() / 2), signal)
    }
  }
}

/** The value of `Stele-Signature`: `sha256=` and the HMAC-SHA256, in lower-case hexadecimal, of the timestamp, a full stop and the body. */
export async function signDelivery(secret: Uint8Array, timestamp: string, body: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', Uint8Array.from(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return `sha256=${hex.encode(new Uint8Array(await crypto.subtle.sign('HMAC', key, Uint8Array.from(utf8Encode(`${timestamp}.${body}`)))))}`
}

/** Rendered entries (`renderFollowed`) as bodies: `{"log":...,"entries":[...]}`, as few as the longest body allows, in order. */
export function bodiesOf(origin: string, rendered: readonly string[]): { readonly first: number; readonly count: number; readonly body: string }[] {
  const bodies: { first: number; count: number; body: string }[] = []
  let first = 0
  let length = 0
  for (let at = 0; at <= rendered.length; at++) {
    const next = rendered[at]
    if (at > first && (next === undefined || length + next.length > WEBHOOK_LIMITS.bodyLength)) {
      bodies.push({ first, count: at - first, body: `{"log":${JSON.stringify(origin)},"entries":[${rendered.slice(first, at).join(',')}]}` })
      first = at
      length = 0
    }
    length += (next?.length ?? 0) + 1
  }
  return bodies
}
