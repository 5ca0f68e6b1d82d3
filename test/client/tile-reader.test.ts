import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeReader } from '../../src/cli/store-reader.ts'
import { fsck } from '../../src/client/fsck.ts'
import { httpTileReader, MAX_BUNDLE_BYTES, NotServedError } from '../../src/client/tile-reader.ts'
import { encodeBundle } from '../../src/core/tlog/bundle.ts'
import { COUNTER_KEY, openCounter, type TestCounter } from '../support/counter.ts'

describe('a tile reader over HTTP', () => {
  let counter: TestCounter

  beforeAll(async () => {
    counter = await openCounter()
    await counter.fill(300)
    await counter.publish()
  })

  afterAll(() => counter[Symbol.asyncDispose]())

  it('reads what a store holds, byte for byte', async () => {
    const [http, stored] = [httpTileReader(counter.url), storeReader(counter.store)]
    expect(await http.checkpoint()).toBe(await stored.checkpoint())
    for (const tile of [{ level: 0, index: 0, width: 256 }, { level: 0, index: 1, width: 44 }, { level: 1, index: 0, width: 1 }]) {
      expect(Buffer.from(await http.tile(tile))).toEqual(Buffer.from(await stored.tile(tile)))
    }
    expect(Buffer.from(await http.bundle(0, 256))).toEqual(Buffer.from(await stored.bundle(0, 256)))
    expect(Buffer.from(await http.bundle(1, 44))).toEqual(Buffer.from(await stored.bundle(1, 44)))
  })

  it('takes a prefix with and without a slash at its end', async () => {
    expect(await httpTileReader(`${counter.url}/`).checkpoint()).toBe(await httpTileReader(counter.url).checkpoint())
  })

  it('cuts what is partial from the full tile or bundle where the partial one is gone', async () => {
    const withoutPartial: typeof fetch = (url, init) =>
      typeof url === 'string' && url.includes('.p/') ? Promise.resolve(new Response(null, { status: 404 })) : fetch(url, init)
    const full = httpTileReader(counter.url, { fetch: withoutPartial })
    const whole = httpTileReader(counter.url)
    expect(Buffer.from(await full.tile({ level: 0, index: 0, width: 44 }))).toEqual(Buffer.from(await whole.tile({ level: 0, index: 0, width: 44 })))
    expect(Buffer.from(await full.bundle(0, 44))).toEqual(Buffer.from(await whole.bundle(0, 44)))
  })

  it('says that something is not served, and fails for every other reason', async () => {
    const reader = httpTileReader(counter.url)
    await expect(reader.tile({ level: 0, index: 7, width: 256 })).rejects.toThrow(NotServedError)
    await expect(reader.tile({ level: 0, index: 7, width: 3 })).rejects.toThrow(NotServedError)
    await expect(reader.bundle(9, 3)).rejects.toThrow(NotServedError)
    const failing = httpTileReader(counter.url, { attempts: 1, fetch: () => Promise.resolve(new Response(null, { status: 500 })) })
    await expect(failing.bundle(0, 1)).rejects.not.toThrow(NotServedError)
  })

  it('refuses what is longer than a tile or a bundle can be', async () => {
    const long = (bytes: number): typeof fetch => () => Promise.resolve(new Response(new Uint8Array(bytes)))
    await expect(httpTileReader('http://log.example', { fetch: long(8_193) }).tile({ level: 0, index: 0, width: 256 })).rejects.toThrow('8192')
    await expect(httpTileReader('http://log.example', { fetch: long(MAX_BUNDLE_BYTES + 1) }).bundle(0, 256)).rejects.toThrow('bytes')
    const largest = encodeBundle(Array.from({ length: 256 }, () => new Uint8Array(65_535)))
    expect((await httpTileReader('http://log.example', { fetch: () => Promise.resolve(new Response(Buffer.from(largest))) }).bundle(0, 256)).length).toBe(largest.length)
  })

  it('is enough for fsck', async () => {
    // Nobody signed what the counter was filled with.
    const report = await fsck(httpTileReader(counter.url), [COUNTER_KEY], { verifyAnswers: (questions) => Promise.resolve(questions.map(() => 0)) })
    expect(report).toMatchObject({ entries: 300, problems: [], checkpoint: { size: 300 } })
  })
})
