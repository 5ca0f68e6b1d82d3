import { describe, expect, it } from 'vitest'
import { decodeBundle } from '../../src/core/tlog/bundle.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { tilePath, bundlePath, tilesOf } from '../../src/core/tlog/tile.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { COUNTER_KEY, COUNTER_ORIGIN, openCounter, type Reply, type TestCounter } from '../support/counter.ts'
import { naiveLeafHash, naiveRoot } from '../support/naive-tree.ts'

const message = (text: string): string => JSON.stringify({ message: text })

async function leavesOf(counter: TestCounter): Promise<Uint8Array[]> {
  return (await counter.store.entries(0, 1e6)).map((row) => row.entry)
}

/** The first `width` hashes of a tile, from the leaves. */
function naiveTile(leaves: readonly Uint8Array[], level: number, index: number, width: number): Buffer {
  const span = 256 ** level
  return Buffer.concat(Array.from({ length: width }, (_, i) => naiveRoot(leaves.slice((index * 256 + i) * span, (index * 256 + i + 1) * span))))
}

function expectImmutable(reply: Reply): void {
  expect(reply.status).toBe(200)
  expect(reply.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'cache-control': 'public, max-age=31536000, immutable' })
}

function expectMissing(reply: Reply): void {
  expect(reply).toMatchObject({ status: 404, text: message('No such tile') })
  expect(reply.headers).toMatchObject({ 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
}

describe('GET /checkpoint', () => {
  it('is missing until one is published, then the newest', async () => {
    await using counter = await openCounter()
    const none = await counter.ask('/checkpoint')
    expect(none).toMatchObject({ status: 404, text: message('No checkpoint has been published yet') })
    expect(none.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' })
    await counter.publish()
    await counter.fill(3)
    const reply = await counter.ask('/checkpoint')
    expect(reply.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-cache' })
    expect(openCheckpoint(reply.text, [COUNTER_KEY]).checkpoint).toMatchObject({ origin: COUNTER_ORIGIN, size: 0 })
    await counter.publish()
    const { checkpoint } = openCheckpoint((await counter.ask('/checkpoint')).text, [COUNTER_KEY])
    expect(checkpoint).toEqual({ origin: COUNTER_ORIGIN, size: 3, root: naiveRoot((await leavesOf(counter)).map(naiveLeafHash)) })
  })
})

describe('GET /log/vkey', () => {
  it('is the keys, one a line', async () => {
    await using counter = await openCounter()
    const reply = await counter.ask('/log/vkey')
    expect(reply.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(reply.text).toBe(`${formatVerifierKey(COUNTER_KEY)}\n`)
  })

  it('is the keys of now, where another process has changed them', async () => {
    await using counter = await openCounter()
    await counter.store.setSigner('guard', { guardId: 'guard', vkeys: ['one', 'two'] })
    expect((await counter.ask('/log/vkey')).text).toBe('one\ntwo\n')
  })
})

describe('GET /log/keys', () => {
  it('is missing where the log has said nothing, then what it has said last', async () => {
    const store = memoryStore()
    await using counter = await openCounter({ ports: { store } })
    expect(await counter.ask('/log/keys')).toMatchObject({ status: 404, text: message('This log has said nothing of its keys') })
    await store.create({ origin: COUNTER_ORIGIN, guardId: 'guard', vkeys: [], statement: 'a note\n' })
    const reply = await counter.ask('/log/keys')
    expect(reply).toMatchObject({ status: 200, text: 'a note\n' })
    expect(reply.headers).toMatchObject({ 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-cache' })
  })
})

describe('GET /log/checkpoints', () => {
  it('is empty where none is kept, then the kept ones by size, a line of JSON each', async () => {
    await using counter = await openCounter()
    expect(await counter.ask('/log/checkpoints')).toMatchObject({ status: 200, text: '' })
    const kept = [{ size: 3, note: 'three\n\n— a\n' }, { size: 8, note: 'eight\n' }]
    for (const checkpoint of kept.toReversed()) await counter.store.keepCheckpoint(checkpoint, [])
    const reply = await counter.ask('/log/checkpoints')
    expect(reply.headers).toMatchObject({ 'content-type': 'application/jsonlines', 'cache-control': 'no-cache' })
    expect(reply.text.split('\n').map((line): unknown => JSON.parse(line))).toEqual(kept)
  })
})

describe('tiles', () => {
  it('are what a naive tree says, at sizes on both sides of every boundary', async () => {
    await using counter = await openCounter()
    let previous = 0
    for (const size of [1, 2, 255, 256, 257, 511, 512, 513, 770]) {
      await counter.fill(size - previous)
      await counter.publish()
      previous = size
      const leaves = (await leavesOf(counter)).map(naiveLeafHash)
      for (const tile of tilesOf(size)) {
        const reply = await counter.ask(`/${tilePath(tile)}`)
        expectImmutable(reply)
        expect(reply.body).toEqual(naiveTile(leaves, tile.level, tile.index, tile.width))
      }
      const last = Math.floor((size - 1) / 256)
      const width = size - last * 256
      const bundle = await counter.ask(`/${bundlePath(last, width)}`)
      expectImmutable(bundle)
      expect(decodeBundle(bundle.body, width).map((entry) => Buffer.from(entry))).toEqual((await leavesOf(counter)).slice(last * 256).map((leaf) => Buffer.from(leaf)))
    }
  })

  it('have every level of a tree of more than 65,536 entries', async () => {
    await using counter = await openCounter()
    const size = 65_536 + 256 + 1
    await counter.fill(size)
    await counter.publish()
    const leaves = (await leavesOf(counter)).map(naiveLeafHash)
    const tiles = [...tilesOf(size)]
    expect(tiles.map(tilePath).slice(-4)).toEqual(['tile/0/257.p/1', 'tile/1/000', 'tile/1/001.p/1', 'tile/2/000.p/1'])
    for (const tile of [...tiles.slice(0, 2), ...tiles.slice(-5)]) {
      expect((await counter.ask(`/${tilePath(tile)}`)).body).toEqual(naiveTile(leaves, tile.level, tile.index, tile.width))
    }
    expectMissing(await counter.ask('/tile/2/000.p/2'))
    expectMissing(await counter.ask('/tile/3/000.p/1'))
    expect((await counter.ask('/tile/entries/256')).status).toBe(200)
  })

  it('come in every width that a published size needed, the full one being there or not', async () => {
    await using counter = await openCounter()
    await counter.fill(600)
    await counter.publish()
    const leaves = (await leavesOf(counter)).map(naiveLeafHash)
    for (const [path, level, index, width] of [
      ['tile/0/001.p/1', 0, 1, 1],
      ['tile/0/001.p/255', 0, 1, 255],
      ['tile/0/001', 0, 1, 256],
      ['tile/0/002.p/87', 0, 2, 87],
      ['tile/0/002.p/88', 0, 2, 88],
      ['tile/1/000.p/1', 1, 0, 1],
      ['tile/1/000.p/2', 1, 0, 2],
    ] as const) {
      const reply = await counter.ask(`/${path}`)
      expectImmutable(reply)
      expect(reply.body).toEqual(naiveTile(leaves, level, index, width))
    }
    for (const path of ['tile/0/002.p/89', 'tile/0/002', 'tile/0/003', 'tile/0/003.p/1', 'tile/1/000.p/3', 'tile/1/000', 'tile/2/000.p/1']) {
      expectMissing(await counter.ask(`/${path}`))
    }
    expect(decodeBundle((await counter.ask('/tile/entries/001.p/7')).body, 7)).toHaveLength(7)
    expect(decodeBundle((await counter.ask('/tile/entries/002.p/88')).body, 88)).toHaveLength(88)
    for (const path of ['tile/entries/002.p/89', 'tile/entries/002', 'tile/entries/003.p/1']) expectMissing(await counter.ask(`/${path}`))
  })

  it('are not served beyond what was signed and published', async () => {
    await using counter = await openCounter()
    await counter.fill(10)
    expectMissing(await counter.ask('/tile/0/000.p/1'))
    expectMissing(await counter.ask('/tile/entries/000.p/1'))
    await counter.publish()
    await counter.fill(10)
    expect((await counter.ask('/tile/0/000.p/10')).status).toBe(200)
    expectMissing(await counter.ask('/tile/0/000.p/11'))
    expectMissing(await counter.ask('/tile/entries/000.p/11'))
  })

  it('are served for a checkpoint that another process published', async () => {
    await using counter = await openCounter()
    await using other = await openCounter({ ports: { store: counter.store } })
    await counter.fill(10)
    await counter.publish()
    expect(other.tip.published).toBe(0)
    expect((await other.ask('/checkpoint')).text).toBe((await counter.ask('/checkpoint')).text)
    expect((await other.ask('/tile/0/000.p/10')).status).toBe(200)
    expect((await other.ask('/tile/entries/000.p/10')).status).toBe(200)
    expect((await other.ask('/log/proof/inclusion?index=3&size=10')).status).toBe(200)
  })

  it('have one path each', async () => {
    await using counter = await openCounter()
    await counter.fill(300)
    await counter.publish()
    const paths = [
      'tile/00/000', 'tile/0/0', 'tile/0/00', 'tile/0/0000', 'tile/0/x000/000', 'tile/0/x001', 'tile/0/000.p/0', 'tile/0/000.p/01', 'tile/0/000.p/256',
      'tile/0/000.p/', 'tile/0/000.p', 'tile/0/000.p/-1', 'tile/0/000.p/1/2', 'tile/0/000/', 'tile/0/%30%30%30', 'tile/0/+00', 'tile/-1/000', 'tile/64/000',
      'tile/63/000', 'tile/7/000.p/1', 'tile/0', 'tile/entries', 'tile/entries/', 'tile/entries/0', 'tile/entries/000/', 'tile/entries/000.p/0',
      'tile/data/000', 'tile/0/x999/x999/x999/x999/x999/999', 'tile/0/x999/x999/x999/x999/999', 'tile/0/%00', 'tile//000', 'tile/0/000.p/1e1', 'tile/1/000.p/1.', 'tile/0/..',
    ]
    for (const path of paths) {
      const reply = await counter.ask(`/${path}`)
      expect(reply.status, path).toBe(404)
      expect(reply.headers['cache-control']).toBe('no-store')
    }
  })
})
