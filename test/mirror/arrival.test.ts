// Submissions that a mirror passes on: who writes through it reads his own write.

import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { untilArrived } from '../../mirror/arrival.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { Tip } from '../../src/storage/tip.ts'
import { emptyLog } from '../support/stored-log.ts'
import { openMirror } from '../support/mirror.ts'
import { COUNTER_KEY, openCounter, postJson } from '../support/counter.ts'
import { person } from '../support/people.ts'

const [alice, bob] = [person('alice'), person('bob')]

async function post(url: string, did: string, body: string): Promise<{ readonly status: number; readonly text: string; readonly arrived: string | null }> {
  const response = await fetch(`${url}/${did}`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  return { status: response.status, text: await response.text(), arrived: response.headers.get('stele-arrived') }
}

describe('a mirror that forwards writes', () => {
  it('answers when the operation has arrived, and passes refusals on as they are', async () => {
    await using counter = await openCounter({ streams: { refreshSeconds: 0.1 } })
    await counter.publish()
    await using mirror = await openMirror([counter], { vkeys: [COUNTER_KEY], forwardWrites: true })
    const publishing = setInterval(() => void counter.publish(), 50)
    try {
      expect(await post(mirror.url, alice.did, renderJson(alice.genesis.value))).toEqual({ status: 200, text: 'OK', arrived: 'yes' })
      expect((await mirror.get(`/${alice.did}`)).status).toBe(200)
      const refused = await postJson(counter, alice.did, '{}')
      expect(await post(mirror.url, alice.did, '{}')).toEqual({ status: refused.status, text: refused.text, arrived: null })
    } finally {
      clearInterval(publishing)
    }
  })

  it('answers all the same where it does not arrive in time', async () => {
    const store = await emptyLog()
    const forward = untilArrived(() => Promise.resolve({ status: 200, type: 'text/plain', body: new Uint8Array(), headers: {} }), { store, tip: new Tip(), waitMs: 50 })
    const submission = { did: bob.did, body: Buffer.from(renderJson(bob.genesis.value)), headers: {} }
    expect(await forward(submission, new AbortController().signal)).toMatchObject({ status: 200, headers: { 'Stele-Arrived': 'no' } })
    expect(await forward({ ...submission, body: gzipSync(submission.body), headers: { 'content-encoding': 'gzip' } }, new AbortController().signal)).toMatchObject({ headers: { 'Stele-Arrived': 'no' } })
  })

  it('refuses writes where it is not told to', async () => {
    await using counter = await openCounter()
    await counter.publish()
    await using mirror = await openMirror([counter], { vkeys: [COUNTER_KEY] })
    expect((await post(mirror.url, bob.did, renderJson(bob.genesis.value))).status).toBe(503)
  })
})
