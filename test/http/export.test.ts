import { once } from 'node:events'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { LIMITS } from '../../src/http/limits.ts'
import { describe, expect, it } from 'vitest'
import { decodeEntry } from '../../src/core/entry.ts'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { EntryRow, Store } from '../../src/storage/store.ts'
import { COUNTER_START_MS, openCounter, type TestCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const iso = (ms: number): string => new Date(ms).toISOString()
const operation = (row: EntryRow): string => renderJson(decodeEntry(row.entry).operation.value)

// What the deployed directory writes, put together by hand.
const sequenced = (row: EntryRow): string =>
  `{"did":"${row.did}","cid":"${row.cid}","seq":${row.index + 1},"createdAt":"${iso(row.createdAt)}","operation":${operation(row)},"type":"sequenced_op"}`
const legacy = (row: EntryRow): string =>
  `{"did":"${row.did}","cid":"${row.cid}","createdAt":"${iso(row.createdAt)}","operation":${operation(row)},"nullified":${row.nullified}}`

/** Asks for paths in one go over one connection, reads nothing until it is told to, and gives their bodies, unpacked. */
function slowReader(url: string, paths: readonly string[], encoding: string): { read: () => Promise<string[]> } {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const head = `Host: localhost\r\nAccept-Encoding: ${encoding}\r\n`
  socket.write(paths.map((path, i) => `GET ${path} HTTP/1.1\r\n${head}${i === paths.length - 1 ? 'Connection: close\r\n' : ''}\r\n`).join(''))
  return { read: async () => bodiesOf(await buffer(socket)) }
}

// Answers in chunks, one after the other.
function bodiesOf(answers: Buffer): string[] {
  const bodies: string[] = []
  for (let at = 0; at < answers.length; ) {
    const body = answers.indexOf('\r\n\r\n', at) + 4
    const packed = answers.toString('latin1', at, body).includes('Content-Encoding: gzip')
    const chunks: Buffer[] = []
    for (at = body; ; ) {
      const chunk = answers.indexOf('\r\n', at) + 2
      const length = parseInt(answers.toString('latin1', at, chunk), 16)
      at = chunk + length + 2
      if (length === 0) break
      chunks.push(answers.subarray(chunk, chunk + length))
    }
    bodies.push((packed ? gunzipSync(Buffer.concat(chunks)) : Buffer.concat(chunks)).toString())
  }
  return bodies
}

/** Five identities at each of four times, and one whose first update was undone. */
async function openLedger(): Promise<{ counter: TestCounter; rows: EntryRow[]; byTime: EntryRow[] }> {
  const counter = await openCounter()
  const carol = person('carol')
  for (let i = 0; i < 4; i++) {
    await counter.fill(5)
    counter.clock.ms += 1_000
  }
  await counter.submit(carol.did, carol.genesis)
  await counter.submit(carol.did, carol.update(carol.genesis, { key: 2, handle: 'stolen' }))
  await counter.submit(carol.did, carol.update(carol.genesis, { key: 0, handle: 'recovered' }))
  const rows = await counter.store.entries(0, 100)
  const byTime = [...rows].sort((a, b) => a.createdAt - b.createdAt || (a.cid < b.cid ? -1 : 1))
  return { counter, rows, byTime }
}

describe('GET /export', () => {
  it('reads the first parameters of a query, as many as the limit, and no more', async () => {
    const { counter, rows } = await openLedger()
    await using ledger = counter
    const linesAfter = async (others: number): Promise<number> => (await ledger.ask(`/export?after=0&${'a&'.repeat(others)}count=1`)).text.split('\n').length
    expect(await linesAfter(LIMITS.queryParameters - 2)).toBe(1)
    expect(await linesAfter(LIMITS.queryParameters - 1)).toBe(rows.length)
    expect(await linesAfter(7_800)).toBe(rows.length)
  })

  it('goes by sequence number where after is digits', async () => {
    const { counter, rows } = await openLedger()
    await using ledger = counter
    const reply = await ledger.ask('/export?after=0')
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/jsonlines')
    expect(reply.text).toBe(rows.map(sequenced).join('\n'))
    expect((await ledger.ask('/export?after=3&count=4')).text).toBe(rows.slice(3, 7).map(sequenced).join('\n'))
    expect((await ledger.ask('/export?after=003&count=1')).text).toBe(rows.slice(3, 4).map(sequenced).join('\n'))
    expect((await ledger.ask(`/export?after=${rows.length - 1}`)).text).toBe(sequenced(rows[rows.length - 1] as EntryRow))
  })

  it('goes by time, then CID, in every other case', async () => {
    const { counter, byTime } = await openLedger()
    await using ledger = counter
    for (const query of ['', '?after=', '?after=1&after=2', '?after[]=3']) {
      expect((await ledger.ask(`/export${query}`)).text).toBe(byTime.map(legacy).join('\n'))
    }
    const after = (ms: number): string => byTime.filter((row) => row.createdAt > ms).map(legacy).join('\n')
    for (const ms of [COUNTER_START_MS - 1, COUNTER_START_MS, COUNTER_START_MS + 1_500]) {
      expect((await ledger.ask(`/export?after=${encodeURIComponent(iso(ms))}`)).text).toBe(after(ms))
    }
    expect((await ledger.ask(`/export?count=2&after=${iso(COUNTER_START_MS)}`)).text).toBe(
      byTime.filter((row) => row.createdAt > COUNTER_START_MS).slice(0, 2).map(legacy).join('\n'),
    )
    expect((await ledger.ask('/export?after=1999')).text).toBe('')
    expect((await ledger.ask('/export?after=1999-12-31')).text).toBe(byTime.map(legacy).join('\n'))
    expect((await ledger.ask('/export?after=-1')).text).toBe(byTime.map(legacy).join('\n'))
    expect((await ledger.ask('/export?after=1.5')).text).toBe(byTime.map(legacy).join('\n'))
  })

  it('pages through everything once by sequence number', async () => {
    const { counter, rows } = await openLedger()
    await using ledger = counter
    const lines: string[] = []
    for (let after = 0; ; ) {
      const { text } = await ledger.ask(`/export?after=${after}&count=4`)
      if (text === '') break
      lines.push(...text.split('\n'))
      after = (JSON.parse(lines.at(-1) ?? '') as { seq: number }).seq
    }
    expect(lines).toEqual(rows.map(sequenced))
  })

  it('reads count as the deployed directory does', async () => {
    await using counter = await openCounter()
    await counter.fill(1_001)
    const linesOf = async (query: string): Promise<number> => (await counter.ask(`/export?after=0&${query}`)).text.split('\n').length
    expect(await linesOf('')).toBe(1_000)
    expect(await linesOf('count=')).toBe(1_000)
    expect(await linesOf('count=1000')).toBe(1_000)
    expect(await linesOf('count=5000')).toBe(1_000)
    expect(await linesOf('count=99999999999999999999')).toBe(1_000)
    expect(await linesOf('count=1.5')).toBe(1)
    expect(await linesOf('count=1e2')).toBe(1)
    expect(await linesOf('count=%207x')).toBe(7)
    expect(await linesOf('count=5&count=6')).toBe(5)
    for (const count of ['0', '-1', 'x', 'NaN', '%00', '&count=']) {
      expect(await counter.ask(`/export?count=${count}`)).toMatchObject({ status: 400, text: '{"message":"Invalid count parameter"}' })
    }
  })

  it('answers nothing, with 200, where there is nothing', async () => {
    await using counter = await openCounter()
    const none = { status: 200, text: '' }
    expect(await counter.ask('/export')).toMatchObject(none)
    await counter.fill(2)
    for (const after of ['2', '3', '9007199254740993', '99999999999999999999', '9'.repeat(400), '%2B200000-01-01T00:00:00Z']) {
      const reply = await counter.ask(`/export?after=${after}`)
      expect(reply).toMatchObject(none)
      expect(reply.headers['content-type']).toBe('application/jsonlines')
    }
  })

  it('refuses what is neither digits nor a date', async () => {
    await using counter = await openCounter()
    for (const after of ['x', 'Infinity', '%00', '2026-13-01', '%F0%9F%98%80', '0x10']) {
      expect(await counter.ask(`/export?after=${after}`)).toMatchObject({ status: 400, text: '{"message":"Invalid after parameter"}' })
    }
  })

  it('ends where the log is durable', async () => {
    await using counter = await openCounter()
    await counter.fill(5)
    await using behind = await openCounter({ ports: { store: counter.store } })
    expect((await behind.ask('/export?after=0')).text).toBe('')
    expect((await behind.ask('/export')).text).toBe('')
    behind.tip.advanceDurable(3)
    expect((await behind.ask('/export?after=0')).text.split('\n')).toHaveLength(3)
    expect((await behind.ask('/export')).text.split('\n')).toHaveLength(3)
  })

  it('is sent in pieces, compressed where asked for', async () => {
    const { counter, rows } = await openLedger()
    await using ledger = counter
    await ledger.fill(200)
    const plain = await ledger.ask('/export?after=0')
    expect(plain.headers['transfer-encoding']).toBe('chunked')
    expect(plain.text.startsWith(rows.map(sequenced).join('\n'))).toBe(true)
    const packed = await ledger.ask('/export?after=0', { headers: { 'Accept-Encoding': 'gzip' } })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(packed.body.length).toBeLessThan(plain.body.length)
    expect(gunzipSync(packed.body).toString()).toBe(plain.text)
  })

  it('is the same in however many pieces it is sent', async () => {
    await using ledger = await openCounter()
    await ledger.fill(1_300)
    const rows = await ledger.store.entries(0, 2_000)
    for (const [after, count] of [[0, 1_000], [0, 499], [0, 500], [0, 501], [299, 1_000], [300, 1_000], [301, 1_000], [799, 501]] as const) {
      const expected = rows.slice(after, after + count)
      expect((await ledger.ask(`/export?after=${after}&count=${count}`)).text).toBe(expected.map(sequenced).join('\n'))
    }
    // All of one millisecond: in the order of their CIDs.
    const byCid = rows.toSorted((a, b) => (a.cid < b.cid ? -1 : 1)).slice(0, 1_000)
    expect((await ledger.ask('/export')).text).toBe(byCid.map(legacy).join('\n'))
    expect((await ledger.ask('/export?after=0', { method: 'HEAD' })).body).toHaveLength(0)
  })

  it('sends each of many slow readers the page that he asked for, whatever others read meanwhile', async () => {
    await using ledger = await openCounter()
    for (let i = 0; i < 4; i++) {
      await ledger.fill(1_000)
      ledger.clock.ms += 1_000
    }
    const rows = await ledger.store.entries(0, 4_000)
    const lines = rows.map(sequenced)
    const byTime = rows.toSorted((a, b) => a.createdAt - b.createdAt || (a.cid < b.cid ? -1 : 1)).map(legacy)
    // Pages that overlap, so that every one of them is another.
    const bySeq = Array.from({ length: 24 }, (_, i) => ({ path: `/export?after=${i * 125}&count=1000`, text: lines.slice(i * 125, i * 125 + 1_000).join('\n') }))
    const pages = [...bySeq, ...Array.from({ length: 4 }, (_, i) => ({ path: `/export?after=${iso(COUNTER_START_MS + i * 1_000 - 1)}`, text: byTime.slice(i * 1_000, (i + 1) * 1_000).join('\n') }))]
    // More for each than its connection holds on the way.
    const slow = Array.from({ length: 4 }, (_, i) => {
      const asked = pages.map((_, k) => pages[(k * (2 * i + 1)) % pages.length] ?? pages[0]).filter((page) => page !== undefined)
      return { asked, reader: slowReader(ledger.url, asked.map(({ path }) => path), i === 3 ? 'gzip' : 'identity') }
    })
    for (let round = 0; round < 3; round++) {
      const replies = await Promise.all(pages.map(({ path }) => ledger.ask(path)))
      expect(replies.every(({ text }, i) => text === pages[i]?.text)).toBe(true)
    }
    for (const { asked, reader } of slow) {
      const bodies = await reader.read()
      expect(bodies).toHaveLength(asked.length)
      expect(bodies.every((body, i) => body === asked[i]?.text)).toBe(true)
    }
  })

  it('is told of a store that fails, before and after lines were read, and an answer that a client leaves harms no other', async () => {
    await using sound = await openCounter()
    await sound.fill(900)
    const whole = (await sound.ask('/export?after=0')).text
    let failing = Infinity
    const store: Store = {
      ...sound.store,
      exportFrom: (from, to, count, use) =>
        sound.store.exportFrom(from, to, count, (entry) => {
          if (failing-- === 0) throw new Error('gone')
          use(entry)
        }),
    }
    await using counter = await openCounter({ ports: { store, tip: sound.tip } })
    for (const lines of [0, 1, 700]) {
      failing = lines
      expect((await counter.ask('/export?after=0')).status).toBe(500)
      failing = Infinity
      expect((await counter.ask('/export?after=0')).text).toBe(whole)
    }
    for (let i = 0; i < 10; i++) {
      const leaving = connect(Number(new URL(counter.url).port), '127.0.0.1')
      leaving.write('GET /export?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await once(leaving, 'readable')
      leaving.destroy()
      expect((await counter.ask('/export?after=0', { method: 'HEAD' })).status).toBe(200)
      expect((await counter.ask('/export?after=0')).text).toBe(whole)
    }
  })
})
