import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { bodiesOf, signDelivery, webhook, WEBHOOK_LIMITS, type DeadLetter, type WebhookOptions } from '../../src/client/webhook.ts'

const SECRET = new TextEncoder().encode('a secret of the tests alone')

interface Sent {
  readonly body: string
  readonly headers: Headers
}

/** A receiver that answers what it is told, one status after the other; 0 for no answer. */
function receiver(statuses: readonly number[]): { sent: Sent[]; fetch: typeof fetch } {
  const sent: Sent[] = []
  return {
    sent,
    fetch: (_url, init) => {
      sent.push({ body: typeof init?.body === 'string' ? init.body : '', headers: new Headers(init?.headers) })
      const status = statuses[sent.length - 1] ?? 200
      return status === 0 ? Promise.reject(new TypeError('fetch failed', { cause: new Error('connection reset') })) : Promise.resolve(new Response(null, { status }))
    },
  }
}

function open(fetch: WebhookOptions['fetch'], given: Partial<WebhookOptions> = {}): { deliver: ReturnType<typeof webhook>; dead: DeadLetter[]; troubles: string[] } {
  const dead: DeadLetter[] = []
  const troubles: string[] = []
  const keepDead = (letter: DeadLetter): Promise<boolean> => Promise.resolve(dead.push(letter) > 0)
  const deliver = webhook({ url: 'https://hook.test/', secret: SECRET, keepDead, onTrouble: (words) => troubles.push(words), now: () => 1_800_000_000.9, random: () => 1, ...(fetch === undefined ? {} : { fetch }), ...given })
  return { deliver, dead, troubles }
}

describe('a webhook', () => {
  it('signs the time and the body with HMAC-SHA256', async () => {
    const { sent, fetch } = receiver([200])
    expect(await open(fetch).deliver('4-5', '{"log":"é"}')).toBe('taken')
    const [{ body, headers }] = sent as [Sent]
    expect(body).toBe('{"log":"é"}')
    expect([headers.get('stele-delivery'), headers.get('stele-timestamp'), headers.get('content-type')]).toEqual(['4-5', '1800000000', 'application/json'])
    expect(headers.get('stele-signature')).toBe(`sha256=${createHmac('sha256', SECRET).update(`1800000000.${body}`).digest('hex')}`)
    expect(await signDelivery(SECRET, '1800000000', body)).toBe(headers.get('stele-signature'))
    expect(() => open(fetch, { secret: SECRET.subarray(0, 15) })).toThrow(RangeError)
  })

  it('sends the same body until it is taken, whatever is answered', async () => {
    const { sent, fetch } = receiver([500, 0, 404, 302, 204])
    const { deliver, dead, troubles } = open(fetch)
    expect(await deliver('0-0', 'body')).toBe('taken')
    expect(sent.map(({ body }) => body)).toEqual(Array(5).fill('body'))
    expect(troubles).toEqual(['it answered 500', 'connection reset', 'it answered 404', 'it answered 302'])
    expect(dead).toEqual([])
  })

  it('gives up in time and keeps what it gave up, or goes on where there is no room', async () => {
    const { sent, fetch } = receiver([500, 500, 500, 500])
    const first = open(fetch, { giveUpMs: 0 })
    expect(await first.deliver('7-9', 'body')).toBe('dead')
    expect(first.dead).toEqual([{ id: '7-9', body: 'body', words: 'it answered 500' }])
    let room = 0
    expect(await open(fetch, { giveUpMs: 0, keepDead: () => Promise.resolve(++room > 2) }).deliver('0-0', 'body')).toBe('dead')
    expect(sent).toHaveLength(4)
  })

  it('ends with its signal, between two attempts and in one', async () => {
    for (const fetch of [receiver([500, 500]).fetch, ((_url, init) => new Promise((_resolve, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted'))))) as typeof globalThis.fetch]) {
      const stop = new AbortController()
      const delivering = open(fetch, { signal: stop.signal }).deliver('0-0', 'body')
      setTimeout(() => stop.abort(new Error('enough')), 20)
      await expect(delivering).rejects.toThrow('enough')
    }
  })
})

describe('entries in bodies', () => {
  it('come in order, each once, and no body is longer than it must be', () => {
    const long = JSON.stringify('x'.repeat(WEBHOOK_LIMITS.bodyLength + 10))
    const short = JSON.stringify('y'.repeat(1_000))
    for (const rendered of [[short], [long], [long, long], [short, long, short], Array<string>(600).fill(short)]) {
      const bodies = bodiesOf('log "one"', rendered)
      expect(bodies.flatMap(({ body }) => (JSON.parse(body) as { entries: string[] }).entries)).toEqual(rendered.map((text) => JSON.parse(text) as string))
      expect(bodies.map(({ first }) => first)).toEqual(bodies.map((_, i) => bodies.slice(0, i).reduce((sum, { count }) => sum + count, 0)))
      for (const { body, count } of bodies) {
        expect((JSON.parse(body) as { log: string }).log).toBe('log "one"')
        if (count > 1) expect(body.length).toBeLessThan(WEBHOOK_LIMITS.bodyLength + 100)
      }
    }
    expect(bodiesOf('log', [])).toEqual([])
  })
})
