import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { jsonTexts, MAX_JSON_LENGTH, readSource, sourceName, type FoundRecord } from '../../src/cli/import-sources.ts'
import { DirectoryError } from '../../src/core/errors.ts'
import { renderAuditLog, renderLegacy, renderSequenced, type LedgerRecord } from '../../src/core/plc/records.ts'
import { openCounter } from '../support/counter.ts'
import { person } from '../support/people.ts'

const folder = mkdtempSync(join(tmpdir(), 'stele-import-'))
afterAll(() => rmSync(folder, { recursive: true }))

const alice = person('alice')
const update = alice.update(alice.genesis)
const first: Required<LedgerRecord> = { did: alice.did, operation: alice.genesis, cid: alice.genesis.cid, createdAt: 1, nullified: false, seq: 1 }
const records: Required<LedgerRecord>[] = [
  first,
  { did: alice.did, operation: update, cid: update.cid, createdAt: 2, nullified: false, seq: 2 },
]

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function* inChunks(text: string, ...lengths: readonly number[]): AsyncGenerator<string> {
  let at = 0
  for (const length of [...lengths, text.length]) {
    yield await Promise.resolve(text.slice(at, at + length))
    at += length
  }
}

async function read(name: string, content: string | Uint8Array): Promise<FoundRecord[]> {
  const path = join(folder, name)
  writeFileSync(path, content)
  return collect(readSource(path, new AbortController().signal))
}

function cids(found: readonly FoundRecord[]): string[] {
  return found.map(({ record }) => (record instanceof DirectoryError ? record.code : record.cid))
}

describe('a source of records', () => {
  const expected = records.map((record) => record.cid)

  it('is an audit log on one line or on many, or an export in either form', async () => {
    const audit = renderAuditLog(records)
    expect(cids(await read('audit.json', audit))).toEqual(expected)
    expect(cids(await read('pretty.json', JSON.stringify(JSON.parse(audit), null, 2)))).toEqual(expected)
    expect(cids(await read('audits.jsonl', `${audit}\n\n${audit}\n`))).toEqual([...expected, ...expected])
    expect(cids(await read('legacy.jsonl', records.map(renderLegacy).join('\n')))).toEqual(expected)
    expect(cids(await read('sequenced.jsonl', `${records.map(renderSequenced).join('\r\n')}\r\n`))).toEqual(expected)
    expect(cids(await read('packed.jsonl.gz', gzipSync(records.map(renderSequenced).join('\n'))))).toEqual(expected)
    expect(await read('nothing', '\n\n')).toEqual([])
  })

  it('says where each record stands, and what is none', async () => {
    const found = await read('mixed', [renderLegacy(first), '{"did":1}', 'words', renderAuditLog(records)].join('\n'))
    expect(cids(found)).toEqual([expected[0], 'MALFORMED_RECORD', 'MALFORMED_JSON', ...expected])
    expect(found.map(({ where }) => where.slice(folder.length + 1))).toEqual(['mixed, line 1', 'mixed, line 2', 'mixed, line 3', 'mixed, line 4, element 1', 'mixed, line 4, element 2'])
    expect(cids(await read('open', '[{"did":\n'))).toEqual(['MALFORMED_JSON'])
  })

  it('never quotes what is no JSON, which may be a secret', async () => {
    const [found] = await read('alice.key', 'z3u2secret\n')
    expect(found?.record).toBeInstanceOf(DirectoryError)
    expect(found?.record instanceof Error ? found.record.message : '').toBe('Malformed JSON')
  })

  it('is refused where it is not UTF-8 or a line has no end', async () => {
    await expect(read('latin', Uint8Array.of(0xff, 0xfe))).rejects.toThrow('not UTF-8')
    await expect(read('endless', 'x'.repeat(MAX_JSON_LENGTH + 1))).rejects.toThrow('longer than')
    await expect(read('endless.json', `[\n${'1,\n'.repeat(MAX_JSON_LENGTH / 3)}`)).rejects.toThrow('longer than')
    await expect(collect(readSource(join(folder, 'missing'), new AbortController().signal))).rejects.toThrow('ENOENT')
    await expect(read('broken.gz', 'not packed')).rejects.toThrow()
  })

  it('is a URL: an audit log, or an export page after page', async () => {
    await using counter = await openCounter()
    await counter.submit(alice.did, alice.genesis)
    await counter.submit(alice.did, update)
    await counter.fill(1_500)
    const { signal } = new AbortController()
    expect(cids(await collect(readSource(`${counter.url}/${alice.did}/log/audit`, signal)))).toEqual(expected)
    const exported = await collect(readSource(`${counter.url}/export`, signal))
    expect(exported).toHaveLength(1_502)
    expect(cids(exported.slice(0, 2))).toEqual(expected)
    expect(await collect(readSource(`${counter.url}/export?after=1400`, signal))).toHaveLength(102)
    await expect(collect(readSource(`${counter.url}/nothing/here`, signal))).rejects.toThrow('answered 4')
    await expect(collect(readSource(`${counter.url}/export?after=yesterday`, signal))).rejects.toThrow('sequence number')
  })

  it('is known by its host where it is a URL', () => {
    expect(sourceName('https://plc.directory/export')).toBe('plc.directory')
    expect(sourceName('-')).toBe('import')
    expect(sourceName('/tmp/export.jsonl')).toBe('import')
  })

  it('is read the same however it is cut into chunks', async () => {
    const text = `${renderLegacy(first)}\n${JSON.stringify(JSON.parse(renderAuditLog(records)), null, 1)}\n\n{}\n`
    const whole = (await collect(jsonTexts(inChunks(text)))).map(({ text, where }) => [JSON.parse(text), where])
    expect(whole).toHaveLength(3)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 700 })), async (lengths) => {
        expect((await collect(jsonTexts(inChunks(text, ...lengths)))).map(({ text, where }) => [JSON.parse(text), where])).toEqual(whole)
      }),
      { numRuns: 30 },
    )
  })
})
