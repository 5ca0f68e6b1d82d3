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

  it('does not show what its operator withholds of it', async () => {
    const withheldViews = { refused: new Map([[2, null]]), divergent: new Map([[did, null]]) }
    await using counter = await openCounter({ ports: { withheldViews } })
    const { notary } = counter.store
    await notary.begin('plc.test')
    const aside = ['first', 'second'].map((key) => ({ key, did: '', cid: '', code: 'MALFORMED_JSON', words: 'it is', upstream: null, index: null, seenAt: 0, length: key.length, line: new TextEncoder().encode(key) }))
    const position = { source: 'plc.test', numbered: true, cursor: 0, highest: 0 }
    await counter.store.underHead((held) => {
      const { size, root, edge, clock } = held.head
      return held.append({ from: { size, root }, entries: [], nullified: [], tiles: [], to: { size, root, edge, clock }, upstream: { position, runs: [], aside, mostAside: 9, settled: [] } })
    })
    for (const named of [did, person('bob').did]) await notary.keepDivergence({ did: named, since: 0, checkedAt: 0, endedAt: null, kinds: ['missing'], theirs: '["theirs"]' }, 9)
    const lines = (await counter.ask('/log/refused')).text.split('\n').map((line) => JSON.parse(line) as { number: number; line: string })
    expect(lines.map(({ number, line }) => [number, line])).toEqual([[1, 'first'], [2, '']])
    expect(JSON.parse((await counter.ask(`/log/divergent/${did}`)).text)).toMatchObject({ did, ours: [], theirs: null })
    expect(JSON.parse((await counter.ask(`/log/divergent/${person('bob').did}`)).text)).toMatchObject({ theirs: '["theirs"]' })
  })
})
