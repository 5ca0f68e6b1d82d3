// The streams of every process of a log: the one that signs, one that accepts, one that reads.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { logStream } from '../../src/client/stream-client.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { clusterOnFolder } from '../support/cluster.ts'
import { person } from '../support/people.ts'
import { EdgeConsumer, seqsOf, subscribe } from '../support/subscriber.ts'

const COUNT = 20

describe('every process', () => {
  it('sends what any of them accepts, every root of which can be derived, and says when it stops', async () => {
    await using cluster = await clusterOnFolder()
    const members = Object.values(cluster.members)
    const events = await Promise.all(members.map(({ url }) => subscribe(url, '/export/stream')))
    const logs = members.map(({ url }) => logStream(url, 0))
    for (let i = 0; i < COUNT; i++) {
      const { did, genesis } = person(`citizen ${i}`, 1)
      const { url } = i % 2 === 0 ? cluster.members.signer : cluster.members.accepter
      const response = await fetch(`${url}/${did}`, { method: 'POST', body: renderJson(genesis.value), headers: { 'Content-Type': 'application/json' } })
      expect(await response.text()).toBe('OK')
    }
    for (const stream of events) {
      await stream.until(COUNT)
      expect(seqsOf(stream.messages)).toEqual(Array.from({ length: COUNT }, (_, i) => i + 1))
      expect(stream.messages).toEqual(events[0]?.messages)
    }
    const keys = [parseVerifierKey(readFileSync(cluster.vkey, 'utf8').trim())]
    for (const log of logs) {
      const consumer = new EdgeConsumer(keys)
      for await (const frame of log) {
        consumer.take(frame)
        if (consumer.edge.size === COUNT && consumer.checked > 0) break
      }
    }
    const stopped = await Promise.all(members.map((member) => member.stop()))
    for (const { code } of stopped) expect(code).toBe(0)
    for (const stream of events) expect(await stream.closed).toEqual({ code: 1001, reason: 'ServerStopping' })
  }, 120_000)
})
