// Tessera over what a directory's process serves: its fsck, unmodified, and its client library. They read a log with
// code of their own, and refuse it with one bit of one file flipped on the way.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Operation } from '../../src/core/plc/operation.ts'
import { hex } from '../../src/core/encoding/text.ts'
import { makeIdentity, makeTombstone, makeUpdate } from '../support/identities.ts'
import { flipBitOf, openDirectory, openLiar, post, publishedSize, readFrom, readKey, untilPublished, type Directory } from './directory.ts'
import { hasGo, hasGoFor, runGo } from './go.ts'
import { verifyLog } from './independent-verifier.ts'

const MODULE = 'github.com/transparency-dev/tessera@v1.0.4'
const FSCK = MODULE.replace('@', '/cmd/fsck@')
const COUNT = 300
const LAST = COUNT - 256
const ACCEPTED = `Successfully fsck'd log with size ${COUNT}`
const FILES = ['checkpoint', 'tile/0/000', `tile/0/001.p/${LAST}`, 'tile/1/000.p/1', 'tile/entries/000', `tile/entries/001.p/${LAST}`]

describe.skipIf(!hasGo("Tessera's fsck", '-m', MODULE))("Tessera's fsck", () => {
  let directory: Directory
  let url: string

  beforeAll(async () => {
    directory = await openDirectory()
    ;({ url } = directory)
    await fill(url)
  })

  afterAll(() => directory[Symbol.asyncDispose]())

  /**
   * The line in which it gives its verdict. Its exit code is none: it ends with 0 whatever it found. And a worker that
   * finds a bad tile stops taking from a queue as long as there are workers, so there are as many as tiles and more,
   * or the program would wait for ever.
   */
  async function fsck(from: string): Promise<string> {
    const { stderr } = await runGo(FSCK, `--storage_url=${from}/`, `--public_key=${join(directory.home.folder, 'data', 'log.vkey')}`, '--ui=false', '-N=16')
    return /Successfully fsck'd log with size \d+|fsck failed: .*/.exec(stderr)?.[0] ?? stderr
  }

  it('accepts the log that a directory serves', async () => {
    expect(await publishedSize(url)).toBe(COUNT)
    expect(await fsck(url)).toBe(ACCEPTED)
  })

  it('reads a log that the verifier without Go accepts too', async () => {
    const { size } = await verifyLog(readFrom(url), await readKey(url))
    expect(size).toBe(COUNT)
  })

  it.each(FILES)('refuses it with a bit of %s flipped, as the verifier without Go does', async (path) => {
    await using liar = await openLiar(url, flipBitOf(`/${path}`))
    await expect(verifyLog(readFrom(liar.url), await readKey(url))).rejects.toThrow(Error)
    expect(liar.lied()).toBe(true)
    expect(await fsck(liar.url)).toMatch(/^fsck failed: /)
  })

  it('accepts it through the same proxy where nothing is flipped', async () => {
    await using liar = await openLiar(url, flipBitOf('/nothing'))
    expect(await fsck(liar.url)).toBe(ACCEPTED)
    expect(liar.lied()).toBe(false)
  })
})

describe.skipIf(!hasGoFor('tessera', "Tessera's client"))("Tessera's client", () => {
  let directory: Directory
  let url: string
  let key: string
  let state: string

  beforeAll(async () => {
    directory = await openDirectory()
    ;({ url } = directory)
    await fill(url)
    key = await readKey(url)
    state = join(directory.home.folder, 'tessera.checkpoint')
  })

  afterAll(() => directory[Symbol.asyncDispose]())

  it('reads every entry with its proof', async () => {
    const { root } = await verifyLog(readFrom(url), key)
    expect(await runGo('./tessera', url, key, state)).toMatchObject({ code: 0, stdout: `${COUNT} entries under ${hexOf(root)}, consistent with ${COUNT}\n` })
    expect(readFileSync(state, 'utf8')).toBe(await (await fetch(`${url}/checkpoint`)).text())
  })

  it.each(FILES)('refuses the log with a bit of %s flipped', async (path) => {
    await using liar = await openLiar(url, flipBitOf(`/${path}`))
    expect(await runGo('./tessera', liar.url, key, `${state}.none`)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('refused: ') as string })
    expect(liar.lied()).toBe(true)
  })

  it("proves that the log has only grown, and refuses another log's beginning and another key", async () => {
    const before = COUNT
    const newcomers = Array.from({ length: 256 }, (_, i) => makeIdentity([i % 4], i % 4, `newcomer-${i}.test`))
    await Promise.all(newcomers.map(({ did, genesis }) => post(url, did, genesis)))
    await untilPublished(url, before + newcomers.length)
    const { size, root } = await verifyLog(readFrom(url), key)
    const kept = readFileSync(state)
    for (const path of ['/tile/0/001', '/tile/1/000.p/2']) {
      await using liar = await openLiar(url, flipBitOf(path))
      expect(await runGo('./tessera', liar.url, key, state)).toMatchObject({ code: 1, stdout: '' })
      expect(liar.lied()).toBe(true)
    }
    expect(readFileSync(state)).toEqual(kept)
    expect(await runGo('./tessera', url, key, state)).toMatchObject({ code: 0, stdout: `${size} entries under ${hexOf(root)}, consistent with ${before}\n` })

    await using other = await openDirectory()
    await Promise.all(newcomers.slice(0, 9).map(({ did, genesis }) => post(other.url, did, genesis)))
    await untilPublished(other.url, 9)
    writeFileSync(state, await (await fetch(`${other.url}/checkpoint`)).text())
    expect(await runGo('./tessera', url, key, state)).toMatchObject({ code: 1, stdout: '' })
    expect(await runGo('./tessera', url, await readKey(other.url), `${state}.none`)).toMatchObject({ code: 1, stdout: '' })
  })
})

interface Submission {
  readonly did: string
  readonly operation: Operation
}

/** Submits as many operations as the log shall have, and waits for their checkpoint. */
async function fill(url: string): Promise<void> {
  for (const round of rounds()) await Promise.all(round.map(({ did, operation }) => post(url, did, operation)))
  await untilPublished(url, COUNT)
}

/** The operations in rounds: what a round says depends on the rounds before it only. */
function rounds(): Submission[][] {
  const people = Array.from({ length: 200 }, (_, i) => makeIdentity([i % 4, 4 + (i % 4)], i % 4, `resident-${i}.test`))
  const updates = people.slice(0, 80).map(({ did, genesis }, i) => ({ did, operation: makeUpdate(genesis.cid, 4 + (i % 4), [i % 4], `moved-${i}.test`) }))
  const recoveries = people.slice(0, 10).map(({ did, genesis }, i) => ({ did, operation: makeUpdate(genesis.cid, i % 4, [i % 4], `back-${i}.test`) }))
  const ends = people.slice(100, 110).map(({ did, genesis }, i) => ({ did, operation: makeTombstone(genesis.cid, i % 4) }))
  return [people.map(({ did, genesis }) => ({ did, operation: genesis })), updates, [...recoveries, ...ends]]
}

function hexOf(root: string): string {
  return hex.encode(new Uint8Array(Buffer.from(root, 'base64')))
}
