import { describe, expect, it } from 'vitest'
import { openCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const { did } = person('alice')

describe('what only a notary knows', () => {
  it('is nowhere else', async () => {
    await using counter = await openCounter()
    for (const path of ['/log/upstream', '/log/upstream/cursor?seq=0', '/log/refused', '/log/divergent', `/log/divergent/${did}`]) {
      const { status, text } = await counter.ask(path)
      expect([status, JSON.parse(text)], path).toEqual([404, { message: 'This directory is no notary of another' }])
    }
  })

  it('is answered by any process over its database, and what is asked wrongly is refused', async () => {
    await using counter = await openCounter()
    await counter.store.notary.begin('plc.test')
    for (const path of ['/log/upstream', '/log/refused', '/log/divergent']) expect((await counter.ask(path)).text, path).toBe('')
    expect(JSON.parse((await counter.ask('/log/upstream/cursor?upstream=5')).text)).toEqual({ seq: 0, upstream: 5 })
    for (const path of ['/log/upstream?after=x', '/log/refused?after=-1', '/log/refused?count=0', '/log/divergent?after=5', '/log/upstream/cursor?seq=1&seq=2', '/log/upstream/cursor?upstream=x']) {
      expect((await counter.ask(path)).status, path).toBe(400)
    }
    expect((await counter.ask(`/log/divergent/${did}`)).status).toBe(404)
    expect((await counter.ask('/log/divergent/x')).status).toBe(404)
  })
})
